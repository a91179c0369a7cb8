"""A committee: which storage nodes keep a network's shards, and which sliver of a blob is on which of them.

The shards are virtual: there are 1000 of them however many nodes there are, each is one node's, and a node
has as many as it is to have weight. Of each blob a shard has one sliver pair. Which one is rotated by the
blob ID, so that no node has the source rows of every blob.

A committee is a JSON file (`hallmark.committee/1`) that the hub and every node are given. It is nobody's
statement: who gives it to them decides whom they trust.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

import msgspec

from hallmark.core.document import Hex48, HexBytes, unhex
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.hashing import sha256
from hallmark.crypto import bls
from hallmark.hub.shape import SHARDS

FORMAT: Final = "hallmark.committee/1"
MOST_NODES: Final = 1000
EPOCHS: Final = 1 << 32


class StorageNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node: its name, its address, its BLS key and the proof of possession (hex with 0x), and its shards
    as runs of (first, how many).
    """

    name: str
    url: str
    key: Hex48
    proof: HexBytes
    shards: tuple[tuple[int, int], ...]

    @property
    def weight(self) -> int:
        """How many shards it has."""
        return sum(count for _, count in self.shards)

    @property
    def key_bytes(self) -> bytes:
        """The key; 48 bytes."""
        return unhex(self.key)


class CommitteeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A committee as it is written."""

    format: str
    epoch: int
    nodes: tuple[StorageNode, ...]
    shards: int = SHARDS


class Committee:
    """A committee that holds together; `read_committee` makes it."""

    def __init__(self, file: CommitteeFile) -> None:
        self.epoch, self.shards, self.nodes = file.epoch, file.shards, file.nodes
        self.digest = sha256(msgspec.json.encode(file, order="sorted"))
        """What this committee is told from others by; 32 bytes."""
        self._owners = [0] * file.shards
        for index, node in enumerate(file.nodes):
            for first, count in node.shards:
                self._owners[first : first + count] = [index] * count

    @property
    def quorum(self) -> int:
        """The least weight of a certificate: more than two thirds of the shards."""
        return 2 * self.shards // 3 + 1

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Index of each node by its name."""
        return {node.name: index for index, node in enumerate(self.nodes)}

    def owner(self, identifier: bytes, pair: int) -> int:
        """Index of the node that keeps a sliver pair of a blob (32 bytes)."""
        return self._owners[(pair + rotation(identifier, self.shards)) % self.shards]

    def pairs(self, identifier: bytes, node: int) -> tuple[int, ...]:
        """The sliver pairs of a blob that a node keeps, ascending."""
        turn = rotation(identifier, self.shards)
        mine = (shard for shard, owner in enumerate(self._owners) if owner == node)
        return tuple(sorted((shard - turn) % self.shards for shard in mine))


def rotation(identifier: bytes, shards: int) -> int:
    """How far a blob's pairs are turned against the shards: its ID, big-endian, modulo n, as at Walrus."""
    return int.from_bytes(identifier, "big") % shards


def read_committee(data: bytes) -> Committee:
    """The committee in these bytes. Raises InvalidInput `bad_committee`, saying what is wrong."""
    try:
        file = msgspec.json.decode(data, type=CommitteeFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(f"it cannot be read: {error}") from error
    if file.format != FORMAT or not 0 <= file.epoch < EPOCHS or not 4 <= file.shards <= SHARDS:
        raise _bad("its format, epoch or number of shards")
    if not 1 <= len(file.nodes) <= MOST_NODES:
        raise _bad(f"it has 1 to {MOST_NODES} nodes")
    for distinct in ([node.name for node in file.nodes], [node.key for node in file.nodes]):
        if len(set(distinct)) != len(file.nodes):
            raise _bad("two nodes have one name or one key")
    _check_shards(file)
    for node in file.nodes:
        _check_node(node)
    return Committee(file)


def even_shards(nodes: int, shards: int = SHARDS) -> list[tuple[tuple[int, int], ...]]:
    """Runs of shards for so many nodes, as even as it goes."""
    bounds = [index * shards // nodes for index in range(nodes + 1)]
    return [((first, end - first),) for first, end in pairwise(bounds)]


def _check_shards(file: CommitteeFile) -> None:
    taken = [False] * file.shards
    for node in file.nodes:
        for first, count in node.shards:
            if first < 0 or count < 1 or first + count > file.shards:
                raise _bad(f"{node.name} has shards that there are not")
            if any(taken[first : first + count]):
                raise _bad(f"{node.name} has shards of another")
            taken[first : first + count] = [True] * count
        if not node.shards:
            raise _bad(f"{node.name} has no shards")
    if not all(taken):
        raise _bad(f"nobody has shard {taken.index(False)}")


def _check_node(node: StorageNode) -> None:
    try:
        parts = urlsplit(node.url)
        fits = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
    except ValueError:
        fits = False
    if not fits or not 1 <= len(node.name) <= 64 or not node.name.isprintable():
        raise _bad("a node's name or address")
    try:
        bls.verify_possession(node.key_bytes, unhex(node.proof))
    except (HallmarkError, ValueError) as error:
        raise _bad(f"{node.name}'s key and its proof of possession") from error


def _bad(what: str) -> InvalidInput:
    return InvalidInput(
        "bad_committee",
        f"The committee of storage nodes is not usable: {what}.",
        "hallmark storage-node committee writes one.",
    )
