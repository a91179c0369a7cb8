"""Which clearing policies apply to an item, and whether a policy can be applied at all."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.marks import LADDER, Question, State

ENFORCE: Final = "enforce"
WARN: Final = "warn"
MILLION: Final = 1_000_000
ASSURANCES: Final = ("hardware", "simulated", "none")
_QUESTIONS: Final = {question.value for question in Question}
_MINIMUM: Final = {state.value for state in LADDER if state is not State.ABSENT}


def unsound(policy: ClearingPolicy) -> tuple[str, ...]:
    """Why a policy cannot be applied, as plain sentences; nothing when it can.

    A policy that names what there is not, asks twice, asks for nothing (`absent`) or both asks for and waives
    a question is not guessed at: in force, it holds every item that it applies to.
    """
    asked = [need.question for need in policy.requires]
    found = [f"It asks for {name!r}, which is no question." for name in asked if name not in _QUESTIONS]
    found += [
        f"It waives {name!r}, which is no question." for name in policy.not_required if name not in _QUESTIONS
    ]
    found += [f"It asks for {name} twice." for name in sorted({n for n in asked if asked.count(n) > 1})]
    found += [f"It asks for {name} and waives it." for name in sorted({*asked} & {*policy.not_required})]
    if policy.enforcement not in (ENFORCE, WARN):
        found.append(f"Its enforcement {policy.enforcement!r} is neither {ENFORCE!r} nor {WARN!r}.")
    if (
        min(policy.min_value, policy.sla, policy.dispute_window, policy.resample) < 0
        or policy.resample > MILLION
    ):
        found.append("A number of it is out of range.")
    return (*found, *(sentence for need in policy.requires for sentence in _unsound(need)))


def _unsound(need: Requirement) -> Iterable[str]:
    if need.state not in _MINIMUM:
        yield f"The least state of {need.question} is {need.state!r}, which is no step above absent."
    if min(need.max_age, need.count) < 0:
        yield f"A number asked of {need.question} is out of range."
    if need.count and need.question != Question.REVIEWED:
        yield f"It counts reviewers of {need.question}; only the mark reviewed has them."
    if need.question == Question.RAN and not {*need.assurance} <= {*ASSURANCES, ""}:
        yield "It allows an assurance that there is not."


def applicable(
    classes: Sequence[str], value: int, policies: Iterable[ClearingPolicy]
) -> tuple[ClearingPolicy, ...]:
    """The policies that an item of these classes and this value is under, in the order given.

    1. For each class, a policy applies when it names that class or names none, and its `min_value` is not
       above the item's value.
    2. One that applies gives way to another that is at least as specific (names the class, or neither does)
       and whose `min_value` is at least as high, when one of the two is strictly so. Several that do not give
       way to each other must all be met. So a class's own policy never switches off a stricter one for high
       values.
    3. Every class that was ever declared counts, so declaring another can only add. A class that is named and
       has no policy is in `uncovered`.
    """
    known = tuple(policies)
    chosen: list[ClearingPolicy] = []
    for klass in classes:
        chosen += _for_class(klass, value, known)
    return tuple(policy for policy in known if policy in chosen)


def uncovered(classes: Sequence[str], value: int, policies: Iterable[ClearingPolicy]) -> tuple[str, ...]:
    """The classes that no policy covers; the nameless class counts only while there is no other."""
    known = tuple(policies)
    named = [klass for klass in classes if klass] or [""]
    return tuple(klass for klass in named if not _for_class(klass, value, known))


def _for_class(klass: str, value: int, known: Sequence[ClearingPolicy]) -> list[ClearingPolicy]:
    fitting = [p for p in known if p.min_value <= value and (not p.classes or (klass and klass in p.classes))]
    return [p for p in fitting if not any(_displaces(other, p) for other in fitting)]


def _displaces(other: ClearingPolicy, policy: ClearingPolicy) -> bool:
    more = (bool(other.classes), other.min_value)
    less = (bool(policy.classes), policy.min_value)
    return more != less and more[0] >= less[0] and more[1] >= less[1]


def loosened(policies: Sequence[ClearingPolicy]) -> tuple[str, ...]:
    """Where a policy for a higher value asks less than the one that it displaces; plain sentences.

    Not an error, because the authority may mean it; but raising a value would then let an item go.
    """
    sound = [policy for policy in policies if not unsound(policy)]
    return tuple(
        f"{high.name}, from value {high.min_value} on, asks less than {low.name} below it."
        for high, low in itertools.permutations(sound, 2)
        if (high.classes, high.enforcement) == (low.classes, low.enforcement)
        and high.min_value > low.min_value
        and not _asks_as_much(high, low)
    )


def _asks_as_much(high: ClearingPolicy, low: ClearingPolicy) -> bool:
    asked = {need.question: need for need in high.requires}
    return all(need.question in asked and _at_least(asked[need.question], need) for need in low.requires)


def _at_least(high: Requirement, low: Requirement) -> bool:
    verifiers = not low.verifiers or (bool(high.verifiers) and {*high.verifiers} <= {*low.verifiers})
    age = not low.max_age or 0 < high.max_age <= low.max_age
    assurance = {*high.assurance} <= {*low.assurance}
    state = State(high.state).rank >= State(low.state).rank
    return verifiers and age and assurance and state and high.count >= low.count
