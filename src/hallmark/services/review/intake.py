"""From the log to the desk: every receipt becomes an item, and every entry that can change a mark has the
items
that it concerns looked at again. Nothing else is: a new checkpoint over other receipts costs an item nothing.

1. Leaves are taken once a quorum covers them and all below are folded; receipts of the tail before that, at
once.
2. Items are born before the desk notes that it has read their leaves: a crash in between reads them again,
and
   an item is born once.
3. What is to be looked at again is noted in the same transaction as how far the log was read.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.engine import Connection

from hallmark.core.entries import Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.statements import Review
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.explorer.story import of_logged, of_pending
from hallmark.services.following.watch import Watch
from hallmark.services.review.affected import WATCHED, Clause, affected, anchored, configured
from hallmark.services.review.arrivals import Arrival, arrival
from hallmark.services.review.schema import HOLDS, ITEMS
from hallmark.services.review.store import DeskStore, put_meta, rouse
from hallmark.telemetry.logs import get_logger

KIND_AT: Final = 9
BATCH: Final = 256
SLICE: Final = 16
READ: Final = "read"
ANCHORED: Final = "anchored"
RETRY_S: Final = 1.0
Arrived = Callable[[Sequence[Arrival]], Awaitable[None]]
Judged = Callable[[int, Review], Awaitable[None]]
STARTING: Final = ITEMS.c.id.in_(
    select(HOLDS.c.item).where(
        or_(*(HOLDS.c.code.startswith(f"{name}:") for name in ("ran", "model", "route", "item")))
    )
)


class Intake:
    """See the module docstring. `arrived` and `judged` make durable what they are given, each once
    however often
    they are told; `run` must run.
    """

    def __init__(self, watch: Watch, store: DeskStore, *, arrived: Arrived, judged: Judged) -> None:
        self._watch, self._store = watch, store
        self._arrived, self._judged = arrived, judged
        self.read = store.meta(READ) + 1
        """How many leaves of the log the desk has read."""
        self._anchored_to = store.meta(ANCHORED)
        self._waiting = array("Q")
        self._folded = 0
        self._tail: set[bytes] = set()
        self._clauses: list[Clause] = []
        self._wake = asyncio.Event()
        watch.follower.taps.append(self._take)
        watch.follower.heads.append(self._head)
        watch.tail.changed.append(self._wake.set)
        watch.chain.changed.append(self._anchored)
        watch.configurations.changed.append(self._configured)

    @property
    def caught_up(self) -> bool:
        """Whether this process has folded as much as the desk ever read: before that nothing is judged."""
        return self._folded >= self.read and self._watch.follower.head is not None

    async def run(self) -> None:
        """Read, for ever. What the store cannot take now is read again."""
        # What an earlier process may have learnt and not passed on: configurations that arrived as it ended.
        self._clauses.append(STARTING & (ITEMS.c.state == "HOLD"))
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.step()
            except HallmarkError as error:
                get_logger().warning("desk_not_reading", reason=error.reason)
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def step(self) -> None:
        """Read everything that is there now."""
        while await self._batch():
            pass
        if self.caught_up:
            clauses, self._clauses = self._clauses, []
            try:
                await self._note(self._folded, clauses, self._anchored_to)
            except HallmarkError:
                self._clauses = clauses + self._clauses
                raise
            await self._read_tail()

    async def _batch(self) -> bool:
        positions = [at for at in self._waiting[:BATCH] if at < self._folded]
        if not positions:
            return False
        replica = self._watch.replica
        arrivals: list[Arrival] = []
        reviews: list[tuple[int, Review]] = []
        clauses: list[Clause] = []
        for number, position in enumerate(positions):
            entry = self._watch.leaves.entry(position)[1]
            if entry.kind is Kind.RECEIPT:
                arrivals += self._receipt(position)
            elif not replica.failures(position):
                clauses += affected(replica, entry)
                if isinstance(entry.statement, Review):
                    reviews.append((position, entry.statement))
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        await self._arrived(arrivals)
        for position, review in reviews:
            await self._judged(position, review)
        await self._note(positions[-1] + 1, clauses)
        del self._waiting[: len(positions)]
        return True

    def _receipt(self, position: int) -> list[Arrival]:
        logged = self._watch.judge.logged(position)
        # An entry that is not the receipt's own place (not signed by its node, or said before) is no item.
        if self._watch.replica.receipt_position(logged.id) != position:
            return []
        return [arrival(self._watch, of_logged(logged))]

    async def _read_tail(self) -> None:
        pending = self._watch.tail.receipts
        fresh = [p for p in pending if p.id not in self._tail]
        await self._arrived([arrival(self._watch, of_pending(p)) for p in fresh])
        self._tail = {p.id for p in pending}

    async def _note(self, read: int, clauses: Sequence[Clause], anchored_to: int | None = None) -> None:
        if read <= self.read and not clauses:
            return

        def work(connection: Connection) -> None:
            for clause in clauses:
                rouse(connection, clause)
            put_meta(connection, READ, max(read, self.read) - 1)
            if anchored_to is not None:
                put_meta(connection, ANCHORED, anchored_to)

        await self._store.write(work)
        self.read = max(read, self.read)
        if clauses:
            self._store.roused.set()

    def _take(self, index: int, leaf: bytes) -> None:
        if index >= self.read and leaf[KIND_AT] in WATCHED:
            self._waiting.append(index)

    def _head(self, verified: VerifiedCheckpoint, _: Note) -> None:
        self._folded = verified.checkpoint.size
        self._wake.set()

    def _anchored(self, size: int) -> None:
        # After a start the chain is read again from the beginning: what it held before was told then.
        if size > self._anchored_to:
            self._clauses.append(anchored(max(self._anchored_to, 0), size))
            self._anchored_to = size
            self._wake.set()

    def _configured(self, digest: bytes) -> None:
        self._clauses += configured(self._watch.replica, digest)
        self._wake.set()
