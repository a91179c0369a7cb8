"""The evaluator: looks at what there is to look at, lets the gate decide, and writes down what it says.

1. An item is looked at at its birth, when its `wake` time has come because time alone may change something,
   and when something happened that can change its marks (see `affected`, `triggers`). At rest it is free.
2. Nothing is judged before this process has folded what an earlier one knew, nor while the log is distrusted.
3. CLEAR comes from `hallmark.review.gate.judge` alone; the decision is kept with the exact screen.
4. A change counts only when nothing happened to the item meanwhile; else it is judged again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import State
from hallmark.core.policy import Outcome
from hallmark.review import events as ev
from hallmark.review.gate import Judged, judge
from hallmark.review.items import Item, ItemState
from hallmark.review.screens import Screen
from hallmark.services.review.facts import facts_of_receipt, shown_facts
from hallmark.services.review.item_changes import ItemChange, LoadedItem, SeenScreen, load
from hallmark.services.review.policies_in_force import PoliciesInForce
from hallmark.services.review.receipt_source import ReceiptSource
from hallmark.services.review.rows import Change, EventRow, Record
from hallmark.services.review.schema import ITEMS
from hallmark.services.review.store import DeskStore
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics

BATCH: Final = 64
SLICE: Final = 8
AWAY_MS: Final = 2_000
NOT_SHOWN: Final = "not judged: the log does not show it now"
# Sleeps to the next due time, which is by the clock: one that was set meanwhile is noticed after this.
IDLE_S: Final = 60.0
RETRY_S: Final = 1.0
FAULTS: Final = frozenset((State.FAILED.value, State.REVOKED.value, State.DISPUTED.value))


class Evaluator:
    """See the module docstring. `ready` says whether anything may be judged now; `run` must run."""

    def __init__(
        self,
        store: DeskStore,
        source: ReceiptSource,
        policies: PoliciesInForce,
        *,
        network: bytes,
        clock: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._store, self.source, self._policies = store, source, policies
        self._network, self._clock = network, clock
        self.ready: Callable[[], bool] = lambda: False
        self._decisions = metrics.counter("review_decisions", "Decisions of the evaluator.", ("outcome",))
        self._judged = metrics.counter("review_judged", "Items that the evaluator looked at.")
        self._cleared = metrics.histogram(
            "review_seconds_to_clear", "From birth to the first CLEAR.", buckets=CLEAR_SECONDS
        )

    def judge(self, item: Item, now: int, *, in_full: bool = False) -> Judged | None:
        """What the gate says of an item now; None when the log does not show it. `in_full` puts
        every line of the
        receipt on the screen, for people; else the few that a decision needs.
        """
        look = self.source.look(unhex(item.id), now) if self.ready() else None
        if look is None:
            return None
        self._judged.add()
        lines = shown_facts(self.source.watch, look.told, item) if in_full else ()
        facts = [(fact.name, fact.value) for fact in lines] or facts_of_receipt(item, look.told.receipt)
        return judge(item, self._policies.policies(), look.marks, now, facts=facts)

    def settle(self, entry: ItemChange, now: int, last: Screen | None = None) -> Change:
        """Judge the item behind what an act appended, and make the whole one change. `last` is the
        screen of the
        evaluator's decision before, where there is one.
        """
        before, tries = entry.before, entry.before.record.tries
        judged = self.judge(entry.item, now)
        if judged is None:
            wake = now + (AWAY_MS << min(tries, 8))
            return entry.change(now, (), NOT_SHOWN, wake=wake, tries=tries + 1)
        seen = SeenScreen(judged.screen, judged.screen.marks)
        for event in judged.events:
            entry.then(event, seen if isinstance(event, ev.Evaluated | ev.Finalised) else None)
            if isinstance(event, ev.Evaluated):
                self._decisions.add(event.outcome.value)
        position = self.source.position(before.record.id)
        figures = _figures(before, judged, last)
        change = entry.change(
            now,
            judged.screen.marks,
            judged.sentence,
            wake=judged.again or None,
            tries=0,
            position=position,
            **figures,
        )
        if change.record.first_cleared and not before.record.first_cleared:
            self._cleared.observe(max(change.record.first_cleared - change.record.born, 0) / 1000)
        return change

    async def run(self) -> None:
        """Evaluate, for ever."""
        while True:
            self._store.roused.clear()
            self._store.looks_next, pause = math.inf, IDLE_S
            try:
                while await self.round():
                    pass
                again = await self._soonest() if self.ready() else None
                if again is not None:
                    self._store.looks_next = again
                    pause = min(max((again - self._clock()) / 1000, 0), IDLE_S)
            except HallmarkError as error:
                get_logger().warning("desk_not_judging", reason=error.reason)
                pause = RETRY_S
            try:
                async with asyncio.timeout(pause):
                    await self._store.roused.wait()
            except TimeoutError:
                continue

    async def round(self) -> int:
        """Look at a batch of what is due; how many there were. Raises Unavailable as the store does."""
        if not self.ready():
            return 0
        now = self._clock()
        due = sa.select(ITEMS).where(ITEMS.c.wake <= now).order_by(ITEMS.c.wake).limit(BATCH)
        found = await self._store.records_bare(due)
        return await self._look_at(found, now) if found else 0

    async def look_at(self, item: bytes) -> None:
        """Look at one item now."""
        record = await self._store.record(item)
        if record is not None:
            await self._look_at([record], self._clock())

    async def _look_at(self, records: Sequence[Record], now: int) -> int:
        histories = await self._store.events([record.id for record in records])
        loads = [_loaded(record, histories[record.id]) for record in records]
        screens = await self._last_screens([found for found in loads if isinstance(found, LoadedItem)])
        changes = []
        for number, (record, found) in enumerate(zip(records, loads, strict=True)):
            try:
                if isinstance(found, HallmarkError):
                    raise found
                changes.append(self.settle(ItemChange(found, self._network), now, screens.get(record.number)))
            except HallmarkError as error:
                # A history that does not hold decides nothing, and what it let go is not let go any more.
                get_logger().error("item_not_judged", item=record.id, reason=error.reason)
                reason = f"item:{error.reason}"[:80]
                held = msgspec.structs.replace(record, state="HOLD", reasons=reason, wake=None)
                changes.append(Change(record.version, held))
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        await self._store.commit_all(changes)
        return len(records)

    async def _last_screens(self, loads: Sequence[LoadedItem]) -> dict[int, Screen]:
        """Screens of the evaluator's newest decisions on items that it holds, by the item's number: what a
        CLEAR is compared with.
        """
        decided = []
        for loaded in loads:
            held = [link.number for link in loaded.chain if link.event.get("outcome") == Outcome.HOLD.value]
            if loaded.record.state == ItemState.HOLD and held:
                decided.append((loaded.record.number, held[-1]))
        return await self._store.screens_of(decided) if decided else {}

    async def _soonest(self) -> int | None:
        rows = await self._store.read(sa.select(sa.func.min(ITEMS.c.wake)))
        found = rows[0][0]
        return None if found is None else int(found)


def _loaded(record: Record, rows: Sequence[EventRow]) -> LoadedItem | HallmarkError:
    """The item; or why its history does not hold."""
    try:
        return load(record, rows)
    except HallmarkError as error:
        return error


CLEAR_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 3_600, 86_400)


def _figures(before: LoadedItem, judged: Judged, last: Screen | None) -> dict[str, int]:
    """False clear: what was let go is held because a mark failed, was revoked or disputed. False hold:
    what was
    held is let go though not one mark says anything else than it did.
    """
    was, after = before.item.state, judged.after.state
    let_go = (ItemState.CLEAR, ItemState.FINAL)
    found: dict[str, int] = {}
    if was in let_go and after is ItemState.HOLD:
        at_fault = any(lack.failed and lack.state in FAULTS for lack in judged.lacks)
        found["false_clears"] = before.record.false_clears + at_fault
    if was is ItemState.HOLD and after in let_go and last is not None:
        found["false_holds"] = before.record.false_holds + (_said(last) == _said(judged.screen))
    return found


def _said(screen: Screen) -> tuple[tuple[str, str, str], ...]:
    """What the marks say by themselves: that a policy waives an absent one is no evidence."""
    waived = State.NOT_REQUIRED.value
    return tuple((m.question, m.state, m.by) for m in screen.marks if m.state not in (waived, "absent"))
