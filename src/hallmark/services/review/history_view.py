"""An item's history as people read it: timeline, reviews, decisions, appeals. Words for what happened at
the desk;
what happened to the receipt is told by the explorer's story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.policy import Outcome
from hallmark.core.statements import Review, text_of
from hallmark.review import events as ev
from hallmark.review.history import recall_events
from hallmark.review.items import Item
from hallmark.review.screens import Screen, told_answer
from hallmark.review.wording import about
from hallmark.services.explorer.receipt_story import ReceiptContext, timeline
from hallmark.services.explorer.shared_views import Moment
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.review.context import DeskContext
from hallmark.services.review.item_changes import Decision, LoadedItem, decided
from hallmark.services.review.notices import JUDGED, moment
from hallmark.services.review.people import People
from hallmark.services.review.rows import CommentRow, SubmissionRow
from hallmark.services.review.schema import SUBMISSIONS
from hallmark.services.review.views import Appeal, DecisionView, ReviewView

EVALUATOR: Final = "the evaluator"


def timeline_of(
    watch: FollowedLog, told: ReceiptContext | None, loaded: LoadedItem, people: People, *, inside: bool
) -> tuple[Moment, ...]:
    """Everything that happened, in true order. `inside` shows the internal comments."""
    story = timeline(watch, told) if told is not None else ()
    finished = loaded.record.finished
    link = f"/review/{loaded.item.id}/as-seen"
    events = recall_events(loaded.chain, loaded.chain[-1].id)
    found = list(story)
    for number, event in enumerate(events, start=1):
        said = _say(event, people)
        if said is not None:
            kind, text = said
            internal = getattr(event, "internal", "")
            text = f"{text} Internal: {internal}" if inside and internal else text
            by = getattr(event, "by", "") or EVALUATOR
            seen = f"{link}?number={number}" if decided(event) is not None else ""
            found.append(Moment(event.at, event.at - finished, kind, text, by, seen))
    # Sorting keeps what happened in the same millisecond in the order in which it is listed.
    return tuple(sorted(found, key=lambda m: m.at))


def _say(event: ev.AnyEvent, people: People) -> tuple[str, str] | None:
    """Kind and text of an event; None for what the story of the receipt tells already."""
    match event:
        case ev.Evaluated():
            return "decided", _decided(event)
        case ev.Finalised():
            return "final", "FINAL: the dispute window closed while every requirement held."
        case ev.Declared():
            return "declared", _declared(event)
        case ev.Assigned():
            to = people.name(unhex(event.to)) if event.to else ""
            return "assigned", f"Assigned to {to}." if to else "Given back to the queue."
        case ev.Commented():
            return "remarked", event.comment or "A remark that is not told to the subject."
        case ev.Appealed():
            return "appealed", f"Appeal: {event.text}"
        case ev.AppealAnswered():
            return "appealed", f"Appeal {'upheld' if event.upheld else 'dismissed'}: {event.text}"
        case ev.Released():
            told = f"by {event.name} until {moment(event.until)} ({event.reason}): {event.text}"
            return "released", f"HOLD, released under break-glass {told}"
        case ev.ReleaseEnded():
            return "released", "The release under break-glass ended; it is HOLD."
        case ev.Sampled():
            return "sampled", "Drawn to be looked at again by a person who has not judged it."
        case ev.SampleAnswered():
            return "sampled", f"A person looked again and {'agreed' if event.agrees else 'disagreed'}."
        case ev.Rejected():
            return "rejected", f"REJECTED ({event.reason}). {event.comment}".rstrip()
    return None


def _decided(event: ev.Evaluated) -> str:
    under = " and ".join(event.policies) or "no policy"
    if event.outcome is Outcome.CLEAR:
        return f"CLEAR under {under}."
    return f"HOLD under {under}: {', '.join(map(about, event.lacks))}."


def _declared(event: ev.Declared) -> str:
    parts = [
        f"class {event.klass}" if event.klass else "",
        f"value at risk {event.value:,}" if event.value >= 0 else "",
        f"requester {event.requester}" if event.requester else "",
    ]
    return f"Declared: {', '.join(part for part in parts if part)}."


async def reviews_of(
    office: DeskContext, item: bytes, comments: Mapping[bytes, CommentRow], *, inside: bool
) -> tuple[ReviewView, ...]:
    """Reviews that the log holds, in its order, then those of this desk that it has not taken yet
    (index -1) or
    refused. `inside` shows the internal comments.
    """
    heads, registry = office.watch.heads, office.watch.replica.registry
    found, known = [], set()
    for index, review in registry.reviews.get(item, ()):
        known.add(review)
        witnessed = heads.covering(index) is not None
        view = _review(office, review, comments, index=index, witnessed=witnessed, inside=inside)
        found.append(msgspec.structs.replace(view, answer=await _answer(office, item, review)))
    for row in await office.store.submissions(SUBMISSIONS.c.item == item):
        waiting = decode(row.entry).statement
        if isinstance(waiting, Review) and waiting not in known:
            view = _review(office, waiting, comments, index=-1, witnessed=False, inside=inside)
            view = msgspec.structs.replace(view, answer=await _answer(office, item, waiting))
            found.append(_waiting(view, row))
    return tuple(found)


async def _answer(office: DeskContext, item: bytes, review: Review) -> str:
    """Whether the answer was open, as the screen says that the review commits to; "" when it is not here."""
    kept = await office.store.screen(item, review.screen)
    return told_answer(Screen.decode(kept).answer) if kept is not None else ""


def _review(
    office: DeskContext,
    review: Review,
    comments: Mapping[bytes, CommentRow],
    *,
    index: int,
    witnessed: bool,
    inside: bool,
) -> ReviewView:
    texts = comments.get(review.comment)
    judged = JUDGED.get(review.judgement, "unknown")
    name = office.people.name(review.reviewer)
    reason = text_of(review.reason)
    return ReviewView(
        hex0x(review.reviewer),
        name,
        judged,
        reason,
        f"{name} judged: {judged} ({reason}).",
        review.at,
        index,
        witnessed,
        texts.comment if texts is not None else "",
        texts.internal if texts is not None and inside else "",
        hex0x(review.screen),
    )


def _waiting(view: ReviewView, row: SubmissionRow) -> ReviewView:
    state = f"the log refused it ({row.refused})" if row.refused else "not in the log yet"
    return msgspec.structs.replace(
        view, sentence=f"{view.sentence.rstrip('.')}; {state}, so it does not count."
    )


def decisions_of(rows: Sequence[Decision]) -> tuple[DecisionView, ...]:
    """The item's decisions, newest first."""
    return tuple(
        DecisionView(
            row.number,
            row.at,
            row.outcome,
            row.by,
            row.policy,
            row.sentence,
            hex0x(row.digest),
            hex0x(row.previous),
        )
        for row in reversed(rows)
    )


def appeals_of(item: Item) -> tuple[Appeal, ...]:
    """Appeals and disagreements, oldest first."""
    return tuple(Appeal(m.at, m.by, m.text, m.open) for m in item.matters)
