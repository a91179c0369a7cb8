"""From the log to the desk: every receipt becomes an item, and every entry that can change a mark has the
items that it concerns looked at again. Nothing else is: a new checkpoint over other receipts costs an item
nothing, and nothing is looked at because time passed that changes nothing.

1. Leaves are taken once a quorum covers them and all below are folded; receipts of the log's tail, where no
   quorum covers them, once they have waited there for a moment.
2. Items are born in the same transaction in which the desk notes that it has read their leaves.
3. What is to be looked at again is noted in the transaction that notes how far the log was read.
4. What comes while the desk writes, or a moment after it wrote, is taken together with what follows it.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from hallmark.core.entries import KIND_AT, Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.statements import Review
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.explorer.receipt_story import of_logged, of_pending
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.review.affected_items import WATCHED, Bundles, Clause, affected
from hallmark.services.review.arrivals import Arrival, arrival
from hallmark.services.review.item_writer import Noted
from hallmark.services.review.policies_in_force import PoliciesInForce
from hallmark.services.review.store import DeskStore
from hallmark.services.review.triggers import Triggers
from hallmark.telemetry.logs import get_logger

BATCH: Final = 512
SLICE: Final = 16
READ: Final = "read"
RETRY_S: Final = 1.0
GATHER_S: Final = 0.25
TAIL_MS: Final = 1_000
Arrived = Callable[[Sequence[Arrival], Noted], Awaitable[None]]
Judged = Callable[[int, Review], Awaitable[None]]


class Intake:
    """See the module docstring. `arrived` and `judged` make durable what they are given, each once however
    often they are told; `arrived` together with what is to be noted. `run` must run.
    """

    tail_ms = TAIL_MS
    """For how long a receipt waits in the tail before it becomes an item."""

    def __init__(
        self,
        watch: FollowedLog,
        store: DeskStore,
        policies: PoliciesInForce,
        *,
        arrived: Arrived,
        judged: Judged,
    ) -> None:
        self._watch, self._store = watch, store
        self._arrived, self._judged = arrived, judged
        self.read = store.meta(READ) + 1
        """How many leaves of the log the desk has read."""
        self._waiting = array("Q")
        self._folded = 0
        self._tail: dict[bytes, int] = {}
        self._bundles = Bundles()
        self._wake = asyncio.Event()
        self._stepping = asyncio.Lock()
        self._started = False
        self.triggers = Triggers(watch, store, policies, wake=self._wake.set)
        watch.follower.taps.append(self._take)
        watch.follower.heads.append(self._head)
        watch.follower.resumed.append(self._resumed)
        watch.tail.changed.append(self._tail_changed)

    @property
    def caught_up(self) -> bool:
        """Whether this process has folded as much as the desk ever read: before that nothing is judged."""
        return self._folded >= self.read and self._watch.follower.head is not None

    async def run(self) -> None:
        """Read, for ever. What the store cannot take now is read again."""
        while True:
            try:
                async with asyncio.timeout(self._until_due()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            pause = GATHER_S
            try:
                await self.step()
            except HallmarkError as error:
                get_logger().warning("desk_not_reading", reason=error.reason)
                pause = RETRY_S
                self._wake.set()
            await asyncio.sleep(pause)

    async def catch_up(self) -> None:
        """Take what has come and is not taken yet, so that what a person looks at is not a moment old."""
        if self._wake.is_set():
            try:
                await self.step()
            except HallmarkError as error:
                get_logger().warning("desk_not_reading", reason=error.reason)

    async def step(self) -> None:
        """Read everything that is there now."""
        async with self._stepping:
            if not self.caught_up:
                return
            # Items that are born below know what was learnt by now; only earlier ones are looked at again.
            with self.triggers.taken() as noted:
                await self._arrived((), noted)
            while await self._batch():
                pass
            if not self._started:
                # What this process folded before is known now; from here on it is compared with.
                self._bundles.see(self._watch.replica)
                self._started = True
                self._store.roused.set()
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
                clauses += affected(replica, entry, self._bundles)
                if isinstance(entry.statement, Review):
                    reviews.append((position, entry.statement))
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        read = positions[-1] + 1
        noted = Noted(tuple(clauses), ((READ, read - 1),))
        if reviews:
            # Reviews are acts of their own: that they were read is noted when each of them is.
            await self._arrived(arrivals, Noted())
            arrivals = []
            for position, review in reviews:
                await self._judged(position, review)
        await self._arrived(arrivals, noted)
        self.read = max(read, self.read)
        del self._waiting[: len(positions)]
        return True

    def _receipt(self, position: int) -> list[Arrival]:
        logged = self._watch.judge.logged(position)
        # An entry that is not the receipt's own place (not signed by its node, or said before) is no item.
        if self._watch.replica.receipt_position(logged.id) != position:
            return []
        return [arrival(self._watch, of_logged(logged))]

    async def _read_tail(self) -> None:
        """Receipts that have waited in the tail become items; 0 is the time of those that did already."""
        now, pending = self._watch.clock(), self._watch.tail.receipts
        since = {p.id: self._tail.get(p.id, now) for p in pending}
        due = [p for p in pending if since[p.id] and now - since[p.id] >= self.tail_ms]
        await self._arrived([arrival(self._watch, of_pending(p)) for p in due], Noted())
        self._tail = since | {p.id: 0 for p in due}

    def _until_due(self) -> float | None:
        """Seconds until a receipt of the tail has waited long enough; None when none waits."""
        waiting = [since for since in self._tail.values() if since]
        if not waiting:
            return None
        return max(min(waiting) + self.tail_ms - self._watch.clock(), 0) / 1000

    def _resumed(self, size: int) -> None:
        """Leaves that an earlier process folded and did not read any more."""
        self._waiting.extend(range(self.read, size))

    def _take(self, index: int, leaf: bytes) -> None:
        if index >= self.read and leaf[KIND_AT] in WATCHED:
            self._waiting.append(index)

    def _head(self, verified: VerifiedCheckpoint, _: Note) -> None:
        self._folded = verified.checkpoint.size
        if self._waiting or not self._started:
            self._wake.set()

    def _tail_changed(self) -> None:
        if self._tail or self._watch.tail.receipts:
            self._wake.set()
