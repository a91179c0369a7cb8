"""A storage node mends itself of what its peers have, and believes none of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hallmark.core.blob_ids import blob_text
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.certificate import certify
from hallmark.hub.slivers import extended
from hallmark.hub.walrus_tree import hash_leaf, merkle_root
from hallmark.services.storage_node import repair
from hallmark.services.storage_node.gather import runs_of
from hallmark.services.storage_node.repair import Look
from hallmark.services.storage_node.shelf import head_of
from hallmark.testing.blob_stores import SHARDS
from hallmark.testing.committees import slivers_of
from hallmark.testing.storage_nodes import RunningNodes, storage_nodes

DATA = bytes((7 * i + 13) % 256 for i in range(9_000))
ME = 2


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[RunningNodes]:
    """Seven nodes."""
    async with storage_nodes(tmp_path) as running:
        yield running


async def put(nodes: RunningNodes, data: bytes = DATA, *, certified: bool = True) -> tuple[BlobMetadata, str]:
    """Metadata and ID of a blob that all nodes have."""
    signed: dict[int, bytes] = {}
    for index in nodes.services:
        metadata, body = nodes.body(index, data)
        name = blob_text(metadata.blob_id)
        assert (await nodes.ask(index, "PUT", f"/v1/blobs/{name}/slivers", body)).status == 200
        signed[index] = await nodes.clients[index].confirmation(name)
    if certified:
        certificate = certify(nodes.committee, metadata.blob_id, signed).encode()
        for index in nodes.services:
            await nodes.clients[index].put_certificate(name, certificate)
    return metadata, name


def harm(nodes: RunningNodes, index: int, name: str, metadata: BlobMetadata, *slivers: int) -> None:
    """Flip a byte of slivers in a node's file, by their place in it."""
    path = nodes.slivers(index, name)
    pairs = nodes.committee.pairs(metadata.blob_id, index)
    data = bytearray(path.read_bytes())
    at = len(head_of(metadata, pairs))
    sizes = [metadata.shape.symbol * count for count in (metadata.shape.columns, metadata.shape.rows)]
    for place in slivers:
        data[at + sum(sizes) * (place // 2) + (sizes[0] if place % 2 else 0)] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("places", [(0,), (1,), (0, 3), (0, 1, 2, 3, 4, 5)])
async def test_changed_slivers_are_made_again(nodes: RunningNodes, places: tuple[int, ...]) -> None:
    """One of others' symbols, many of the whole blob: the file is what it was."""
    metadata, name = await put(nodes)
    good = nodes.slivers(ME, name).read_bytes()
    harm(nodes, ME, name, metadata, *places)
    look = await nodes.services[ME].repair.look()
    assert look == Look(blobs=1, damaged=len(places), mended=1)
    assert nodes.slivers(ME, name).read_bytes() == good
    assert (await nodes.services[ME].repair.look()) == Look(blobs=1)


async def test_a_wiped_node_comes_back(nodes: RunningNodes) -> None:
    """It learns from its peers which blobs are certified, and makes its slivers of theirs."""
    names = [(await put(nodes, DATA + bytes([number])))[1] for number in range(3)]
    files = [nodes.slivers(ME, name).read_bytes() for name in names]
    await nodes.wipe(ME)
    look = await nodes.services[ME].repair.look()
    assert (look.blobs, look.mended, look.failed) == (3, 3, 0)
    assert [nodes.slivers(ME, name).read_bytes() for name in names] == files
    for name in names:
        assert await nodes.clients[ME].confirmation(name)
        assert await nodes.clients[ME].certificate(name)


async def test_it_comes_back_with_a_third_of_the_others_away(nodes: RunningNodes) -> None:
    """As many others away as may be: what is left is enough. One more than enough can bear: it says so."""
    _, name = await put(nodes)
    await nodes.wipe(ME)
    await nodes.stop(4, 5)
    assert (await nodes.services[ME].repair.look()).mended == 1
    await nodes.wipe(ME)
    await nodes.stop(0, 1, 6)
    look = await nodes.services[ME].repair.look()
    assert (look.mended, look.failed) == (0, 1)
    health = (await nodes.ask(ME, "GET", "/healthz")).json
    nodes.services[ME].repair.last = look
    health = (await nodes.ask(ME, "GET", "/healthz")).json
    assert (health["state"], health["reason"]) == ("degraded", "slivers_not_mended")
    assert not nodes.slivers(ME, name).exists()


async def test_peers_that_lie_are_found(nodes: RunningNodes) -> None:
    """Two peers with changed slivers: nothing of theirs is used, both are noted, and the node is whole."""
    metadata, name = await put(nodes)
    good = nodes.slivers(ME, name).read_bytes()
    liars = (0, 1)
    for liar in liars:
        harm(nodes, liar, name, metadata, *range(2 * len(nodes.committee.pairs(metadata.blob_id, liar))))
    await nodes.wipe(ME)
    assert (await nodes.services[ME].repair.look()).mended == 1
    assert nodes.slivers(ME, name).read_bytes() == good
    standings = nodes.services[ME].faults.standings
    assert {name for name, one in standings.items() if one.wrong} == {f"node-{liar}" for liar in liars}
    assert standings["node-0"].reason == "sliver_wrong"


async def test_what_nobody_certified_is_not_fetched(nodes: RunningNodes) -> None:
    """Peers that list blobs without a quorum's certificate fill nobody's disk."""
    await put(nodes, certified=False)
    await nodes.wipe(ME)
    assert (await nodes.services[ME].repair.look()) == Look()
    assert await nodes.clients[ME].names("") == ()


async def test_a_lost_uncertified_blob_is_no_failure(nodes: RunningNodes) -> None:
    """Nobody was promised a blob of a put that never reached a quorum: it cannot be mended, and need not."""
    metadata, body = nodes.body(ME, DATA)
    name = blob_text(metadata.blob_id)
    assert (await nodes.ask(ME, "PUT", f"/v1/blobs/{name}/slivers", body)).status == 200
    harm(nodes, ME, name, metadata, 0)
    look = await nodes.services[ME].repair.look()
    assert (look.blobs, look.mended, look.failed) == (1, 0, 0)


async def test_a_blob_that_was_encoded_wrongly_is_not_mended(nodes: RunningNodes) -> None:
    """Slivers that hold against their metadata, but do not belong together: told, and nothing is kept."""
    _, slivers = slivers_of(DATA, SHARDS)
    other_metadata, others = slivers_of(DATA[::-1], SHARDS)
    mixed = {key: (others if key[1] is Kind.SECONDARY else slivers)[key] for key in slivers}
    shape = other_metadata.shape
    roots = b"".join(
        merkle_root([hash_leaf(symbol) for symbol in extended(shape, kind, mixed[pair, kind])])
        for pair in range(SHARDS)
        for kind in Kind
    )
    metadata = BlobMetadata(len(DATA), roots)
    name, signed = blob_text(metadata.blob_id), {}
    for index in range(7):
        pairs = nodes.committee.pairs(metadata.blob_id, index)
        body = metadata.encode() + b"".join(mixed[pair, kind] for pair in pairs for kind in Kind)
        assert (await nodes.ask(index, "PUT", f"/v1/blobs/{name}/slivers", body)).status == 200
        signed[index] = await nodes.clients[index].confirmation(name)
    certificate = certify(nodes.committee, metadata.blob_id, signed).encode()
    await nodes.clients[3].put_certificate(name, certificate)
    await nodes.wipe(ME)
    assert (await nodes.services[ME].repair.look()).failed == 1
    with pytest.raises(HallmarkError) as error:
        await nodes.services[ME].repair.mend(name)
    assert error.value.reason == "blob_inconsistent"
    assert not nodes.slivers(ME, name).exists()


def test_runs() -> None:
    """Neighbouring numbers are one request."""
    assert runs_of([]) == []
    assert runs_of([5, 1, 2, 3, 9, 8]) == [[1, 2, 3], [5], [8, 9]]


async def test_a_peer_that_lists_without_end_is_left(
    nodes: RunningNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many blobs without a certificate, and nothing more is asked of that peer; what others have is."""
    await put(nodes)
    await nodes.wipe(ME)
    mended = nodes.services[ME].repair
    listed = sorted(blob_text(number.to_bytes(32, "big")) for number in range(5_000))
    pages = 0

    async def endless(after: str) -> tuple[str, ...]:
        nonlocal pages
        pages += 1
        return tuple(listed[1_000 * (pages - 1) : 1_000 * pages])

    monkeypatch.setattr(repair, "MOST_UNPROVED", 2_500)
    monkeypatch.setattr(mended._clients[0], "names", endless)
    assert (await mended.look()).mended == 1
    assert pages == 3


async def test_a_look_that_fails_is_no_end(nodes: RunningNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot be read for a moment: the node goes on, and looks again."""
    looks = 0
    again = asyncio.Event()

    async def failing() -> Look:
        nonlocal looks
        looks += 1
        if looks == 2:
            again.set()
        raise Unavailable("blob_disk", "The disk cannot be used.")

    monkeypatch.setattr(nodes.services[ME].repair, "look", failing)
    task = asyncio.create_task(nodes.services[ME].repair.run(0.001))
    async with asyncio.timeout(60):
        await again.wait()
    assert not task.done()
    task.cancel()
