"""A storage node: what it takes, what it gives, what it signs, and what it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.certificate import certify, verify_confirmation
from hallmark.hub.challenge import draw_challenge, verify_answer
from hallmark.hub.shape import shape_of
from hallmark.hub.slivers import line_of, verify_sliver, verify_symbol
from hallmark.services.storage_node.service import StorageNodeService
from hallmark.testing.blob_stores import SHARDS
from hallmark.testing.committees import slivers_of
from hallmark.testing.storage_nodes import RunningNodes, storage_nodes

DATA = bytes((7 * i + 13) % 256 for i in range(9_000))
ME = 2


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[RunningNodes]:
    """One node of a committee of seven."""
    async with storage_nodes(tmp_path) as running:
        yield running


async def put(nodes: RunningNodes, data: bytes = DATA, index: int = ME) -> tuple[BlobMetadata, str]:
    """A blob's metadata and ID, after a node took its slivers."""
    metadata, body = nodes.body(index, data)
    name = blob_text(metadata.blob_id)
    answer = await nodes.ask(index, "PUT", f"/v1/blobs/{name}/slivers", body)
    assert answer.status == 200, answer.body
    return metadata, name


async def test_what_was_put_is_confirmed_and_served(nodes: RunningNodes) -> None:
    """The node's signature is over this blob; metadata and slivers come back, alone and in runs."""
    metadata, name = await put(nodes)
    client, committee = nodes.clients[ME], nodes.committee
    verify_confirmation(committee, ME, metadata.blob_id, await client.confirmation(name))
    assert await client.metadata(name, SHARDS) == metadata.encode()
    pairs = committee.pairs(metadata.blob_id, ME)
    _, slivers = slivers_of(DATA, SHARDS)
    for pair in pairs:
        for kind in Kind:
            size = len(slivers[pair, kind])
            got = [one async for one in client.slivers(name, pair, kind, count=1, size=size)]
            assert got == [slivers[pair, kind]]
            assert verify_sliver(metadata, pair, kind, got[0])
    assert await client.names("") == (name,)
    assert await client.names(name) == ()
    assert (await nodes.ask(ME, "GET", "/healthz")).json["state"] == "ready"
    assert b"hallmark_sliver_puts 1.0" in (await nodes.ask(ME, "GET", "/metrics")).body


async def test_symbols_for_others_repair_have_their_proofs(nodes: RunningNodes) -> None:
    """Each symbol that a node gives for a lost sliver of another verifies against the metadata alone."""
    metadata, name = await put(nodes)
    lost = nodes.committee.pairs(metadata.blob_id, 3)[0]
    for kind in Kind:
        found = await nodes.clients[ME].symbols(name, lost, kind, metadata.shape, 99)
        assert set(found) == set(nodes.committee.pairs(metadata.blob_id, ME))
        for other, symbol in found.items():
            root = metadata.root_of(other, kind.other)
            assert verify_symbol(metadata.shape, root, line_of(metadata.shape, lost, kind), symbol)
        assert len(await nodes.clients[ME].symbols(name, lost, kind, metadata.shape, 2)) == 2


async def test_challenges_are_answered(nodes: RunningNodes) -> None:
    """Whatever the seed; a node that does not have the blob says so."""
    metadata, name = await put(nodes)
    for number in range(10):
        seed = bytes([number]) * 32
        answer = await nodes.clients[ME].challenge(name, seed, SHARDS)
        drawn = draw_challenge(nodes.committee, ME, metadata.blob_id, seed)
        assert verify_answer(drawn, answer, SHARDS) == shape_of(len(DATA), SHARDS)
    with pytest.raises(HallmarkError) as error:
        await nodes.clients[3].challenge(name, bytes(32), SHARDS)
    assert error.value.reason == "sliver_not_stored"


