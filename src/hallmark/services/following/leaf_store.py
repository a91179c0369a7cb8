"""The log's leaves, kept here in the order in which they were folded.

A replica holds no leaf bytes. Marks, pages and saved receipts need them, also while the log is away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import sqlalchemy as sa

from hallmark.core.entries import Entry, decode, split_leaf
from hallmark.core.errors import NotFound
from hallmark.services.following.write_behind import LEAVES, WriteBehind, prepare
from hallmark.store import Database
from hallmark.telemetry.logs import get_logger

RECENT: Final = 8_192


class LeafStore:
    """Takes what a follower folds (`take` is a tap)."""

    def __init__(self, database: Database) -> None:
        prepare(database)
        self._database = database
        self._writer = WriteBehind(database, LEAVES, packs="leaf")
        newest = database.read(lambda c: c.scalar(sa.select(sa.func.max(LEAVES.c.position))))
        self._kept = 0 if newest is None else int(newest) + 1
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._opened: tuple[int, int, Entry] | None = None

    def take(self, index: int, leaf: bytes) -> None:
        """Keep a leaf. What an earlier process kept is not written again, unless it was of another log."""
        self._recent[index], self._opened = leaf, None
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        if index == 0 and self._kept and self._stored(0) != leaf:
            get_logger().warning("leaves_of_another_log", kept=self._kept)
            self._writer.clear()
            self._kept = 0
        if index >= self._kept:
            self._writer.put({"position": index, "leaf": leaf})
            self._kept = index + 1

    def leaf(self, index: int) -> bytes:
        """The leaf at `index`. Raises NotFound `unknown_entry`."""
        found = self._recent.get(index)
        if found is None:
            waiting = self._writer.waiting(index)
            found = self._stored(index) if waiting is None else bytes(waiting["leaf"])
        if found is None:
            raise NotFound("unknown_entry", f"No entry {index} was read here.")
        return found

    def entry(self, index: int) -> tuple[int, Entry]:
        """Admission time (unix ms) and entry at `index`. Raises NotFound `unknown_entry`."""
        if self._opened is None or self._opened[0] != index:
            # The taps of one leaf all read it: it is decoded once.
            admitted, data = split_leaf(self.leaf(index))
            self._opened = (index, admitted, decode(data))
        return self._opened[1:]

    async def read(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end). Raises NotFound `unknown_entry` when one of them was not read here."""
        if not 0 <= start <= end <= self._kept:
            raise NotFound("unknown_entry", f"Entries 0 to {self._kept} were read here.")
        where = sa.and_(LEAVES.c.position >= start, LEAVES.c.position < end)
        query = sa.select(LEAVES.c.position, LEAVES.c.leaf).where(where)
        rows = await self._database.async_read(lambda c: list(c.execute(query)))
        found = {int(position): self._writer.unpack(leaf) for position, leaf in rows}
        return [found[at] if at in found else self.leaf(at) for at in range(start, end)]

    @property
    def size(self) -> int:
        """How many leaves are here."""
        return self._kept

    async def flush(self) -> None:
        """Bring what was taken to the disk. Raises Unavailable as the store does."""
        await self._writer.flush()

    async def run(self) -> None:
        """Write to disk what was taken, for ever."""
        await self._writer.run()

    def _stored(self, index: int) -> bytes | None:
        query = sa.select(LEAVES.c.leaf).where(LEAVES.c.position == index)
        found = self._database.read(lambda c: c.scalar(query))
        return None if found is None else self._writer.unpack(found)
