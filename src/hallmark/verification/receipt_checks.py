"""What a full node checks on a receipt (DESIGN.md section 6): one pure function per check.

Every check takes a `JudgedReceipt`, looks at one thing and returns OK, NO_SUBJECT or a reason code. None of
them looks at the answer, and none of them can: a receipt holds digests only. `RECEIPT_RULES` is the whole
list.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.hashing import ZERO32
from hallmark.core.modes import artifact_refusal, refusal
from hallmark.core.receipt import RECEIPT_VERSION
from hallmark.core.statements import Role
from hallmark.verification.judged_receipt import JudgedReceipt
from hallmark.verification.outcome import NO_SUBJECT, OK, Rule
from hallmark.verification.payment_checks import check_payment
from hallmark.verification.sealed_rules import record_reason, sealed_reason

SUBMITTER_REASONS: Final = frozenset(
    {
        "attachments_malformed",
        "authorization_other",
        "candidates_mismatch",
        "payment_record_other",
        "route_mismatch",
        "signature_count",
        "ticket_mismatch",
        "ticket_unsigned",
    }
)
"""Reasons that lie in what was sent beside the signed receipt. Whoever submitted the entry may have caused
them, so the same receipt is judged afresh when it comes again with sound attachments."""


def check_form(case: JudgedReceipt) -> str:
    """The receipt has a version that is known, belongs to this network, carries one signature and three
    attachments, or five where there is a payment record.
    """
    receipt = case.receipt
    if receipt.version != RECEIPT_VERSION:
        return "receipt_version"
    if receipt.network != case.genesis.network:
        return "wrong_network"
    if len(case.entry.signatures) != 1:
        return "signature_count"
    attached = 3 if receipt.payment == ZERO32 else 5
    return OK if len(case.entry.attachments) == attached else "attachments_malformed"


def check_signature(case: JudgedReceipt) -> str:
    """The one signature recovers to the key that the receipt names."""
    return OK if case.signer(0) == case.receipt.node else "bad_signature"


def check_key(case: JudgedReceipt) -> str:
    """The key is a node that counts here: registered, not retired, not compromised, not caught."""
    if case.node is not None:
        return "key_at_fault" if case.node.faults else OK
    known = case.registry.members.get(case.receipt.node)
    if known is None or known.role is not Role.NODE:
        return "node_not_registered"
    return "key_retired" if known.valid.until is not None else "key_compromised"


def check_bundle(case: JudgedReceipt) -> str:
    """The key bundle is one that this key registered."""
    if case.node is None:
        return NO_SUBJECT
    return OK if case.attested is not None else "foreign_bundle"


def check_evidence(case: JudgedReceipt) -> str:
    """The evidence behind the bundle is fresh under the policy in force, and its measurement still counts."""
    if case.attested is None or case.attested.evidence is None:
        return NO_SUBJECT
    policy = case.attestation_policy()
    if policy is None:
        return "no_attestation_policy"
    if case.attested.evidence.kind not in policy.kinds:
        return "evidence_kind"
    if case.attested.evidence.made_at + policy.max_age < case.admitted:
        return "evidence_stale"
    approved = case.registry.approved.get(case.attested.measurement)
    return OK if approved and approved.valid.covers(case.index) else "measurement_revoked"


def check_mode(case: JudgedReceipt) -> str:
    """The receipt's mode is one that what confines its node allows, and its artifact's manifest."""
    unfit = artifact_refusal(case.receipt.mode, case.manifest)
    if unfit:
        return unfit
    if case.attested is None:
        return NO_SUBJECT
    return refusal(case.receipt.mode, case.attested.bundle.mode) or OK


def check_sequence(case: JudgedReceipt) -> str:
    """The receipt extends this key's chain by one, and this position was not taken by another receipt."""
    if case.signer(0) != case.receipt.node:
        return NO_SUBJECT
    if case.taken is not None and case.taken.digest != case.digest:
        return "equivocation"
    if case.receipt.sequence == 0:
        return OK if case.receipt.previous == ZERO32 else "chain_broken"
    before = case.before
    return OK if before is not None and before.digest == case.receipt.previous else "chain_broken"


def check_unseen(case: JudgedReceipt) -> str:
    """The same receipt was not logged before, unless it came then with attachments that are not its own."""
    taken = case.taken
    if taken is None or taken.digest != case.digest:
        return OK
    before = case.context.judgements.failed.get(taken.position, ())
    return OK if SUBMITTER_REASONS.intersection(before) else "receipt_replayed"


