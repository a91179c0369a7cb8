"""Marks: seven questions, each with a state, and nothing overall.

`derive_marks` is pure: the same facts always give the same marks. Facts are `Finding`s: what a party
established about one question. The verifier that derives the marks is the party "this verifier"; a quorum's
statement is the cosigned checkpoint.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import msgspec


class Question(enum.StrEnum):
    """The seven questions, in the order in which they always stand."""

    RAN = "ran"
    MODEL = "model"
    ROUTE = "route"
    INPUTS = "inputs"
    PAID = "paid"
    PROVED = "proved"
    REVIEWED = "reviewed"


class State(enum.StrEnum):
    """How far a mark is struck. The first five are a ladder; the rest are off it."""

    ABSENT = "absent"
    CLAIMED = "claimed"
    CHECKED = "checked"
    WITNESSED = "witnessed"
    ANCHORED = "anchored"
    NOT_REQUIRED = "not_required"
    STALE = "stale"
    DISPUTED = "disputed"
    REVOKED = "revoked"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """Place on the ladder, 0 to 4; -1 off it."""
        return LADDER.index(self) if self in LADDER else -1

    @property
    def is_negative(self) -> bool:
        """True for the states that speak against an answer."""
        return self in NEGATIVE

    def reaches(self, minimum: State) -> bool:
        """True when this state is on the ladder at or above `minimum`."""
        return self.rank >= 0 and self.rank >= minimum.rank >= 0


LADDER = (State.ABSENT, State.CLAIMED, State.CHECKED, State.WITNESSED, State.ANCHORED)
NEGATIVE = (State.STALE, State.DISPUTED, State.REVOKED, State.FAILED)
# When findings about one question disagree, the worst one stands.
SEVERITY = (State.FAILED, State.REVOKED, State.DISPUTED, State.STALE)


class Finding(msgspec.Struct, frozen=True):
    """What a party established about one question: the state it supports, who, when (unix ms), on which
    evidence (digest).

    `detail` holds identifiers and plain words for people (never content); `reason` is a code when the
    state is negative.
    """

    question: Question
    state: State
    by: str
    at: int
    evidence: bytes = b""
    reason: str = ""
    detail: Mapping[str, str] = {}


class Mark(msgspec.Struct, frozen=True):
    """One struck mark: state, since when (unix ms, 0 when absent), who says so, evidence digest, and
    two plain sentences.
    """

    question: Question
    state: State
    since: int
    by: str
    evidence: bytes
    shows: str
    does_not_show: str
    reason: str = ""
    assurance: str = ""
    detail: Mapping[str, str] = {}

    def to_json(self) -> dict[str, object]:
        """JSON form: names as in the struct, evidence as 0x-hex."""
        return {
            "question": self.question.value,
            "state": self.state.value,
            "since": self.since,
            "by": self.by,
            "evidence": "0x" + self.evidence.hex(),
            "shows": self.shows,
            "does_not_show": self.does_not_show,
            "reason": self.reason,
            "assurance": self.assurance,
            "detail": dict(self.detail),
        }


Marks = Mapping[Question, Mark]

COUNTER: Mapping[Question, str] = {
    Question.RAN: "Does not say that the answer is good.",
    Question.MODEL: "Does not say that the label describes what the artifact can do.",
    Question.ROUTE: "Does not say that the path was private.",
    Question.INPUTS: "Does not say that anything that was kept was validated again.",
    Question.PAID: "Does not say that the answer is good or that anything was proved.",
    Question.PROVED: "Does not say that the answer is right.",
    Question.REVIEWED: "Does not come from any machine check above.",
}

ABSENT_WORDS: Mapping[Question, str] = {
    Question.RAN: "Nothing known here says which code ran this.",
    Question.MODEL: "Nothing known here says which artifact answered.",
    Question.ROUTE: "No record of the path is known here.",
    Question.INPUTS: "No attachment, tool result, outside data or memory row is known here.",
    Question.PAID: "No payment for this request is known here.",
    Question.PROVED: "No full node's check of this receipt is known here.",
    Question.REVIEWED: "No judgement of this answer is known here.",
}

WORDS: Mapping[State, str] = {
    State.CLAIMED: "The node alone says: {what}.",
    State.CHECKED: "Checked here: {what}.",
    State.WITNESSED: "{by} checked: {what}.",
    State.ANCHORED: "{by} checked, and the chain holds the checkpoint: {what}.",
    State.NOT_REQUIRED: "Not required, according to {by}: {what}.",
    State.STALE: "No longer fresh ({reason}): {what}.",
    State.DISPUTED: "Disputed by {by} ({reason}): {what}.",
    State.REVOKED: "Revoked ({reason}): {what}.",
    State.FAILED: "Does not hold ({reason}): {what}.",
}


def derive_marks(findings: Iterable[Finding]) -> dict[Question, Mark]:
    """The seven marks that follow from `findings`, in their fixed order.

    Any negative finding outranks every positive one, the worst first; among positive ones the highest state
    stands, the earliest of equals; what nobody spoke about is absent. That nobody has to pay is the one thing
    that a finding can say to be not required: the offer that it names does.
    """
    by_question: dict[Question, list[Finding]] = {question: [] for question in Question}
    for finding in findings:
        # Only a policy can waive another question, see `hallmark.core.policy.waive`; a finding cannot.
        if finding.state is not State.NOT_REQUIRED or finding.question is Question.PAID:
            by_question[finding.question].append(finding)
    return {question: _mark(question, tuple(found)) for question, found in by_question.items()}


def _mark(question: Question, found: tuple[Finding, ...]) -> Mark:
    if not found:
        return Mark(question, State.ABSENT, 0, "", b"", ABSENT_WORDS[question], COUNTER[question])
    negative = [f for f in found if f.state.is_negative]
    chosen = (
        min(negative, key=lambda f: (SEVERITY.index(f.state), f.at))
        if negative
        else max(found, key=lambda f: (f.state.rank, -f.at))
    )
    detail = {key: value for f in found for key, value in f.detail.items()} | dict(chosen.detail)
    what = detail.get("what", question.value)
    if chosen.state is State.ABSENT:
        shows = f"{detail['what']}." if "what" in detail else ABSENT_WORDS[question]
    else:
        shows = WORDS[chosen.state].format(what=what, by=chosen.by, reason=chosen.reason)
    return Mark(
        question,
        chosen.state,
        chosen.at,
        chosen.by,
        chosen.evidence,
        shows,
        COUNTER[question],
        chosen.reason,
        detail.get("assurance", ""),
        detail,
    )
