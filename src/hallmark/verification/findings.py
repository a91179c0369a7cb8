"""What a dossier establishes, question by question: one function per mark, each with the same skeleton.

Collect what the receipt commits to, hold it against what the dossier brings, and say at most this much:

- `claimed`: the node's word alone (no enclave, an upstream provider, a configuration that is not shown or
  that switched checks off);
- `checked`: every digest, signature and evidence step was re-computed here;
- `witnessed`: and a quorum-cosigned checkpoint covers the receipt and what the mark rests on;
- `anchored`: and the caller read from the chain itself that it holds the checkpoint (`proved` only).

A part that does not hold makes its mark `failed` with the reason code; nothing is passed over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TypeVar

from hallmark.core.beacon import EMPTY_ROOT, evidence_nonce
from hallmark.core.document import hex0x, report_data
from hallmark.core.documents import InputRecord, KeyBundle, Manifest, Measurement
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import Assurance, Evidence, Expectation, VerifyEvidence
from hallmark.core.evidence import Verdict as EvidenceVerdict
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Question, State
from hallmark.core.receipt import Mode
from hallmark.core.statements import Registration
from hallmark.verification import wording
from hallmark.verification.attested import matches
from hallmark.verification.dossier import Dossier
from hallmark.verification.examination import (
    CheckAnchor,
    Examination,
    Placed,
    VerifyProof,
    committed,
    failure,
    require,
)
from hallmark.verification.mark_ladder import (
    claimed,
    failed,
    ladder,
    negative,
    registered,
    upstream_record,
)
from hallmark.verification.outcome import JUDGING_FAILED, bug_of
from hallmark.verification.payment_findings import paid
from hallmark.verification.proving import anchored, consistent, proved, sound
from hallmark.verification.reviews import reviewed
from hallmark.verification.route_findings import route
from hallmark.verification.tree import root_of
from hallmark.verification.trust import Trust

T = TypeVar("T")
RESTS_ON_RECEIPT = (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)


def findings(
    dossier: Dossier,
    trust: Trust,
    now: int,
    verify_evidence: VerifyEvidence,
    *,
    verify_proof: VerifyProof | None = None,
    check_anchor: CheckAnchor | None = None,
) -> list[Finding]:
    """Everything that the dossier establishes under `trust` at `now` (unix ms). Raises nothing about content.

    1. The receipt is this network's and signed by its node; otherwise every mark that rests on it has failed.
    2. Each question is examined on its own; `ran` first, because without it the rest is the node's word.
    3. What the trust file says was compromised or revoked speaks against the answer in any case.
    """
    exam = Examination(
        dossier,
        trust,
        now,
        verify_evidence=verify_evidence,
        verify_proof=verify_proof,
        check_anchor=check_anchor,
    )
    return examined(exam)


def examined(exam: Examination) -> list[Finding]:
    """The findings of an examination; see `findings`."""
    refused = _caught("receipt", exam.check_receipt)
    if isinstance(refused, HallmarkError):
        return [failed(exam, question, refused) for question in RESTS_ON_RECEIPT]
    found: list[Finding] = []
    for question, examine in EXAMINATIONS:
        shown = _caught(question, functools.partial(_all, examine, exam))
        found += [failed(exam, question, shown)] if isinstance(shown, HallmarkError) else shown
    return [*found, *revocations(exam)]


def _all(examine: Callable[[Examination], Iterable[Finding]], exam: Examination) -> list[Finding]:
    return list(examine(exam))


def _caught(name: str, work: Callable[[], T]) -> T | HallmarkError:
    """What `work` gives, or why it does not hold. What it raises otherwise is a bug, here or in a library:
    then the mark has failed with `judging_failed`, because an examination that stops finds nothing in favour.
    """
    try:
        return work()
    except HallmarkError as error:
        return error
    except BaseException as error:
        bug_of(name, error)
        return failure(JUDGING_FAILED)


def ran(exam: Examination) -> Iterable[Finding]:
    """Which measured code ran it: bundle, configuration, content, evidence, registration."""
    receipt = exam.receipt
    bundle = exam.bundle if exam.shows_bundle else None
    allowed = exam.check_mode()
    configuration = exam.configuration(bundle) if bundle else None
    here = [wording.CONTENT[exam.check_content()]]
    if exam.parameters() is None:
        here.append(wording.NOT_SHOWN["parameters"])
    evidence = _evidence(exam)
    if configuration is None:
        lone = bundle is None and exam.dossier.documents.configuration is not None
        here.append(wording.UNCOMPARED if lone else wording.NOT_SHOWN["configuration"])
        here += [wording.listed_insecure(exam.dossier.insecure)] if exam.dossier.insecure else []
    elif configuration.insecure:
        here.append(wording.insecure(configuration.insecure))
    assurance = evidence.assurance if evidence else Assurance.NONE
    exam.assurance = assurance
    image = evidence.measurement if evidence else ""
    told = "; ".join([_told(exam, evidence), *wording.beside(receipt.mode, shown=allowed)])
    detail = {
        "what": "; ".join([told, *here]),
        "assurance": assurance.value,
        "mode": Mode(receipt.mode).name.lower(),
        "node": hex0x(receipt.node),
        "image": image,
        "insecure": ", ".join(configuration.insecure) if configuration else "",
    }
    digest = evidence.digest if evidence else receipt.bundle
    exam.measured = evidence is not None and configuration is not None and not configuration.insecure
    apart = f"{told}; this verifier alone: " + ", ".join(here)
    return ladder(exam, Question.RAN, digest, detail, rests_on=registered(exam), witnessed=apart)


def _told(exam: Examination, evidence: EvidenceVerdict | None) -> str:
    node, mode, upstream, said = exam.receipt.node, exam.confinement, exam.passed_on, exam.receipt.mode
    if mode is None:
        return wording.unconfined(node)
    if evidence is None and mode == Mode.TEE:
        why = wording.NOT_SHOWN["evidence" if exam.shows_bundle else "bundle"]
        return wording.unvouched(node, mode, upstream=upstream, why=why, said=said)
    image = evidence.measurement if evidence else ""
    assurance = evidence.assurance if evidence else Assurance.NONE
    notes = () if exam.shows_bundle else (wording.NOT_SHOWN["bundle"],)
    return wording.ran(
        node, mode, image=image, assurance=assurance, upstream=upstream, said=said, notes=notes
    )


def model(exam: Examination) -> Iterable[Finding]:
    """Which artifact answered, or what a provider merely asserts."""
    receipt, documents = exam.receipt, exam.dossier.documents
    pin = exam.pinned()
    require(pin in ("", hex0x(receipt.artifact)), "model_pin_mismatch")
    if receipt.artifact == ZERO32:
        require(receipt.manifest == ZERO32 and receipt.upstream != ZERO32, "artifact_missing")
        require(documents.manifest is None and exam.dossier.version is None, "manifest_mismatch")
        record = upstream_record(exam)
        by = record.provider if record else wording.SOME_PROVIDER
        detail = {"what": wording.asserted(record), "asserted_by": by}
        return [claimed(exam, Question.MODEL, receipt.upstream, detail)]
    require(receipt.upstream == ZERO32 and documents.upstream is None, "artifact_and_upstream")
    artifact = hex0x(receipt.artifact)
    require(not exam.shows_bundle or artifact in exam.bundle.artifacts, "artifact_not_in_bundle")
    rests_on = {**registered(exam), "version": exam.version}
    if documents.manifest is None:
        told = f"{wording.artifact(artifact)}; {wording.NOT_SHOWN['manifest']}"
        return [claimed(exam, Question.MODEL, receipt.manifest, {"what": told, "artifact": artifact})]
    manifest = committed(Manifest, documents.manifest, receipt.manifest, "manifest_mismatch")
    require(manifest.artifact == artifact, "artifact_mismatch")
    detail = {
        "what": wording.model(manifest, pinned=bool(pin)),
        "artifact": manifest.artifact,
        "label": manifest.label,
        "version": manifest.version,
        "sha256": manifest.sha256,
        "derived_from": manifest.derived_from,
    }
    return ladder(exam, Question.MODEL, receipt.manifest, detail, rests_on=rests_on)


def inputs(exam: Examination) -> Iterable[Finding]:
    """What entered from outside; nothing when the receipt commits to nothing."""
    texts = exam.dossier.documents.inputs
    if exam.receipt.inputs == EMPTY_ROOT and not texts:
        return []
    if not texts:
        detail = {"what": wording.NOT_SHOWN["inputs"]}
        return [claimed(exam, Question.INPUTS, exam.receipt.inputs, detail)]
    require(root_of(text.encode() for text in texts) == exam.receipt.inputs, "inputs_mismatch")
    try:
        records = [InputRecord.decode(text.encode()) for text in texts]
    except HallmarkError as error:
        raise failure("inputs_mismatch") from error
    detail = {"what": wording.inputs(records, exam.receipt.started)}
    return ladder(exam, Question.INPUTS, exam.receipt.inputs, detail, rests_on=registered(exam))


EXAMINATIONS = (
    (Question.RAN, ran),
    (Question.MODEL, model),
    (Question.ROUTE, route),
    (Question.INPUTS, inputs),
    (Question.PAID, paid),
    (Question.PROVED, proved),
    (Question.PROVED, consistent),
    (Question.PROVED, anchored),
    (Question.REVIEWED, reviewed),
)


def revocations(exam: Examination) -> Iterable[Finding]:
    """What the trust file lists against this key or its image, from the listed position on."""
    placed, node = sound(lambda: exam.entry), hex0x(exam.receipt.node)
    # Whoever holds a compromised key can write any position into a file: only a proven one counts.
    index = placed.place.index if placed is not None and placed.place is not None else None
    for key in exam.trust.compromised:
        if key.key == node and (index is None or index >= key.since):
            for question in RESTS_ON_RECEIPT:
                yield negative(exam, question, State.REVOKED, "key_compromised")
    revoked = {entry.document: entry for entry in exam.trust.revoked}
    for measurement in exam.trust.measurement:
        entry = revoked.get(hex0x(measurement.digest()))
        if entry and (index is None or index >= entry.since) and _ran_in(exam, measurement):
            yield negative(exam, Question.RAN, State.REVOKED, "measurement_revoked")


def _evidence(exam: Examination) -> EvidenceVerdict | None:
    """The evidence's verdict; None for a node without an enclave, and when it, or the bundle that it binds,
    is not shown. Raises when it does not hold.
    """
    registration, raw = exam.registration, exam.evidence_bytes()
    if exam.confinement == Mode.VANILLA:
        require(not raw, "evidence_unexpected")
        return None
    if not raw:
        return None
    try:
        evidence = Evidence.decode(raw)
    except HallmarkError as error:
        raise failure("evidence_unreadable") from error
    if not exam.shows_bundle:
        return None
    verdict = _judged(exam, evidence, registration)
    if not verdict.ok:
        raise failure("evidence_rejected", verdict.reason)
    policy = exam.trust.attestation
    require(verdict.made_at + policy.max_age >= exam.moment(), "evidence_stale")
    return verdict


def _judged(exam: Examination, evidence: Evidence, registration: Placed | None) -> EvidenceVerdict:
    nonce, at = None, exam.receipt.finished
    if registration is not None and isinstance(registration.entry.statement, Registration):
        statement = registration.entry.statement
        nonce, at = evidence_nonce(statement.beacon_size, statement.beacon_root), registration.part.admitted
    bound = report_data(KeyBundle, exam.dossier.documents.bundle.encode())
    return exam.verify_evidence(
        evidence,
        exam.trust.attestation,
        at,
        measurements=exam.trust.measurement,
        expect=Expectation(bound, nonce),
    )


def _ran_in(exam: Examination, measurement: Measurement) -> bool:
    try:
        evidence = _evidence(exam)
    except HallmarkError:
        return False
    return evidence is not None and matches(measurement, evidence)
