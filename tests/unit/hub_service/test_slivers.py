"""A blob store on storage nodes: what it survives, and what it says when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.blob_ids import parse_blob_text
from hallmark.hub.certificate import read_certificate, verify_certificate
from hallmark.services.hub.challenger import Challenger
from hallmark.services.hub.slivers import SliverStorage
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.shelf import head_of, read_head
from hallmark.testing.blob_stores import SHARDS, RunningStore, blob_store, small_id
from hallmark.testing.storage_conformance import LARGE
from hallmark.testing.storage_nodes import RunningNodes, encode_here, storage_nodes

WEIGHTS = (4, 3, 3, 3, 3, 3, 3)
"""22 shards: a quorum is 15, and 7 of them may be lost."""


@asynccontextmanager
async def store_on(folder: Path, nodes: RunningNodes, **changes: Any) -> AsyncIterator[RunningStore]:
    """A blob store on these nodes, which waits for all of them."""
    storage = f"slivers+file://{nodes.file}?grace_s=3600"
    async with blob_store(folder, encode=encode_here, storage=storage, **changes) as store:
        yield store


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[RunningNodes]:
    """Seven nodes."""
    async with storage_nodes(tmp_path / "nodes", 7, weights=WEIGHTS) as running:
        yield running


def storage_of(store: RunningStore) -> SliverStorage:
    """The store's storage."""
    assert store.service.slivers is not None
    return store.service.slivers


def harm(nodes: RunningNodes, index: int, name: str) -> None:
    """Flip a byte of every sliver that a node has of a blob."""
    path = nodes.slivers(index, name)
    data = bytearray(path.read_bytes())
    held = read_head(bytes(data), parse_blob_text(name), SHARDS)
    shape, at = held.metadata.shape, len(head_of(held.metadata, held.pairs))
    for number in range((shape.rows + shape.columns) * len(held.pairs)):
        data[at + number * shape.symbol] ^= 1
    path.write_bytes(bytes(data))


async def got(store: RunningStore, name: str, data: bytes = LARGE) -> bool:
    """Whether a blob comes back whole, and a range of it."""
    whole = await store.ask("GET", f"/v1/blobs/{name}")
    part = await store.ask("GET", f"/v1/blobs/{name}", {"range": "bytes=1500000-1500009"})
    return whole.body == data and part.body == data[1500000:1500010]


async def test_a_blob_is_spread_and_certified(nodes: RunningNodes, tmp_path: Path) -> None:
    """Put, get, a range, the strict check; the certificate holds for whoever has the committee file, and
    every node has it.
    """
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        assert await got(store, name)
        assert (await store.ask("GET", f"/v1/blobs/{name}?strict_consistency_check=true")).body == LARGE
        data = (await store.ask("GET", f"/v1/blobs/{name}/certificate")).body
        certified = verify_certificate(read_certificate(data), nodes.committee, name)
        assert (certified.weight, len(certified.signers)) == (SHARDS, 7)
        for index in range(7):
            assert await nodes.clients[index].certificate(name) == data
        assert [path.name for path in (tmp_path / "hub" / "staging").iterdir()] == ["lock"]
        told = (await store.ask("GET", "/v1/storage-nodes")).json
        assert (told["quorum"], len(told["nodes"])) == (15, 7)
        assert not any(node["wrong"] or node["away"] or node["suspect"] for node in told["nodes"])


@pytest.mark.parametrize("lost", [(0, 1), (5, 6), (2, 4), (0, 3)])
async def test_a_third_of_the_nodes_loses_nothing(
    nodes: RunningNodes, tmp_path: Path, lost: tuple[int, ...]
) -> None:
    """Whichever go, up to 7 of 22 shards: what was put is read, and more is put."""
    async with store_on(tmp_path / "hub", nodes) as store:
        names = [await store.put(data) for data in (LARGE, b"", b"small")]
        await nodes.stop(*lost)
        assert await got(store, names[0])
        assert (await store.ask("GET", f"/v1/blobs/{names[1]}")).status == 200
        assert (await store.ask("GET", f"/v1/blobs/{names[2]}")).body == b"small"
        name = await store.put(LARGE[:-1])
        certificate = read_certificate((await store.ask("GET", f"/v1/blobs/{name}/certificate")).body)
        assert set(certificate.signers) == set(range(7)) - set(lost)


async def test_a_blob_of_the_least_quorum_survives_a_third(nodes: RunningNodes, tmp_path: Path) -> None:
    """Confirmed by 15 of 22 shards, then 6 of those are lost: what is left is read."""
    await nodes.stop(0, 1)
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        await nodes.stop(2, 3)
        assert await got(store, name)


