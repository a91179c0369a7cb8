"""What a gateway shows of nodes to whoever wants to seal to one, and the gateway behind a relay itself."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.conftest import Asker

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Candidates, EnclaveConfiguration, KeyBundle
from hallmark.core.entries import decode, split_leaf
from hallmark.core.statements import Registration
from hallmark.crypto.hpke import KEM_X25519, KEM_XWING
from hallmark.http.serve import Listen
from hallmark.privacy.binary_http import Request, ResponseParser, encode_request
from hallmark.privacy.key_configurations import verify_window
from hallmark.privacy.ohttp import CHUNKED_REQUEST_TYPE, ClientRequest, KeyConfiguration, decode_list
from hallmark.privacy.padding import pad_request
from hallmark.services.following.records import Records
from hallmark.services.gateway.sealed import TURN_MS
from hallmark.services.gateway.settings import Settings
from hallmark.services.log.settings import Quota
from hallmark.services.sealing.replays import MOST
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.network import HOUR
from hallmark.verification.objections_after import Objections, completes, leaves_of, objections, path_of

NODES = "/v1/hallmark/nodes"


@pytest.fixture
async def local() -> AsyncIterator[LocalNetwork]:
    """A network whose nodes take sealed requests."""
    async with LocalNetwork(sealed=True) as network:
        yield network


@pytest.fixture
async def ask(local: LocalNetwork) -> AsyncIterator[Asker]:
    """Asks its gateway."""
    asker = Asker(local)
    yield asker
    await asker.pool.aclose()


async def test_relays_are_told_who_is_there(ask: Asker, local: LocalNetwork) -> None:
    """Address, endpoint, TLS key and epoch of each present node, and whether it takes sealed requests now."""
    status, listed = await ask.get(NODES)
    assert status == 200
    (one, _) = sorted(listed, key=lambda node: node["endpoint"] != local.nodes[0].party.bundle.endpoint)  # type: ignore[union-attr]
    bundle = local.nodes[0].party.bundle
    assert bundle is not None
    assert one == {
        "node": bundle.signing_key,
        "endpoint": bundle.endpoint,
        "tls_spki": bundle.tls_spki,
        "epoch": 1,
        "sealed": True,
    }
    local.net.tick(8 * HOUR)
    assert {node["sealed"] for node in (await ask.get(NODES))[1]} == {False}


async def test_a_node_is_shown_with_what_shows_it(ask: Asker, local: LocalNetwork) -> None:
    """Bundle, configuration, evidence, registration under a quorum, and keys under the bundle's root."""
    party = local.nodes[0].party
    status, told = await ask.get(f"{NODES}/{hex0x(party.address)}")
    assert status == 200
    bundle = KeyBundle.decode(told["bundle"].encode())
    assert bundle == party.bundle
    assert hex0x(digest_of(EnclaveConfiguration, told["configuration"].encode())) == bundle.configuration
    leaf = base64.b64decode(told["registration"]["leaf"])
    place = proof_verifier(local.trust)(leaf, told["registration"]["proof"])
    assert place.index == told["registration"]["index"]
    after = leaves_of(told["registration"]["after"])
    assert completes(place, path_of(told["registration"]["proof"]), leaf, after)
    assert objections(place.index, after, local.trust) == Objections()
    entry = decode(split_leaf(leaf)[1])
    assert isinstance(entry.statement, Registration)
    assert entry.statement.document == bundle.digest()
    assert entry.attachments == (told["bundle"].encode(), base64.b64decode(told["evidence"]))
    sealing = told["sealing"]
    blob = base64.b64decode(sealing["configurations"])
    assert not isinstance(bundle.sealing, msgspec.UnsetType)
    path = tuple(map(unhex, sealing["path"]))
    keys = verify_window(bundle.sealing, sealing["window"], blob, path, local.net.now)
    assert [key.kem for key in keys] == [KEM_X25519, KEM_XWING]


