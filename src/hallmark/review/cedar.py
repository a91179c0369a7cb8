"""The same decision by Cedar (https://docs.cedarpolicy.com), for those who keep their policies there.

A clearing policy becomes a Cedar policy set of one `permit` and many `forbid`s:

- `permit` holds when every requirement holds and no mark is negative. Without it Cedar denies by default.
- Each `forbid` names one shortfall in its `@id`, `<list>:<question>:<reason>`; Cedar tells which of them
  matched, and that is what is missing and what failed. Forbid wins over permit.

Marks become the attributes of one `Hallmark::Item` entity; nothing of a mark is ever part of the policy text.
Optional: `pip install hallmark[cedar]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.marks import Mark, Question, State
from hallmark.core.policy import Decision, Outcome, Shortfall, asked_of
from hallmark.review.policies import unsound

PRINCIPAL: Final = 'Hallmark::Evaluator::"gate"'
ACTION: Final = 'Hallmark::Action::"clear"'
ITEM: Final = 'Hallmark::Item::"item"'
# The order in which the evaluator looks, so that the first reason is the one that is told.
REASONS: Final = (
    "state_too_low",
    "verifier_not_allowed",
    "too_few_reviewers",
    "assurance_not_allowed",
    "mark_too_old",
    "question_not_in_policy",
)
SCHEMA: Final = """namespace Hallmark {
  type Mark = {
    rank: Long, negative: Bool, by: String, assurance: String, since: Long, reviewers: Long
  };
  entity Evaluator;
  entity Item = {
    ran: Mark, model: Mark, route: Mark, inputs: Mark, paid: Mark, proved: Mark, reviewed: Mark
  };
  action clear appliesTo { principal: [Evaluator], resource: [Item], context: { now: Long } };
}
"""


def translate(policy: ClearingPolicy) -> str:
    """The Cedar policy set of a clearing policy. Raises InvalidInput `bad_policy` for an unsound one."""
    faults = unsound(policy)
    if faults:
        raise InvalidInput("bad_policy", f"The policy {policy.name} cannot be applied.", " ".join(faults))
    required = {need.question: need for need in policy.requires}
    holds, parts = [], []
    for question in Question:
        mark, need = f"resource.{question.value}", required.get(question.value)
        holds.append(f"!{mark}.negative")
        parts.append(_forbid(f"failed:{question.value}:negative", f"{mark}.negative"))
        shortfalls = list(_conditions(question, need)) if need else []
        if need is None and question.value not in policy.not_required:
            shortfalls = [("question_not_in_policy", "true", "false")]
        for reason, lacks, has in shortfalls:
            holds.append(has)
            parts.append(_forbid(f"missing:{question.value}:{reason}", f"!{mark}.negative && {lacks}"))
    permit = f'@id("permit")\npermit ({_scope()})\nwhen {{ {_all(holds)} }};\n'
    return "\n".join([permit, *parts])


def entities(marks: Mapping[Question, Mark]) -> str:
    """The marks as Cedar's JSON of one entity."""
    attributes = {question.value: _attributes(marks[question]) for question in Question}
    uid = {"type": "Hallmark::Item", "id": "item"}
    return json.dumps([{"uid": uid, "attrs": attributes, "parents": []}])


def evaluate_with_cedar(policy: ClearingPolicy, marks: Mapping[Question, Mark], now: int) -> Decision:
    """What `hallmark.core.policy.evaluate` says, decided by Cedar. `now` is unix ms.

    Raises Unavailable `cedar_not_installed`, `cedar_failed` (Cedar reported an error, so nothing it says is
    taken); InvalidInput `bad_policy`.
    """
    cedar = _cedar()
    request = {"principal": PRINCIPAL, "action": ACTION, "resource": ITEM, "context": {"now": now}}
    result = cedar.is_authorized(request, translate(policy), entities(marks), SCHEMA)
    if result.diagnostics.errors:
        raise Unavailable("cedar_failed", "Cedar could not evaluate the policy.", "; ".join(_errors(result)))
    named = result.diagnostics.id_annotations_by_reason
    matched = {str(named.get(reason, reason)) for reason in result.diagnostics.reasons}
    missing, failed = _shortfalls(policy, marks, matched)
    outcome = Outcome.CLEAR if result.allowed else Outcome.HOLD
    if (matched == {"permit"}) != result.allowed or result.allowed == bool(missing or failed):
        raise Unavailable("cedar_failed", "Cedar's decision and its reasons do not agree.")
    return Decision(outcome, policy.name, now, missing, failed, dict(marks), asked_of(policy))