async def test_wrong_puts_leave_nothing(nodes: RunningNodes) -> None:
    """Bytes that differ, slivers exchanged, too short, too long, of another blob: a reason, and no blob."""
    metadata, body = nodes.body(ME, DATA)
    name, head = blob_text(metadata.blob_id), len(metadata.encode())
    size = len(slivers_of(DATA, SHARDS)[1][0, Kind.PRIMARY])
    swapped = body[:head] + body[head + size :] + body[head : head + size]
    other = blob_text(bytes(32))
    for where, sent, reason in (
        (name, b"", "slivers_incomplete"),
        (name, body[: head - 1], "slivers_incomplete"),
        (name, body[:-1], "slivers_incomplete"),
        (name, body + b"\0", "slivers_incomplete"),
        (name, bytes([body[0] ^ 1]) + body[1:], "blob_metadata_wrong"),
        (name, body[:20] + bytes([body[20] ^ 1]) + body[21:], "blob_metadata_wrong"),
        (name, body[:head] + bytes([body[head] ^ 1]) + body[head + 1 :], "sliver_wrong"),
        (name, body[:-1] + bytes([body[-1] ^ 1]), "sliver_wrong"),
        (name, swapped, "sliver_wrong"),
        (other, body, "blob_metadata_wrong"),
    ):
        answer = await nodes.ask(ME, "PUT", f"/v1/blobs/{where}/slivers", sent)
        assert answer.json["error"]["code"] == reason
        assert answer.status in (400, 422)
        assert answer.json["error"]["message"]
        assert (await nodes.ask(ME, "GET", f"/v1/blobs/{where}/metadata")).status == 404
    assert [path.name for path in (nodes.place(ME) / "staging").iterdir()] == ["lock"]
    assert await nodes.clients[ME].names("") == ()


async def test_a_wrong_put_leaves_the_good_copy(nodes: RunningNodes) -> None:
    """What is stored stays until something right takes its place."""
    metadata, name = await put(nodes)
    _, body = nodes.body(ME, DATA)
    assert (await nodes.ask(ME, "PUT", f"/v1/blobs/{name}/slivers", body[:-1])).status == 400
    assert await nodes.clients[ME].confirmation(name)
    assert (await put(nodes))[0].blob_id == metadata.blob_id


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/v1/blobs/short/metadata", 400, "bad_blob_id"),
        ("GET", "/v1/blobs/{}/metadata", 404, "sliver_not_stored"),
        ("GET", "/v1/blobs/{}/slivers/0/primary", 404, "sliver_not_stored"),
        ("GET", "/v1/blobs/{}/slivers/22/primary", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/slivers/-1/primary", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/slivers/\u0663/primary", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/slivers/0/tertiary", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/slivers/0/primary?count=0", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/slivers/0/primary?count=23", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/slivers/0/primary?count=x", 400, "bad_store_request"),
        ("GET", "/v1/blobs/{}/slivers/0/primary?other=1", 400, "bad_store_request"),
        ("GET", "/v1/blobs/{}/symbols/0/primary", 404, "sliver_not_stored"),
        ("GET", "/v1/blobs/{}/symbols/99/primary", 400, "bad_sliver"),
        ("GET", "/v1/blobs/{}/confirmation/permanent", 404, "sliver_not_stored"),
        ("GET", "/v1/blobs/{}/challenge/" + "00" * 32, 404, "sliver_not_stored"),
        ("GET", "/v1/blobs/{}/challenge/00", 400, "bad_challenge"),
        ("GET", "/v1/blobs/{}/challenge/zz", 400, "bad_challenge"),
        ("GET", "/v1/blobs/{}/certificate", 404, "certificate_not_stored"),
        ("PUT", "/v1/blobs/{}/certificate", 400, "bad_certificate"),
        ("GET", "/v1/blobs?after=short", 400, "bad_blob_id"),
        ("GET", "/v1/blobs?limit=-1", 400, "bad_store_request"),
        ("GET", "/v1/blobs/{}", 404, "no_such_page"),
        ("GET", "/v1/blobs/{}/other", 404, "no_such_page"),
        ("GET", "/", 404, "no_such_page"),
        ("DELETE", "/v1/blobs/{}/slivers", 405, "method_not_allowed"),
        ("GET", "/v1/blobs/{}/slivers", 405, "method_not_allowed"),
        ("PUT", "/v1/blobs/{}/metadata", 405, "method_not_allowed"),
        ("POST", "/v1/blobs", 405, "method_not_allowed"),
    ],
)
async def test_bad_requests_have_reasons(
    nodes: RunningNodes, method: str, path: str, status: int, reason: str
) -> None:
    """Every path and method that makes no sense: a code and a sentence."""
    path = path.replace("{}", "A" * 43).encode().decode("latin-1") if path.isascii() else path
    path = path.replace("{}", "A" * 43).replace("\u0663", "%D9%A3")
    answer = await nodes.ask(ME, method, path)
    assert (answer.status, answer.json["error"]["code"]) == (status, reason)
    assert answer.json["error"]["message"]


