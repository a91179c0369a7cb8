"""The RFC 6962 Merkle tree over leaves, kept by whoever folds the log: the root at every size so far.

Only what judging needs (a beacon names a size and its root). Proofs and the log's own tiles are the ledger's.
Hashes stand in tiles of 256, as in C2SP tlog-tiles: tile `n` of tile level `t` holds the roots of 256
complete subtrees of 256^t leaves each. Tiles that are complete are rows of a table; the incomplete ones, at
the right edge, hold every peak of the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.merkle import leaf_hash, node_hash
from hallmark.verification.tables import Codec, Journal, Table

HASH: Final = 32
BITS: Final = 8
WIDTH: Final = 1 << BITS
TILES_KEPT: Final = 128
LEVEL_AT: Final = 48
"""A tile's key is its tile level and its number, the level in the bits from here on."""


class Tile:
    """Up to 256 hashes, and the complete subtrees over them."""

    __slots__ = ("levels",)

    def __init__(self, hashes: bytes = b"") -> None:
        self.levels: list[bytearray] = [bytearray() for _ in range(BITS + 1)]
        for at in range(0, len(hashes), HASH):
            self.append(hashes[at : at + HASH])

    def append(self, value: bytes) -> bool:
        """Add a hash; True when that makes the tile complete."""
        levels, level = self.levels, 0
        levels[0] += value
        count = len(levels[0]) // HASH
        while count % 2 == 0:
            value = node_hash(bytes(levels[level][-2 * HASH : -HASH]), value)
            count, level = count // 2, level + 1
            levels[level] += value
            if level == BITS:
                return True
        return False

    def node(self, level: int, index: int) -> bytes:
        """The hash over 2^level of them; empty past the end."""
        return bytes(self.levels[level][index * HASH : (index + 1) * HASH])

    def hashes(self) -> bytes:
        """All of them, one behind the other."""
        return bytes(self.levels[0])


TILES: Final = Codec[Tile](Tile.hashes, Tile, "256 hashes of 32 bytes")


class Tree:
    """About 64 bytes a leaf, or what is not durable yet and a bounded cache, where tiles have an index.
    Append only.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.size = 0
        """Number of leaves."""
        self.tiles: Table[int, Tile] = Table(
            "tiles", TILES, journal or Journal(), dense=True, cached=TILES_KEPT
        )
        self._edge: list[Tile] = [Tile()]
        self._roots: dict[int, bytes] = {}

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its 32-byte leaf hash."""
        value, level = leaf, 0
        while self._edge[level].append(value):
            tile = self._edge[level]
            self.tiles[level << LEVEL_AT | self.size >> BITS * (level + 1)] = tile
            self._edge[level] = Tile()
            value, level = tile.node(BITS, 0), level + 1
            if level == len(self._edge):
                self._edge.append(Tile())
        self.size += 1

    @property
    def edge(self) -> tuple[bytes, ...]:
        """Hashes of the incomplete tiles, by tile level."""
        return tuple([tile.hashes() for tile in self._edge])

    def restore(self, size: int, edge: Sequence[bytes]) -> None:
        """Stand at `size`, with what `edge` gave there; the tiles' table has the rest."""
        self.size, self._edge, self._roots = size, [Tile(hashes) for hashes in edge], {}

    def leaf(self, index: int) -> bytes:
        """The leaf hash at `index`; 32 bytes. Raises IndexError past the end."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        return self.node(0, index)

    def node(self, level: int, index: int) -> bytes:
        """The hash over leaves [index << level, (index + 1) << level), all of them there; 32 bytes."""
        (tile_level, within) = divmod(level, BITS)
        number, at = divmod(index, WIDTH >> within)
        if number == self.size >> BITS * (tile_level + 1):
            return self._edge[tile_level].node(within, at) if tile_level < len(self._edge) else b""
        return self.tiles[tile_level << LEVEL_AT | number].node(within, at)

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves (all by default); 32 bytes. Raises IndexError past the end."""
        size = self.size if size is None else size
        if not 0 <= size <= self.size:
            raise IndexError(size)
        if size not in self._roots:
            if len(self._roots) > 4096:
                self._roots.clear()
            self._roots[size] = self._compute(size)
        return self._roots[size]

    def peaks(self, size: int | None = None) -> tuple[bytes, ...]:
        """Roots of the complete subtrees that the first `size` leaves (all by default) consist of, the
        largest first.
        """
        rest, level, found = self.size if size is None else size, 0, []
        while rest:
            if rest % 2:
                found.append(self.node(level, rest - 1))
            level, rest = level + 1, rest // 2
        return tuple(reversed(found))

    def _compute(self, size: int) -> bytes:
        if not size:
            return EMPTY_ROOT
        *left, found = self.peaks(size)
        while left:
            found = node_hash(left.pop(), found)
        return found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The RFC 6962 root over leaf data; 32 bytes, SHA-256("") when there is none."""
    tree = Tree()
    for data in leaves:
        tree.append(leaf_hash(data))
    return tree.root()
