"""The gate: may this item go? Pure, the one place that says CLEAR about an item, and the only maker of the
events that let one out.

`judge` discharges these obligations in this order:

1. The marks are all seven; a review by somebody who asked for the answer or made it does not count.
2. A negative mark holds the item, whatever any policy says.
3. Nobody's appeal or disagreement is open or stands upheld.
4. The item is under at least one enforced policy, for each class that was declared.
5. Every policy that it is under can be applied, and every requirement of each holds at `now`; eyes are
   counted only where it is known whose do not count.
6. CLEAR only if none of these found anything. Policies in warn mode are evaluated and told, and gate nothing.

FINAL is kept unless a mark is failed, revoked or disputed: mere age undoes nothing after the dispute window.
A person can add a review, which is one more mark; nothing that a person does sets CLEAR.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import ClearingPolicy
from hallmark.core.marks import Question
from hallmark.core.policy import Decision, Outcome
from hallmark.review.counted_marks import as_judged, waived
from hallmark.review.decisions import GateDocument, LackRow
from hallmark.review.events import _SEAL, AnyEvent, Evaluated, Finalised, ReleaseEnded, Sampled
from hallmark.review.gate_input import GateInput, Marks, can_be_applied, due, lacks_of, negative, window
from hallmark.review.items import Item, ItemState, apply
from hallmark.review.policies import WARN, applicable, uncovered
from hallmark.review.sampling import drawn
from hallmark.review.screens import Screen, facts_of, marks_of
from hallmark.review.wording import about


class Judged(msgspec.Struct, frozen=True):
    """What the gate says of an item at `at`. `outcome` is about the item; a `decision` is about one policy.

    `decision` is the one that tells most (of the first policy that is not met, else of the first);
    `decisions` are those of all enforced `policies`, `warnings` those of policies in warn mode. `lacks` is
    what holds it, what speaks against the answer first. `marks` are the seven to show: as they were judged,
    waived ones as not required. `screen` says all that in one document. `events` are to be appended, in this
    order, and `after` is the item with them. `due` is when it should be decided. `again` is when time alone
    may change the outcome. Both are unix ms, 0: never.
    """

    at: int
    outcome: Outcome
    decision: Decision
    decisions: tuple[Decision, ...]
    warnings: tuple[Decision, ...]
    policy: ClearingPolicy | None
    policies: tuple[ClearingPolicy, ...]
    lacks: tuple[LackRow, ...]
    marks: Marks
    sentence: str
    screen: Screen
    events: tuple[AnyEvent, ...]
    after: Item
    due: int
    again: int


def judge(
    item: Item,
    policies: Sequence[ClearingPolicy],
    marks: Marks,
    now: int,
    *,
    facts: Sequence[tuple[str, str]] = (),
) -> Judged:
    """Decide about `item` at `now` (unix ms) under the `policies` in force, by its `marks`.

    `facts` are the receipt's lines (name, value) that the screen keeps beside the marks. The same arguments
    always give the same answer, and nothing that they say raises.
    """
    enforced = [policy for policy in policies if policy.enforcement != WARN]
    case = GateInput(
        item,
        now,
        as_judged(item, marks),
        applicable(item.classes, item.value, enforced),
        applicable(item.classes, item.value, [policy for policy in policies if policy.enforcement == WARN]),
        uncovered(item.classes, item.value, enforced),
    )
    decisions, warnings = case.decide(case.policies), case.decide(case.warning)
    lacks = lacks_of(case, decisions)
    outcome = Outcome.HOLD if lacks else Outcome.CLEAR
    shown = waived(case.policies, case.marks)
    sentence = _sentence(case, decisions, lacks)
    screen = Screen(
        item.id,
        item.version,
        now,
        _state(case, outcome).value,
        sentence,
        tuple(policy.name for policy in case.policies),
        tuple(map(policy_digest, case.policies)),
        lacks,
        marks_of(shown),
        tuple(warning.sentence() for warning in warnings),
        facts_of(facts),
    )
    events, after = _events(case, screen)
    main = next((n for n, d in enumerate(decisions) if d.outcome is Outcome.HOLD), 0)
    return Judged(
        now,
        outcome,
        decisions[main] if decisions else negative("", case.marks, now),
        decisions,
        warnings,
        case.policies[main] if case.policies else None,
        case.policies,
        lacks,
        shown,
        sentence,
        screen,
        events,
        after,
        due(case),
        _again(case, after),
    )


@functools.lru_cache(maxsize=1024)
def policy_digest(policy: ClearingPolicy) -> str:
    """The digest of a clearing policy, 0x-hex."""
    return hex0x(policy.digest())


def _sentence(case: GateInput, decisions: Sequence[Decision], lacks: Sequence[LackRow]) -> str:
    if case.item.state is ItemState.REJECTED:
        return "rejected by a reviewer"
    if not decisions:
        told = "no policy in force applies to it"
    else:
        # While it is held, what it meets is not said: beside HOLD it would read as if it were let go.
        told = "; ".join(d.sentence() for d in decisions if not lacks or d.outcome is Outcome.HOLD)
    named = {
        short.question.value for decision in decisions for short in (*decision.missing, *decision.failed)
    }
    others = ", ".join(about(lack.code) for lack in lacks if lack.question not in named)
    if others and not told:
        return f"held under {' and '.join(decision.policy for decision in decisions)} by {others}"
    return f"{told}; held by {others}" if others else told


def _state(case: GateInput, outcome: Outcome) -> ItemState:
    """Where the item stands after this judgement."""
    item = case.item
    if item.state is ItemState.REJECTED or outcome is Outcome.HOLD:
        return item.state if item.state is ItemState.REJECTED else ItemState.HOLD
    if item.state is ItemState.FINAL:
        return item.state
    closes = window(case) + (item.cleared_at or case.now)
    return ItemState.FINAL if window(case) and closes <= case.now else ItemState.CLEAR


def _events(case: GateInput, screen: Screen) -> tuple[tuple[AnyEvent, ...], Item]:
    """What is to be appended so that the item says what was found, and the item after it."""
    made: list[AnyEvent] = []
    after = case.item

    def happen(event: AnyEvent) -> None:
        nonlocal after
        made.append(event)
        after = apply(after, event)

    if after.release is not None and case.now >= after.release.until:
        happen(ReleaseEnded(case.now))
    if after.state is ItemState.REJECTED or (after.state is ItemState.FINAL and not screen.lacks):
        return tuple(made), after
    if _is_news(after, screen):
        was_clear = after.state is ItemState.CLEAR
        evaluated = _evaluated(case, after, screen)
        happen(evaluated)
        rate = max((policy.resample for policy in case.policies), default=0)
        newly = after.state is ItemState.CLEAR and not was_clear and not after.sampled
        if newly and drawn(after.id, evaluated.decision, rate):
            happen(Sampled(case.now, evaluated.decision))
    if after.final_at and case.now >= after.final_at:
        happen(Finalised(case.now, after.version, after.decision, screen.id, _SEAL))
    return tuple(made), after


def _is_news(item: Item, screen: Screen) -> bool:
    """Whether the item does not say yet what was found."""
    codes = tuple(lack.code for lack in screen.lacks)
    says_clear = item.state is not ItemState.HOLD
    return (
        not item.decided or says_clear == bool(codes) or (codes, screen.digests) != (item.lacks, item.digests)
    )


def _evaluated(case: GateInput, item: Item, screen: Screen) -> Evaluated:
    outcome = Outcome.HOLD if screen.lacks else Outcome.CLEAR
    screen_id = screen.id
    record = GateDocument(
        item.id,
        item.version,
        case.now,
        outcome.value,
        screen.lacks,
        screen.digests,
        screen_id,
    )
    return Evaluated(
        case.now,
        outcome,
        item.version,
        tuple(lack.code for lack in screen.lacks),
        screen.policies,
        screen.digests,
        hex0x(record.digest()),
        screen_id,
        due(case),
        window(case),
        _SEAL if outcome is Outcome.CLEAR else None,
    )


def _again(case: GateInput, after: Item) -> int:
    """The next moment at which time alone may change something."""
    ends = [
        case.marks[Question(need.question)].since + need.max_age + 1
        for policy in case.policies
        if can_be_applied(policy)
        for need in policy.requires
        if need.max_age and case.marks[Question(need.question)].state.rank > 0
    ]
    final_at = after.final_at if after.state is ItemState.CLEAR else 0
    return min((at for at in (*ends, final_at, after.released_until) if at > case.now), default=0)
