"""What the desk shows: the queue, an item, a screen as it was, figures. See `views.DeskView`."""

from __future__ import annotations

import datetime
from typing import Final

import msgspec
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput, NotFound, VerificationFailed
from hallmark.core.evidence import Assurance
from hallmark.core.marks import Question
from hallmark.review.decisions import LackRow
from hallmark.review.screens import Screen, for_person, told_answer, verify_screen
from hallmark.review.wording import THEN, about, explain
from hallmark.services.explorer.receipt_story import ReceiptContext, inputs, lineage, route
from hallmark.services.explorer.shared_views import RouteView
from hallmark.services.review.context import DeskContext, DeskPart, item_id
from hallmark.services.review.evaluator import NOT_SHOWN
from hallmark.services.review.facts import shown_facts
from hallmark.services.review.history_view import appeals_of, decisions_of, reviews_of, timeline_of
from hallmark.services.review.item_changes import Decision, LoadedItem, decisions
from hallmark.services.review.item_repository import ITEMS_ARE
from hallmark.services.review.people import may_not_review
from hallmark.services.review.queue import Filter, page_query, parse
from hallmark.services.review.rows import Record
from hallmark.services.review.schema import VIEWS
from hallmark.services.review.views import (
    AsSeen,
    Count,
    ItemPage,
    ItemRow,
    Lack,
    Person,
    QueuePage,
    SavedView,
)

FEW: Final = 5
SIMULATED: Final = Assurance.SIMULATED.value
TERMS: Final = " (asks for "
HELD: Final = "held under "
NO_ROUTE: Final = RouteView(False, "", (), (), ())
NO_INPUTS: Final = "The log does not show this receipt at the moment."
SCREENS_KEPT: Final = 4_096


class ItemViews(DeskPart):
    """Pages of the desk."""

    def __init__(self, office: DeskContext) -> None:
        super().__init__(office)
        self._screens: dict[str, Screen] = {}

    async def queue(self, query: str, cursor: str, limit: int, person: Person | None = None) -> QueuePage:
        """Items under a filter. Raises InvalidInput `bad_query`."""
        found, now = parse(query), self._office.clock()
        page = await self._office.queue.page(found, cursor, limit, now)
        facets = await self._office.queue.facets()
        return QueuePage(
            now,
            found.text,
            tuple(self._shown(record, now) for record in page.rows),
            page.total,
            page.next,
            tuple(Count(count.name, count.count, about(count.name)) for count in facets.reasons),
            facets.states,
            facets.classes,
            await self._views(person),
            page.at_least,
        )

    async def item(self, receipt: str, person: Person | None) -> ItemPage:
        """One item, as this person may see it. The screen's digest is kept: a review may be signed
        from it.
        """
        office = self._office
        item, now = item_id(receipt), office.clock()
        loaded = await office.items.load(item)
        judged = office.evaluator.judge(loaded.item, now, in_full=True)
        if judged is not None and judged.events:
            # The disk does not say yet what is found now: it does before anything is shown.
            await office.evaluator.look_at(item)
            loaded = await office.items.load(item)
            judged = office.evaluator.judge(loaded.item, now, in_full=True)
        look = office.evaluator.source.look(item, now)
        told = look.told if look is not None else None
        row = self._shown(loaded.record, now)
        if judged is not None:
            row = msgspec.structs.replace(row, marks=judged.screen.marks)
        screens = await self._keep(judged.screen) if judged is not None else None
        screen, opened = screens if screens is not None else (None, None)
        parts = await self._history(loaded, told, person)
        alike, by_node = await self._others(loaded.record, now)
        why_not = may_not_review(loaded.item, person, row.index) if person is not None else NOT_SIGNED_IN
        return msgspec.structs.replace(
            parts,
            now=now,
            row=row,
            sentence=dated(judged.sentence, now) if judged is not None else NOT_SHOWN,
            screen=screen.id if screen is not None else "",
            screen_open=opened.id if opened is not None else "",
            policy_digest=_policy(screen),
            lacks=tuple(_lack(lack, row) for lack in judged.lacks) if judged is not None else (),
            alike=alike,
            by_node=by_node,
            may_review=not why_not,
            may_not_because=why_not,
        )

    async def as_seen(self, receipt: str, number: int) -> AsSeen:
        """The screen of a decision, beside today's marks; number 0 means the newest one."""
        item, now = item_id(receipt), self._office.clock()
        record = await self._office.store.record(item)
        if record is None:
            raise NotFound("unknown_item", "The desk knows no item with this id.", ITEMS_ARE)
        loaded = await self._office.items.load(item)
        found = decisions(loaded, await self._office.store.decisions(record.number))
        chosen = [row for row in found if row.number == number] if number else found[-1:]
        if not chosen:
            raise NotFound("unknown_decision", "The item has no decision with this number.")
        screen, holds = _stored(chosen[0])
        judged = self._office.evaluator.judge(loaded.item, now)
        marks = judged.screen.marks if judged is not None else record.shown(now).marks
        return AsSeen(
            hex0x(item),
            chosen[0].number,
            chosen[0].at,
            chosen[0].by,
            hex0x(chosen[0].digest),
            holds,
            dated(chosen[0].sentence, chosen[0].at),
            screen.marks,
            marks,
            now,
            told_answer(screen.answer),
        )

    async def _history(
        self, loaded: LoadedItem, told: ReceiptContext | None, person: Person | None
    ) -> ItemPage:
        """The page's parts that do not depend on today's judgement."""
        office, watch, item = self._office, self._office.watch, loaded.record.id
        comments = {row.digest: row for row in await office.store.comments(item)}
        decided = decisions(loaded, await office.store.decisions(loaded.record.number))
        inside = person is not None and (person.reviewer or office.people.is_operator(person))
        found, note = inputs(told) if told is not None else ((), NO_INPUTS)
        return ItemPage(
            0,
            loaded.record.shown(0),
            "",
            "",
            "",
            loaded.record.finished,
            (),
            shown_facts(watch, told, loaded.item) if told is not None else (),
            timeline_of(watch, told, loaded, office.people, inside=inside),
            route(watch, told) if told is not None else NO_ROUTE,
            found,
            note,
            lineage(watch, told) if told is not None else (),
            await reviews_of(office, item, comments, inside=inside),
            decisions_of(decided),
            appeals_of(loaded.item),
            (),
            (),
        )

    async def _keep(self, screen: Screen) -> tuple[Screen, Screen]:
        """Remember that a screen was shown, as it is with the answer closed and with it open. One that says
        the same as the last one shown of its item is that one: what people saw does not change because time
        passed.
        """
        known = self._screens.get(screen.item)
        if known is not None and msgspec.structs.replace(screen, at=known.at) == known:
            return for_person(known)
        for shown in for_person(screen):
            await self._office.store.keep_screen(unhex(shown.item), shown.digest(), shown.encode(), shown.at)
        self._screens.pop(screen.item, None)
        self._screens[screen.item] = screen
        while len(self._screens) > SCREENS_KEPT:
            self._screens.pop(next(iter(self._screens)))
        return for_person(screen)

    async def _others(self, record: Record, now: int) -> tuple[tuple[ItemRow, ...], tuple[ItemRow, ...]]:
        """Items that are held for the same reason (or stand where this one stands), and others by
        that node.
        """
        same = ("reason", record.reason) if record.reason else ("state", record.state)
        by_node = ("node", hex0x(record.node))
        return await self._some(record, now, same), await self._some(record, now, by_node)

    async def _some(self, record: Record, now: int, member: tuple[str, str]) -> tuple[ItemRow, ...]:
        query = page_query(Filter((member,), "newest"), "", FEW, now)
        found = await self._office.store.records(query)
        return tuple(self._shown(other, now) for other in found if other.id != record.id)[:FEW]

    def _shown(self, record: Record, now: int) -> ItemRow:
        """The line of an item, and where its label points today if that is another artifact."""
        row = record.shown(now)
        label = self._office.watch.replica.registry.labels.get(row.model)
        current = label.versions[-1][2].artifact if label is not None and label.versions else row.artifact
        if not row.artifact or current == row.artifact:
            return row
        return msgspec.structs.replace(row, points_to=current)

    async def _views(self, person: Person | None) -> tuple[SavedView, ...]:
        """Everybody's, and this person's own."""
        owners = [b"", *([unhex(person.address)] if person is not None else [])]
        query = sa.select(VIEWS).where(VIEWS.c.owner.in_(owners)).order_by(VIEWS.c.name)
        rows = await self._office.store.read(query)
        return tuple(SavedView(r.name, r.query, hex0x(r.owner) if r.owner else "") for r in rows)


