"""Links and tokens that stand for a permission for a while: whoever has one may do one thing.

    tag = HMAC-SHA256(secret of this process, what it permits || 0x00 || the time when it ends)

A stopped process permits nothing more: its tools ask for a new one.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import Unauthorized

LASTS_S: Final = 6 * 3600


class Links:
    """See the module docstring. `now` is unix seconds; `secret` has 32 bytes."""

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self._secret, self._now = secret, now

    def make(self, permits: str) -> tuple[int, str]:
        """When it ends (unix seconds), and the tag (hex)."""
        until = int(self._now()) + LASTS_S
        return until, self._tag(permits, until)

    def check(self, permits: str, until: str, tag: str) -> None:
        """Raises Unauthorized `upload_link_invalid`."""
        ends = int(until) if until.isascii() and until.isdigit() and len(until) < 16 else 0
        right = self._tag(permits, ends)
        if not hmac.compare_digest(right.encode(), tag.encode()) or ends < self._now():
            raise Unauthorized(
                "upload_link_invalid",
                "The link or token for this upload is none of ours, or its time is over.",
                "Begin the upload again.",
            )

    def _tag(self, permits: str, until: int) -> str:
        return hmac.digest(self._secret, f"{permits}\0{until}".encode(), "sha256").hex()
