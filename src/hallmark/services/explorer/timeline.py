"""A receipt's moments in true order, each with its gap from the answer's last byte.

Whose clock a time is by: asked and answered by the node (a ticket by its gateway), logged and taken back by
the log, witnessed by the process that shows it, anchored by the chain's block, objected and reviewed by
the log's admission of the entry.
"""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.registry import Ended
from hallmark.core.statements import Judgement, text_of
from hallmark.services.explorer import links
from hallmark.services.explorer.receipt_context import (
    ReceiptContext,
    attested,
    name_of,
    passage_of,
    route_record,
)
from hallmark.services.explorer.shared_views import Moment
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.objections import EQUIVOCATION, counting
from hallmark.verification.reasons import sentence_of
from hallmark.verification.wording import quorum, short

SAID = {
    Judgement.FIT: "judged the answer fit",
    Judgement.UNFIT: "judged the answer unfit",
    Judgement.UNDECIDED: "withdrew an earlier judgement",
}


def timeline(watch: FollowedLog, told: ReceiptContext) -> tuple[Moment, ...]:
    """Asked, answered, logged, witnessed, anchored, objected, revoked, reviewed; what is known, in order."""
    found = [*_answer(watch, told)]
    if told.index >= 0:
        against = [*_own(watch, told), *_objections(watch, told), *_revocations(watch, told)]
        found += [*_proof(watch, told, clean=not against), *against, *_reviews(watch, told)]
    return tuple(sorted(found, key=lambda moment: moment.at))


def _answer(watch: FollowedLog, told: ReceiptContext) -> list[Moment]:
    receipt, moments = told.receipt, []
    passage = passage_of(watch, told, route_record(told))
    if passage is not None:
        gateway = hex0x(passage.ticket.gateway)
        text = "The gateway signed the route ticket."
        moments.append(_moment(told, passage.ticket.issued, "asked", text, by=gateway))
    node = hex0x(receipt.node)
    logged = "The log took the receipt."
    return [
        *moments,
        _moment(told, receipt.started, "asked", "The node began.", by=node),
        _moment(told, receipt.finished, "answered", "The last byte left the node.", by=node),
        _moment(told, told.admitted, "logged", logged, link=links.entry(told.said)),
    ]


def _proof(watch: FollowedLog, told: ReceiptContext, *, clean: bool) -> list[Moment]:
    """When a quorum and the chain were seen to hold it; only what nothing speaks against is called so."""
    seen = watch.heads.first(told.index)
    if seen is None:
        return []
    text = f"A checkpoint of {seen.size:,} entries that covers it, seen here"
    text += "." if seen.live else " while catching up: it may have been there before."
    by, link = quorum(len(seen.signers), watch.heads.of), links.checkpoint(seen.size)
    moments = [_moment(told, seen.at, "witnessed" if clean else "logged", text, by=by, link=link)]
    anchor = watch.chain.covering(told.index)
    if anchor is not None:
        held = f"The chain holds a checkpoint of {anchor.confirmed.size:,} entries that covers it."
        kind, block = "anchored" if clean else "logged", f"block {anchor.confirmed.block}"
        moments.append(_moment(told, anchor.confirmed.time, kind, held, by=block))
    return moments


def _own(watch: FollowedLog, told: ReceiptContext) -> list[Moment]:
    seen = watch.heads.first(told.index)
    at = seen.at if seen is not None else told.admitted
    return [
        _moment(told, at, "objected", sentence_of(reason), by=watch.judge.by)
        for reason in watch.replica.failures(told.index)
    ]


def _objections(watch: FollowedLog, told: ReceiptContext) -> list[Moment]:
    registry = watch.replica.registry
    moments = []
    objection = registry.objections.get(told.index)
    if objection is not None:
        counts = counting(registry, objection)
        for author, (position, reason) in objection.by.items():
            text = sentence_of(reason)
            text += "" if author in counts else " Other full nodes refuted this, so it does not count."
            by = name_of(registry.members.get(author)) or short(author)
            at = watch.beginnings.objected(position)
            moments.append(_moment(told, at, "objected", text, by=by, link=links.entry(position)))
    fault = watch.replica.judgements.equivocal.get(told.index)
    if fault is not None:
        at, text = watch.beginnings.objected(fault), sentence_of(EQUIVOCATION)
        moments.append(_moment(told, at, "objected", text, by="a proven fault", link=links.entry(fault)))
    return moments


def _revocations(watch: FollowedLog, told: ReceiptContext) -> list[Moment]:
    known, key = attested(watch, told), told.receipt.node
    keys = watch.beginnings.compromises(key, told.index)
    images = watch.beginnings.revocations(known.measurement, told.index) if known else ()
    return [
        *(_taken(told, taken, "The node's key is not to be believed at this place") for taken in keys),
        *(_taken(told, taken, "The image's measurement does not count at this place") for taken in images),
    ]


def _taken(told: ReceiptContext, taken: Ended, what: str) -> Moment:
    text = f"{what} ({taken.reason}, from log position {taken.since})."
    return _moment(told, taken.admitted, "revoked", text, by="the log", link=links.entry(taken.position))


def _reviews(watch: FollowedLog, told: ReceiptContext) -> list[Moment]:
    moments = []
    for position, review in watch.replica.registry.reviews.get(told.id, ()):
        name = name_of(watch.replica.registry.members.get(review.reviewer)) or short(review.reviewer)
        text = f"{name} {SAID[Judgement(review.judgement)]} ({text_of(review.reason)})."
        at, _ = watch.leaves.entry(position)
        by, link = hex0x(review.reviewer), links.entry(position)
        moments.append(_moment(told, at, "reviewed", text, by=by, link=link))
    return moments


def _moment(told: ReceiptContext, at: int, kind: str, text: str, *, by: str = "", link: str = "") -> Moment:
    return Moment(at, at - told.receipt.finished, kind, text, by, link)