async def test_one_more_than_allowed_puts_nothing(nodes: RunningNodes, tmp_path: Path) -> None:
    """With 12 of 22 shards there is no quorum: a reason, no record, nothing on the way. What nodes have of it
    is the whole blob or nothing, without a certificate; and later it is put.
    """
    async with store_on(tmp_path / "hub", nodes) as store:
        await nodes.stop(0, 1, 2)
        answer = await store.ask("PUT", "/v1/blobs", body=LARGE)
        assert (answer.status, answer.code) == (503, "storage_quorum_missing")
        assert "12 of 22" in answer.json["error"]["message"]
        name = small_id(LARGE)
        assert not list((tmp_path / "hub" / "records").iterdir())
        assert [path.name for path in (tmp_path / "hub" / "staging").iterdir()] == ["lock"]
        assert (await store.ask("GET", f"/v1/blobs/{name}/certificate")).code == "certificate_not_stored"
        await nodes.stop(3, 4)
        answer = await store.ask("GET", f"/v1/blobs/{name}")
        assert (answer.status, answer.code) == (503, "blob_unrecoverable")
        await nodes.start(3, 4)
        assert await got(store, name)
        assert (await store.ask("GET", f"/v1/blobs/{name}/certificate")).code == "certificate_not_stored"
        await nodes.start(0, 1, 2)
        assert await store.put(LARGE) == name
        assert await got(store, name)


async def test_too_few_left_has_a_reason(nodes: RunningNodes, tmp_path: Path) -> None:
    """With 7 of 22 shards nothing can be decoded: a reason and not a byte; with one node more it can."""
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        await nodes.stop(2, 3, 4, 5, 6)
        answer = await store.ask("GET", f"/v1/blobs/{name}")
        assert (answer.status, answer.code) == (503, "blob_unrecoverable")
        await nodes.start(4)
        assert await got(store, name)


@pytest.mark.parametrize("liars", [(0,), (1, 2), (3, 6)])
async def test_wrong_slivers_are_found_and_told(
    nodes: RunningNodes, tmp_path: Path, liars: tuple[int, ...]
) -> None:
    """Nodes with a flipped byte in every sliver: the blob is read, each that was asked is named, and health
    and metrics say so.
    """
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        for index in liars:
            harm(nodes, index, name)
        assert await got(store, name)
        faults = storage_of(store).faults
        wrong = {one for one, standing in faults.standings.items() if standing.wrong}
        assert wrong
        assert wrong <= {f"node-{index}" for index in liars}
        health = (await store.ask("GET", "/healthz")).json
        assert (health["state"], health["reason"]) == ("degraded", "storage_nodes_suspect")
        told = (await store.ask("GET", "/v1/storage-nodes")).json["nodes"]
        assert {node["name"] for node in told if node["reason"] == "sliver_wrong"} == wrong
        assert (
            f"hallmark_storage_nodes_suspect {len(wrong)}.0".encode()
            in (await store.ask("GET", "/metrics")).body
        )


async def test_exchanged_slivers_are_found(nodes: RunningNodes, tmp_path: Path) -> None:
    """A node that gives the slivers of another blob of the same length under this blob's metadata."""
    async with store_on(tmp_path / "hub", nodes) as store:
        name, other = await store.put(LARGE), await store.put(LARGE[::-1])
        mine, theirs = nodes.slivers(0, name), nodes.slivers(0, other)
        head = len(head_of(*_held(mine, name)))
        begin = len(head_of(*_held(theirs, other)))
        rows = mine.read_bytes()[head:]
        mine.write_bytes(mine.read_bytes()[:head] + theirs.read_bytes()[begin:][: len(rows)])
        assert await got(store, name)
        assert await got(store, other, LARGE[::-1])


def _held(path: Path, name: str) -> tuple[Any, Any]:
    held = read_head(path.read_bytes(), parse_blob_text(name), SHARDS)
    return held.metadata, held.pairs


async def test_a_store_that_lost_its_disk(nodes: RunningNodes, tmp_path: Path) -> None:
    """Another hub with the committee file alone: it decodes, computes the ID, and has the certificate."""
    async with store_on(tmp_path / "one", nodes) as store:
        name = await store.put(LARGE)
    await nodes.stop(0, 1)
    async with store_on(tmp_path / "two", nodes) as store:
        assert await got(store, name)
        assert (await store.ask("GET", f"/v1/blobs/{name}/certificate")).status == 200
        assert (await store.ask("GET", f"/v1/blobs/{small_id(b'never')}")).code == "blob_not_found"
        await nodes.stop(2)
        assert (await store.ask("GET", f"/v1/blobs/{small_id(b'never')}")).code == "blob_unrecoverable"


async def test_a_wiped_node_is_mended_and_confirms_again(nodes: RunningNodes, tmp_path: Path) -> None:
    """After a third was lost for ever and mended, another third may go."""
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        for index in (1, 2):
            await nodes.wipe(index)
        for index in (1, 2):
            assert (await nodes.services[index].repair.look()).mended == 1
        await nodes.stop(0, 3)
        assert await got(store, name)


