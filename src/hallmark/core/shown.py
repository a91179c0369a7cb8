"""A mark as surfaces take it over: the same facts with digests as text. No surface adds a word of its own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hallmark.core.marks import Mark, Question


class ShownMark(msgspec.Struct, frozen=True):
    """JSON form of a `Mark`; `evidence` is 0x-hex, `since` unix ms."""

    question: str
    state: str
    since: int
    by: str
    evidence: str
    shows: str
    does_not_show: str
    reason: str = ""
    assurance: str = ""
    detail: dict[str, str] = {}

    @classmethod
    def of(cls, mark: Mark) -> ShownMark:
        """The shown form of a mark."""
        return cls(
            mark.question.value,
            mark.state.value,
            mark.since,
            mark.by,
            "0x" + mark.evidence.hex(),
            mark.shows,
            mark.does_not_show,
            mark.reason,
            mark.assurance,
            dict(mark.detail),
        )


def shown(marks: Mapping[Question, Mark]) -> tuple[ShownMark, ...]:
    """All seven, in their fixed order."""
    return tuple(ShownMark.of(marks[question]) for question in Question)
