"""Items come to be and come to know what the log says of them; and how any act is made on one, safely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, HallmarkError, NotFound, Unavailable
from hallmark.core.statements import Judgement, Review, text_of
from hallmark.review import events as ev
from hallmark.review.events import Reviewed, SampleAnswered
from hallmark.review.history import recall_events
from hallmark.review.screens import Screen
from hallmark.services.review.arrivals import Arrival
from hallmark.services.review.evaluator import Evaluator
from hallmark.services.review.item_changes import ItemChange, LoadedItem, SeenScreen, fresh, load
from hallmark.services.review.item_writer import Noted
from hallmark.services.review.rows import Record
from hallmark.services.review.schema import ITEMS
from hallmark.services.review.store import NOTHING, DeskStore
from hallmark.telemetry.logs import get_logger

TRIES: Final = 6
SLICE: Final = 16
Act = Callable[[ItemChange], object]

ITEMS_ARE: Final = "An item has its receipt's id; the queue lists those that there are."


class ItemRepository:
    """Items by id: being born, and acts on them, each judged and written as one change."""

    def __init__(
        self, store: DeskStore, evaluator: Evaluator, *, network: bytes, clock: Callable[[], int]
    ) -> None:
        self._store, self._evaluator = store, evaluator
        self._network, self._clock = network, clock
        self._unplaced: set[bytes] = set()
        """Items that were made of receipts of the log's tail, which will come again."""

    async def load(self, item: bytes) -> LoadedItem:
        """An item as it is. Raises NotFound `unknown_item`."""
        record = await self._store.record(item)
        if record is None:
            raise NotFound("unknown_item", "The desk knows no item with this id.", ITEMS_ARE)
        return load(record, (await self._store.events([item]))[item])

    async def amend(self, item: bytes, act: Act, *, judged: bool = True) -> Record:
        """Do `act` on an item and judge it again, in one change; the row afterwards. `act` may be
        called more than
        once, each time on the item as it is then. Raises what `act` raises, NotFound `unknown_item`,
        Unavailable `item_busy`.
        """
        for _ in range(TRIES):
            entry = ItemChange(await self.load(item), self._network)
            act(entry)
            now = self._clock()
            change = self._evaluator.settle(entry, now) if judged else entry.change(now, (), "")
            if await self._store.commit(change):
                return change.record
        raise Unavailable("item_busy", "Too much happens to this item at once.", "Try again in a moment.")

    async def arrived(self, arrivals: Sequence[Arrival], noted: Noted = NOTHING) -> None:
        """Make items of receipts; one that is there already learns its place. `noted` is written with the
        births.
        """
        found = {arrival.id: arrival for arrival in arrivals}
        known = not self._unplaced.isdisjoint(found)
        for _ in range(TRIES):
            if known:
                await self._take_places(found)
            if await self._born(found, noted):
                return
            # Some are there, which only the writing of them tells: another process was sooner.
            known = True
        raise Unavailable("item_busy", "Too much happens to these items at once.", "Try again in a moment.")

    async def _take_places(self, found: dict[bytes, Arrival]) -> None:
        """Give those that are there already their places; they are taken out of `found`."""
        query = sa.select(ITEMS).where(ITEMS.c.id.in_(list(found)))
        for record in await self._store.records(query):
            arrival = found.pop(record.id)
            if 0 <= arrival.position != record.position:
                await self._place(arrival)
            self._unplaced.discard(record.id)

    async def _born(self, found: Mapping[bytes, Arrival], noted: Noted) -> bool:
        """Make items, and note what is noted with that; False, and nothing is noted, where one is there."""
        now, changes = self._clock(), []
        for number, arrival in enumerate(found.values()):
            event = arrival.born(now)
            loaded = fresh(event, position=arrival.position, finished=arrival.receipt.finished, now=now)
            changes.append(self._evaluator.settle(ItemChange(loaded, self._network), now))
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        noted = msgspec.structs.replace(noted, needs=frozenset(found))
        done = await self._store.commit_all(changes, noted)
        self._unplaced.update(item for item, arrival in found.items() if arrival.position < 0)
        return all(done)

    async def reviewed(self, position: int, review: Review) -> None:
        """Note a review that the log holds. A sampled item is answered by it, when its author had
        not judged that
        item before.
        """
        event = Reviewed(
            self._clock(),
            hex0x(review.reviewer),
            review.judgement,
            text_of(review.reason),
            position,
            hex0x(review.policy),
            hex0x(review.screen),
        )

        kept = await self._store.screen(review.item, review.screen)
        screen = Screen.decode(kept) if kept is not None else None
        seen = SeenScreen(screen, screen.marks) if screen is not None else None

        def act(entry: ItemChange) -> None:
            before = [e for e in _history(entry.before) if isinstance(e, Reviewed)]
            if any(e.index == position for e in before):
                return
            entry.then(event, seen)
            decides = review.judgement in (Judgement.FIT, Judgement.UNFIT)
            if entry.item.sampled and decides and all(e.by != event.by for e in before):
                try:
                    entry.then(_answer(event), seen)
                except Conflict as error:
                    get_logger().info("sample_not_answered", item=review.item, reason=error.reason)

        try:
            await self.amend(review.item, act)
        except NotFound:
            get_logger().warning("review_without_item", item=review.item)

    async def _place(self, arrival: Arrival) -> None:
        def act(entry: ItemChange) -> None:
            # A receipt that was said again at a better place keeps the place of its birth in its history.
            if entry.item.index == -1:
                entry.then(arrival.placed(self._clock()))

        try:
            await self.amend(arrival.id, act)
        except HallmarkError as error:
            get_logger().error("item_not_placed", item=arrival.id, reason=error.reason)
            raise


def _history(loaded: LoadedItem) -> list[ev.AnyEvent]:
    return recall_events(loaded.chain, loaded.chain[-1].id)


def _answer(event: Reviewed) -> SampleAnswered:
    agrees = event.judgement == Judgement.FIT
    return SampleAnswered(event.at, event.by, agrees, event.reason, event.screen)
