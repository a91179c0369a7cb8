"""Of which chunks of which xorbs a stored file consists, and how whoever downloads it over xet is told.

A piece is chunks of one xorb that stand one after another in the file. What is sent of it is a part of a
xorb: each chunk plain behind its header (see `xet`). All bytes come from the file itself, so a file can be
sent whatever became of the xorbs that it arrived in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from typing import Any, Final

import msgspec

from hallmark.hub.ranges import Span
from hallmark.hub.xet import HEADER, hash_text, keyed, root_of

MOST_PIECES: Final = 16_384
"""A file of more is told to nobody, and comes down over plain HTTP alone."""
FILE_KEY: Final = bytes(32)


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Chunks of a xorb from number `first` on, by their lengths."""

    xorb: bytes
    first: int
    lengths: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(self.lengths)


class Part(msgspec.Struct, frozen=True):
    """Chunks [first, last) of a xorb, in the piece of this number."""

    number: int
    first: int
    last: int


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """A file by its pieces."""

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        return sum(piece.size for piece in self.pieces)

    def parts(self, span: Span) -> tuple[int, list[Part]]:
        """The parts that hold a span of the file, and how many bytes before it the first of them begins."""
        found, before, at = list[Part](), 0, 0
        for number, piece in enumerate(self.pieces):
            starts = list(accumulate(piece.lengths, initial=at))
            at = starts[-1]
            held = [
                n for n, start in enumerate(starts[:-1]) if start < span.end and starts[n + 1] > span.start
            ]
            if held:
                if not found:
                    before = span.start - starts[held[0]]
                found.append(Part(number, piece.first + held[0], piece.first + held[-1] + 1))
        return before, found

    def lengths(self, part: Part) -> tuple[int, ...]:
        """The lengths of a part's chunks; empty where the file has no such part."""
        if not 0 <= part.number < len(self.pieces):
            return ()
        piece = self.pieces[part.number]
        first, last = part.first - piece.first, part.last - piece.first
        return piece.lengths[first:last] if 0 <= first < last <= len(piece.lengths) else ()

    def span(self, part: Part) -> Span:
        """Where a part that there is stands in the file."""
        piece = self.pieces[part.number]
        start = sum(one.size for one in self.pieces[: part.number])
        start += sum(piece.lengths[: part.first - piece.first])
        return Span(start, start + sum(self.lengths(part)))


def file_hash(chunks: Sequence[tuple[bytes, int]]) -> bytes:
    """The hash by which the protocol names a file with chunks of these hashes and lengths."""
    return keyed(FILE_KEY, root_of(chunks))


def packed_size(lengths: Sequence[int]) -> int:
    """How many bytes a part has as it is sent."""
    return sum(lengths) + HEADER * len(lengths)


async def packed(lengths: Sequence[int], coming: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A part as it is sent, from the file's bytes as they come."""
    held, left = bytearray(), iter(lengths)
    due = next(left, 0)
    async for data in coming:
        held += data
        while due and len(held) >= due:
            size = due.to_bytes(3, "little")
            yield b"\0" + size + b"\0" + size + bytes(held[:due])
            del held[:due]
            due = next(left, 0)


def told(layout: Layout, before: int, parts: Sequence[Part], urls: Sequence[str]) -> dict[str, Any]:
    """The answer to who asks how a file, or a span of it, is put together."""
    terms, fetched = list[dict[str, Any]](), dict[str, dict[tuple[int, int], Any]]()
    for part, url in zip(parts, urls, strict=True):
        name, lengths = hash_text(layout.pieces[part.number].xorb), layout.lengths(part)
        chunks = {"start": part.first, "end": part.last}
        terms.append({"hash": name, "unpacked_length": sum(lengths), "range": chunks})
        place = {"start": 0, "end": packed_size(lengths) - 1}
        once = {"range": chunks, "url": url, "url_range": place}
        fetched.setdefault(name, {}).setdefault((part.first, part.last), once)
    fetch = {name: list(ones.values()) for name, ones in fetched.items()}
    return {"offset_into_first_range": before, "terms": terms, "fetch_info": fetch}
