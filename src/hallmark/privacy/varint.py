"""Whole numbers of one, two, four or eight bytes (RFC 9000, section 16), by which messages are framed."""

from __future__ import annotations

from typing import Final

LARGEST: Final = (1 << 62) - 1


def encode(value: int) -> bytes:
    """The shortest form."""
    if 1 << 6 <= value < 1 << 14:
        return (value | 1 << 14).to_bytes(2, "big")
    for prefix, bits, size in ((0, 6, 1), (2, 30, 4), (3, 62, 8)):
        if 0 <= value < 1 << bits:
            return (value | prefix << bits).to_bytes(size, "big")
    raise OverflowError("a variable-length integer has 62 bits")


def decode(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The number at `at` and the position behind it; None while it is not all there."""
    if at >= len(data):
        return None
    first = data[at]
    if first < 1 << 6:
        return first, at + 1
    size = 1 << (first >> 6)
    end = at + size
    if end > len(data):
        return None
    return int.from_bytes(data[at:end], "big") & ((1 << (8 * size - 2)) - 1), end
