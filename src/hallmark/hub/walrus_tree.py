"""Walrus's Merkle trees: BLAKE2b-256, leaf = H(0x00 || data), inner = H(0x01 || left || right), an odd level
padded with 32 zero bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

HASH: Final = 32
PADDING: Final = bytes(HASH)


def hash_leaf(data: bytes) -> bytes:
    """The hash of a leaf; 32 bytes."""
    return blake2b(b"\0" + data, digest_size=HASH).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of a tree over 32-byte leaf hashes; 32 bytes."""
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def merkle_path(leaves: Sequence[bytes], index: int) -> bytes:
    """The neighbours of a leaf on its way to the root, lowest first, joined."""
    level, path = list(leaves), []
    while len(level) > 1:
        neighbour = index ^ 1
        path.append(level[neighbour] if neighbour < len(level) else PADDING)
        level, index = _above(level), index >> 1
    return b"".join(path)


def root_by_path(leaf: bytes, index: int, path: bytes) -> bytes:
    """The root that a leaf hash has with this path. The caller has compared `index` and the path's length
    with the number of leaves: see `path_length`.
    """
    root = leaf
    for at in range(0, len(path), HASH):
        beside = path[at : at + HASH]
        left, right = (beside, root) if index & 1 else (root, beside)
        root = blake2b(b"\x01" + left + right, digest_size=HASH).digest()
        index >>= 1
    return root


def path_length(leaves: int) -> int:
    """Bytes of a path in a tree of so many leaves."""
    return HASH * (leaves - 1).bit_length()


def _above(level: list[bytes]) -> list[bytes]:
    if len(level) % 2:
        level = [*level, PADDING]
    pairs = iter(level)
    return [
        blake2b(b"\x01" + left + right, digest_size=HASH).digest()
        for left, right in zip(pairs, pairs, strict=True)
    ]
