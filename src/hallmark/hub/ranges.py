"""Which bytes of a blob are asked for: the `Range` header (RFC 9110 section 14), and Walrus's byte-range.

As Walrus's aggregator has it, one range is served and a range that ends behind the blob is refused. Where it
serves none, RFC 9110 holds: `bytes=a-` is everything from there, `bytes=-n` the last n bytes.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput

ONE: Final = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.I | re.A)


class Span(msgspec.Struct, frozen=True):
    """Bytes [start, end) of a blob."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start


class RangeNotSatisfiable(InvalidInput):
    """The range has no byte of the blob, or is none that is served (RFC 9110 section 15.5.17)."""

    status = 416
    headers: tuple[tuple[bytes, bytes], ...] = ()


def parse_range(value: str, size: int, *, clip: bool = False) -> Span:
    """The one range of a `Range` header, of a blob of `size` bytes; with `clip` one that ends behind the blob
    ends with it, as RFC 9110 has it. Raises RangeNotSatisfiable `bad_byte_range`.
    """
    found = ONE.fullmatch(value.strip())
    if found is None or found[1] == found[2] == "":
        raise _refused(size, "One range is served: bytes=first-last, bytes=first- or bytes=-length.")
    if found[1] == "":
        start, end = max(size - int(found[2]), 0), size
    else:
        start = int(found[1])
        end = int(found[2]) + 1 if found[2] else size
        end = min(end, size) if clip else end
    if not start < end <= size:
        raise _refused(size, f"The range lies outside of the blob's {size} bytes.")
    return Span(start, end)


def byte_range(start: int, length: int, size: int) -> Span:
    """The span of Walrus's `byte-range?start&length`. Raises InvalidInput `bad_byte_range`."""
    if length <= 0 or start < 0 or start + length > size:
        raise InvalidInput("bad_byte_range", f"The range lies outside of the blob's {size} bytes.")
    return Span(start, start + length)


def _refused(size: int, message: str) -> RangeNotSatisfiable:
    error = RangeNotSatisfiable("bad_byte_range", message, "HEAD shows the blob's length.")
    error.headers = ((b"content-range", b"bytes */%d" % size),)
    return error
