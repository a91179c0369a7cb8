"""Whole numbers of one, two, four or eight bytes (RFC 9000, section 16), by which messages are framed."""

from __future__ import annotations

from typing import Final

LARGEST: Final = (1 << 62) - 1


def encode(value: int) -> bytes:
    """The shortest form."""
    for prefix, bits, size in ((0, 6, 1), (1, 14, 2), (2, 30, 4), (3, 62, 8)):
        if value < 1 << bits:
            return (value | prefix << bits).to_bytes(size, "big")
    raise OverflowError("a variable-length integer has 62 bits")


def decode(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The number at `at` and the position behind it; None while it is not all there."""
    if at >= len(data):
        return None
    size = 1 << (data[at] >> 6)
    end = at + size
    if end > len(data):
        return None
    return int.from_bytes(data[at:end], "big") & ((1 << (8 * size - 2)) - 1), end
