"""Xorbs and shards for tests, as a client of xet makes them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import lz4.frame
import msgspec

from hallmark.hub.xet import (
    BOOKEND,
    CHUNK_KEY,
    DESCRIBED,
    SHARD_TAG,
    VERIFIED,
    hash_text,
    keyed,
    root_of,
    verification_of,
)


class Xorb(msgspec.Struct, frozen=True):
    """A xorb: its hash, its chunks, its bytes."""

    hash: bytes
    chunks: tuple[bytes, ...]
    data: bytes

    @property
    def name(self) -> str:
        """The hash as text."""
        return hash_text(self.hash)

    def term(self, first: int, last: int) -> bytes:
        """An entry of a file for chunks [first, last)."""
        length = sum(len(chunk) for chunk in self.chunks[first:last])
        return struct.pack("<32s4I", self.hash, 0, length, first, last)

    def verification(self, first: int, last: int) -> bytes:
        """The entry that goes with it."""
        return verification_of(b"".join(chunk_hash(chunk) for chunk in self.chunks[first:last])) + bytes(16)


def chunk_hash(chunk: bytes) -> bytes:
    """The hash of a chunk."""
    return keyed(CHUNK_KEY, chunk)


def packed(chunk: bytes, packing: int) -> bytes:
    """A chunk with its header."""
    data = chunk
    if packing == 2:
        data = b"".join(chunk[first::4] for first in range(4))
    if packing:
        data = lz4.frame.compress(data)
    sizes = (len(data).to_bytes(3, "little"), len(chunk).to_bytes(3, "little"))
    return bytes((0,)) + sizes[0] + bytes((packing,)) + sizes[1] + data


def xorb(chunks: Sequence[bytes], footer: bytes = b"") -> Xorb:
    """A xorb of these chunks, each packed in another way than the one before."""
    root = root_of([(chunk_hash(chunk), len(chunk)) for chunk in chunks])
    data = b"".join(packed(chunk, number % 3) for number, chunk in enumerate(chunks))
    return Xorb(root, tuple(chunks), data + footer)


def shard(files: Sequence[tuple[str, Sequence[tuple[Xorb, int, int]]]]) -> bytes:
    """A shard of files: the SHA-256 (hex) of each, and the chunks that it consists of."""
    out = [struct.pack("<32sQQ", SHARD_TAG, 2, 0)]
    for digest, terms in files:
        out.append(struct.pack("<32sIIQ", bytes(32), VERIFIED | DESCRIBED, len(terms), 0))
        out += [one.term(first, last) for one, first, last in terms]
        out += [one.verification(first, last) for one, first, last in terms]
        raw = bytes.fromhex(digest)
        out.append(b"".join(raw[at : at + 8][::-1] for at in range(0, 32, 8)) + bytes(16))
    return b"".join([*out, BOOKEND + bytes(16), BOOKEND + bytes(16)])


def whole(one: Xorb) -> tuple[str, list[tuple[Xorb, int, int]]]:
    """The file of all chunks of a xorb."""
    digest = hashlib.sha256(b"".join(one.chunks)).hexdigest()
    return digest, [(one, 0, len(one.chunks))]
