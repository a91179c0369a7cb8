"""A mark as surfaces take it over: the same facts with digests as text. No surface adds a word of its own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hallmark.core.marks import Mark, Question, State

# What people read for a state. A payment has words of its own, so that none of them lends it a proof's.
# apps/web/spec/marks.json holds the same for drawings; a test compares them.
STATE_WORDS: Mapping[State, str] = {
    **{state: state.value for state in State},
    State.CHECKED: "checked here",
    State.NOT_REQUIRED: "not required",
}
PAID_WORDS: Mapping[State, str] = {
    State.ABSENT: "no entry",
    State.NOT_REQUIRED: "not asked for",
    State.CLAIMED: "named",
    State.CHECKED: "compared",
    State.WITNESSED: "recorded",
    State.ANCHORED: "booked",
    State.STALE: "lapsed",
    State.DISPUTED: "contested",
    State.REVOKED: "reversed",
    State.FAILED: "does not match",
}


def word(question: Question | str, state: State | str) -> str:
    """The word that people read for a mark's state."""
    return (PAID_WORDS if question == Question.PAID else STATE_WORDS)[State(state)]


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
