"""Writes PNG: a palette of up to sixteen colours, four bits a pixel, no filter, one IDAT, nothing else in it.

    signature || IHDR (side, side, depth 4, type 3) || PLTE (3 bytes a colour) || IDAT (zlib) || IEND

Source: ISO/IEC 15948. The same pixels give the same bytes wherever zlib is of the same version, which
`COMPRESSION` names; the decoded pixels do not depend on it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
DEPTH, PALETTE, LEVEL = 4, 3, 9
COMPRESSION: Final = f"zlib={zlib.ZLIB_RUNTIME_VERSION}"


def write_png(levels: npt.NDArray[np.uint8], colours: tuple[tuple[int, int, int], ...]) -> bytes:
    """A square image of an even side; `levels` counts `colours`, at most sixteen."""
    side = len(levels)
    packed = (levels[:, 0::2] << DEPTH) | levels[:, 1::2]
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    head = side.to_bytes(4, "big") * 2 + bytes((DEPTH, PALETTE, 0, 0, 0))
    parts = (
        (b"IHDR", head),
        (b"PLTE", bytes(value for colour in colours for value in colour)),
        (b"IDAT", zlib.compress(rows, LEVEL)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
