"""The marks of an item as its gate counts them: whose review counts, and what a policy waives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.documents import ClearingPolicy
from hallmark.core.marks import Mark, Question, State, derive_marks
from hallmark.review.states import Item

Marks = Mapping[Question, Mark]
NOT_COUNTED: Final = "not_counted"
_ABSENT: Final[Marks] = derive_marks(())


def as_judged(item: Item, marks: Marks) -> dict[Question, Mark]:
    """All seven marks, in order, with the reviews of parties and requesters taken out, and that of who said
    who the requester is.

    A question that `marks` does not answer, or answers with the mark of another one, is absent.
    """
    seen = {}
    for question in Question:
        mark = marks.get(question)
        seen[question] = mark if mark is not None and mark.question is question else _ABSENT[question]
    excluded = {*item.parties, *item.requesters, item.requester_by} - {""}
    seen[Question.REVIEWED] = _without(seen[Question.REVIEWED], excluded)
    return seen


def not_counted(mark: Mark) -> tuple[str, ...]:
    """The reviewers whose review was taken out of a mark by `as_judged`; addresses."""
    return tuple(mark.detail.get(NOT_COUNTED, "").split())


def waived(policies: Sequence[ClearingPolicy], marks: Marks) -> dict[Question, Mark]:
    """The marks as these policies present them: one that is absent reads `not_required` when every one of
    them waives it, by the name of each.
    """
    shown = {}
    names = " and ".join(policy.name for policy in policies)
    for question, mark in marks.items():
        waive = mark.state is State.ABSENT and all(question in policy.not_required for policy in policies)
        if waive and policies:
            mark = msgspec.structs.replace(mark, state=State.NOT_REQUIRED, by=f"policy {names}")
        shown[question] = mark
    return shown


def _without(mark: Mark, excluded: set[str]) -> Mark:
    """The mark `reviewed` without reviewers who made the answer, asked for it, or said who did.

    A negative one is left alone: a word against an answer is never taken away here.
    """
    # Addresses are compared in lower case, and one written twice is one reviewer.
    reviewers = list(dict.fromkeys(mark.detail.get("reviewers", "").lower().split()))
    out = [address for address in reviewers if address in excluded]
    if mark.state.rank <= 0 or not reviewers:
        return mark
    if not out:
        return msgspec.structs.replace(mark, detail={**mark.detail, "reviewers": " ".join(reviewers)})
    left = [address for address in reviewers if address not in excluded]
    detail = {**mark.detail, "reviewers": " ".join(left), NOT_COUNTED: " ".join(out)}
    if not left:
        told = "Only who made this answer, asked for it or said who did has judged it; that does not count."
        absent = msgspec.structs.replace(_ABSENT[Question.REVIEWED], shows=told, detail=detail)
        return absent
    who = f"{len(left)} reviewer{'s' if len(left) > 1 else ''}"
    what = f"{who} who neither made this answer nor asked for it, nor said who did, judged it fit"
    return msgspec.structs.replace(mark, by=who, shows=f"{what}.", detail={**detail, "what": what})
