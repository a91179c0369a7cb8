"""Grouped commits: all that arrives while one batch is written shares the next (one fsync)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Batch = list[tuple[T, "asyncio.Future[R]"]]
MOST: Final = 500  # rows of one transaction


class Grouped(Generic[T, R]):
    """A queue in front of `write`, which makes a batch durable and settles its futures. `run` must run."""

    def __init__(self, write: Callable[[Batch[T, R]], Awaitable[None]]) -> None:
        self._write = write
        self._queue: Batch[T, R] = []
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Write what is put, for ever; finishes the batch under way when cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch, self._queue = self._queue[:MOST], self._queue[MOST:]
                await self._write(batch)

    async def put(self, value: T) -> R:
        """What became of `value`, once its batch was written. Raises what `write` set on its future."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((value, done))
        self._wake.set()
        return await asyncio.shield(done)
