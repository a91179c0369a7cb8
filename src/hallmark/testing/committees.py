"""Committees of storage nodes for tests, with the secrets of their nodes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.hashing import sha256
from hallmark.crypto import bls
from hallmark.hub import committee
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.committee import Committee, CommitteeFile, StorageNode, even_shards
from hallmark.hub.slivers import line_of, symbols_of
from hallmark.hub.walrus import MemorySource, encode


def secret_of(name: str) -> bytes:
    """A node's secret key."""
    return bls.new_secret(sha256(b"storage node", name.encode()))


def committee_file(
    urls: Sequence[str], *, shards: int, epoch: int = 1, weights: Sequence[int] = ()
) -> CommitteeFile:
    """A committee of one node for each URL: node-0, node-1, ... with even shards, or as many as `weights`
    says.
    """
    runs = even_shards(len(urls), shards)
    if weights:
        starts = [sum(weights[:index]) for index in range(len(weights))]
        runs = [((start, count),) for start, count in zip(starts, weights, strict=True)]
    nodes = []
    for index, url in enumerate(urls):
        secret = secret_of(f"node-{index}")
        key, proof = hex0x(bls.public_key(secret)), hex0x(bls.prove_possession(secret))
        nodes.append(StorageNode(f"node-{index}", url, key, proof, runs[index]))
    return CommitteeFile(committee.FORMAT, epoch, tuple(nodes), shards)


def committee_of(count: int, *, shards: int = 22, weights: Sequence[int] = ()) -> Committee:
    """A committee of nodes that nobody can reach."""
    urls = [f"http://127.0.0.1:{index + 1}" for index in range(count)]
    return committee.read_committee(msgspec.json.encode(committee_file(urls, shards=shards, weights=weights)))


def slivers_of(data: bytes, shards: int) -> tuple[BlobMetadata, dict[tuple[int, Kind], bytes]]:
    """A blob's metadata, and every sliver by pair and kind."""
    columns: list[list[bytes]] = []
    metadata = encode(MemorySource(data), len(data), shards, lambda _, symbols: columns.append(symbols))
    shape, slivers = metadata.shape, {}
    for pair in range(shards):
        row = line_of(shape, pair, Kind.PRIMARY)
        column = columns[line_of(shape, pair, Kind.SECONDARY)]
        wide, high = symbols_of(shape, Kind.PRIMARY), symbols_of(shape, Kind.SECONDARY)
        slivers[pair, Kind.PRIMARY] = b"".join(one[row] for one in columns[:wide])
        slivers[pair, Kind.SECONDARY] = b"".join(column[:high])
    return metadata, slivers
