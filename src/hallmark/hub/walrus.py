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
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final, Protocol

import msgspec
import reed_solomon_leopard

from hallmark.core.errors import InvalidInput, TooLarge

SHARDS: Final = 1000
"""Shards of the Walrus network. Artifact ids always use this number."""
ENCODING_RS2: Final = b"\x01"
MAX_SYMBOL: Final = 65_534
STRIPE: Final = 32 << 20
SPILL_ABOVE: Final = 64 << 20


class Shape(msgspec.Struct, frozen=True):
    """The encoding matrix of one blob: rows, columns and symbol size in bytes, for `shards` shards."""

    shards: int
    rows: int
    columns: int
    symbol: int
    length: int


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
    return _blob_id(MemorySource(data), len(data), shards)


def blob_id_of_file(path: Path, shards: int = SHARDS) -> bytes:
    """Walrus blob ID of a file's content; 32 bytes. Memory does not grow with the file; errors as
    `blob_id`.
    """
    with path.open("rb") as file:
        return blob_id_of_descriptor(file.fileno(), shards)


def blob_id_of_descriptor(descriptor: int, shards: int = SHARDS) -> bytes:
    """`blob_id_of_file` of an open file."""
    return _blob_id(FileSource(descriptor), os.fstat(descriptor).st_size, shards)


def shape_of(length: int, shards: int = SHARDS) -> Shape:
    """The encoding matrix for a blob of `length` bytes. Raises as `blob_id`."""
    if not 4 <= shards <= 65_535:
        raise InvalidInput("bad_shards", "Walrus encodes for 4 to 65,535 shards.")
    faulty = (shards - 1) // 3
    columns = shards - faulty
    rows = columns - faulty
    symbol = -(-max(length, 1) // (rows * columns))
    symbol += symbol % 2
    if symbol > MAX_SYMBOL:
        limit = MAX_SYMBOL * rows * columns
        raise TooLarge("blob_too_large", f"A blob for {shards} shards has at most {limit} bytes.")
    return Shape(shards, rows, columns, symbol, length)


def encoded_size(length: int, shards: int = SHARDS) -> int:
    """Bytes that Walrus stores for a blob of `length` bytes: all slivers, and each shard's copy of the
    metadata. Raises as `blob_id`.
    """
    shape = shape_of(length, shards)
    return shards * (64 * shards + 32) + shards * (shape.rows + shape.columns) * shape.symbol


def merkle_root(leaves: list[bytes]) -> bytes:
    """Root of a Walrus Merkle tree over 32-byte leaf hashes; 32 bytes."""
    level = leaves
    while len(level) > 1:
        if len(level) % 2:
            level = [*level, bytes(32)]
        pairs = iter(level)
        level = [
            blake2b(b"\x01" + left + right, digest_size=32).digest()
            for left, right in zip(pairs, pairs, strict=True)
        ]
    return level[0]


def _blob_id(source: Source, length: int, shards: int) -> bytes:
    shape = shape_of(length, shards)
    with tempfile.SpooledTemporaryFile(max_size=SPILL_ABOVE) as extension:
        for row in _extended_rows(source, shape):
            extension.write(row)
        leaf_hashes = _leaf_hashes_of(shape.symbol)
        columns = [leaf_hashes(column) for column in _extended_columns(source, extension, shape)]
    primary = _roots([column[i : i + 32] for column in columns] for i in range(0, 32 * shards, 32))
    secondary = _roots(_split(column, 32) for column in columns)
    root = merkle_root(
        [_hash_leaf(primary[i] + secondary[shards - 1 - i]) for i in range(shards)],
    )
    return blake2b(ENCODING_RS2 + length.to_bytes(8, "little") + root, digest_size=32).digest()


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
        found = self[symbol] = _hash_leaf(symbol)
        return found


def _leaf_hashes_of(size: int) -> Callable[[list[bytes]], bytes]:
    """Hashes a column of symbols of this size."""
    known: Callable[[bytes], bytes] = _ShortSymbols().__getitem__ if size == 2 else _hash_leaf
    return lambda symbols: b"".join(map(known, symbols))


def _hash_leaf(data: bytes) -> bytes:
    return blake2b(b"\0" + data, digest_size=32).digest()


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
