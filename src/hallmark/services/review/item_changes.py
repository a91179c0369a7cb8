"""An item on its way between the disk and the fold: reading it back, and what an act on it changes on disk.

State is the fold of the events; the row beside them is made here from the fold, and from nothing else but
what the evaluator plans (`wake`) and what figures count.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import VerificationFailed
from hallmark.core.policy import Outcome
from hallmark.core.shown import ShownMark
from hallmark.review import events as ev
from hallmark.review.history import FIRST, recall, recall_events, records
from hallmark.review.history import Record as Link
from hallmark.review.items import Item, ItemState, apply, born
from hallmark.review.screens import Screen
from hallmark.services.review import notices
from hallmark.services.review.rows import (
    NEVER,
    Change,
    CommentRow,
    DecisionRow,
    EventRow,
    Notice,
    Record,
    SubmissionRow,
    value_text,
)

NOT_JUDGED: Final = "item:not_judged_yet"
EVALUATOR: Final = "evaluator"


class LoadedItem(msgspec.Struct, frozen=True):
    """An item as the disk has it: its row, its fold, its chain of records."""

    record: Record
    item: Item
    chain: tuple[Link, ...]


class SeenScreen(msgspec.Struct, frozen=True):
    """What a decision was made on: the exact screen, and the marks of the moment for those who are told."""

    screen: Screen
    marks: tuple[ShownMark, ...]

    @property
    def sentence(self) -> str:
        """The sentence about the whole, as it stood on the screen."""
        return self.screen.sentence


def load(record: Record, rows: Sequence[EventRow]) -> LoadedItem:
    """Fold an item's events, whose chain must end at the row's head. Raises as `history.recall` does.

    `rows` may be read after the row of the item: events are only ever appended, and one for each version, so
    what was appended meanwhile is left out and both are of one moment.
    """
    chain: list[Link] = []
    for row in rows:
        if row.number <= record.version:
            previous = chain[-1].id if chain else FIRST
            chain.append(Link(hex0x(record.id), row.number, previous, read_event(row.data)))
    return LoadedItem(record, recall(chain, hex0x(record.head)), tuple(chain))


def read_event(data: bytes) -> dict[str, Any]:
    """An event as it is kept. Raises VerificationFailed `history_broken` for what is none."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VerificationFailed("history_broken", "An event of the item cannot be read.") from error


def fresh(event: ev.Born, *, position: int, finished: int, now: int) -> LoadedItem:
    """A new item, not on disk yet: version 0 there."""
    item = born(event)
    row = Record(
        unhex(item.id),
        0,
        bytes(32),
        item.state.value,
        "",
        item.klass,
        value_text(item.value),
        event.at,
        NEVER,
        position,
        unhex(item.node),
        item.model,
        unhex(item.artifact) if item.artifact else bytes(32),
        b"",
        b"",
        finished,
        wake=now,
        reasons=NOT_JUDGED,
    )
    return LoadedItem(row, item, tuple(records(item.id, (event,))))


class ItemChange:
    """What one act appends to an item. `then` applies an event (raising as the fold does) and keeps it;
    `change` is what goes to disk, in one transaction.
    """

    def __init__(self, loaded: LoadedItem, network: bytes) -> None:
        self.before, self.item = loaded, loaded.item
        self._network = hex0x(network)
        self.added: list[tuple[ev.AnyEvent, SeenScreen | None]] = []
        self.comment: CommentRow | None = None
        self.submission: SubmissionRow | None = None

    def then(self, event: ev.AnyEvent, seen: SeenScreen | None = None) -> Item:
        """Append an event; one that decides comes with what it was decided on. Raises Conflict or
        InvalidInput as `items.apply` does.
        """
        self.item = apply(self.item, event)
        self.added.append((event, seen))
        return self.item

    def change(self, now: int, marks: tuple[ShownMark, ...], sentence: str, **columns: Any) -> Change:
        """The change. `columns` are those that the fold does not know (wake, tries, position, figures);
        `marks` and `sentence` are what receivers are told.
        """
        before = self.before
        links = records(self.item.id, (event for event, _ in self.added), before.chain[-1])
        added = list(zip(links, self.added, strict=True))
        new = [*(() if before.record.version else before.chain), *links]
        head = (links or before.chain)[-1].id
        if marks:
            same = (
                link.number for link, (_, seen) in added if seen is not None and seen.screen.marks == marks
            )
            columns |= {"marks": msgspec.json.encode(marks), "seen": max(same, default=0)}
        row = msgspec.structs.replace(self._row(), head=unhex(head), **columns)
        return Change(
            before.record.version,
            row,
            tuple(EventRow(link.number, msgspec.json.encode(link.event)) for link in new),
            tuple(
                DecisionRow(link.number, seen.screen.encode())
                for link, (event, seen) in added
                if seen is not None and decided(event) is not None
            ),
            self.comment,
            self.submission,
            self._notices(row, sentence, now),
        )

    def _row(self) -> Record:
        before, item = self.before.record, self.item
        held = item.state is ItemState.HOLD
        reasons = tuple(dict.fromkeys(lack[:80] for lack in item.lacks or (NOT_JUDGED,))) if held else ()
        counted = count(self.before.item, (event for event, _ in self.added))
        return msgspec.structs.replace(
            before,
            version=item.version,
            state=item.state.value,
            reasons="\n".join(reasons),
            missed=item.missed,
            policy=" and ".join(item.policies)[:80],
            klass=item.klass,
            value=value_text(item.value),
            due=item.due or NEVER,
            requester=unhex(item.requester) if item.requester else b"",
            assigned=unhex(item.assigned) if item.assigned else b"",
            sampled=int(item.sampled),
            appealed=int(item.appealed),
            released_until=item.released_until,
            reviews=item.reviews,
            releases=item.releases,
            first_cleared=before.first_cleared or counted.first_cleared,
            overturned=before.overturned + counted.overturned,
        )

    def _notices(self, record: Record, sentence: str, now: int) -> tuple[Notice, ...]:
        happened_now = happened(self.before, self.item, [event for event, _ in self.added])
        tell = functools.partial(_told, self._network, record, sentence, now)
        return tuple(
            Notice(name, functools.partial(tell, name=name, event=event), now) for name, event in happened_now
        )


