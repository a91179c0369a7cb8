"""Each sealed request is taken once: the encapsulated keys of a window are remembered while it is open.

Of each, 8 bytes are kept of a keyed hash whose key nobody has: nobody can make another request look like one
that was seen. A window remembers `most` of them, about 9 MB at the default. When it is full, nothing more is
taken in that window: forgetting the oldest would let it be replayed. A window is forgotten once its
keys are gone, never because a clock was set back: who runs the host can do that.
"""

from __future__ import annotations

import hashlib
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.privacy.ohttp import unreadable

MOST: Final = 1 << 20
KEPT: Final = 8
BUCKETS: Final = 12
"""Bits of the hash that choose a bucket, so that what is looked through is short."""


class ReplayCache:
    """What was seen, by window. `secret` is at least 16 random bytes."""

    def __init__(self, secret: bytes, most: int = MOST) -> None:
        self._secret, self._most = secret, most
        self._windows: dict[int, _Seen] = {}

    def forget(self, before: int) -> None:
        """Forget what was seen in windows before this one: their keys are gone."""
        if any(at < before for at in self._windows):
            self._windows = {at: seen for at, seen in self._windows.items() if at >= before}

    def admit(self, window: int, encapsulated: bytes) -> None:
        """Take a request that opened. Raises VerificationFailed `sealed_unreadable` when it came before, in
        this window or another one that is not forgotten, Unavailable `sealed_window_full`.
        """
        seen = self._windows.setdefault(window, _Seen())
        mark = hashlib.blake2b(encapsulated, key=self._secret, digest_size=KEPT + 2).digest()
        bucket, kept = int.from_bytes(mark[:2], "big") >> (16 - BUCKETS), mark[2:]
        if any(each.has(bucket, kept) for each in self._windows.values()):
            raise unreadable()
        if seen.count >= self._most:
            raise Unavailable(
                "sealed_window_full",
                "As many sealed requests came in this key's window as can be remembered.",
                "Ask another node, or this one in its next window.",
            )
        seen.add(bucket, kept)


class _Seen:
    """One window's marks, in buckets of bytes."""

    def __init__(self) -> None:
        self._buckets: dict[int, bytearray] = {}
        self.count = 0

    def has(self, bucket: int, mark: bytes) -> bool:
        """Whether it was seen. One that only looks so, across two marks, comes once in 2^50 requests."""
        return mark in self._buckets.get(bucket, b"")

    def add(self, bucket: int, mark: bytes) -> None:
        self._buckets.setdefault(bucket, bytearray()).extend(mark)
        self.count += 1
