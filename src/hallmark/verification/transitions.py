"""What an accepted entry changes in the registry: one function per kind, applied in log order.

Only `fold` calls these, and only with entries whose checks all held (receipts apart: a receipt takes its
place in its key's chain as soon as its signature holds, because that is what makes equivocation visible).
Each computes first whatever might raise, then puts rows into tables (which `fold` takes back when one of them
raises), and last changes what is held in memory: an entry is applied whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from hallmark.core.derivations import Making
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
from hallmark.core.money import Offer
from hallmark.core.registry import (
    SEQUENCE_BITS,
    Approved,
    Chain,
    Derived,
    Ended,
    IssuedKeys,
    Label,
    Link,
    Member,
    Objection,
    Registry,
    Span,
    host_of,
)
from hallmark.core.statements import Review, Role, text_of
from hallmark.core.tokens import IssuerKeys
from hallmark.verification.attested import attest
from hallmark.verification.judged_receipt import JudgedReceipt, ReceiptCaches
from hallmark.verification.judged_statement import JudgedStatement
from hallmark.verification.objections import (
    EQUIVOCATION,
    UNDECIDABLE_REASONS,
    Contradiction,
    Judgements,
    VerdictPlace,
    tolerated,
)
from hallmark.verification.outcome_checks import key_of


def register(case: JudgedStatement, memory: ReceiptCaches) -> None:
    """A key joins, or refreshes its evidence."""
    statement, registry, document = case.registration, case.registry, case.document
    member = registry.members.get(statement.key) or Member(
        statement.key, Role(statement.role), statement.owner, Span(case.index), statement.document
    )
    attested, host = None, b""
    if isinstance(document, KeyBundle):
        host = host_of(statement.owner, document.endpoint)
        attested = attest(registry, case.index, document, case.evidence)
    if member.role is Role.FULL_NODE and statement.key not in registry.members:
        reopen(case.context.judgements)
    registry.members[statement.key] = member
    member.document = statement.document
    member.bundles[statement.document] = case.index
    if isinstance(document, KeyBundle) and attested is not None:
        registry.epochs[host] = max(document.epoch, registry.epochs.get(host, 0))
        member.bundle = document
        member.evidence_verdict = case.evidence
        member.evidence_at = case.evidence.made_at if case.evidence else 0
        memory.attested[statement.key, statement.document] = attested
    elif isinstance(document, Profile):
        member.profile = document


def retire(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A key leaves from this position on; what it signed before stays as it was."""
    _ended(case)
    valid = case.registry.members[case.key].valid
    if valid.until is None:
        valid.until, valid.reason = case.index, case.reason