NOT_SIGNED_IN: Final = "Nobody is signed in."


def dated(sentence: str, at: int) -> str:
    """A sentence about the whole with the time at which it held (unix ms), e.g. `meets witnessed, checked
    12:03:22 UTC (asks for ran, model)`. The kept screen has it without: it says the same a second later.
    """
    moment = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%H:%M:%S")
    if sentence.startswith(HELD):
        return f"{sentence}, checked {moment} UTC"
    return sentence.replace(TERMS, f", checked {moment} UTC{TERMS}")


def _policy(screen: Screen | None) -> str:
    """The digest that a review from this screen carries: the first policy that the item is under."""
    return screen.digests[0] if screen is not None and screen.digests else "0x" + "00" * 32


def _lack(lack: LackRow, row: ItemRow) -> Lack:
    marks = {mark.question: mark for mark in row.marks}
    ran = marks[Question.RAN.value]
    asserted = "asserted_by" in marks[Question.MODEL.value].detail
    words = explain(lack, asserted=asserted, enclave=ran.assurance != Assurance.NONE.value)
    sentence = words.sentence
    if lack.question == ran.question and ran.assurance == SIMULATED and SIMULATED not in sentence:
        sentence += " Its hardware is simulated."
    return Lack(
        lack.question,
        lack.required,
        lack.state,
        lack.reason,
        sentence,
        words.who,
        words.next,
        row.due,
        THEN,
        lack.failed,
    )


def _stored(row: Decision) -> tuple[Screen, bool]:
    """The screen of a decision, and whether it still has the digest that the decision carries."""
    try:
        return verify_screen(row.screen, hex0x(row.digest)), True
    except (VerificationFailed, InvalidInput):
        return Screen.decode(row.screen), False