def _conditions(question: Question, need: Requirement) -> Iterator[tuple[str, str, str]]:
    """For each thing asked: the reason when it lacks, Cedar's condition for that, and for the contrary."""
    mark = f"resource.{question.value}"
    least = State(need.state).rank
    yield "state_too_low", f"{mark}.rank < {least}", f"{mark}.rank >= {least}"
    if need.verifiers:
        allowed = f"{_set(need.verifiers)}.contains({mark}.by)"
        yield "verifier_not_allowed", f"!{allowed}", allowed
    if need.count:
        yield "too_few_reviewers", f"{mark}.reviewers < {need.count}", f"{mark}.reviewers >= {need.count}"
    if question is Question.RAN:
        allowed = f"{_set(need.assurance)}.contains({mark}.assurance)" if need.assurance else "false"
        yield "assurance_not_allowed", f"!{allowed}", allowed
    if need.max_age:
        ends = f"{mark}.since + {need.max_age}"
        yield "mark_too_old", f"{ends} < context.now", f"{ends} >= context.now"


def _shortfalls(
    policy: ClearingPolicy, marks: Mapping[Question, Mark], matched: set[str]
) -> tuple[tuple[Shortfall, ...], tuple[Shortfall, ...]]:
    required = {need.question: need.state for need in policy.requires}
    missing, failed = [], []
    for question in Question:
        mark = marks[question]
        reason = next((r for r in REASONS if f"missing:{question.value}:{r}" in matched), "")
        if f"failed:{question.value}:negative" in matched:
            failed.append(Shortfall(question, required.get(question.value, ""), mark.state, mark.reason))
        elif reason:
            missing.append(Shortfall(question, required.get(question.value, "named"), mark.state, reason))
    return tuple(missing), tuple(failed)


def _attributes(mark: Mark) -> dict[str, object]:
    return {
        "rank": mark.state.rank,
        "negative": mark.state.is_negative,
        "by": mark.by,
        "assurance": mark.assurance,
        "since": mark.since,
        # Cedar has no size of a set, so distinct reviewers are counted before.
        "reviewers": len(set(mark.detail.get("reviewers", "").split())),
    }


def _forbid(name: str, condition: str) -> str:
    return f"@id({_string(name)})\nforbid ({_scope()})\nwhen {{ {condition} }};\n"


def _scope() -> str:
    return f"principal == {PRINCIPAL}, action == {ACTION}, resource is Hallmark::Item"


def _all(conditions: list[str]) -> str:
    return " && ".join(f"({condition})" for condition in conditions)


def _set(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_string, values)) + "]"


def _string(text: str) -> str:
    """A Cedar string literal: everything but plain ASCII letters, digits and a few signs is escaped."""
    plain = "".join(
        c if c.isascii() and (c.isalnum() or c in " _-.:/@") else f"\\u{{{ord(c):x}}}" for c in text
    )
    return f'"{plain}"'


def _cedar() -> ModuleType:
    try:
        import cedarpy
    except ImportError as error:
        raise Unavailable(
            "cedar_not_installed", "Cedar is not installed here.", "pip install hallmark[cedar]"
        ) from error
    return cedarpy


def _errors(result: Any) -> list[str]:
    return [str(error) for error in result.diagnostics.errors]