def _told(
    network: str, record: Record, sentence: str, now: int, *, name: str, event: ev.AnyEvent | None
) -> bytes:
    row = record.shown(now)
    data = notices.Data(
        network,
        sentence,
        row,
        by=getattr(event, "by", ""),
        reason=getattr(event, "reason", "") or (row.reason if name == "item.held" else ""),
        until=getattr(event, "until", 0),
    )
    return notices.told(name, now, data)


class Counted(msgspec.Struct):
    """What an act adds to the figures."""

    first_cleared: int = 0
    overturned: int = 0


def count(before: Item, added: Iterable[ev.AnyEvent]) -> Counted:
    """What these events add to the figures.

    Overturned: an appeal that was upheld, or a sampled CLEAR that a person disagreed with. False holds
    and false
    clears need the marks, see the evaluator.
    """
    found, item = Counted(), before
    for event in added:
        was = item.state
        item = apply(item, event)
        if item.state is ItemState.CLEAR and was is not ItemState.CLEAR and not found.first_cleared:
            found.first_cleared = event.at
        if isinstance(event, ev.AppealAnswered):
            found.overturned += event.upheld
        elif isinstance(event, ev.SampleAnswered):
            found.overturned += not event.agrees
    return found


def decided(event: ev.AnyEvent) -> tuple[str, str] | None:
    """Outcome and decider ("" for the evaluator) of an event that decides something; else None."""
    match event:
        case ev.Evaluated():
            return ("CLEAR" if event.outcome is Outcome.CLEAR else "HOLD"), ""
        case ev.Finalised():
            return "FINAL", ""
        case ev.Reviewed():
            return f"JUDGED {notices.JUDGED.get(event.judgement, 'unknown').upper()}", event.by
        case ev.Rejected():
            return "REJECTED", event.by
        case ev.Released():
            return "RELEASED", event.by
        case ev.AppealAnswered():
            return ("UPHELD" if event.upheld else "DISMISSED"), event.by
        case ev.SampleAnswered():
            return ("AGREED" if event.agrees else "DISAGREED"), event.by
    return None


def happened(
    before: LoadedItem, after: Item, added: Sequence[ev.AnyEvent]
) -> Iterable[tuple[str, ev.AnyEvent | None]]:
    """Names of what receivers are told, each with the event that says more; state changes last."""
    for event in added:
        match event:
            case ev.Reviewed():
                yield "item.reviewed", event
            case ev.Appealed():
                yield "item.appealed", event
            case ev.Released():
                yield "item.released", event
    was = before.item.state if before.record.version else None
    if after.state is was:
        return
    rejected = next((event for event in added if isinstance(event, ev.Rejected)), None)
    yield STATE_EVENTS[after.state], rejected


STATE_EVENTS: Final = {
    ItemState.HOLD: "item.held",
    ItemState.CLEAR: "item.cleared",
    ItemState.FINAL: "item.final",
    ItemState.REJECTED: "item.rejected",
}


class Decision(msgspec.Struct, frozen=True):
    """A decision as people read it. `screen` are the bytes that are kept, `digest` the digest that the
    decision carries; `record` is the digest of the record that holds it in the item's chain, `previous` of
    the record before; 32 bytes each.
    """

    number: int
    at: int
    outcome: str
    by: str
    policy: str
    sentence: str
    screen: bytes
    digest: bytes
    previous: bytes
    record: bytes


def decisions(loaded: LoadedItem, rows: Iterable[DecisionRow]) -> tuple[Decision, ...]:
    """What an item's history decided, oldest first, each with the screen that is kept of it. Raises
    InvalidInput `bad_document` for what is no screen.
    """
    screens = {row.number: row.screen for row in rows}
    events = recall_events(loaded.chain, loaded.chain[-1].id)
    found = []
    for link, event in zip(loaded.chain, events, strict=True):
        told = decided(event)
        if told is not None and link.number in screens:
            kept = screens[link.number]
            screen = Screen.decode(kept)
            digest = getattr(event, "screen", "")
            found.append(
                Decision(
                    link.number,
                    event.at,
                    told[0],
                    told[1] or EVALUATOR,
                    " and ".join(screen.policies)[:80],
                    screen.sentence[:400],
                    kept,
                    unhex(digest) if digest else screen.digest(),
                    unhex(link.previous),
                    unhex(link.id),
                )
            )
    return tuple(found)