async def test_what_a_node_does_not_have_it_does_not_serve(nodes: RunningNodes) -> None:
    """Another node's pair, and a run that leaves its own pairs."""
    metadata, name = await put(nodes)
    mine = nodes.committee.pairs(metadata.blob_id, ME)
    theirs = next(pair for pair in range(SHARDS) if pair not in mine)
    for path in (f"{theirs}/primary", f"{mine[0]}/secondary?count=22"):
        answer = await nodes.ask(ME, "GET", f"/v1/blobs/{name}/slivers/{path}")
        assert (answer.status, answer.json["error"]["code"]) == (404, "sliver_not_stored")


async def test_certificates_are_checked_before_they_are_kept(nodes: RunningNodes) -> None:
    """A quorum's is kept and given out; one of another blob is not taken."""
    metadata, name = await put(nodes)
    signed = {}
    for index in range(7):
        await put(nodes, index=index)
        signed[index] = await nodes.clients[index].confirmation(name)
    data = certify(nodes.committee, metadata.blob_id, signed).encode()
    await nodes.clients[ME].put_certificate(name, data)
    assert await nodes.clients[ME].certificate(name) == data
    other = blob_text(bytes(32))
    answer = await nodes.ask(ME, "PUT", f"/v1/blobs/{other}/certificate", data)
    assert answer.json["error"]["code"] == "certificate_of_another"
    assert await nodes.clients[ME].names("") == (name,)


async def test_a_damaged_file_is_set_aside(nodes: RunningNodes) -> None:
    """A head that does not hold is no blob any more, and another put makes it one."""
    _, name = await put(nodes)
    path = nodes.slivers(ME, name)
    good = path.read_bytes()
    for harmed in (b"", good[:30], b"x" + good[1:], good[:60] + bytes([good[60] ^ 1]) + good[61:]):
        await nodes.stop(ME)
        path.write_bytes(harmed)
        await nodes.start(ME)
        assert (await nodes.ask(ME, "GET", f"/v1/blobs/{name}/metadata")).status == 404
        assert not path.exists()
        await put(nodes)
        assert path.read_bytes() == good


async def test_only_who_has_a_key_may_put(tmp_path: Path) -> None:
    """Nobody by default; whose key stands in the settings may. Everybody may get."""
    key = hex0x(hashlib.sha256(b"secret").digest())
    async with storage_nodes(tmp_path, anonymous=False, keys=(key,)) as nodes:
        metadata, body = nodes.body(ME, DATA)
        name = blob_text(metadata.blob_id)
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "secret"}):
            answer = await nodes.ask(ME, "PUT", f"/v1/blobs/{name}/slivers", body, headers)
            assert (answer.status, answer.json["error"]["code"]) == (401, "sliver_key")
        shown = {"authorization": "Bearer secret"}
        assert (await nodes.ask(ME, "PUT", f"/v1/blobs/{name}/slivers", body, shown)).status == 200
        assert (await nodes.ask(ME, "GET", f"/v1/blobs/{name}/metadata")).status == 200


async def test_limits_of_a_put(tmp_path: Path) -> None:
    """A blob over `most_blob`, a disk that is as full as it may be, a busy node."""
    metadata_of = slivers_of(DATA, SHARDS)[0]
    name = blob_text(metadata_of.blob_id)
    for changes, reason in (
        ({"most_blob": 100}, "blob_too_large"),
        ({"free": 1 << 60}, "blob_disk_full"),
        ({"under_way": 0}, "storage_node_busy"),
    ):
        async with storage_nodes(tmp_path / reason, 1, **changes) as nodes:
            _, body = nodes.body(0, DATA)
            answer = await nodes.ask(0, "PUT", f"/v1/blobs/{name}/slivers", body)
            assert answer.json["error"]["code"] == reason
            assert await nodes.clients[0].names("") == ()


async def test_a_node_needs_its_key_and_its_committee(nodes: RunningNodes, tmp_path: Path) -> None:
    """Another's key, a name that is not there, files that are none: each has its reason before it starts."""
    settings = nodes.settings(ME)
    await nodes.stop(ME)
    broken = tmp_path / "broken"
    broken.write_text("no")
    replace = msgspec.structs.replace
    for changed, reason in (
        (replace(settings, name="nobody"), "not_in_committee"),
        (replace(settings, key_file=str(tmp_path / "node-3.key")), "not_in_committee"),
        (replace(settings, key_file=str(broken)), "bad_bls_key"),
        (replace(settings, key_file=str(tmp_path / "missing")), "bad_bls_key"),
        (replace(settings, committee=str(broken)), "bad_committee"),
        (replace(settings, committee=str(tmp_path / "missing")), "bad_committee"),
    ):
        with pytest.raises(HallmarkError) as error:
            StorageNodeService(changed)
        assert error.value.reason == reason
    await nodes.start(ME)
