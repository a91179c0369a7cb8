"""What an accepted entry changes in the registry: one function per kind, applied in log order.

Only `fold` calls these, and only with entries whose checks all held (receipts apart: a receipt takes its
place in its key's chain as soon as its signature holds, because that is what makes equivocation visible).
Each computes first whatever might raise, and then only sets down what it computed: an entry is applied whole
or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from hallmark.core.document import unhex
from hallmark.core.documents import (
    AttestationPolicy,
    ClearingPolicy,
    KeyBundle,
    Manifest,
    Measurement,
    ModelCard,
    Profile,
)
from hallmark.core.entries import Kind
from hallmark.core.registry import Approved, Chain, Label, Member, Objection, Registry, Span
from hallmark.core.statements import Review, Role, text_of
from hallmark.verification.attested import attest
from hallmark.verification.objections import (
    EQUIVOCATION,
    UNDECIDABLE_REASONS,
    Judgements,
    VerdictPlace,
    tolerated,
)
from hallmark.verification.receipts import Memory, ReceiptCase
from hallmark.verification.statements import EntryCase


def register(case: EntryCase, memory: Memory) -> None:
    """A key joins, or refreshes its evidence."""
    statement, registry, document = case.registration, case.registry, case.document
    member = registry.members.get(statement.key) or Member(
        statement.key, Role(statement.role), statement.owner, Span(case.index), statement.document
    )
    attested = None
    if isinstance(document, KeyBundle):
        attested = attest(registry, case.index, document, case.evidence)
    if member.role is Role.FULL_NODE and statement.key not in registry.members:
        reopen(case.context.judgements)
    registry.members[statement.key] = member
    member.document = statement.document
    member.bundles[statement.document] = case.index
    if isinstance(document, KeyBundle) and attested is not None:
        member.bundle = document
        member.evidence_verdict = case.evidence
        member.evidence_at = case.evidence.made_at if case.evidence else 0
        memory.attested[statement.key, statement.document] = attested
    elif isinstance(document, Profile):
        member.profile = document


def retire(case: EntryCase, _: Memory) -> None:
    """A key leaves from this position on; what it signed before stays as it was."""
    _ended(case)
    valid = case.registry.members[case.key].valid
    if valid.until is None:
        valid.until, valid.reason = case.index, case.reason


def compromise(case: EntryCase, _: Memory) -> None:
    """A key is not to be believed from the named position on; the earliest such position stands."""
    _ended(case)
    member = case.registry.members[case.key]
    known = member.compromised_since
    member.compromised_since = case.since if known is None else min(known, case.since)


def approve(case: EntryCase, _: Memory) -> None:
    """A measurement counts from here on; approving it again changes nothing."""
    document = cast(Measurement, case.document)
    case.registry.approved.setdefault(case.committed, Approved(document, Span(case.index)))


def revoke(case: EntryCase, _: Memory) -> None:
    """A measurement no longer counts from the named position on; the earliest such position stands."""
    valid = case.registry.approved[case.committed].valid
    if valid.until is None or case.since < valid.until:
        valid.until, valid.reason = case.since, case.reason


def publish(case: EntryCase, _: Memory) -> None:
    """A label is taken."""
    card = cast(ModelCard, case.document)
    case.registry.labels[card.label] = Label(card, case.owner, case.index)


def release(case: EntryCase, memory: Memory) -> None:
    """A label points to a new manifest."""
    manifest, committed = cast(Manifest, case.document), case.committed
    label, artifact = case.registry.labels[manifest.label], unhex(manifest.artifact)
    label.versions.append((case.index, committed, manifest))
    case.registry.manifests[committed] = (case.index, manifest)
    memory.artifacts[committed] = artifact


def decree(case: EntryCase, _: Memory) -> None:
    """A policy of the network comes into force."""
    document = case.document
    if isinstance(document, AttestationPolicy):
        case.registry.attestation.append((case.index, case.committed, document))
    elif isinstance(document, ClearingPolicy):
        versions = case.registry.clearing.setdefault(document.name, [])
        versions.append((case.index, case.committed, document))


def object_to(case: EntryCase, _: Memory) -> None:
    """A full node objects to entries; its first verdict on an entry is the one that is kept."""
    registry, judgements = case.registry, case.context.judgements
    verdict = VerdictPlace(case.verdict.author, case.runs)
    refuted = judgements.refuted(verdict)
    said = [(subject, reason, Objection()) for subject, reason in verdict.pairs()]
    for subject, reason, fresh in said:
        objection = registry.objections.setdefault(subject, fresh)
        objection.by.setdefault(verdict.author, (case.index, reason))
    judgements.verdicts[case.index] = verdict
    if refuted:
        judgements.false_verdicts.add(case.index)


def blame(case: EntryCase, _: Memory) -> None:
    """A fault is proven: an equivocation at once, a refuted verdict when f+1 full nodes have refuted it."""
    fault, registry, judgements = case.fault, case.registry, case.context.judgements
    if text_of(fault.kind) == EQUIVOCATION:
        for at in (fault.first, fault.second):
            judgements.equivocal.setdefault(at, case.index)
        _mark_fault(registry, fault.culprit, case.index)
        return
    verdict = judgements.verdicts[fault.first]
    needed = tolerated(registry) + 1
    # Who cannot judge such a reason takes the fault's word, once f+1 say so.
    believed = verdict.runs[0].reason in UNDECIDABLE_REASONS
    caught = False
    refuted = judgements.refuted(verdict)
    if believed:
        refuted += tuple(pair for pair in verdict.pairs() if judgements.unsure(*pair))
    judgements.refuters.setdefault(fault.first, set()).add(fault.author)
    for subject, reason in refuted:
        objection = registry.objections[subject]
        if objection.by[verdict.author][1] != reason:
            continue
        refuters = objection.refuted_by.setdefault(verdict.author, set())
        before = len(refuters)
        refuters.add(fault.author)
        caught = caught or before < needed <= len(refuters)
    if caught:
        _mark_fault(registry, verdict.author, case.index)
    reopen(judgements)


def reopen(judgements: Judgements) -> None:
    """Who counts as a full node, or what it said, has changed: nothing is settled any more."""
    judgements.open |= judgements.settled
    judgements.settled.clear()


def judge_answer(case: EntryCase, _: Memory) -> None:
    """A reviewer said something of an answer."""
    review = cast(Review, case.entry.statement)
    case.registry.reviews.setdefault(review.item, []).append((case.index, review))


def extend_chain(case: ReceiptCase, accepted: bool) -> None:
    """A signed receipt takes its place in its key's chain; contradictory ones are remembered side by side."""
    receipt, judgements = case.receipt, case.context.judgements
    chain = case.registry.chains.setdefault(receipt.node, Chain())
    taken = chain.positions.get(receipt.sequence)
    if taken is not None and taken[1] != case.digest:
        judgements.contradictory[case.index] = (receipt.node, receipt.sequence, case.digest)
        judgements.contradictory[taken[0]] = (receipt.node, receipt.sequence, taken[1])
        return
    if taken is None or accepted:
        chain.positions[receipt.sequence] = (case.index, case.digest)
    if receipt.sequence > chain.sequence:
        chain.sequence, chain.digest = receipt.sequence, case.digest


def _ended(case: EntryCase) -> None:
    if case.registry.members[case.key].role is Role.FULL_NODE:
        reopen(case.context.judgements)


def _mark_fault(registry: Registry, culprit: bytes, position: int) -> None:
    member = registry.members.get(culprit)
    if member is not None:
        member.faults.append(position)


TRANSITIONS: Final[dict[Kind, Callable[[EntryCase, Memory], None]]] = {
    Kind.REGISTRATION: register,
    Kind.RETIREMENT: retire,
    Kind.COMPROMISE: compromise,
    Kind.APPROVAL: approve,
    Kind.REVOCATION: revoke,
    Kind.PUBLICATION: publish,
    Kind.VERSION: release,
    Kind.VERDICT: object_to,
    Kind.FAULT: blame,
    Kind.REVIEW: judge_answer,
    Kind.POLICY: decree,
}
