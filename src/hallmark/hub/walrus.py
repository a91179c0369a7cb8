"""Walrus blob IDs: the content address of every artifact.

The algorithm is that of walrus-core, encoding type RS2 (two-dimensional Reed-Solomon, "Red Stuff"):

1. n shards, f = (n-1)//3, c = n-f columns ("secondary" symbols), r = c-f rows ("primary" symbols).
2. Symbol size s = ceil(max(length, 1) / (r*c)) bytes, rounded up to even, at most 65,534.
3. The blob fills an r x c matrix row by row, zero-padded. Each row is extended from c to n symbols, then
each of
   the n columns from r to n, by Reed-Solomon over GF(2^16) (Leopard), one RS shard being one symbol.
4. Trees: leaf = BLAKE2b-256(0x00 || symbol), inner = BLAKE2b-256(0x01 || left || right), an odd level is
   padded with 32 zero bytes.
5. primary[i] = root over row i; secondary[i] = root over column n-1-i.
6. The blob's root is the tree whose leaf i holds primary[i] || secondary[i].
7. blob ID = BLAKE2b-256(0x01 || u64le length || root); as text URL-safe base64 without padding, 43
characters.

Memory stays bounded whatever the length: the source is read by rows, then by groups of columns, and the
extension of the rows (half the blob's length) goes to an unlinked temporary file when it is large.

What is computed on the way are the slivers that storage nodes keep: `encode` hands each column to whoever
wants them. A primary sliver is the first c symbols of a row, a secondary one the first r of a column.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias

import reed_solomon_leopard

from hallmark.hub.blob_metadata import BlobMetadata
from hallmark.hub.shape import MAX_SYMBOL, SHARDS, Shape, encoded_size, shape_of
from hallmark.hub.walrus_tree import HASH, hash_leaf, merkle_root

STRIPE: Final = 32 << 20
SPILL_ABOVE: Final = 64 << 20
Sink: TypeAlias = Callable[[int, list[bytes]], None]
"""Takes the index of a column, and its n symbols; columns come in order."""

__all__ = [
    "MAX_SYMBOL",
    "SHARDS",
    "FileSource",
    "MemorySource",
    "Shape",
    "Source",
    "blob_id",
    "blob_id_of_descriptor",
    "blob_id_of_file",
    "encode",
    "encoded_size",
    "shape_of",
]


class Source(Protocol):
    """Random access to a blob."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; short or empty past the end."""
        ...


class MemorySource:
    """A blob in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; short or empty past the end."""
        return bytes(self._data[offset : offset + length])


class FileSource:
    """A blob in an open file. The file must not change while it is read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`; short or empty past the end."""
        return os.pread(self._descriptor, length, offset)


def blob_id(data: bytes, shards: int = SHARDS) -> bytes:
    """Walrus blob ID of `data`; 32 bytes. Takes 1 to 2 s for any small blob at 1000 shards: cache it.

    Raises InvalidInput `bad_shards` below 4 shards, TooLarge `blob_too_large` (13.6 GiB at 1000 shards).
    """
    return encode(MemorySource(data), len(data), shards).blob_id


def blob_id_of_file(path: Path, shards: int = SHARDS) -> bytes:
    """Walrus blob ID of a file's content; 32 bytes. Memory does not grow with the file; errors as
    `blob_id`.
    """
    with path.open("rb") as file:
        return blob_id_of_descriptor(file.fileno(), shards)


def blob_id_of_descriptor(descriptor: int, shards: int = SHARDS) -> bytes:
    """`blob_id_of_file` of an open file."""
    return encode(FileSource(descriptor), os.fstat(descriptor).st_size, shards).blob_id


def encode(source: Source, length: int, shards: int = SHARDS, sink: Sink | None = None) -> BlobMetadata:
    """Encode a blob of `length` bytes: the metadata, which has its blob ID. `sink` gets every column on the
    way. Raises as `shape_of`.
    """
    shape = shape_of(length, shards)
    with tempfile.SpooledTemporaryFile(max_size=SPILL_ABOVE) as extension:
        for row in _extended_rows(source, shape):
            extension.write(row)
        leaf_hashes = _leaf_hashes_of(shape.symbol)
        columns = []
        for index, symbols in enumerate(_extended_columns(source, extension, shape)):
            columns.append(leaf_hashes(symbols))
            if sink is not None:
                sink(index, symbols)
    primary = _roots([column[i : i + HASH] for column in columns] for i in range(0, HASH * shards, HASH))
    secondary = _roots(_split(column, HASH) for column in columns)
    return BlobMetadata(length, b"".join(primary[i] + secondary[shards - 1 - i] for i in range(shards)))


def _extended_rows(source: Source, shape: Shape) -> Iterator[bytes]:
    """The n-c recovery symbols of each row, joined."""
    width = shape.columns * shape.symbol
    for row in range(shape.rows):
        symbols = _split(source.read(row * width, width).ljust(width, b"\0"), shape.symbol)
        yield b"".join(reed_solomon_leopard.encode(symbols, shape.shards - shape.columns))


def _extended_columns(source: Source, extension: IO[bytes], shape: Shape) -> Iterator[list[bytes]]:
    """All n symbols of each of the n columns, from the left."""
    group = max(1, STRIPE // (shape.rows * shape.symbol))
    for first in range(0, shape.columns, group):
        count = min(group, shape.columns - first)
        yield from _columns_of(
            [
                source.read((row * shape.columns + first) * shape.symbol, count * shape.symbol)
                for row in range(shape.rows)
            ],
            count,
            shape,
        )
    recovery = shape.shards - shape.columns
    for first in range(0, recovery, group):
        count = min(group, recovery - first)
        stripes = []
        for row in range(shape.rows):
            extension.seek((row * recovery + first) * shape.symbol)
            stripes.append(extension.read(count * shape.symbol))
        yield from _columns_of(stripes, count, shape)


def _columns_of(stripes: list[bytes], count: int, shape: Shape) -> Iterator[list[bytes]]:
    size = shape.symbol
    padded = [stripe.ljust(count * size, b"\0") for stripe in stripes]
    for at in range(0, count * size, size):
        symbols = [stripe[at : at + size] for stripe in padded]
        yield symbols + reed_solomon_leopard.encode(symbols, shape.shards - shape.rows)


def _roots(trees: Iterable[list[bytes]]) -> list[bytes]:
    """The root of each tree. Padding makes neighbours alike: what equals the last is not hashed again."""
    roots: list[bytes] = []
    last: list[bytes] = []
    for leaves in trees:
        roots.append(roots[-1] if leaves == last else merkle_root(leaves))
        last = leaves
    return roots


class _ShortSymbols(dict[bytes, bytes]):
    """Leaf hashes of symbols of two bytes, as they are met: a small blob has a million such leaves."""

    def __missing__(self, symbol: bytes) -> bytes:
        found = self[symbol] = hash_leaf(symbol)
        return found


def _leaf_hashes_of(size: int) -> Callable[[list[bytes]], bytes]:
    """Hashes a column of symbols of this size."""
    known: Callable[[bytes], bytes] = _ShortSymbols().__getitem__ if size == 2 else hash_leaf
    return lambda symbols: b"".join(map(known, symbols))


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
