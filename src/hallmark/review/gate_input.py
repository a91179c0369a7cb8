"""An item before the gate: what it is judged by, and everything that holds it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.marks import Mark, Question, State
from hallmark.core.policy import Decision, Outcome, Shortfall, asked_of, evaluate
from hallmark.review.counted_marks import not_counted
from hallmark.review.decisions import LackRow
from hallmark.review.policies import unsound
from hallmark.review.states import Item, ItemState

ITEM: Final = "item"
FAULTS: Final = (State.FAILED.value, State.REVOKED.value, State.DISPUTED.value)
_RANKS: Final = {state.value: state.rank for state in State}
Marks = Mapping[Question, Mark]


class GateInput(msgspec.Struct, frozen=True):
    """An item before the gate: its marks as they are judged and the policies that it is under."""

    item: Item
    now: int
    marks: Marks
    policies: tuple[ClearingPolicy, ...]
    warning: tuple[ClearingPolicy, ...]
    uncovered: tuple[str, ...]

    def decide(self, policies: Sequence[ClearingPolicy]) -> tuple[Decision, ...]:
        """What each of these policies says; HOLD where one cannot be applied."""
        return tuple(_decide(policy, self.marks, self.now) for policy in policies)


@functools.lru_cache(maxsize=1024)
def can_be_applied(policy: ClearingPolicy) -> bool:
    """Whether a policy is sound (see `hallmark.review.policies.unsound`); remembered."""
    return not unsound(policy)


def _decide(policy: ClearingPolicy, marks: Marks, now: int) -> Decision:
    if not can_be_applied(policy):
        return negative(policy.name, marks, now, asked_of(policy))
    return evaluate(policy, marks, now)


def negative(policy: str, marks: Marks, now: int, asked: tuple[Question, ...] = ()) -> Decision:
    """HOLD, by what speaks against the answer and nothing else."""
    failed = [
        Shortfall(q, "", mark.state, mark.reason) for q, mark in marks.items() if mark.state.is_negative
    ]
    return Decision(Outcome.HOLD, policy, now, (), tuple(failed), dict(marks), asked)


def lacks_of(case: GateInput, decisions: Sequence[Decision]) -> tuple[LackRow, ...]:
    """Everything that holds the item: against the answer, about the item, not there yet; each once."""
    if case.item.state is ItemState.REJECTED:
        return (LackRow("", ITEM, "", "", "rejected"),)
    against = list(_against(case, decisions))
    if case.item.state is ItemState.FINAL:
        return tuple(lack for lack in against if lack.state in FAULTS)
    order = list(Question)
    missing = sorted(_missing(case, decisions), key=lambda lack: order.index(Question(lack.question)))
    found: dict[str, LackRow] = {}
    for lack in (*against, *_about_item(case), *missing):
        known = found.get(lack.code)
        if known is None or _rank(lack.required) > _rank(known.required):
            found[lack.code] = lack
    return tuple(found.values())


def _against(case: GateInput, decisions: Sequence[Decision]) -> Iterator[LackRow]:
    for question, mark in case.marks.items():
        if mark.state.is_negative:
            asks = [(d.policy, s.required) for d in decisions for s in d.failed if s.question is question]
            policy, required = next((ask for ask in asks if ask[1]), ("", ""))
            reason = mark.reason or mark.state.value
            yield LackRow(policy, question.value, required, mark.state.value, reason, True)


def _about_item(case: GateInput) -> Iterator[LackRow]:
    if case.uncovered or not case.policies:
        yield LackRow("", ITEM, "", ", ".join(case.uncovered), "no_policy")
    for policy in case.policies:
        if not can_be_applied(policy):
            yield LackRow(policy.name, ITEM, "", "", "policy_unsound")
    for matter in case.item.open_matters:
        yield LackRow("", ITEM, "", "", "appeal_open" if matter.kind == "appeal" else "sample_disagreed")
    if case.item.contested:
        yield LackRow("", ITEM, "", "", "appeal_upheld")


def _missing(case: GateInput, decisions: Sequence[Decision]) -> Iterator[LackRow]:
    for decision in decisions:
        for short in decision.missing:
            yield LackRow(
                decision.policy, short.question.value, short.required, short.state.value, short.reason
            )
    mark = case.marks[Question.REVIEWED]
    for policy in case.policies:
        for need in policy.requires:
            reason = _review_gap(case.item, mark, need) if need.question == Question.REVIEWED else ""
            if reason:
                yield LackRow(policy.name, need.question, need.state, mark.state.value, reason)


def _review_gap(item: Item, mark: Mark, need: Requirement) -> str:
    """What cannot be told about the reviews, and therefore does not count as told."""
    if mark.state.rank > 0 and not mark.detail.get("reviewers"):
        return "too_few_reviewers"
    if need.count and not item.requesters:
        return "requester_unknown"
    # The mark keeps one time, the newest; whose review that was is not in it.
    return "review_age_unknown" if need.max_age and not_counted(mark) else ""


def due(case: GateInput) -> int:
    """When the item should be decided: the shortest promise counts from its birth."""
    promises = [policy.sla for policy in case.policies if policy.sla > 0]
    return case.item.born + min(promises) if promises else 0


def window(case: GateInput) -> int:
    """The dispute window: the longest counts; a policy without one keeps the item from becoming FINAL."""
    windows = [policy.dispute_window for policy in case.policies]
    return max(windows) if windows and min(windows) > 0 else 0


def _rank(required: str) -> int:
    return _RANKS.get(required, -1)
