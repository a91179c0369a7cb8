"""Reading one folded leaf for the index, the figures and the live measures."""

from __future__ import annotations

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Entry
from hallmark.core.receipt import Receipt
from hallmark.core.statements import (
    Approval,
    Compromise,
    Derivation,
    Fault,
    IssuerEpoch,
    Outcome,
    PolicyStatement,
    PriceOffer,
    Publication,
    Registration,
    Retirement,
    Review,
    Revocation,
    Verdict,
    Version,
)
from hallmark.services.explorer.figures import counted
from hallmark.services.explorer.index import LEAF, RECEIPT, SUBJECT, WORD, Row
from hallmark.services.explorer.outcome_reader import counted_words, subjects_of, word_at
from hallmark.services.explorer.receipt_context import ReceiptContext, label, of_logged
from hallmark.services.explorer.routes import saw_prompt
from hallmark.services.explorer.shared_views import Hop
from hallmark.services.explorer.trust_gap import Saw
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.live import payment_of

Names = tuple[tuple[str, bytes], ...]


class Answer(msgspec.Struct, frozen=True):
    """What is measured of a receipt that its node signed."""

    finished: int
    saw: tuple[Saw, ...]


def read(watch: FollowedLog, position: int) -> tuple[Row, Answer | None]:
    """The leaf's index row; and what is measured of a receipt that carries one signature, its node's."""
    admitted, entry = watch.leaves.entry(position)
    digest, kind = watch.replica.leaf_hash(position), entry.kind
    receipt = entry.statement
    if not isinstance(receipt, Receipt):
        names = ((LEAF, digest), *((SUBJECT, name) for name in subjects(entry)))
        counts = counted(kind, admitted, None)
        word = word_at(watch, position) if isinstance(receipt, Outcome) else None
        if word is not None:
            names = (*names, *((WORD, name) for name in subjects_of(word)))
            counts = (*counts, *counted_words(watch, word))
        return Row(position, kind, digest, None, names, counts), None
    if len(entry.signatures) != 1 or "bad_signature" in watch.replica.failures(position):
        return Row(position, kind, digest, None, ((LEAF, digest),), counted(kind, admitted, None)), None
    told = of_logged(watch.judge.logged(position))
    asked = label(watch, told)
    columns = {"node": receipt.node, "artifact": receipt.artifact, "label": asked.encode()}
    names = (
        (LEAF, digest),
        *((RECEIPT, name) for name in known_by(told)),
        *((SUBJECT, name) for name in paid_by(told)),
    )
    saw = tuple(_saw(told, hop) for hop in saw_prompt(watch, told))
    counts = counted(kind, admitted, receipt, asked)
    return Row(position, kind, digest, columns, names, counts), Answer(receipt.finished, saw)


def known_by(told: ReceiptContext) -> tuple[bytes, ...]:
    """Digests by which a receipt is found."""
    return (told.id, told.receipt.request, told.receipt.response)


def paid_by(told: ReceiptContext) -> tuple[bytes, ...]:
    """The offer that an answer was given under, and who is charged for it."""
    record = payment_of(told.entry)
    if record is None:
        return ()
    return (unhex(record.offer), *((unhex(record.payer),) if record.payer else ()))


def _saw(told: ReceiptContext, hop: Hop) -> Saw:
    """The party behind a hop; what runs inside a node goes by the node's key."""
    if hop.role == "enclave":
        return Saw("inside node", hex0x(told.receipt.node), hop.name)
    return Saw(hop.role, hop.key, hop.name)


def subjects(entry: Entry) -> tuple[bytes, ...]:
    """Keys and digests that an entry other than a receipt is about."""
    match entry.statement:
        case Registration(key=key, owner=owner, document=document):
            return (key, owner, document)
        case Retirement(key=key) | Compromise(key=key):
            return (key,)
        case Approval(document=document) | Revocation(document=document) | PolicyStatement(document=document):
            return (document,)
        case Publication(owner=owner, document=document) | PriceOffer(owner=owner, document=document):
            return (owner, document)
        case Version(owner=owner, document=document, artifact=artifact):
            return (owner, document, artifact)
        case IssuerEpoch(issuer=issuer, document=document):
            return (issuer, document)
        case Verdict(author=author):
            return (author,)
        case Fault(author=author, culprit=culprit):
            return (author, culprit)
        case Review(reviewer=reviewer, item=item):
            return (reviewer, item)
        case Outcome(speaker=speaker, item=item):
            return (speaker, item)
        case Derivation(author=author, source=source, derived=derived):
            return (author, source, derived)
    return ()
