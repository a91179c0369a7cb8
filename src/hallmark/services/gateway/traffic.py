"""What became of the requests that this gateway finished, by the minute: how many were answered, how many
failed; and the same over days, in a bounded table that survives a restart.

A minute without a row was not observed: nothing is known of it, which is not the same as nothing asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.parts import ObservedPart

MINUTE: Final = 60_000
DAYS: Final = 7
KEPT: Final = DAYS * 24 * 60
POINTS: Final = 60
HOURS: Final = (1, 6, 24, 168)
"""Ranges that may be asked for; each is shown in POINTS parts."""
MODELS: Final = 64
OTHER: Final = "(other)"
STREAK: Final = 3
STREAK_MS: Final = 300_000
NO_FAULT: Final = frozenset(("held", "at_capacity", "node_busy", "gateway_starting"))
"""Withheld on purpose, more asked than there is, or asked before this gateway had caught up: none shows that
answers fail.
"""


def create(transaction: Transaction) -> None:
    """The table of version 1."""
    transaction.execute("CREATE TABLE gateway_minutes (minute INTEGER PRIMARY KEY, data BLOB NOT NULL)")


class Minute(msgspec.Struct):
    """One observed minute: answered and failed by model, and nodes and slots as they stood at its end."""

    models: dict[str, list[int]] = {}
    nodes: int = 0
    heard: int = 0
    slots: int = 0
    idle: int = 0


class Standing(msgspec.Struct, frozen=True):
    """Nodes that are registered and that answer, slots that they claim and that can take a request."""

    nodes: int
    heard: int
    slots: int
    idle: int


class Streak(msgspec.Struct, frozen=True):
    """Failures of a model with no answer between them: the newest reason, how many, since and until when."""

    model: str
    reason: str
    count: int
    since: int
    last: int


class Traffic:
    """See the module docstring. `run` must be running for anything to be kept."""

    def __init__(
        self, database: RawDatabase, clock: Callable[[], int], standing: Callable[[], Standing]
    ) -> None:
        database.migrate("gateway-minutes", (create,))
        self._database, self._clock, self._standing = database, clock, standing
        self._minutes: dict[int, Minute] = {}
        self._streaks: dict[str, Streak] = {}
        oldest = clock() // MINUTE - KEPT
        query = "SELECT minute, data FROM gateway_minutes WHERE minute >= ? ORDER BY minute"
        for number, data in database.read(lambda t: t.fetch(query, (oldest,))):
            self._minutes[number] = msgspec.msgpack.decode(data, type=Minute)

    def answered(self, model: str) -> None:
        """A request was answered in full."""
        self._count(model, 0)
        self._streaks.pop(model, None)

    def failed(self, model: str, reason: str, *, shows: bool = True) -> None:
        """A request ended without an answer, for a reason that is not the asker's. One that only some node
        could have taken (`shows` is false) says nothing of what others get.
        """
        self._count(model, 1)
        if reason in NO_FAULT or not shows:
            return
        now, known = self._clock(), self._streaks.get(model)
        if known is None and len(self._streaks) >= MODELS:
            return
        count, since = (known.count + 1, known.since) if known else (1, now)
        self._streaks[model] = Streak(model, reason, count, since, now)

    def streaks(self, least: int = STREAK) -> tuple[Streak, ...]:
        """Models of which only failures came lately, at least so many; forgotten when nobody asks again."""
        oldest = self._clock() - STREAK_MS
        return tuple(s for s in self._streaks.values() if s.count >= least and s.last >= oldest)

    def lately(self, minutes: int = 5) -> tuple[int, int, int]:
        """Answered, failed and observed minutes, of the newest full ones and the one that runs."""
        end = self._clock() // MINUTE
        return self._sum(end - minutes + 1, end + 1)

    def history(self, hours: int) -> tuple[ObservedPart, ...]:
        """The last `hours` in POINTS parts, oldest first."""
        end = self._clock() // MINUTE + 1
        step = hours * 60 // POINTS
        return tuple(self._point(at, step) for at in range(end - hours * 60, end, step))

    async def run(self) -> None:
        """Note the standing and keep the minute, once a minute and at the end."""
        try:
            while True:
                await asyncio.sleep((MINUTE - self._clock() % MINUTE) / 1000 - 0.5)
                await self.keep()
                await asyncio.sleep(1)
        finally:
            await self.keep()

    async def keep(self) -> None:
        """Write down the minute that runs, and forget those that are too old."""
        number = self._clock() // MINUTE
        row = self._minute(number)
        for name, value in msgspec.structs.asdict(self._standing()).items():
            setattr(row, name, value)
        data = msgspec.msgpack.encode(row)
        for old in [n for n in self._minutes if n <= number - KEPT]:
            del self._minutes[old]

        def work(transaction: Transaction) -> None:
            gone = "DELETE FROM gateway_minutes WHERE minute = ? OR minute <= ?"
            transaction.execute(gone, (number, number - KEPT))
            transaction.execute("INSERT INTO gateway_minutes VALUES (?, ?)", (number, data))

        try:
            await self._database.async_write(work, brief=True)
        except HallmarkError as error:
            get_logger().warning("minute_not_kept", reason=error.reason)

    def _minute(self, number: int) -> Minute:
        return self._minutes.setdefault(number, Minute({}))

    def _count(self, model: str, which: int) -> None:
        models = self._minute(self._clock() // MINUTE).models
        name = model if model in models or len(models) < MODELS else OTHER
        models.setdefault(name, [0, 0])[which] += 1

    def _sum(self, start: int, end: int) -> tuple[int, int, int]:
        rows = [self._minutes[n] for n in range(start, end) if n in self._minutes]
        counts = [pair for row in rows for pair in row.models.values()]
        return sum(pair[0] for pair in counts), sum(pair[1] for pair in counts), len(rows)

    def _point(self, start: int, step: int) -> ObservedPart:
        rows = [self._minutes[n] for n in range(start, start + step) if n in self._minutes]
        if not rows:
            return ObservedPart(start * MINUTE, 0)
        answered = [sum(pair[0] for pair in row.models.values()) for row in rows]
        worst = min(rows, key=lambda row: (row.heard, row.idle))
        return ObservedPart(
            at=start * MINUTE,
            observed=len(rows),
            answered=sum(answered),
            failed=sum(pair[1] for row in rows for pair in row.models.values()),
            most=max(answered),
            nodes=worst.nodes,
            heard=worst.heard,
            slots=worst.slots,
            idle=worst.idle,
        )