async def test_challenges_find_what_a_node_lost(nodes: RunningNodes, tmp_path: Path) -> None:
    """Who has it passes; changed slivers fail, a wiped node and one that is away fail; mended they pass."""
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        challenger, faults = Challenger(storage_of(store)), storage_of(store).faults
        await challenger.round()
        assert all(standing.passed == 1 for standing in faults.standings.values())
        harm(nodes, 1, name)
        await nodes.wipe(2)
        await nodes.stop(3)
        await challenger.round()
        failed = {one: standing.reason for one, standing in faults.standings.items() if standing.suspect}
        assert failed == {
            "node-1": "challenge_failed",
            "node-2": "sliver_not_stored",
            "node-3": "connect_failed",
        }
        assert (await store.ask("GET", "/healthz")).json["reason"] == "storage_nodes_suspect"
        await nodes.start(3)
        for index in (1, 2):
            await nodes.services[index].repair.look()
        await challenger.round()
        assert (await store.ask("GET", "/healthz")).json["state"] == "ready"


async def test_an_answer_that_comes_too_late_failed(nodes: RunningNodes, tmp_path: Path) -> None:
    """A node that takes the connection and says nothing."""
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        await nodes.stop(4)

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        storage = storage_of(store)
        storage.clients[4] = NodeClient(nodes.committee.nodes[4], nodes.pool, answer_s=0.5)
        server = await asyncio.start_server(silent, "127.0.0.1", nodes.ports[4])
        async with server:
            failed = await Challenger(storage).challenge(4, name)
        assert failed is not None
        assert failed.reason == "challenge_late"


async def test_a_put_with_a_node_that_signs_nonsense(nodes: RunningNodes, tmp_path: Path) -> None:
    """A node with another key than the committee names: its confirmation is not counted, and that is told."""
    nodes.services[5].app._secret = nodes.services[6].app._secret
    async with store_on(tmp_path / "hub", nodes) as store:
        name = await store.put(LARGE)
        certificate = read_certificate((await store.ask("GET", f"/v1/blobs/{name}/certificate")).body)
        assert certificate.signers == (0, 1, 2, 3, 4, 6)
        assert storage_of(store).faults.standings["node-5"].reason == "confirmation_wrong"


async def test_a_changed_certificate_is_not_given_out(nodes: RunningNodes, tmp_path: Path) -> None:
    """One that was written into the hub's directory: refused, and nothing rests on it."""
    async with store_on(tmp_path / "hub", nodes) as store:
        name, other = await store.put(LARGE), await store.put(b"other")
        kept = tmp_path / "hub" / "records"
        (kept / f"{name}.certificate").write_bytes((kept / f"{other}.certificate").read_bytes())
        answer = await store.ask("GET", f"/v1/blobs/{name}/certificate")
        assert (answer.status, answer.code) == (500, "certificate_of_another")
        (kept / f"{name}.certificate").write_bytes(b"{}")
        assert (await store.ask("GET", f"/v1/blobs/{name}/certificate")).code == "bad_certificate"


async def test_a_store_elsewhere_says_that_it_has_none(tmp_path: Path) -> None:
    """A blob store on a directory has no storage nodes and no certificates."""
    async with blob_store(tmp_path) as store:
        name = await store.put(b"x")
        for path in (f"/v1/blobs/{name}/certificate", "/v1/storage-nodes"):
            answer = await store.ask("GET", path)
            assert (answer.status, answer.code) == (404, "no_storage_nodes")
        assert (await store.ask("GET", "/v1/blobs/short/certificate")).code == "bad_blob_id"


async def test_a_committee_of_other_shards_is_told(nodes: RunningNodes, tmp_path: Path) -> None:
    """IDs that are computed for another number of shards than the committee has: nothing is put."""
    storage = f"slivers+file://{nodes.file}"
    async with blob_store(tmp_path / "hub", encode=encode_here, storage=storage, shards=10) as store:
        answer = await store.ask("PUT", "/v1/blobs", body=b"x")
        assert answer.code == "blob_encoded_otherwise"


async def test_one_encoding_gives_id_and_slivers(nodes: RunningNodes, tmp_path: Path) -> None:
    """A put does not compute the ID beside the encoding; nothing that was prepared is left."""

    async def unwanted(path: Path) -> bytes:
        raise AssertionError(path)

    async with store_on(tmp_path / "hub", nodes) as store:
        store.service.blobs._identify = unwanted
        name = await store.put(LARGE)
        assert await got(store, name)
        assert storage_of(store)._prepared == {}
        assert [path.name for path in (tmp_path / "hub" / "staging").iterdir()] == ["lock"]
