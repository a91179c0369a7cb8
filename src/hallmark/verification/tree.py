"""The RFC 6962 Merkle tree over leaves, kept by whoever folds the log: the root at every size so far.

Only what judging needs (a beacon names a size and its root). Proofs and tiles are the ledger's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hallmark.core.beacon import EMPTY_ROOT

HASH = 32


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1; 32 bytes."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1; 32 bytes."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """Complete subtrees by level, 64 bytes a leaf. Append only."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]
        self._roots: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its 32-byte leaf hash."""
        value, level, count = leaf, 0, self.size + 1
        self._levels[0] += value
        while count % 2 == 0:
            value = node_hash(bytes(self._levels[level][-2 * HASH : -HASH]), value)
            count, level = count // 2, level + 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += value

    def leaf(self, index: int) -> bytes:
        """The leaf hash at `index`; 32 bytes. Raises IndexError past the end."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        return bytes(self._levels[0][index * HASH : (index + 1) * HASH])

    def node(self, level: int, index: int) -> bytes:
        """The hash over leaves [index << level, (index + 1) << level), all of them there; 32 bytes."""
        return bytes(self._levels[level][index * HASH : (index + 1) * HASH])

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

    def _compute(self, size: int) -> bytes:
        found: bytes | None = None
        level, rest = 0, size
        while rest:
            if rest % 2:
                at = (rest - 1) * HASH
                left = bytes(self._levels[level][at : at + HASH])
                found = left if found is None else node_hash(left, found)
            level, rest = level + 1, rest // 2
        return EMPTY_ROOT if found is None else found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The RFC 6962 root over leaf data; 32 bytes, SHA-256("") when there is none."""
    tree = Tree()
    for data in leaves:
        tree.append(leaf_hash(data))
    return tree.root()
