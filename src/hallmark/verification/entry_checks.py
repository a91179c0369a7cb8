"""Who may say what: the checks on every entry that is not a receipt, one pure function per check.

Authority statements need a threshold of distinct authority keys, owners speak for what they own, evidence is
judged at the moment of admission, and nothing that an entry ends is ended retroactively by accident:
retirement counts from its own position on, compromise and revocation from the position that they name.
`RULES` has one list per kind; the fold applies an entry only when every check in its list holds.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import digest_of, hex0x, report_data
from hallmark.core.documents import (
    AttestationPolicy,
    ClearingPolicy,
    KeyBundle,
    Manifest,
    Measurement,
    ModelCard,
)
from hallmark.core.entries import Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import Evidence, Expectation
from hallmark.core.evidence import Verdict as EvidenceVerdict
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.modes import CONFINED
from hallmark.core.money import Offer
from hallmark.core.prices import check_offer
from hallmark.core.receipt import Mode
from hallmark.core.registry import host_of
from hallmark.core.statements import Registration, Role, text_of
from hallmark.core.tokens import IssuerKeys, check_issuer_keys
from hallmark.verification import derivation_checks, dispute_checks, outcome_checks, reviews
from hallmark.verification.judged_statement import CLEARING, JudgedStatement
from hallmark.verification.outcome import NO_SUBJECT, OK, Rule


def check_network(case: JudgedStatement) -> str:
    """The statement belongs to this network."""
    return OK if case.network == case.genesis.network else "wrong_network"


def check_at(case: JudgedStatement) -> str:
    """The statement was not made later than it was admitted, a minute of clock skew apart."""
    return "statement_in_future" if case.in_future(case.at) else OK


def check_document(case: JudgedStatement) -> str:
    """The attached document is the one that the statement commits to, and it can be read."""
    cls = case.document_type
    if cls is None:
        return "policy_kind_unknown" if case.entry.kind is Kind.POLICY else "role_unknown"
    if digest_of(cls, case.attachment(0)) != case.committed:
        return "document_mismatch"
    return OK if case.document is not None else "document_unreadable"


def check_attachments(case: JudgedStatement) -> str:
    """As many attachments as the kind has: two on a registration, one beside a document, else none."""
    expected = {Kind.REGISTRATION: 2, Kind.RETIREMENT: 0, Kind.COMPROMISE: 0, Kind.REVOCATION: 0}
    return OK if len(case.entry.attachments) == expected.get(case.entry.kind, 1) else "attachments_malformed"


def check_authority(case: JudgedStatement) -> str:
    """Enough distinct authority keys signed."""
    return OK if case.authorised() else "authority_threshold"


def check_registrants(case: JudgedStatement) -> str:
    """The key itself and its owner signed, and for all but nodes the authority as well."""
    statement = case.registration
    if case.signer(0) != statement.key or case.signer(1) != statement.owner:
        return "bad_signature"
    if statement.role == Role.NODE:
        return OK if len(case.signers) == 2 else "signature_count"
    return OK if case.authorised(skip=2) else "authority_threshold"


def check_standing(case: JudgedStatement) -> str:
    """A key keeps its role and owner for ever, and one that was retired, compromised or caught stays out."""
    known = case.registry.members.get(case.registration.key)
    if known is None:
        return OK
    if known.role != case.registration.role:
        return "role_changed"
    if known.owner != case.registration.owner:
        return "owner_changed"
    if known.compromised_since is not None:
        return "key_compromised"
    if known.faults:
        return "key_at_fault"
    return OK if known.valid.until is None else "key_retired"


def check_named_key(case: JudgedStatement) -> str:
    """The document speaks of the registered key, its owner, its network."""
    document, statement = case.document, case.registration
    if not isinstance(document, KeyBundle):
        return NO_SUBJECT
    named = (document.network, document.signing_key, document.owner)
    return (
        OK
        if named == (hex0x(statement.network), hex0x(statement.key), hex0x(statement.owner))
        else ("bundle_names_other")
    )


def check_only_bundle(case: JudgedStatement) -> str:
    """It is the one bundle of its key, and of its host for this epoch.

    So that nobody who seals can be told apart by the keys that he was given: a key keeps its bundle for ever,
    and the epochs of an owner at one address ascend, so that only the highest of them need be remembered. The
    same bundle may come again, with fresh evidence.
    """
    bundle, statement = case.document, case.registration
    if not isinstance(bundle, KeyBundle):
        return NO_SUBJECT
    known = case.registry.members.get(statement.key)
    if known is not None:
        return OK if case.committed in known.bundles else "bundle_changed"
    highest = case.registry.epochs.get(host_of(statement.owner, bundle.endpoint), -1)
    return OK if bundle.epoch > highest else "epoch_taken"


def check_registration_beacon(case: JudgedStatement) -> str:
    """The beacon that the evidence answers to is a checkpoint of this log that existed before this entry."""
    return case.beacon_holds(case.registration.beacon_size, case.registration.beacon_root)


def check_registered_evidence(case: JudgedStatement) -> str:
    """A node's evidence holds now: kind, chain, measurement, freshness, and it binds bundle and beacon.

    Without an enclave there is no evidence; such a bundle must say `vanilla`, and it proves nothing.
    """
    statement, evidence = case.registration, case.attachment(1)
    if statement.role != Role.NODE:
        return OK if not evidence and statement.evidence == ZERO32 else "evidence_unexpected"
    if not isinstance(case.document, KeyBundle):
        return NO_SUBJECT
    if case.document.mode not in CONFINED:
        return "mode_not_supported"
    if case.document.mode == Mode.VANILLA:
        return OK if not evidence and statement.evidence == ZERO32 else "evidence_unexpected"
    if sha256(evidence) != statement.evidence:
        return "evidence_mismatch"
    if case.attestation_policy() is None:
        return "no_attestation_policy"
    case.evidence = judge_evidence(case, statement, evidence)
    return OK if case.evidence is not None and case.evidence.ok else "evidence_rejected"


def check_member(case: JudgedStatement) -> str:
    """The key that the statement ends is registered."""
    return OK if case.registry.members.get(case.key) is not None else "key_unknown"


def check_retirer(case: JudgedStatement) -> str:
    """The key itself or its owner signed."""
    known = case.registry.members.get(case.key)
    if known is None:
        return NO_SUBJECT
    return OK if case.signer(0) in (case.key, known.owner) else "bad_signature"


def check_accuser(case: JudgedStatement) -> str:
    """The key's owner signed, or enough authority keys."""
    known = case.registry.members.get(case.key)
    if known is None:
        return NO_SUBJECT
    return OK if case.signer(0) == known.owner or case.authorised() else "bad_signature"


