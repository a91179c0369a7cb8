"""An item's history as a hash chain of records, so that no decision can be taken out or put in unseen.

    digest = SHA-256("hallmark/record/v1" || 0x00 || exact bytes of the record)

A record names the digest of the one before it (32 zero bytes for the first), so the newest digest stands for
the whole history. Whoever keeps that digest elsewhere (in a webhook, in another log, on paper) can tell
that a history was rewritten; the chain by itself only shows that it is one chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import msgspec

from hallmark.core.document import Document, Hex32, hex0x
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.policy import Outcome
from hallmark.review.events import (
    _SEAL,
    AnyEvent,
    Evaluated,
    Evaluation,
    Finalisation,
    Finalised,
    Written,
)
from hallmark.review.items import Item, fold

FIRST: Final = "0x" + "00" * 32


class Record(Document, frozen=True):
    """One event of an item's history. `item` is the receipt's id, `number` counts from 1, `event` is the
    event's JSON form.
    """

    TAG = "hallmark/record/v1"

    item: Hex32
    number: Annotated[int, msgspec.Meta(ge=1)]
    previous: Hex32
    event: dict[str, Any]

    @property
    def id(self) -> str:
        """The record's digest, 0x-hex."""
        return hex0x(self.digest())


def record(item: str, event: AnyEvent, previous: Record | None = None) -> Record:
    """The record of `event`, behind `previous` (None: it is the first of `item`)."""
    number, before = (1, FIRST) if previous is None else (previous.number + 1, previous.id)
    return Record(item, number, before, msgspec.to_builtins(_written(event)))


def records(item: str, events: Iterable[AnyEvent], previous: Record | None = None) -> list[Record]:
    """The records of several events, each behind the one before it."""
    made: list[Record] = []
    for event in events:
        made.append(record(item, event, made[-1] if made else previous))
    return made


def recall(history: Sequence[Record], head: str) -> Item:
    """The item that a stored history makes.

    1. The records are one chain of one item, numbered from 1, and the newest has the digest `head` (0x-hex).
    2. Each holds an event; what the gate had sealed is sealed again, because the chain is whole.
    3. The item is their fold.

    Raises VerificationFailed `history_broken`, InvalidInput `bad_event`, and what `items.fold` raises.
    """
    return fold(recall_events(history, head))


def recall_events(history: Sequence[Record], head: str) -> list[AnyEvent]:
    """The events of a stored history, examined as `recall` does. Raises as it does."""
    before = FIRST
    for number, each in enumerate(history, start=1):
        if (each.number, each.previous, each.item) != (number, before, history[0].item):
            raise VerificationFailed("history_broken", "The item's history is not one unbroken chain.")
        before = each.id
    if before != head or not history:
        raise VerificationFailed("history_broken", "The item's history is not the one that was kept.")
    return [_event(each.event) for each in history]


def _written(event: AnyEvent) -> Written:
    """The form without the seal, which is no part of what is kept."""
    if not isinstance(event, Evaluated | Finalised):
        return event
    form = Evaluation if isinstance(event, Evaluated) else Finalisation
    return form(**{name: getattr(event, name) for name in form.__struct_fields__})


def _event(plain: dict[str, Any]) -> AnyEvent:
    try:
        event = msgspec.convert(plain, type=Written)
    except msgspec.ValidationError as error:
        raise InvalidInput("bad_event", "A member of the event is missing or out of range.") from error
    kept = {name: getattr(event, name) for name in event.__struct_fields__}
    if isinstance(event, Evaluation):
        return Evaluated(**kept, seal=_SEAL if event.outcome is Outcome.CLEAR else None)
    return Finalised(**kept, seal=_SEAL) if isinstance(event, Finalisation) else event