def compromise(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A key is not to be believed from the named position on; the earliest such position stands."""
    ended = Ended(case.index, case.admitted, case.since, case.reason)
    member = case.registry.members[case.key]
    _ended(case)
    known = member.compromised_since
    member.ended.append(ended)
    member.compromised_since = ended.since if known is None else min(known, ended.since)


def approve(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A measurement counts from here on; approving it again changes nothing."""
    document = cast(Measurement, case.document)
    case.registry.approved.setdefault(case.committed, Approved(document, Span(case.index)))


def revoke(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A measurement no longer counts from the named position on; the earliest such position stands."""
    ended = Ended(case.index, case.admitted, case.since, case.reason)
    approved = case.registry.approved[case.committed]
    valid = approved.valid
    approved.ended.append(ended)
    if valid.until is None or ended.since < valid.until:
        valid.until, valid.reason = ended.since, ended.reason


def publish(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A label is taken."""
    card = cast(ModelCard, case.document)
    case.registry.labels[card.label] = Label(card, case.owner, case.index)


def release(case: JudgedStatement, memory: ReceiptCaches) -> None:
    """A label points to a new manifest."""
    manifest, committed = cast(Manifest, case.document), case.committed
    label, artifact = case.registry.labels[manifest.label], unhex(manifest.artifact)
    label.versions.append((case.index, committed, manifest))
    case.registry.manifests[committed] = (case.index, manifest)
    memory.artifacts[committed] = artifact


def decree(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A policy of the network comes into force."""
    document = case.document
    if isinstance(document, AttestationPolicy):
        case.registry.attestation.append((case.index, case.committed, document))
    elif isinstance(document, ClearingPolicy):
        versions = case.registry.clearing.setdefault(document.name, [])
        versions.append((case.index, case.committed, document))


def quote(case: JudgedStatement, _: ReceiptCaches) -> None:
    """Answers may be charged for under these terms from here on. The same terms again change nothing."""
    case.registry.offers.setdefault(case.committed, (case.index, cast(Offer, case.document)))


def issue(case: JudgedStatement, _: ReceiptCaches) -> None:
    """Answers may be paid for with tokens of these keys."""
    made = IssuedKeys(case.index, cast(IssuerKeys, case.document))
    before = case.registry.issuers.get(case.issued.issuer, ())
    case.registry.issuers[case.issued.issuer] = (*before[-1:], made)
    case.registry.issuer_keys[case.committed] = made


def object_to(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A full node objects to entries; its first verdict on an entry is the one that is kept."""
    registry, judgements = case.registry, case.context.judgements
    verdict = VerdictPlace(case.verdict.author, case.runs)
    refuted = judgements.refuted(verdict)
    for subject, reason in verdict.pairs():
        known = registry.objections.get(subject, Objection())
        if verdict.author not in known.by:
            by = {**known.by, verdict.author: (case.index, reason)}
            registry.objections[subject] = Objection(by, known.refuted_by)
    judgements.verdicts[case.index] = verdict
    if refuted:
        judgements.false_verdicts.add(case.index)


def blame(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A fault is proven: an equivocation at once, a refuted verdict when f+1 full nodes have refuted it."""
    fault, registry, judgements = case.fault, case.registry, case.context.judgements
    if text_of(fault.kind) == EQUIVOCATION:
        for at in (fault.first, fault.second):
            judgements.equivocal.setdefault(at, case.index)
        judgements.unnamed.difference_update((fault.first, fault.second))
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
    for subject, reason in refuted:
        objection = registry.objections[subject]
        if objection.by[verdict.author][1] != reason:
            continue
        before = objection.refuted_by.get(verdict.author, frozenset())
        after = before | {fault.author}
        registry.objections[subject] = Objection(
            objection.by, {**objection.refuted_by, verdict.author: after}
        )
        caught = caught or len(before) < needed <= len(after)
    failed = set(judgements.failed)
    judgements.refuters.setdefault(fault.first, set()).add(fault.author)
    if caught:
        _mark_fault(registry, verdict.author, case.index)
    judgements.open |= failed


def reopen(judgements: Judgements) -> None:
    """Who counts as a full node, or what it said, has changed: nothing is settled any more."""
    judgements.open.update(judgements.failed)


def judge_answer(case: JudgedStatement, _: ReceiptCaches) -> None:
    """A reviewer said something of an answer."""
    review = cast(Review, case.entry.statement)
    said = case.registry.reviews.get(review.item, ())
    case.registry.reviews[review.item] = (*said, (case.index, review))


def take_word(case: JudgedStatement, _: ReceiptCaches) -> None:
    """Somebody said how an answer turned out: one more word of this speaker on this receipt."""
    outcome = case.outcome
    key = key_of(outcome.item, outcome.speaker)
    said = case.registry.outcomes.get(key, ())
    case.registry.outcomes[key] = (*said, (case.index, outcome.said))


def derive(case: JudgedStatement, _: ReceiptCaches) -> None:
    """An owner said what a model was made from; the first word stays."""
    said = case.derivation
    made = Derived(case.index, said.source, said.tool, cast(Making, case.document))
    case.registry.derivations.setdefault(said.derived, made)


def extend_chain(case: JudgedReceipt, accepted: bool) -> None:
    """A signed receipt takes its place in its key's chain; contradictory ones are remembered side by side."""
    receipt, registry, taken = case.receipt, case.registry, case.taken
    if taken is not None and taken.digest != case.digest:
        _contradict(case, taken)
        return
    if taken is not None and not accepted:
        return
    authorization = unhex(case.payment.authorization) if case.payment and not case.tokens else b""
    spent = (authorization, case.journal_place) if accepted else ()
    nullifiers = case.nullifiers if accepted else ()
    known = registry.chains.get(receipt.node)
    chain = known or Chain(registry.chain_count)
    link = Link(case.index, case.digest, case.name if taken is None else taken.entry)
    registry.links[chain.number << SEQUENCE_BITS | receipt.sequence] = link
    if receipt.sequence >= chain.sequence:
        registry.chains[receipt.node] = Chain(chain.number, receipt.sequence, link)
    elif known is None:
        registry.chains[receipt.node] = chain
    if known is None:
        registry.chain_count += 1
    for used in spent:
        if any(used):
            registry.spent[used] = case.index
    for nullifier in nullifiers:
        registry.nullifiers[nullifier] = case.index


def _contradict(case: JudgedReceipt, taken: Link) -> None:
    node, sequence, judgements = case.receipt.node, case.receipt.sequence, case.context.judgements
    both = ((case.index, case.digest), (taken.position, taken.digest))
    place = Contradiction.place(node, sequence)
    first = judgements.firsts.get(place, taken.position)
    for at, digest in both:
        judgements.contradictory[at] = Contradiction(node, sequence, digest)
    judgements.firsts[place] = min(first, taken.position, case.index)
    named = {at for at, _ in both if at in judgements.equivocal}
    judgements.unnamed.update(at for at, _ in both if at not in named)


def _ended(case: JudgedStatement) -> None:
    if case.registry.members[case.key].role is Role.FULL_NODE:
        reopen(case.context.judgements)


def _mark_fault(registry: Registry, culprit: bytes, position: int) -> None:
    member = registry.members.get(culprit)
    if member is not None:
        member.faults.append(position)


TRANSITIONS: Final[dict[Kind, Callable[[JudgedStatement, ReceiptCaches], None]]] = {
    Kind.REGISTRATION: register,
    Kind.RETIREMENT: retire,
    Kind.COMPROMISE: compromise,
    Kind.APPROVAL: approve,
    Kind.REVOCATION: revoke,
    Kind.PUBLICATION: publish,
    Kind.VERSION: release,
    Kind.OFFER: quote,
    Kind.ISSUER_EPOCH: issue,
    Kind.VERDICT: object_to,
    Kind.FAULT: blame,
    Kind.REVIEW: judge_answer,
    Kind.OUTCOME: take_word,
    Kind.DERIVATION: derive,
    Kind.POLICY: decree,
}
