"""The relay between our own client and our own enclave's door, and what it can tell by a size."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.sealing_client.conftest import sealed_client

from hallmark.core.document import unhex
from hallmark.crypto.hpke import KEM_X25519, KEM_XWING, make_key
from hallmark.http.serve import Listen, Service, bind
from hallmark.privacy.key_configurations import SYMMETRIC
from hallmark.privacy.ohttp import ClientRequest, KeyConfiguration
from hallmark.privacy.padding import pad_request
from hallmark.services.relay.info import CHUNKED_REQUEST, REQUEST
from hallmark.services.relay.service import RelayService
from hallmark.services.relay.settings import Settings
from hallmark.services.relay.sizes import is_of_a_class
from hallmark.services.sealing.server import SealedApp
from hallmark.store.raw import RawDatabase
from hallmark.testing.listening import listening
from hallmark.testing.ports import free_port
from hallmark.testing.relay_network import DirectoryGateway, listed
from hallmark.testing.sealed_network import SealedNetwork


@pytest.mark.parametrize("kem", [KEM_X25519, KEM_XWING])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("size", [1, 1000, 3000, 100_000])
def test_our_own_capsules_are_of_a_size_class(kem: int, chunked: bool, size: int) -> None:
    """Class plus the constant overhead of the encapsulation; a byte more or less is none."""
    key = make_key(kem, bytes(range(32)))
    request = ClientRequest(KeyConfiguration(1, kem, key.public, SYMMETRIC), chunked=chunked)
    capsule = request.header + request.seal(pad_request(bytes(size)), final=True)
    kind = CHUNKED_REQUEST if chunked else REQUEST
    assert is_of_a_class(len(capsule), kind)
    assert not is_of_a_class(len(capsule) + 1, kind)
    assert not is_of_a_class(len(capsule) - 1, kind)


async def test_route_and_nodes_are_asked_through_the_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket and what shows each node, sealed, through it alone; no size is odd."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    async with SealedNetwork() as local:
        door = DirectoryGateway(SealedApp(local.directory, local.gateway_keys), local.gateway_keys.blob)
        for party in local.net.nodes:
            assert party.bundle is not None
            pin = unhex(party.bundle.tls_spki)
            door.nodes.append(listed(party.address, party.bundle.endpoint, pin))
        async with listening(Service(door), bind(Listen(free_port()))) as gateway:
            relay = RelayService(Settings(Listen(0), gateway, "sqlite://"), RawDatabase("sqlite://"))
            await relay.directory.fetch()
            async with listening(relay.service, bind(Listen(free_port()))) as url:
                local.relay_url = url
                async with sealed_client(local) as client:
                    passage = await client.way.path.passage("digits")  # type: ignore[attr-defined]
                    assert passage
                counted = relay.metrics.registry.get_sample_value
                assert counted("hallmark_relay_capsules_total", {"outcome": "passed_on"}) >= 2
                assert counted("hallmark_relay_capsules_odd_total") == 0
            await relay.aclose()
        assert local.honest.seen == []
