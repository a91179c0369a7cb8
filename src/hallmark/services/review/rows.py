"""Rows of the desk's tables as structs; see `schema` for the columns. Times are unix ms."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.marks import derive_marks
from hallmark.core.shown import ShownMark, shown
from hallmark.services.review.schema import VALUE_DIGITS
from hallmark.services.review.views import ItemRow

NEVER = 2**62
"""The due time of an item that nobody promised to decide: it sorts behind all others."""
MAX_VALUE = 10**VALUE_DIGITS - 1
NO_MARKS = shown(derive_marks(()))
"""What is shown of an item that nobody has looked at yet: seven times nothing."""
_MARKS = msgspec.json.Decoder(tuple[ShownMark, ...])


class Record(msgspec.Struct, frozen=True):
    """An item as queue queries see it. `number` is its name in the database, 0 while it is not there; `seen`
    the decision whose screen has the same `marks` (JSON), 0 where none has.
    """

    id: bytes
    version: int
    head: bytes
    state: str
    policy: str
    klass: str
    value: str
    born: int
    due: int
    position: int
    node: bytes
    model: str
    artifact: bytes
    requester: bytes
    assigned: bytes
    finished: int
    sampled: int = 0
    appealed: int = 0
    released_until: int = 0
    wake: int | None = None
    roused: int = 0
    tries: int = 0
    first_cleared: int = 0
    reviews: int = 0
    releases: int = 0
    overturned: int = 0
    false_holds: int = 0
    false_clears: int = 0
    marks: bytes = b""
    reasons: str = ""
    missed: int = 0
    seen: int = 0
    number: int = 0

    @property
    def reason(self) -> str:
        """The first of the reasons that hold it, "" where none does."""
        return self.reasons.partition("\n")[0]

    @property
    def held_for(self) -> tuple[str, ...]:
        """Every reason that holds it, as `<question>:<code>`; nothing unless it is in HOLD."""
        return tuple(self.reasons.splitlines())

    def shown(self, now: int) -> ItemRow:
        """The line of the queue at `now`, with the marks of the evaluator's last look."""
        due = 0 if self.due == NEVER else self.due
        return ItemRow(
            hex0x(self.id),
            self.state,
            self.reason,
            self.policy,
            self.klass,
            int(self.value),
            self.born,
            due,
            self.state == "HOLD" and 0 < due <= now,
            self.position,
            hex0x(self.node),
            self.model,
            hex0x(self.artifact) if any(self.artifact) else "",
            hex0x(self.requester) if self.requester else "",
            hex0x(self.assigned) if self.assigned else "",
            read_marks(self.marks) if self.marks else NO_MARKS,
            bool(self.sampled),
            bool(self.appealed),
            self.released_until if self.released_until > now else 0,
            reasons=self.held_for,
            missed=self.missed or (due if self.state == "HOLD" and 0 < due <= now else 0),
        )


def read_marks(data: bytes) -> tuple[ShownMark, ...]:
    """Marks as the column holds them."""
    return _MARKS.decode(data)


def value_text(value: int) -> str:
    """A value as the column holds it: digits that sort."""
    return str(min(max(value, 0), MAX_VALUE)).rjust(VALUE_DIGITS, "0")


class EventRow(msgspec.Struct, frozen=True):
    """One event: its number (from 1) and its JSON form, as it stands in its record."""

    number: int
    data: bytes


class DecisionRow(msgspec.Struct, frozen=True):
    """What is kept of a decision beside its event: the event's number and the exact screen."""

    number: int
    screen: bytes


class CommentRow(msgspec.Struct, frozen=True):
    """Texts of one act. `digest` is what the log holds of them (for a remark: of the same form, in no
    log).
    """

    item: bytes
    digest: bytes
    at: int
    by: bytes
    salt: bytes
    comment: str
    internal: str


class SubmissionRow(msgspec.Struct, frozen=True):
    """A signed review on its way into the log: `position` when it is there, `refused` why it never will
    be.
    """

    id: bytes
    item: bytes
    reviewer: bytes
    entry: bytes
    at: int
    position: int | None = None
    refused: str = ""


class Notice(msgspec.Struct, frozen=True):
    """What receivers are told: the event's name, what makes the body, and when. Where nobody is to be told no
    body is made.
    """

    event: str
    body: Callable[[], bytes]
    at: int


class Change(msgspec.Struct, frozen=True):
    """Everything that one act changes, in one transaction. `version` is the item's number of events
    before it,
    0 for a new item; the change is dropped whole when the item has moved on meanwhile.
    """

    version: int
    record: Record
    events: tuple[EventRow, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()
    comment: CommentRow | None = None
    submission: SubmissionRow | None = None
    notices: tuple[Notice, ...] = ()
