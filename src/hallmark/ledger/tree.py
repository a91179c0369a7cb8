"""The Merkle tree of a stored log: appends in memory, answers for any size, reads tiles when it must.

Memory holds the growing right edge (per tile level the partial tile and the full one before it) and a bounded
cache of other tiles. A full tile is 256 hashes; all hashes between its leaves and its root are kept with it,
so that a proof costs O(log n) look-ups. Appending has two steps, so that what failed to become durable is
forgotten: `stage` gives the new edge and the tiles that became full, `adopt` makes it the tree.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from hallmark.core import merkle
from hallmark.core.errors import InvalidInput
from hallmark.ledger.tiles import LEVEL_BITS, WIDTH

Rows: TypeAlias = list[list[bytes]]
LoadTile: TypeAlias = Callable[[int, int], bytes]


class FullTile(msgspec.Struct, frozen=True):
    """A tile that became full: its level and index, its 256 hashes joined (8,192 bytes), and their root."""

    level: int
    index: int
    hashes: bytes
    root: bytes


class _Level:
    """One tile level's right edge: rows of the partial tile by height 0 to 8, and the tile before it."""

    def __init__(self, index: int, rows: Rows, before: Rows | None) -> None:
        self.index = index
        self.rows = rows
        self.before = before

    def copy(self) -> _Level:
        return _Level(self.index, [row.copy() for row in self.rows], self.before)

    def push(self, number: int, value: bytes) -> FullTile | None:
        """Add a hash at tile level `number`; returns the tile when it became full."""
        for row in self.rows:
            row.append(value)
            if len(row) & 1:
                break
            value = merkle.node_hash(row[-2], value)
        if len(self.rows[0]) < WIDTH:
            return None
        full, self.before, self.rows = self.rows, self.rows, _no_rows()
        self.index += 1
        return FullTile(number, self.index - 1, b"".join(full[0]), full[LEVEL_BITS][0])


class Edge:
    """A tree's right edge at one size. Opaque; made by `Tree.stage`."""

    def __init__(self, size: int, levels: list[_Level]) -> None:
        self.size = size
        self.levels = levels

    def push(self, leaf: bytes, full: list[FullTile]) -> None:
        """Add a leaf hash; tiles that become full are added to `full`."""
        value, number = leaf, 0
        while True:
            if number == len(self.levels):
                self.levels.append(_Level(0, _no_rows(), None))
            tile = self.levels[number].push(number, value)
            if tile is None:
                break
            full.append(tile)
            value, number = tile.root, number + 1
        self.size += 1

    def root(self) -> bytes:
        """Root over all leaves; 32 bytes."""
        peaks = [
            row[-1] for level in reversed(self.levels) for row in reversed(level.rows[:-1]) if len(row) & 1
        ]
        return merkle.fold_peaks(peaks)


class Tree:
    """See the module docstring. `load(level, index)` gives a full tile's 8,192 bytes. Thread-safe."""

    def __init__(self, load: LoadTile, cached_tiles: int = 512) -> None:
        self._load = load
        self._edge = Edge(0, [])
        self._cache: OrderedDict[tuple[int, int], Rows] = OrderedDict()
        self._limit = cached_tiles
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._edge.size

    def restore(self, size: int, partials: Sequence[Sequence[bytes]]) -> None:
        """Become the tree of `size` leaves; `partials` are the hashes of the partial tile of each level."""
        levels = []
        for number, hashes in enumerate(partials):
            level = _Level(size >> (LEVEL_BITS * (number + 1)), _no_rows(), None)
            for value in hashes:
                level.push(number, value)
            levels.append(level)
        self._edge = Edge(size, levels)

    def stage(self, leaves: Iterable[bytes]) -> tuple[Edge, list[FullTile]]:
        """The edge after appending leaf hashes, and the tiles that became full. Changes nothing."""
        edge = Edge(self._edge.size, [level.copy() for level in self._edge.levels])
        full: list[FullTile] = []
        for leaf in leaves:
            edge.push(leaf, full)
        return edge, full

    def adopt(self, edge: Edge) -> None:
        """Make a staged edge the tree, after its leaves are durable."""
        self._edge = edge

    def is_hot(self, index: int) -> bool:
        """Whether proofs for this leaf at the newest sizes need no tile from the store."""
        return (index >> LEVEL_BITS) >= (self._edge.size >> LEVEL_BITS) - 1

    def node(self, level: int, index: int) -> bytes:
        """Hash of the perfect subtree over leaves [index << level, (index + 1) << level); see `merkle`."""
        number, height = divmod(level, LEVEL_BITS)
        tile, at = index >> (LEVEL_BITS - height), index & ((1 << (LEVEL_BITS - height)) - 1)
        return self._rows(number, tile)[height][at]

    def root(self, size: int | None = None) -> bytes:
        """Root of the tree of the first `size` leaves (all when None). Raises InvalidInput."""
        return merkle.root_at(self._upto(self.size if size is None else size), self.node)

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Audit path of a leaf at a size. Raises InvalidInput `index_out_of_range`, `size_out_of_range`."""
        return merkle.inclusion_proof(index, self._upto(size), self.node)

    def consistency_proof(self, old: int, new: int) -> tuple[bytes, ...]:
        """Proof between two sizes. Raises InvalidInput `size_out_of_range`."""
        return merkle.consistency_proof(old, self._upto(new), self.node)

    def tile_hashes(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile, joined. The caller checks that the tree has them."""
        return b"".join(self._rows(level, index)[0][:width])

    def _upto(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise InvalidInput("size_out_of_range", f"The tree has {self.size} leaves, not {size}.")
        return size

    def _rows(self, number: int, tile: int) -> Rows:
        edge = self._edge
        if number < len(edge.levels):
            level = edge.levels[number]
            if tile == level.index:
                return level.rows
            if tile == level.index - 1 and level.before is not None:
                return level.before
        with self._lock:
            found = self._cache.get((number, tile))
            if found is not None:
                self._cache.move_to_end((number, tile))
                return found
        rows = _expand(self._load(number, tile))
        with self._lock:
            self._cache[number, tile] = rows
            while len(self._cache) > self._limit:
                self._cache.popitem(last=False)
        return rows


def partial_widths(size: int) -> list[int]:
    """Hashes in the partial tile of each level of a tree of `size` leaves, lowest level first."""
    widths = []
    while size:
        widths.append(size % WIDTH)
        size >>= LEVEL_BITS
    return widths


def _no_rows() -> Rows:
    return [[] for _ in range(LEVEL_BITS + 1)]


def _expand(hashes: bytes) -> Rows:
    rows = [[hashes[at : at + 32] for at in range(0, len(hashes), 32)]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        rows.append([merkle.node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])
    return rows
