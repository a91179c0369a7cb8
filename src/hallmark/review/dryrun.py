"""Trying policies on past items: what would have come out differently, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.documents import ClearingPolicy
from hallmark.core.marks import Mark, Question
from hallmark.core.policy import Outcome
from hallmark.review.gate import Judged, judge, policy_digest
from hallmark.review.items import Item, ItemState
from hallmark.review.policies import ENFORCE

EXAMPLES: Final = 10


class PastItem(msgspec.Struct, frozen=True):
    """An item with its marks as they were at `at` (unix ms), which is when it is judged."""

    item: Item
    marks: Mapping[Question, Mark]
    at: int


class DryRun(msgspec.Struct, frozen=True):
    """What a policy would have done. `judged` counts all items, `covered` those that the policy applies to;
    `held` and `cleared` are of all items under the policies with the candidate, `newly_held` were CLEAR and
    `newly_cleared` HOLD under those in force. `reasons` are the codes that hold what is newly held, most
    frequent first; examples are item ids, oldest first.
    """

    policy: str
    digest: str
    judged: int
    covered: int
    held: int
    cleared: int
    newly_held: int
    newly_cleared: int
    reasons: tuple[tuple[str, int], ...]
    held_examples: tuple[str, ...]
    cleared_examples: tuple[str, ...]
    sentence: str


def with_candidate(
    in_force: Sequence[ClearingPolicy], candidate: ClearingPolicy
) -> tuple[ClearingPolicy, ...]:
    """The policies in force with `candidate` in the place of the one of its name."""
    kept = tuple(policy for policy in in_force if policy.name != candidate.name)
    return (*kept, candidate)


def dry_run(
    past: Iterable[PastItem], candidate: ClearingPolicy, in_force: Sequence[ClearingPolicy]
) -> DryRun:
    """Judge past items under the policies in force, and again with `candidate` among them.

    A candidate that only warns is tried as if it were enforced; that is what one wants to know of it. Every
    item is judged as one in HOLD: neither what the desk decided then nor a break-glass release counts, while
    appeals that are open still hold. Rejected items are left out, because a person ended them.
    """
    tried = msgspec.structs.replace(candidate, enforcement=ENFORCE)
    proposed = with_candidate(in_force, tried)
    held, cleared, reasons = list[str](), list[str](), Counter[str]()
    outcomes, covered = Counter[Outcome](), 0
    for one in past:
        if one.item.state is ItemState.REJECTED:
            continue
        before, after = _judged(one, in_force), _judged(one, proposed)
        outcomes[after.outcome] += 1
        covered += tried in after.policies
        if (before.outcome, after.outcome) == (Outcome.CLEAR, Outcome.HOLD):
            held.append(one.item.id)
            reasons.update(lack.code for lack in after.lacks)
        elif (before.outcome, after.outcome) == (Outcome.HOLD, Outcome.CLEAR):
            cleared.append(one.item.id)
    return DryRun(
        candidate.name,
        policy_digest(candidate),
        outcomes.total(),
        covered,
        outcomes[Outcome.HOLD],
        outcomes[Outcome.CLEAR],
        len(held),
        len(cleared),
        tuple(sorted(reasons.items(), key=lambda found: (-found[1], found[0]))),
        tuple(held[:EXAMPLES]),
        tuple(cleared[:EXAMPLES]),
        f"{candidate.name} would have held {len(held)}, released {len(cleared)}; "
        f"it applies to {covered} of {outcomes.total()} past items",
    )


def _judged(one: PastItem, policies: Sequence[ClearingPolicy]) -> Judged:
    item = msgspec.structs.replace(one.item, state=ItemState.HOLD, cleared_at=0, finalised_at=0, release=None)
    return judge(item, policies, one.marks, one.at)
