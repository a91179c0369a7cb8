"""Drawing CLEARs that a person looks at again. Deterministic, so that anyone can repeat the draw."""

from __future__ import annotations

from hallmark.core.document import unhex
from hallmark.core.hashing import sha256

TAG = b"hallmark/sample/v1\0"
MILLION = 1_000_000


def drawn(item: str, decision: str, per_million: int) -> bool:
    """Whether this CLEAR of `item` (0x-hex receipt id), by `decision` (0x-hex digest), is drawn.

    SHA-256("hallmark/sample/v1" || 0x00 || item || decision), its first 8 bytes read as an integer, scaled to
    a million, is below `per_million`. Raises InvalidInput `bad_hex`.
    """
    draw = int.from_bytes(sha256(TAG, unhex(item), unhex(decision))[:8], "big")
    return draw * MILLION >> 64 < per_million