async def test_everybody_gets_the_same_bytes(ask: Asker, local: LocalNetwork) -> None:
    """Also when the log has grown meanwhile; others may keep them, for no longer than the window lasts."""
    path = f"{NODES}/{hex0x(local.nodes[0].party.address)}"
    _, headers, first = await ask.raw(path, method="GET")
    assert headers["cache-control"] == "public, max-age=10"
    await ask.chat()
    _, _, second = await ask.raw(path, method="GET", headers={"user-agent": "somebody", "cookie": "a=b"})
    assert first == second
    local.net.tick(HOUR // 2 - 3_500)
    _, headers, _ = await ask.raw(path, method="GET")
    assert headers["cache-control"] == "public, max-age=3"


async def test_windows_follow_each_other(ask: Asker, local: LocalNetwork) -> None:
    """The next window's keys are shown from its first moment on, and none after the last."""
    path = f"{NODES}/{hex0x(local.nodes[0].party.address)}"
    assert (await ask.get(path))[1]["sealing"]["window"] == 0
    local.net.tick(HOUR)
    assert (await ask.get(path))[1]["sealing"]["window"] == 1
    await local.gateway.looking.look()
    local.nodes[0].behaviour = "die"
    local.net.tick(HOUR)
    assert (await ask.get(path))[1]["sealing"]["window"] == 2
    local.net.tick(2 * HOUR)
    assert (await ask.get(path))[1]["sealing"] is None


async def test_who_registers_a_second_bundle_for_an_epoch_is_not_there(
    ask: Asker, local: LocalNetwork
) -> None:
    """Neither listed nor shown, and no ticket names it; the first one stays what it was."""
    net, party = local.net, local.nodes[0].party
    first = hex0x(party.address)
    index = net.restart(party, epoch=1)
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, index, "epoch_taken"))
    local.log.witness()
    assert await local.gateway.follower.reached(net.tree.size, 5)
    assert local.gateway.follower.replica.failures(index) == ("epoch_taken",)
    second = hex0x(party.address)
    _, listed = await ask.get(NODES)
    nodes = {node["node"] for node in listed}  # type: ignore[index]
    assert first in nodes
    assert second not in nodes
    assert (await ask.get(f"{NODES}/{second}"))[0] == 404
    _, _, route = await ask.raw("/v1/hallmark/route", b'{"model":"digits"}')
    offered = Candidates.decode(json.loads(route)["candidates"].encode())
    assert {one.node for one in offered.candidates} == nodes
    assert second not in {one.node for one in offered.excluded}


async def test_what_follows_a_registration_stays_short(ask: Asker, local: LocalNetwork) -> None:
    """The checkpoint is the first that covered it, however far the log has come, also for a gateway that took
    up what it kept.
    """
    path = f"{NODES}/{hex0x(local.nodes[0].party.address)}"
    told = (await ask.get(path))[1]["registration"]
    for _ in range(3):
        await ask.chat()
    assert await local.gateway.follower.reached(local.net.tree.size, 5)
    records = local.gateway.follower._records
    row = records.row()
    assert row is not None
    again = Records()
    assert again.load(row)
    again.covered(local.net.tree.size, b"a later one")
    key = local.nodes[0].party.address
    digest = digest_of(KeyBundle, (await ask.get(path))[1]["bundle"].encode())
    kept, held = (one.registration(key, b"", digest) for one in (again, records))
    assert kept == held
    assert kept is not None
    proof, after = await local.gateway.proofs.behind(kept.index, kept.note)
    assert proof == told["proof"]
    assert tuple(map(base64.b64decode, told["after"])) == after


async def test_keys_that_the_bundle_does_not_name_are_not_shown(ask: Asker, local: LocalNetwork) -> None:
    """What a node says later and its bundle does not commit to is dropped."""
    one, other = local.nodes
    one.keys = other.keys
    local.net.tick(2 * HOUR)
    assert (await ask.get(f"{NODES}/{hex0x(one.party.address)}"))[1]["sealing"] is None


async def test_a_node_that_is_not_there(ask: Asker) -> None:
    """A stable reason."""
    status, body = await ask.get(f"{NODES}/0x{'00' * 20}")
    assert (status, body["error"]["code"]) == (404, "unknown_node")


class Sealed:
    """Asks a gateway sealed, as a client behind a relay does."""

    def __init__(self, ask: Asker, keys: tuple[KeyConfiguration, ...]) -> None:
        self.ask, self.keys = ask, keys

    async def raw(self, capsule: bytes) -> tuple[int, bytes]:
        """Status and body of a capsule."""
        headers = {"content-type": CHUNKED_REQUEST_TYPE}
        status, _, body = await self.ask.raw("/v1/hallmark/sealed", capsule, headers=headers)
        return status, body

    async def __call__(self, method: str, path: str, content: bytes = b"", kem: int = 1) -> tuple[int, Any]:
        """Status and JSON of a sealed request."""
        request = ClientRequest(self.keys[kem])
        inner = encode_request(
            Request(method.encode(), b"https", b"hallmark.invalid", path.encode(), (), content)
        )
        status, body = await self.raw(request.header + request.seal(pad_request(inner), final=True))
        assert status == 200, body
        reader, parser = request.response(), ResponseParser()
        said = b"".join(parser.feed(chunk) for chunk in (*reader.feed(body), *reader.end()))
        parser.end()
        return parser.status, json.loads(said)


