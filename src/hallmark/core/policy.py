"""The evaluator of the gate: does a set of marks meet a policy? Pure, and the only thing that ever says
CLEAR.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import Mark, Question, State

T = TypeVar("T", bound=enum.StrEnum)


class Outcome(enum.StrEnum):
    """Where an item stands."""

    HOLD = "HOLD"
    CLEAR = "CLEAR"


class Shortfall(msgspec.Struct, frozen=True):
    """A mark that does not meet the policy: the question, what is required, what is there, and why that
    is not enough.
    """

    question: Question
    required: str
    state: State
    reason: str


class Decision(msgspec.Struct, frozen=True):
    """CLEAR only when nothing is missing and nothing failed. Carries the marks exactly as they were
    judged.
    """

    outcome: Outcome
    policy: str
    at: int
    missing: tuple[Shortfall, ...]
    failed: tuple[Shortfall, ...]
    marks: Mapping[Question, Mark]
    asked: tuple[Question, ...] = ()
    """The questions that the policy requires; what it waives was not asked for, and never counts as met."""

    @property
    def out_of_reach(self) -> tuple[str, ...]:
        """The switches of the enclave that keep `ran` claimed for good, if the policy asks for more:
        waiting for that does not help. Empty otherwise.
        """
        if not any(s.question is Question.RAN and s.state is State.CLAIMED for s in self.missing):
            return ()
        switches = self.marks[Question.RAN].detail.get("insecure", "")
        return tuple(name for name in switches.split(", ") if name)

    @property
    def is_final(self) -> bool:
        """True when nobody need wait any longer: all that is missing rests on an enclave that is confined
        less than fully, and stays claimed.
        """
        return bool(self.out_of_reach) and all(s.state is State.CLAIMED for s in self.missing)

    def sentence(self) -> str:
        """One sentence that names the policy, what it asks for, and which of it is missing, e.g. `does not
        meet witnessed (asks for ran, proved; still needs proved)`. No count: a waived mark is not a met one.
        """
        verb = "meets" if self.outcome is Outcome.CLEAR else "does not meet"
        return f"{verb} {self.policy} ({self.terms()})"

    def terms(self) -> str:
        """What the policy asks for, and which of it is missing or speaks against the answer, by name."""
        parts = [f"asks for {_named(self.asked) or 'nothing'}"]
        if self.missing:
            parts.append(f"still needs {_named(s.question for s in self.missing)}")
        if self.failed:
            verb = "speaks" if len({s.question for s in self.failed}) == 1 else "speak"
            parts.append(f"{_named(s.question for s in self.failed)} {verb} against it")
        return "; ".join(parts)


def evaluate(policy: ClearingPolicy, marks: Mapping[Question, Mark], now: int) -> Decision:
    """Decide whether an item may be cleared at `now` (unix ms).

    Every required mark must have reached its state, come from an allowed verifier, rest on an allowed
    assurance and be fresh; no mark, required or not, may be negative; every question must be either
    required or waived by name. A question that is required twice has to meet both; nothing absent meets
    anything. Raises InvalidInput `bad_policy` for a question or state that there is not.
    """
    missing: list[Shortfall] = []
    failed: list[Shortfall] = []
    required: dict[Question, list[Requirement]] = {}
    for need in policy.requires:
        question, _ = _known(Question, need.question), _known(State, need.state)
        required.setdefault(question, []).append(need)
    for question in Question:
        mark, needs = marks[question], required.get(question, [])
        short = next(((need, lack) for need in needs if (lack := _shortfall(need, mark, now))), None)
        if mark.state.is_negative:
            failed.append(Shortfall(question, needs[0].state if needs else "", mark.state, mark.reason))
        elif short is not None:
            missing.append(Shortfall(question, short[0].state, mark.state, short[1]))
        elif not needs and question.value not in policy.not_required:
            missing.append(Shortfall(question, "named", mark.state, "question_not_in_policy"))
    outcome = Outcome.HOLD if missing or failed else Outcome.CLEAR
    asked = asked_of(policy)
    return Decision(outcome, policy.name, now, tuple(missing), tuple(failed), dict(marks), asked)


def asked_of(policy: ClearingPolicy) -> tuple[Question, ...]:
    """The questions that a policy requires, in their order."""
    required = {need.question for need in policy.requires}
    return tuple(question for question in Question if question.value in required)


def _named(questions: Iterable[Question]) -> str:
    return ", ".join(dict.fromkeys(question.value for question in questions))


def _known(kind: type[T], name: str) -> T:
    try:
        return kind(name)
    except ValueError as error:
        raise InvalidInput("bad_policy", f"The policy names {name!r}, which there is not.") from error


def waive(policy: ClearingPolicy, marks: Mapping[Question, Mark]) -> dict[Question, Mark]:
    """The marks as `policy` presents them: an absent mark that it does not require reads
    `not_required`, by the policy.
    """
    shown = {}
    for question, mark in marks.items():
        if mark.state is State.ABSENT and question.value in policy.not_required:
            mark = msgspec.structs.replace(mark, state=State.NOT_REQUIRED, by=f"policy {policy.name}")
        shown[question] = mark
    return shown


def _shortfall(need: Requirement, mark: Mark, now: int) -> str:
    if mark.state is State.ABSENT or not mark.state.reaches(State(need.state)):
        return "state_too_low"
    if need.verifiers and mark.by not in need.verifiers:
        return "verifier_not_allowed"
    if need.count and len(set(mark.detail.get("reviewers", "").split())) < need.count:
        return "too_few_reviewers"
    if mark.question is Question.RAN and mark.assurance not in need.assurance:
        return "assurance_not_allowed"
    if need.max_age and mark.since + need.max_age < now:
        return "mark_too_old"
    return ""
