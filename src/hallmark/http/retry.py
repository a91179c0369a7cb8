"""When a refused request may be made again."""

from __future__ import annotations

from typing import Final, Protocol

LONGEST_S: Final = 60


class Answer(Protocol):
    """As much of a response as is read here."""

    def header(self, name: bytes) -> bytes | None:
        """The first header called `name` (lower case), or None."""
        ...


def retry_after_of(response: Answer) -> str:
    """The `Retry-After` header as it came; "" without one."""
    return (response.header(b"retry-after") or b"").decode("latin-1")


def seconds_of(retry_after: str) -> int:
    """Seconds of a `Retry-After` header (RFC 9110 section 10.2.3), at most a minute; 0 when it says none.

    A date counts as none: no part of Hallmark sends one.
    """
    text = retry_after.strip()
    if not text.isascii() or not text.isdigit():
        return 0
    return min(int(text[:9]), LONGEST_S)
