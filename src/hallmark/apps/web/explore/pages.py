"""What explorer pages show beyond the explorer's own views: its front page, and how an export is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.core.marks import Question, State
from hallmark.core.shown import ShownMark
from hallmark.services.explorer.views import CheckpointRow, ReceiptRow
from hallmark.services.review.views import DeskView
from hallmark.verification.dossier import Dossier

OPEN: Final = frozenset(("CLEAR", "FINAL"))
HOLD: Final = "HOLD"
SHOWN: Final = 100_000
"""Characters of a document that a page shows; the file has all."""


class ExploreHome(msgspec.Struct, frozen=True):
    """The front page. `entries` counts log entries by kind; the log is read up to `size`."""

    now: int
    size: int
    cosigned: int
    cosigned_at: int
    backlog: int
    entries: dict[str, int]
    receipts: tuple[ReceiptRow, ...]
    checkpoints: tuple[CheckpointRow, ...]


class Exact(msgspec.Struct, frozen=True):
    """A document of a dossier, letter by letter; `cut` when it is longer than a page shows."""

    name: str
    text: str
    cut: bool


def marks_hold(marks: Iterable[ShownMark]) -> bool:
    """Whether the marks alone hold an export: `proved` is below witnessed, or any mark is negative."""
    known = {mark.question: State(mark.state) for mark in marks}
    if any(state.is_negative for state in known.values()):
        return True
    return not known.get(Question.PROVED.value, State.ABSENT).reaches(State.WITNESSED)


async def export_state(desk: DeskView, receipt: str, marks: Iterable[ShownMark]) -> str:
    """The word that every export control of a receipt bears: HOLD, REJECTED, or "" for none.

    The marks can hold an export, and so can the desk. An item that the desk does not know, or a desk that
    does not answer, holds: unknown is never a pass.
    """
    if marks_hold(marks):
        return HOLD
    try:
        state = (await desk.item(receipt, None)).row.state
    except HallmarkError:
        return HOLD
    return "" if state in OPEN else state


def exact_documents(data: bytes) -> tuple[Exact, ...]:
    """The documents that a dossier's receipt commits to, in the order of the format; none when unreadable."""
    try:
        documents = Dossier.parse(data).documents
    except HallmarkError:
        return ()
    found: list[Exact] = []
    for name in documents.__struct_fields__:
        value = getattr(documents, name)
        texts = value if isinstance(value, tuple) else (value,)
        found += [_exact(name, text, number, len(texts)) for number, text in enumerate(texts, 1) if text]
    return tuple(found)


def _exact(name: str, text: str, number: int, of: int) -> Exact:
    return Exact(name if of == 1 else f"{name} {number}", text[:SHOWN], len(text) > SHOWN)
