"""Screens: exactly what was before somebody's eyes when they decided, or what the evaluator judged.

A screen is a canonical document, so its digest can stand in a signed review and in the desk's chain of
records, and what it showed can be shown again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from hallmark.core.document import Document, Hex32, hex0x, unhex
from hallmark.core.errors import VerificationFailed
from hallmark.core.marks import Mark, Question
from hallmark.core.shown import ShownMark, shown
from hallmark.review.decisions import LackRow

OPEN: Final = "open"
CLOSED: Final = "closed"


class FactRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the receipt in words, as it was shown."""

    name: str
    value: str


class Screen(Document, frozen=True):
    """What was shown of an item at `at` (unix ms): its state, the sentence about the whole, the policies it
    was under by name and digest, what held it, the seven marks with every word of them, the receipt's facts.
    `warnings` are sentences of policies that only warn. `answer` says whether the person had the answer
    itself open (`open`, `closed`), by their own word: its text is never at the desk. It is "" on screens of
    the evaluator, which reads no answer, and where a program did not say.
    """

    TAG = "hallmark/screen/v1"

    item: Hex32
    version: int
    at: int
    state: str
    sentence: str
    policies: tuple[str, ...]
    digests: tuple[Hex32, ...]
    lacks: tuple[LackRow, ...]
    marks: tuple[ShownMark, ...]
    warnings: tuple[str, ...] = ()
    facts: tuple[FactRow, ...] = ()
    answer: Literal["", "open", "closed"] = ""

    @property
    def id(self) -> str:
        """The digest, 0x-hex: SHA-256("hallmark/screen/v1" || 0x00 || bytes)."""
        return hex0x(self.digest())


def for_person(screen: Screen) -> tuple[Screen, Screen]:
    """The two screens that a person may decide on: with the answer closed, and with it open before them."""
    return (
        msgspec.structs.replace(screen, answer=CLOSED),
        msgspec.structs.replace(screen, answer=OPEN),
    )


def told_answer(answer: str) -> str:
    """What a screen's `answer` says, in a sentence; "" where it says nothing."""
    return ANSWERS.get(answer, "")


ANSWERS: Final[Mapping[str, str]] = {
    OPEN: "The answer was open when judged, by the reviewer's own word.",
    CLOSED: "The answer was not open when judged.",
}


def verify_screen(data: bytes, digest: str) -> Screen:
    """Read a stored screen that must have this digest (0x-hex).

    Raises InvalidInput `bad_document` when it is no screen, VerificationFailed `screen_changed` when it is
    another one than was seen.
    """
    screen = Screen.decode(data)
    if screen.digest() != unhex(digest):
        raise VerificationFailed("screen_changed", "The stored screen is not the one that was seen.")
    return screen


def facts_of(lines: Sequence[tuple[str, str]]) -> tuple[FactRow, ...]:
    """Facts from pairs of name and value."""
    return tuple(FactRow(name, value) for name, value in lines)


def marks_of(marks: Mapping[Question, Mark]) -> tuple[ShownMark, ...]:
    """The seven marks as a screen holds them."""
    return shown(marks)