@pytest.fixture
async def sealed(ask: Asker) -> Sealed:
    """The gateway's keys, fetched, and an asker that seals to them."""
    status, headers, blob = await ask.raw("/v1/hallmark/keys", method="GET")
    assert (status, headers["content-type"]) == (200, "application/ohttp-keys")
    assert (await ask.raw("/v1/hallmark/ohttp-keys", method="GET"))[2] == blob
    return Sealed(ask, decode_list(blob))


@pytest.mark.parametrize("kem", [0, 1], ids=["x25519", "x-wing"])
async def test_a_route_may_be_asked_sealed(sealed: Sealed, kem: int) -> None:
    """Under both key encapsulations the answer is the one that a plain request gets."""
    status, told = await sealed("POST", "/v1/hallmark/route", b'{"model":"digits"}', kem)
    assert status == 200
    assert len(told["nodes"]) == 2
    status, node = await sealed("GET", f"{NODES}/{told['nodes'][0]['node']}")
    assert status == 200
    assert node["bundle"] == told["nodes"][0]["bundle"]


@pytest.mark.parametrize(
    "path", ["network", "offers", "nodes", "trust.json", "../models"], ids=lambda path: path.split("/")[-1]
)
async def test_what_is_public_may_be_asked_sealed(sealed: Sealed, path: str) -> None:
    """Nothing that everybody may read is missing on this path."""
    asked = "/v1/models" if path == "../models" else f"/v1/hallmark/{path}"
    assert (await sealed("GET", asked))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/hallmark/infer"),
        ("POST", "/v1/hallmark/stop"),
        ("GET", "/explore"),
        ("GET", "/v1/hallmark/review"),
        ("PUT", "/v1/hallmark/route"),
        ("GET", "/v1/hallmark/nodes/../receipts"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/hallmark/route/../../chat/completions"),
    ],
)
async def test_an_answer_is_never_given_on_this_path(
    sealed: Sealed, local: LocalNetwork, method: str, path: str
) -> None:
    """A question sealed to the gateway would show it the prompt: it is refused, with a hint."""
    body = json.dumps({"model": "digits", "messages": [{"role": "user", "content": "Which?"}]}).encode()
    status, told = await sealed(method, path, body if method == "POST" else b"")
    assert (status, told["error"]["code"]) == (404, "not_on_this_path")
    assert "node's own key" in told["error"]["message"] + str(told["error"].get("hint"))
    assert not [seen for node in local.nodes for seen in node.bodies]


async def test_the_same_capsule_is_taken_once(sealed: Sealed) -> None:
    """A replay, a cut capsule, and one to another key are refused without detail."""
    request = ClientRequest(sealed.keys[1])
    inner = encode_request(Request(b"GET", b"https", b"hallmark.invalid", b"/v1/models", (), b""))
    capsule = request.header + request.seal(pad_request(inner), final=True)
    assert (await sealed.raw(capsule))[0] == 200
    for wrong in (capsule, capsule[:-1], capsule[:-1] + b"\0"):
        status, body = await sealed.raw(wrong)
        assert (status, json.loads(body)["error"]["code"]) == (400, "sealed_unreadable")


async def test_no_capsule_outlives_a_restart(sealed: Sealed, local: LocalNetwork) -> None:
    """The keys are made at the start and kept nowhere: with what was remembered of requests they are gone."""
    request = ClientRequest(sealed.keys[1])
    inner = encode_request(Request(b"GET", b"https", b"hallmark.invalid", b"/v1/models", (), b""))
    capsule = request.header + request.seal(pad_request(inner), final=True)
    assert (await sealed.raw(capsule))[0] == 200
    await local.start_gateway()
    status, body = await sealed.raw(capsule)
    assert status == 400
    # One start in 128 has the ids of the one before, and keys of its own all the same.
    assert json.loads(body)["error"]["code"] in ("key_configuration_stale", "sealed_unreadable")


async def test_the_sealed_door_has_a_quota_by_address(ask: Asker, local: LocalNetwork) -> None:
    """One address cannot fill what is remembered of everybody's requests; what is asked plain goes on."""
    quota = Settings(Listen(0), log_url="", trust_file="", key_file="", database="").sealed_by_address
    assert quota.burst + quota.rate * TURN_MS / 1000 < MOST
    await local.start_gateway(sealed_by_address=Quota(rate=0.001, burst=3))
    headers = {"content-type": CHUNKED_REQUEST_TYPE}
    codes = []
    for _ in range(4):
        status, told, body = await ask.raw("/v1/hallmark/sealed", b"junk", headers=headers)
        codes.append((status, json.loads(body)["error"]["code"]))
    assert codes == [(400, "sealed_unreadable")] * 3 + [(429, "sealed_rate")]
    assert int(told["retry-after"]) > 0
    assert (await ask.get("/v1/models"))[0] == 200
