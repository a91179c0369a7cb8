"""The metadata of an encoded blob: the root of every sliver. With the blob's length they make the blob ID, so
whoever knows the ID can check every sliver and every symbol by itself.

Layout, as it travels and is stored:

    0x01             1        encoding type RS2
    length           8        bytes of the blob, little-endian
    for each of n sliver pairs, from 0:
      primary        32       Merkle root over the extended row i
      secondary      32       Merkle root over the extended column n-1-i
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import Final

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.hub.shape import Shape, shape_of
from hallmark.hub.walrus_tree import HASH, hash_leaf, merkle_path, merkle_root

ENCODING_RS2: Final = b"\x01"
HEAD: Final = 9


class Kind(StrEnum):
    """Which of the two slivers of a pair: a row or a column of the matrix."""

    PRIMARY = "primary"
    SECONDARY = "secondary"

    @property
    def other(self) -> Kind:
        """The one that crosses it."""
        return Kind.SECONDARY if self is Kind.PRIMARY else Kind.PRIMARY


class BlobMetadata:
    """Length of a blob and roots of its slivers: `hashes` has primary and secondary root of each pair."""

    def __init__(self, length: int, hashes: bytes) -> None:
        self.length, self.hashes = length, hashes

    @cached_property
    def shape(self) -> Shape:
        """The encoding matrix. Raises as `shape_of`."""
        return shape_of(self.length, len(self.hashes) // (2 * HASH))

    def root_of(self, pair: int, kind: Kind) -> bytes:
        """The root of one sliver."""
        at = 2 * HASH * pair + (HASH if kind is Kind.SECONDARY else 0)
        return self.hashes[at : at + HASH]

    def path_of(self, pair: int) -> bytes:
        """The Merkle path of a pair's roots to the blob's root."""
        return merkle_path(self._leaves, pair)

    @cached_property
    def blob_id(self) -> bytes:
        """The blob ID that these roots make; 32 bytes."""
        return blob_id_of(self.length, merkle_root(self._leaves))

    def encode(self) -> bytes:
        """The bytes that travel; see the module docstring."""
        return ENCODING_RS2 + self.length.to_bytes(8, "little") + self.hashes

    @cached_property
    def _leaves(self) -> list[bytes]:
        size = 2 * HASH
        return [hash_leaf(self.hashes[at : at + size]) for at in range(0, len(self.hashes), size)]


def blob_id_of(length: int, root: bytes) -> bytes:
    """The blob ID of a blob of `length` bytes whose pairs have this root; 32 bytes."""
    return blake2b(ENCODING_RS2 + length.to_bytes(8, "little") + root, digest_size=HASH).digest()


def metadata_size(shards: int) -> int:
    """Bytes of the metadata of a blob for so many shards."""
    return HEAD + 2 * HASH * shards


def verify_metadata(data: bytes, identifier: bytes, shards: int) -> BlobMetadata:
    """The metadata in these bytes, when they make this blob ID (32 bytes).

    Raises VerificationFailed `blob_metadata_wrong`.
    """
    if len(data) == metadata_size(shards) and data[:1] == ENCODING_RS2:
        found = BlobMetadata(int.from_bytes(data[1:HEAD], "little"), data[HEAD:])
        try:
            if found.blob_id == identifier and found.shape:
                return found
        except InvalidInput:
            pass
    raise VerificationFailed(
        "blob_metadata_wrong",
        "What came as the metadata of a blob does not make its blob ID.",
        "Encode the blob again, or take the metadata of another node.",
    )
