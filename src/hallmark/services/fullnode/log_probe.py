"""A look at the log, when somebody wants to know how this node stands with it.

A log that grows asks this node to cosign; one that is idle does not. Whether it is idle, or gone, or grows
without asking is only worth a question while somebody wants to know: then, and at most every `look_s`, the
log is asked how large it is. So a network at rest has no clock that ticks here. The first answer about a
node that nobody asked for a while is what was known before; the next is what the look found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hallmark.core.errors import HallmarkError
from hallmark.services.following.log_client import LogClient
from hallmark.services.fullnode.log_relation import LogRelation
from hallmark.telemetry.logs import get_logger


class LogWatch:
    """See the module docstring. `now` in unix ms."""

    def __init__(self, log: LogClient, standing: LogRelation, now: Callable[[], int], look_s: float) -> None:
        self._log = log
        self._standing = standing
        self._now = now
        self._look_ms = int(look_s * 1000)
        self._wanted = asyncio.Event()
        self._looked_at = 0

    def wanted(self) -> None:
        """Somebody asks how the node stands: have a look, unless the log asked or was asked of late."""
        known_at = max(self._standing.asked_at, self._looked_at)
        if not 0 <= self._now() - known_at < self._look_ms:
            self._wanted.set()

    async def run(self) -> None:
        """Look whenever that is wanted. Runs until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.look()

    async def look(self) -> None:
        """Note how large the log says that it is."""
        self._looked_at = self._now()
        try:
            self._standing.log_has((await self._log.head()).size, self._now())
        except HallmarkError as error:
            get_logger().info("log_not_seen", reason=error.reason)
            self._standing.log_silent(self._now())
