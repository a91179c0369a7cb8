"""Rows that may wait a moment: they are written in the next transaction of anybody, or after `LINGER_S` in
one of their own.

A transaction costs more than a few rows do: its fsync, its way to the writer's thread and back. So whatever
can be had again from elsewhere, and would only be written a moment sooner by itself, goes along with what
somebody waits for. `Database.async_write` takes along what all that are made over it have to write.

1. What goes along is committed with the transaction that takes it, or nothing of it is. Where that fails for
   another reason than the store's, the transaction is run again alone, and what was taken along still waits.
2. One batch of each is under way at a time, so rows are written in the order in which they were put.
"""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from hallmark.core.errors import HallmarkError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from hallmark.store.database import Database

B = TypeVar("B")
LINGER_S: Final = 0.5
RETRY_S: Final = 1.0


class Taken(msgspec.Struct, frozen=True):
    """A batch on its way: `work` writes it, `ended` is told on the event loop whether it was committed."""

    work: Callable[[Connection], None]
    ended: Callable[[bool], None]


class Deferred(ABC, Generic[B]):
    """See the module docstring. `run` must run. Whoever puts something calls `_put`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = asyncio.Event()
        self._under_way: asyncio.Future[None] | None = None
        database.deferred.append(self)

    @abstractmethod
    def _batch(self) -> B | None:
        """What to write next; None when nothing waits."""

    @abstractmethod
    def _write(self, connection: Connection, batch: B) -> None:
        """Write a batch; in the writer's thread."""

    @abstractmethod
    def _written(self, batch: B) -> None:
        """A batch was committed: it waits no more."""

    @abstractmethod
    def _not_written(self, error: HallmarkError) -> None:
        """It could not be written now; it is tried again."""

    def take(self) -> Taken | None:
        """What is to be written now; None when nothing waits, or a batch is under way."""
        if self._under_way is not None or (batch := self._batch()) is None:
            return None
        self._under_way = asyncio.get_running_loop().create_future()
        work = functools.partial(self._write, batch=batch)
        return Taken(work, functools.partial(self._ended, batch))

    async def flush(self) -> None:
        """Write what waits, now. Raises Unavailable as the store does."""
        while self._under_way is not None or self._batch() is not None:
            taken = self.take()
            if taken is None:
                await self._settled()
                continue
            await self._database.async_write(taken.work, ended=taken.ended)

    async def run(self) -> None:
        """Write for ever; what waits when cancelled is written first. A full disk is tried again."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(LINGER_S)
                if not await self._tried():
                    await asyncio.sleep(RETRY_S)
                    self._wake.set()
        finally:
            await asyncio.shield(self._tried())

    def _put(self) -> None:
        """Something waits."""
        self._wake.set()

    async def _tried(self) -> bool:
        try:
            await self.flush()
        except HallmarkError as error:
            self._not_written(error)
            return False
        return True

    async def _settled(self) -> None:
        if self._under_way is not None:
            await asyncio.shield(self._under_way)

    def _ended(self, batch: B, done: bool) -> None:
        under_way, self._under_way = self._under_way, None
        if done:
            self._written(batch)
        if under_way is not None and not under_way.done():
            under_way.set_result(None)
