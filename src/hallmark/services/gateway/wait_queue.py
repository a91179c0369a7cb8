"""Where requests wait for a free place at a node, in the order in which they came, and not for long."""

from __future__ import annotations

import asyncio
from collections import deque

MAX_WAITING = 512
LOOK_AGAIN_S = 0.25


class WaitQueue:
    """First come, first woken. Whoever is woken looks again whether there is a place."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def released(self) -> None:
        """A place became free: wake the first who still waits."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                return

    async def wait(self, deadline: float) -> bool:
        """True when it is time to look again: woken, or after a moment, because others fill and free places
        too. False when the line is full or the deadline (loop time) has come.
        """
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= self._limit or loop.time() >= deadline:
            return False
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + LOOK_AGAIN_S)):
                await mine
        except TimeoutError:
            return loop.time() < deadline
        finally:
            if mine.cancelled() and mine in self._waiting:
                self._waiting.remove(mine)
        return True
