"""Quilts: many small blobs in one, as Walrus lays them out (version 1).

A quilt is a matrix of r rows and c columns of symbols (334 and 667 at 1,000 shards), stored row by row. Its
columns are filled from top to bottom: first the index, then one blob (a *patch*) after the other in the order
of their identifiers, each from a new column on. So a patch lies in whole columns, and so few slivers of
Walrus's encoding hold it; and a file that sorts before others moves them.

    index   u8 version 1 || u32le length || BCS vector of (u16le end column, string identifier, map tags)
    patch   u8 version 1 || u32le length of what follows the header || u8 1 where there are tags ||
            u16le length, BCS string identifier || [u16le length, BCS map tags] || the blob

BCS writes a string as ULEB128 length and UTF-8, a map as its entries in the order of their encoded keys. The
layout is that of walrus-core, which calls it subject to change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.blob_ids import blob_text, parse_base64
from hallmark.core.errors import InvalidInput, NotFound, TooLarge, VerificationFailed
from hallmark.hub.walrus import MAX_SYMBOL, SHARDS, Source, shape_of

VERSION: Final = 1
INDEX_HEAD: Final = 5
PATCH_HEAD: Final = 6
INDEX_COLUMNS: Final = 10
MOST_TEXT: Final = 0xFFFF
HAS_TAGS: Final = 1


class Part(msgspec.Struct, frozen=True):
    """A blob that goes into a quilt: its identifier, its tags, its length and its bytes."""

    identifier: str
    tags: Mapping[str, str]
    size: int
    source: Source


class Patch(msgspec.Struct, frozen=True):
    """A blob in a quilt, in columns [start, end)."""

    identifier: str
    tags: dict[str, str]
    start: int
    end: int

    def patch_id(self, quilt: bytes) -> str:
        """Its name anywhere: quilt ID, version, columns; 50 characters."""
        columns = self.start.to_bytes(2, "little") + self.end.to_bytes(2, "little")
        return blob_text(quilt + bytes([VERSION]) + columns, 37)


class Grid(msgspec.Struct, frozen=True):
    """The matrix of a quilt: rows, columns and bytes of a symbol."""

    rows: int
    columns: int
    symbol: int

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return self.columns * self.symbol

    @property
    def column(self) -> int:
        """Bytes of a column."""
        return self.rows * self.symbol

    @property
    def size(self) -> int:
        """Bytes of the quilt."""
        return self.rows * self.row


class _Run(msgspec.Struct, frozen=True):
    """What is written down from a column on: a head in memory, then a source."""

    head: bytes
    size: int
    source: Source | None

    def symbol(self, offset: int, length: int) -> bytes:
        part = self.head[offset : offset + length]
        behind = offset + len(part) - len(self.head)
        if len(part) < length and self.source is not None and 0 <= behind < self.size:
            part += self.source.read(behind, min(length - len(part), self.size - behind))
        return part.ljust(length, b"\0")


class Quilt:
    """A quilt that is to be written: its grid, its patches in order, its rows."""

    def __init__(self, parts: Sequence[Part], shards: int = SHARDS) -> None:
        """Lay the parts out. Raises InvalidInput `bad_quilt`, TooLarge `blob_too_large`."""
        ordered = sorted(parts, key=lambda part: part.identifier.encode())
        _require(ordered)
        heads = [_patch_head(part) for part in ordered]
        index = INDEX_HEAD + len(_index([Patch(part.identifier, dict(part.tags), 0, 0) for part in ordered]))
        sizes = [index, *(len(head) + part.size for head, part in zip(heads, ordered, strict=True))]
        self.grid = _grid(sizes, shards)
        at, patches = -(-index // self.grid.column), list[Patch]()
        for part, size in zip(ordered, sizes[1:], strict=True):
            end = at + -(-size // self.grid.column)
            patches.append(Patch(part.identifier, dict(part.tags), at, end))
            at = end
        self.patches = tuple(patches)
        encoded = _index(patches)
        first = bytes([VERSION]) + len(encoded).to_bytes(4, "little") + encoded
        runs = [_Run(head, part.size, part.source) for head, part in zip(heads, ordered, strict=True)]
        self._runs = [(0, patches[0].start, _Run(first, 0, None))]
        self._runs += [(patch.start, patch.end, run) for patch, run in zip(patches, runs, strict=True)]

    def row_bytes(self) -> Iterator[bytes]:
        """The rows, from the top."""
        grid = self.grid
        for row in range(0, grid.column, grid.symbol):
            yield b"".join(
                run.symbol(column * grid.column + row, grid.symbol)
                for start, end, run in self._runs
                for column in range(end - start)
            ).ljust(grid.row, b"\0")


class Columns:
    """Takes a quilt from beginning to end and keeps columns [start, end): `pieces` of what comes are
    (offset in the columns joined, bytes).
    """

    def __init__(self, grid: Grid, start: int, end: int) -> None:
        self._grid, self._start, self._end = grid, start, end
        self._at = 0

    def pieces(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What the next bytes of the quilt hold of them."""
        grid, begin, end = self._grid, self._at, self._at + len(data)
        self._at = end
        for row in range(begin // grid.row, -(-end // grid.row)):
            for column in range(self._start, self._end):
                place = row * grid.row + column * grid.symbol
                first, last = max(place, begin), min(place + grid.symbol, end)
                if first < last:
                    offset = (column - self._start) * grid.column + row * grid.symbol + first - place
                    yield offset, data[first - begin : last - begin]


def grid_of(size: int, shards: int = SHARDS) -> Grid:
    """The matrix of a quilt of so many bytes. Raises NotFound `quilt_patch_not_found` where no quilt has
    them: it is another blob.
    """
    shape = shape_of(size, shards)
    grid = Grid(shape.rows, shape.columns, shape.symbol)
    if grid.size != size:
        raise no_patch()
    return grid


def index_length(head: bytes) -> int:
    """Bytes of an index with its head, by its first five. Raises NotFound `quilt_patch_not_found`."""
    if len(head) != INDEX_HEAD or head[0] != VERSION:
        raise no_patch()
    return INDEX_HEAD + int.from_bytes(head[1:], "little")


def read_index(data: bytes, grid: Grid) -> tuple[Patch, ...]:
    """The patches of a quilt, from the bytes of its index. Raises VerificationFailed `quilt_damaged`."""
    reader = _Reader(data[INDEX_HEAD:])
    at, patches = -(-len(data) // grid.column), list[Patch]()
    for _ in range(reader.length()):
        end = reader.integer(2)
        patches.append(Patch(reader.text(), reader.tags(), at, end))
        if not at <= end <= grid.columns:
            raise _damaged()
        at = end
    reader.done()
    return tuple(patches)


def read_patch_head(data: bytes, room: int) -> tuple[str, dict[str, str], int, int]:
    """Identifier and tags of a patch, and where in its columns, which have `room` bytes, its blob begins and
    ends; `data` are their first bytes. Raises NotFound `quilt_patch_not_found` where no patch begins there,
    VerificationFailed `quilt_damaged`.
    """
    if len(data) < PATCH_HEAD or data[0] != VERSION:
        raise no_patch()
    end = PATCH_HEAD + int.from_bytes(data[1:5], "little")
    if end > room or data[5] & ~HAS_TAGS:
        raise no_patch()
    reader = _Reader(data[PATCH_HEAD:])
    inner = _Reader(reader.take(reader.integer(2)))
    identifier = inner.text()
    inner.done()
    tags: dict[str, str] = {}
    if data[5] & HAS_TAGS:
        inner = _Reader(reader.take(reader.integer(2)))
        tags = inner.tags()
        inner.done()
    start = PATCH_HEAD + reader.at
    if start > end:
        raise _damaged()
    return identifier, tags, start, end


MOST_PATCH_HEAD: Final = PATCH_HEAD + 2 * (2 + MOST_TEXT)


def parse_patch_id(text: str) -> tuple[str, int, int]:
    """Quilt ID (text) and columns of a patch's name. Raises InvalidInput `bad_quilt_patch_id`."""
    data = parse_base64(text, 37)
    if data is None or data[32] != VERSION:
        raise InvalidInput("bad_quilt_patch_id", "A quilt patch ID is 50 characters of URL-safe base64.")
    start, end = int.from_bytes(data[33:35], "little"), int.from_bytes(data[35:], "little")
    if not 0 < start < end:
        raise InvalidInput("bad_quilt_patch_id", "The quilt patch ID names no columns.")
    return blob_text(data[:32]), start, end


def no_patch() -> NotFound:
    """The error for a patch that is not in a quilt."""
    return NotFound("quilt_patch_not_found", "There is no such patch in this quilt.")


def _damaged() -> VerificationFailed:
    return VerificationFailed("quilt_damaged", "The blob begins like a quilt and goes on like none.")


def _require(ordered: Sequence[Part]) -> None:
    if not ordered:
        raise _bad("A quilt has at least one file.")
    for part in ordered:
        name = part.identifier
        controls = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name)
        if not name or name.startswith("_") or name != name.rstrip() or controls:
            raise _bad("An identifier is not empty, begins with no underscore and ends with no space.")
    for one, other in itertools.pairwise(ordered):
        if one.identifier == other.identifier:
            raise _bad("Each identifier stands once in a quilt.")


def _grid(sizes: Sequence[int], shards: int) -> Grid:
    """The smallest symbols with which everything fits. Raises InvalidInput `bad_quilt`, TooLarge
    `blob_too_large`.
    """
    shape = shape_of(1, shards)
    if len(sizes) > shape.columns:
        raise _bad(f"A quilt has at most {shape.columns - 1} files.")
    low = max(-(-sum(sizes) // (shape.columns * shape.rows)), -(-sizes[0] // (shape.rows * INDEX_COLUMNS)), 1)
    high = max(low, -(-max(sizes) // (shape.columns // len(sizes) * shape.rows)))
    while low < high:
        middle = (low + high) // 2
        if sum(-(-size // (middle * shape.rows)) for size in sizes) <= shape.columns:
            high = middle
        else:
            low = middle + 1
    symbol = low + low % 2
    if symbol > MAX_SYMBOL:
        raise TooLarge("blob_too_large", "The files are too large for one quilt.", "Make two.")
    return Grid(shape.rows, shape.columns, symbol)


def _patch_head(part: Part) -> bytes:
    name, tags = _text(part.identifier), b""
    body = len(name).to_bytes(2, "little") + name if len(name) <= MOST_TEXT else b""
    if part.tags:
        tags = _tags(part.tags)
        body += len(tags).to_bytes(2, "little") + tags if len(tags) <= MOST_TEXT else b""
    if max(len(name), len(tags)) > MOST_TEXT or len(body) + part.size >= 1 << 32:
        raise _bad("An identifier and its tags have at most 64 KiB each, a file less than 4 GiB.")
    length = (len(body) + part.size).to_bytes(4, "little")
    return bytes([VERSION]) + length + bytes([HAS_TAGS if part.tags else 0]) + body


def _index(patches: Sequence[Patch]) -> bytes:
    return _uleb(len(patches)) + b"".join(
        patch.end.to_bytes(2, "little") + _text(patch.identifier) + _tags(patch.tags) for patch in patches
    )


def _tags(tags: Mapping[str, str]) -> bytes:
    pairs = sorted((_text(key), _text(value)) for key, value in tags.items())
    return _uleb(len(pairs)) + b"".join(key + value for key, value in pairs)


def _text(text: str) -> bytes:
    data = text.encode()
    return _uleb(len(data)) + data


def _uleb(number: int) -> bytes:
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


class _Reader:
    """Reads BCS. Raises VerificationFailed `quilt_damaged`."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def take(self, length: int) -> bytes:
        part = self._data[self.at : self.at + length]
        if len(part) != length:
            raise _damaged()
        self.at += length
        return part

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def length(self) -> int:
        number = shift = 0
        while True:
            byte = self.integer(1)
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        # One spelling: no zeros in front, and no more than 32 bits.
        if (byte == 0 and shift > 7) or number >= 1 << 32:
            raise _damaged()
        return number

    def text(self) -> str:
        try:
            return self.take(self.length()).decode()
        except UnicodeDecodeError as error:
            raise _damaged() from error

    def tags(self) -> dict[str, str]:
        return {self.text(): self.text() for _ in range(self.length())}

    def done(self) -> None:
        if self.at != len(self._data):
            raise _damaged()


def _bad(message: str) -> InvalidInput:
    return InvalidInput("bad_quilt", message, "See docs/blobs.md.")