def check_since(case: JudgedStatement) -> str:
    """The position that the statement names is not ahead of the log."""
    return OK if case.since <= case.index else "since_in_future"


def check_approvable(case: JudgedStatement) -> str:
    """The measurement names registers, and was not revoked: a revoked one does not come back."""
    document = case.document
    if not isinstance(document, Measurement):
        return NO_SUBJECT
    if not document.registers:
        return "measurement_empty"
    known = case.registry.approved.get(case.committed)
    return "measurement_revoked" if known is not None and known.valid.until is not None else OK


def check_approved(case: JudgedStatement) -> str:
    """The measurement was approved."""
    return OK if case.committed in case.registry.approved else "measurement_unknown"


def check_card(case: JudgedStatement) -> str:
    """The label is free, and its owner signed and is named on the card."""
    card = case.document
    if not isinstance(card, ModelCard):
        return NO_SUBJECT
    if case.signer(0) != case.owner:
        return "bad_signature"
    if card.owner != hex0x(case.owner):
        return "card_names_other"
    return OK if card.label not in case.registry.labels else "label_taken"


def check_version(case: JudgedStatement) -> str:
    """The label's owner signed; the manifest names the label's card, the artifact, and what it replaces."""
    manifest = case.document
    if not isinstance(manifest, Manifest):
        return NO_SUBJECT
    label = case.registry.labels.get(manifest.label)
    if label is None:
        return "label_unknown"
    if case.signer(0) != label.owner or case.owner != label.owner:
        return "bad_signature"
    if manifest.card != hex0x(label.card.digest()):
        return "card_mismatch"
    newest = label.versions[-1][1] if label.versions else None
    if manifest.derived_from != (hex0x(newest) if newest else ""):
        return "lineage_broken"
    stated = (hex0x(case.version.artifact), hex0x(case.version.sha256))
    return OK if stated == (manifest.artifact, manifest.sha256) else "artifact_mismatch"


def check_content(case: JudgedStatement) -> str:
    """The artifact's content, where a copy is held here, has this blob ID, SHA-256 and size."""
    manifest, judge = case.document, case.context.check_artifact
    if not isinstance(manifest, Manifest):
        return NO_SUBJECT
    found = judge(case.version.artifact, case.version.sha256, manifest.size) if judge else None
    return NO_SUBJECT if found is None else found


def check_offer_terms(case: JudgedStatement) -> str:
    """The owner whom the offer names signed it, it belongs to this network, and it can be meant."""
    offer = case.document
    if not isinstance(offer, Offer):
        return NO_SUBJECT
    if case.signer(0) != case.owner or len(case.signers) != 1:
        return "bad_signature"
    if (offer.network, offer.owner) != (hex0x(case.network), hex0x(case.owner)):
        return "offer_names_other"
    try:
        check_offer(offer)
    except HallmarkError:
        return "offer_unsound"
    return OK


