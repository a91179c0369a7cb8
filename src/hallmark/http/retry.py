"""When a refused request may be made again."""

from __future__ import annotations

from typing import Final

LONGEST_S: Final = 60


def seconds_of(retry_after: str) -> int:
    """Seconds of a `Retry-After` header (RFC 9110 section 10.2.3), at most a minute; 0 when it says none.

    A date counts as none: no part of Hallmark sends one.
    """
    text = retry_after.strip()
    if not text.isascii() or not text.isdigit():
        return 0
    return min(int(text[:9]), LONGEST_S)
