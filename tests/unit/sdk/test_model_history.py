"""What a label pointed to, as a client reads and checks it; and what a gateway cannot make it believe."""

from __future__ import annotations

import base64
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hallmark import AsyncClient
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, NotFound, VerificationFailed
from hallmark.core.model_names import PinNotMet, pinned
from hallmark.services.gateway import model_history
from hallmark.services.sdk.model_history import read_history, read_page, require_proven
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence

Page = dict[str, Any]


@pytest.fixture
async def local() -> AsyncIterator[LocalNetwork]:
    """A network whose label moved twice, each time to another artifact."""
    async with LocalNetwork() as network:
        net = network.net
        first = net.manifest
        second = net.make_manifest("2", b"other content", hex0x(first.digest()))
        third = net.make_manifest("3", b"digits content", hex0x(second.digest()))
        for manifest in (second, third):
            net.add(net.version(manifest))
        network.log.witness()
        yield network


def verifier(local: LocalNetwork) -> Verifier:
    """What the network's trust file checks."""
    return Verifier(local.trust, verify_stub_evidence)


@pytest.fixture
async def client(local: LocalNetwork) -> AsyncIterator[AsyncClient]:
    """A client with the network's trust file."""
    async with AsyncClient(local.url, verifier=verifier(local)) as client:
        yield client


async def test_every_step_is_proven(client: AsyncClient) -> None:
    """Oldest first, each with the log's word for it, and where the artifact changed."""
    history = require_proven(await client.model_history("digits"))
    assert [step.version for step in history.versions] == ["1", "2", "3"]
    assert [step.moved for step in history.versions] == [False, True, True]
    assert all(step.at for step in history.versions)
    assert {step.by for step in history.versions} == {history.owner}
    assert history.size > history.versions[-1].position


async def test_without_a_trust_file_nothing_is_proven(local: LocalNetwork) -> None:
    """It is shown all the same, as what somebody said."""
    async with AsyncClient(local.url) as client:
        history = await client.model_history("digits")
    assert len(history.versions) == 3
    assert not history.proven
    with pytest.raises(VerificationFailed) as caught:
        require_proven(history)
    assert caught.value.reason == "history_not_proven"


async def test_long_histories_come_in_pages(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that moved often is read to its first version."""
    monkeypatch.setattr(model_history, "MOST", 1)
    history = require_proven(await client.model_history("digits"))
    assert [step.version for step in history.versions] == ["1", "2", "3"]


async def test_an_unknown_label_is_told(client: AsyncClient) -> None:
    """With what there is."""
    with pytest.raises(NotFound) as caught:
        await client.model_history("nowhere")
    assert caught.value.reason == "model_not_found"
    assert "digits" in caught.value.hint


def _leave_out(page: Page) -> None:
    del page["versions"][1]


def _leave_out_first(page: Page) -> None:
    del page["versions"][0]


def _swap(page: Page) -> None:
    page["versions"].reverse()


def _rename(page: Page) -> None:
    page["versions"][1]["artifact"] = page["versions"][0]["artifact"]


def _say_other_content(page: Page) -> None:
    page["versions"][1]["sha256"] = page["versions"][0]["sha256"]


def _say_other_place(page: Page) -> None:
    page["versions"][1]["position"] += 1


def _no_proof(page: Page) -> None:
    page["versions"][1]["entry"]["proof"] = None


def _damaged(page: Page) -> None:
    entry = bytearray(base64.b64decode(page["versions"][1]["entry"]["bytes"]))
    entry[-1] ^= 1
    page["versions"][1]["entry"]["bytes"] = base64.b64encode(entry).decode()


def _no_publication(page: Page) -> None:
    page["publication"] = None


def _other_owner(page: Page) -> None:
    page["owner"] = "0x" + "07" * 20


def _nothing_at_all(page: Page) -> None:
    page.update(versions=[], publication=None)


def _not_a_publication(page: Page) -> None:
    page["publication"] = page["versions"][0]["entry"]


def _not_a_version(page: Page) -> None:
    page["versions"][0]["entry"] = page["publication"]


@pytest.mark.parametrize(
    "lie",
    [
        _leave_out,
        _leave_out_first,
        _swap,
        _rename,
        _say_other_content,
        _say_other_place,
        _no_proof,
        _damaged,
        _no_publication,
        _other_owner,
        _nothing_at_all,
        _not_a_publication,
        _not_a_version,
    ],
)
async def test_a_gateway_that_lies_proves_nothing(
    local: LocalNetwork, client: AsyncClient, lie: Callable[[Page], None]
) -> None:
    """Whatever is left out, exchanged or damaged: from there on nothing is proven."""
    page = copy.deepcopy(await client.get_json("/v1/hallmark/history?model=digits&proofs=true"))
    assert read_history([read_page(page)], "digits", verifier(local)).proven
    lie(page)
    assert not read_history([read_page(page)], "digits", verifier(local)).proven


async def test_what_cannot_be_read_is_refused(local: LocalNetwork, client: AsyncClient) -> None:
    """Types are checked before anything is believed; another label's list is not this one's."""
    page = await client.get_json("/v1/hallmark/history?model=digits&proofs=true")
    with pytest.raises(InvalidInput) as caught:
        read_page(page | {"versions": [{"position": "1"}]})
    assert caught.value.reason == "bad_history"
    for other in ([], None, 7, [page], {"versions": page["versions"]}):
        with pytest.raises(InvalidInput) as caught:
            read_page(other)
        assert caught.value.reason == "bad_history"
    assert not read_history([read_page(page)], "other", verifier(local)).proven


async def test_a_client_pins_what_it_saw() -> None:
    """With on_model_change="refuse" the artifact of the first answer is the only one that runs afterwards."""
    async with (
        LocalNetwork() as local,
        AsyncClient(local.url, verifier=verifier(local), on_model_change="refuse") as client,
    ):
        with pytest.raises(PinNotMet) as caught:
            await client.ask("Which?", model=pinned("digits", "0x" + "07" * 32))
        assert caught.value.reason == "model_moved"
        assert not any(node.bodies for node in local.nodes)
        client._models.accept("digits", "0x" + "07" * 32)
        with pytest.raises(PinNotMet):
            await client.ask("Which?", model="digits")
        client.forget_model("digits")
        draft = await client.ask("Which?", model="digits")
        assert draft.receipt.dossier.opened().artifact == bytes.fromhex(local.net.manifest.artifact[2:])