def check_issuer_keys_of_epoch(case: JudgedStatement) -> str:
    """A registered issuer signed them, they are meant, and they are its only ones for this epoch.

    So that nobody who buys can be told apart by the keys that sign for him: epochs and their beginnings
    ascend, and no more than two sets of an issuer are in force at one time.
    """
    keys, issued = case.document, case.issued
    if not isinstance(keys, IssuerKeys):
        return NO_SUBJECT
    if case.signer(0) != issued.issuer or len(case.signers) != 1:
        return "bad_signature"
    if case.registry.member(issued.issuer, Role.ISSUER, case.index) is None:
        return "issuer_not_registered"
    named = (keys.network, keys.issuer, keys.epoch)
    if named != (hex0x(issued.network), hex0x(issued.issuer), issued.epoch):
        return "issuer_keys_name_other"
    try:
        check_issuer_keys(keys)
    except HallmarkError:
        return "issuer_keys_unsound"
    before = case.registry.issuers.get(issued.issuer, ())
    if before and keys.epoch <= before[-1].document.epoch:
        return "issuer_epoch_repeated"
    if before and keys.since <= before[-1].document.since:
        return "issuer_epochs_overlap"
    return "issuer_epochs_overlap" if len(before) > 1 and keys.since < before[-2].document.until else OK


def check_policy_version(case: JudgedStatement) -> str:
    """A policy replaces an older one of its kind, never a newer one, and is named as its kind says."""
    document, kind = case.document, text_of(case.policy_kind)
    if isinstance(document, AttestationPolicy):
        policies = case.registry.attestation
        known = policies[-1][2].version if policies else 0
        return OK if document.version > known else "policy_version"
    if isinstance(document, ClearingPolicy):
        if kind != CLEARING + document.name:
            return "policy_kind_unknown"
        versions = case.registry.clearing.get(document.name)
        return OK if document.version > (versions[-1][2].version if versions else 0) else "policy_version"
    return NO_SUBJECT


def judge_evidence(case: JudgedStatement, statement: Registration, raw: bytes) -> EvidenceVerdict | None:
    """What the evidence shows at the moment of admission; None when its bytes cannot be read."""
    policy = case.attestation_policy()
    try:
        evidence = Evidence.decode(raw)
    except HallmarkError:
        return None
    if policy is None:
        return None
    return case.context.verify_evidence(
        evidence,
        policy,
        case.admitted,
        measurements=case.registry.measurements(case.index),
        expect=Expectation(
            report_data(KeyBundle, case.attachment(0)),
            evidence_nonce(statement.beacon_size, statement.beacon_root),
        ),
    )


ALWAYS: Final[tuple[Rule[JudgedStatement], ...]] = (("network", check_network), ("at", check_at))
FORM: Final[tuple[Rule[JudgedStatement], ...]] = (*ALWAYS, ("attachments", check_attachments))
AUTHORITY: Final[tuple[Rule[JudgedStatement], ...]] = (*FORM, ("authority", check_authority))
DOCUMENT: Final[Rule[JudgedStatement]] = ("document", check_document)

RULES: Final[dict[Kind, tuple[Rule[JudgedStatement], ...]]] = {
    Kind.REGISTRATION: (
        *FORM,
        DOCUMENT,
        ("signature", check_registrants),
        ("key", check_standing),
        ("bundle", check_named_key),
        ("epoch", check_only_bundle),
        ("beacon", check_registration_beacon),
        ("evidence", check_registered_evidence),
    ),
    Kind.RETIREMENT: (*FORM, ("key", check_member), ("signature", check_retirer)),
    Kind.COMPROMISE: (
        *FORM,
        ("key", check_member),
        ("signature", check_accuser),
        ("since", check_since),
    ),
    Kind.APPROVAL: (*AUTHORITY, DOCUMENT, ("measurement", check_approvable)),
    Kind.REVOCATION: (*AUTHORITY, ("measurement", check_approved), ("since", check_since)),
    Kind.PUBLICATION: (*FORM, DOCUMENT, ("label", check_card)),
    Kind.VERSION: (*FORM, DOCUMENT, ("label", check_version), ("content", check_content)),
    Kind.OFFER: (*FORM, DOCUMENT, ("offer", check_offer_terms)),
    Kind.ISSUER_EPOCH: (*FORM, DOCUMENT, ("keys", check_issuer_keys_of_epoch)),
    Kind.POLICY: (*AUTHORITY, DOCUMENT, ("version", check_policy_version)),
    Kind.VERDICT: (*ALWAYS, *dispute_checks.VERDICT_RULES),
    Kind.FAULT: (*ALWAYS, *dispute_checks.FAULT_RULES),
    Kind.REVIEW: (*ALWAYS, *reviews.REVIEW_RULES),
    Kind.OUTCOME: (*FORM, DOCUMENT, *outcome_checks.OUTCOME_RULES),
    Kind.DERIVATION: (*FORM, DOCUMENT, *derivation_checks.DERIVATION_RULES),
}
