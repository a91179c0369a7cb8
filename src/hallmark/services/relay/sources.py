"""Who sends how much, without remembering who: addresses as hashes under a key that lives in memory alone.

The key and everything counted under it are forgotten together, `forget_s` after the first use of the key.
What is under way at that moment keeps its hash until it ends, and nothing can be compared with it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from hallmark.core.errors import RateLimited, Unavailable
from hallmark.services.log.quotas import Buckets, source_of, whole_seconds
from hallmark.services.log.settings import Quota

ARRIVING: Final = 4
"""So many times as many capsules may be arriving or under way as may be under way."""


class Sources:
    """See the module docstring. `random` gives the keys; `now` is in seconds and never goes back."""

    def __init__(
        self,
        quota: Quota,
        forget_s: float,
        random: Callable[[int], bytes],
        *,
        at_once: int,
        by_address: int,
    ) -> None:
        self._quota, self._forget_s, self._random = quota, forget_s, random
        self._most, self._by_address = at_once, by_address
        self._under_way: Counter[bytes] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self.begun = self.under_way = 0
        self._begin()

    def __len__(self) -> int:
        """How many hashes are remembered."""
        return len(self._buckets) + len(self._under_way)

    def name(self, host: str) -> bytes:
        """The hash that an address (IPv6: its /64) is counted under, until it is forgotten."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._forget_s, self.forget)
        return hashlib.blake2b(source_of(host), key=self._key, digest_size=16).digest()

    def take(self, source: bytes, now: float) -> None:
        """Take one of its quota. Raises RateLimited `relay_rate`."""
        wait = self._buckets.wait(source, now)
        if wait > 0:
            raise RateLimited(
                "relay_rate", "This address sends more than the relay's quota allows.", whole_seconds(wait)
            )
        self._buckets.take(source, now)

    @contextlib.contextmanager
    def place(self, source: bytes) -> Iterator[None]:
        """Hold an address's place from a capsule's head to its answer's end. Raises Unavailable `relay_busy`,
        RateLimited `relay_at_once`.
        """
        if self.begun >= ARRIVING * self._most:
            raise _busy()
        if self._under_way[source] >= self._by_address:
            raise RateLimited("relay_at_once", "This address has too many capsules under way.", 1)
        self.begun += 1
        self._under_way[source] += 1
        try:
            yield
        finally:
            self.begun -= 1
            self._under_way[source] -= 1
            if self._under_way[source] <= 0:
                del self._under_way[source]

    @contextlib.contextmanager
    def carry(self) -> Iterator[None]:
        """Hold a place among those that are passed on: who sends slowly has none yet. Raises Unavailable
        `relay_busy`.
        """
        if self.under_way >= self._most:
            raise _busy()
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def forget(self) -> None:
        """Forget the key and what was counted under it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._begin()

    def _begin(self) -> None:
        self._key = self._random(32)
        self._buckets = Buckets(self._quota)


def _busy() -> Unavailable:
    return Unavailable("relay_busy", "The relay carries as many capsules as it can.", "Send it again.")
