"""Programs and libraries as the kernel and the loader need them: without symbols for debuggers.

ELF, 64 bits, little endian (System V ABI, chapters 4 and 5). Program headers alone name what is loaded.
The table of sections, and what only it names, stand behind everything that is loaded and are cut off. Wheels
ship a fifth of an image in them. Pure: the same bytes give the same bytes, whatever tools a machine has.
"""

from __future__ import annotations

import struct
from typing import Final

IDENT: Final = b"\x7fELF\x02\x01"
HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM: Final = struct.Struct("<IIQQQQQQ")
SECTIONS_AT: Final = 40
SECTIONS_COUNTED_AT: Final = 60


def loadable(data: bytes) -> bytes:
    """`data` up to the end of what is loaded, with no sections named; what is no such file stays as it is."""
    if not data.startswith(IDENT) or len(data) < HEADER.size:
        return data
    header = HEADER.unpack_from(data)
    first, size, count = header[5], header[9], header[10]
    if size != PROGRAM.size or not count or first + size * count > len(data):
        return data
    programs = [PROGRAM.unpack_from(data, first + size * number) for number in range(count)]
    end = max(first + size * count, *(offset + length for _, _, offset, _, _, length, _, _ in programs))
    if end > len(data):
        return data
    kept = bytearray(data[:end])
    struct.pack_into("<Q", kept, SECTIONS_AT, 0)
    struct.pack_into("<HH", kept, SECTIONS_COUNTED_AT, 0, 0)
    return bytes(kept)
