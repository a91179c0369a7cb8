"""Ed25519 public keys as points (RFC 8032 section 5.1.3): what a key must be before its signatures count.

Libraries take any 32 bytes for a key and differ in what they make of odd ones. So a key is refused here
unless it is the one canonical encoding of a point on the curve whose order is not small: under a point of
small order one signature holds for many messages, whoever made it. The browser's verifier refuses the same.
"""

from __future__ import annotations

import functools
from typing import Final

P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P
ROOT: Final = pow(2, (P - 1) // 4, P)
COFACTOR_BITS: Final = 3


@functools.lru_cache(maxsize=1024)
def is_public_key(key: bytes) -> bool:
    """Whether `key` is 32 bytes that canonically encode a point on the curve, and not one of small order."""
    if len(key) != 32:
        return False
    number = int.from_bytes(key, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return False
    x = _x(y)
    if x is None or (x == 0 and sign):
        return False
    for _ in range(COFACTOR_BITS):
        x, y = _doubled(x, y)
    return (x, y) != (0, 1)


def _x(y: int) -> int | None:
    """One of the two x with -x^2 + y^2 = 1 + d x^2 y^2 (either will do); None when there is none."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == u:
        return x
    return x * ROOT % P if v * x * x % P == -u % P else None


def _doubled(x: int, y: int) -> tuple[int, int]:
    """The point added to itself; the law of this curve is complete, so no case is special."""
    both = D * x * x * y * y % P
    return (
        2 * x * y * pow(1 + both, -1, P) % P,
        (y * y + x * x) * pow(1 - both, -1, P) % P,
    )