def check_beacon(case: JudgedReceipt) -> str:
    """The beacon is a checkpoint of this log that existed before this entry."""
    return case.beacon_holds(case.receipt.beacon_size, case.receipt.beacon_root)


def check_artifact(case: JudgedReceipt) -> str:
    """The artifact is one that the bundle may load and that a logged manifest binds."""
    receipt = case.receipt
    if receipt.artifact == ZERO32:
        return OK if receipt.manifest == ZERO32 and receipt.upstream != ZERO32 else "artifact_missing"
    if receipt.upstream != ZERO32:
        return "artifact_and_upstream"
    if case.attested is not None and receipt.artifact not in case.attested.artifacts:
        return "artifact_not_in_bundle"
    if case.manifest is None:
        return "manifest_unknown"
    if case.objected(case.manifest_position):
        return "manifest_rejected"
    return OK if case.manifest_artifact == receipt.artifact else "artifact_mismatch"


def check_label(case: JudgedReceipt) -> str:
    """The label pointed to this manifest at some moment between the receipt's beacon and this position."""
    if case.manifest is None:
        return NO_SUBJECT
    label = case.registry.labels.get(case.manifest.label)
    if label is None:
        return "label_unknown"
    since = max(case.receipt.beacon_size - 1, 0)
    ends = [at for at, _, _ in label.versions[1:]] + [case.index + 1]
    for (begin, digest, _), end in zip(label.versions, ends, strict=True):
        if digest == case.receipt.manifest and end > since and begin <= case.index:
            return OK
    return "label_moved"


def check_route(case: JudgedReceipt) -> str:
    """The route record is the one that the receipt commits to, and it ends at this node."""
    if not case.route_committed:
        return "route_mismatch"
    if case.route is None:
        return "route_unreadable"
    return OK if case.route.chosen == case.node_hex else "route_other_node"


def check_ticket(case: JudgedReceipt) -> str:
    """The route ticket is the one in the route record, signed by a registered gateway, not expired."""
    if case.route is None:
        return NO_SUBJECT
    if case.direct:
        return OK if not case.attachment(1) and not case.attachment(2) else "ticket_mismatch"
    passage = case.passage
    if passage is None or passage.hash_hex != case.route.ticket:
        return "ticket_mismatch"
    if passage.ticket.network != case.genesis.network:
        return "wrong_network"
    if passage.signer != passage.ticket.gateway:
        return "ticket_unsigned"
    if case.registry.member(passage.ticket.gateway, Role.GATEWAY, case.index) is None:
        return "gateway_not_registered"
    if case.passage_expired:
        return "ticket_expired"
    return case.beacon_holds(passage.ticket.beacon_size, passage.ticket.beacon_root)


def check_candidates(case: JudgedReceipt) -> str:
    """The ticket's candidates name this node with this bundle."""
    if case.route is None or case.direct or case.passage is None:
        return NO_SUBJECT
    if case.passage.candidates is None:
        return "candidates_mismatch"
    bundle = case.passage.candidates.get(case.receipt.node)
    if bundle is None:
        return "node_not_candidate"
    return OK if bundle == case.receipt.bundle else "candidate_bundle"


def check_sealed(case: JudgedReceipt) -> str:
    """What the route record says of sealing fits its path, the bundle's windows, and who saw the prompt."""
    if case.route is None:
        return NO_SUBJECT
    if case.attested is None:
        return record_reason(case.route, case.receipt)
    return sealed_reason(case.route, case.attested.bundle, case.receipt)


def check_times(case: JudgedReceipt) -> str:
    """Started, finished and admitted follow each other; the node's clock may be a minute ahead."""
    if case.receipt.started > case.receipt.finished:
        return "times_reversed"
    return "finished_in_future" if case.in_future(case.receipt.finished) else OK


RECEIPT_RULES: Final[tuple[Rule[JudgedReceipt], ...]] = (
    ("form", check_form),
    ("signature", check_signature),
    ("key", check_key),
    ("bundle", check_bundle),
    ("evidence", check_evidence),
    ("mode", check_mode),
    ("sequence", check_sequence),
    ("unseen", check_unseen),
    ("beacon", check_beacon),
    ("artifact", check_artifact),
    ("label", check_label),
    ("route", check_route),
    ("ticket", check_ticket),
    ("candidates", check_candidates),
    ("sealed", check_sealed),
    ("times", check_times),
    ("payment", check_payment),
)
