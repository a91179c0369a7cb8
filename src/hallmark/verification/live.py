"""Marks of a logged receipt as somebody who follows the log sees them: a gateway, an explorer, a wallet.

`Replica` has run every check itself and reads every verdict, so a live view knows what a saved receipt
cannot:
that no objection stands, that a key was compromised later, that a measurement was revoked. It never saw the
request or the answer, and it says so.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import EnclaveConfiguration, RouteRecord
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import Assurance
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Question, State
from hallmark.core.money import Payment
from hallmark.core.receipt import Mode, Receipt
from hallmark.core.registry import Approved
from hallmark.core.statements import Role
from hallmark.core.tokens import TokenSpend
from hallmark.verification import payment_wording, route_wording, wording
from hallmark.verification.attested import Attested
from hallmark.verification.fold import Replica
from hallmark.verification.judged_receipt import DIRECT, parse_ticket
from hallmark.verification.payment_findings import waived
from hallmark.verification.reasons import question_of, sentence_of
from hallmark.verification.reviews import Counted, conclude

RESTS_ON_KEY = (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)


class Inclusion(msgspec.Struct, frozen=True):
    """What the viewer verified about cosigning: a quorum of `signers` out of `of` full nodes cosigned the log
    up to `size` with `root` at `at` (unix ms). `anchored_size` is how far a chain that the viewer read itself
    holds the log, under `confirmations`. `contradicted_size` is the size for which that chain holds another
    root than the viewer computed; 0 when there is none.
    """

    size: int
    root: bytes
    signers: tuple[str, ...]
    of: int
    at: int
    anchored_size: int = 0
    anchored_at: int = 0
    confirmations: int = 0
    contradicted_size: int = 0


class View:
    """One receipt entry as a follower of the log sees it."""

    def __init__(
        self,
        replica: Replica,
        index: int,
        entry: Entry,
        *,
        by: str,
        now: int,
        configuration: bytes,
    ) -> None:
        if not isinstance(entry.statement, Receipt):
            raise TypeError("a view is of a receipt entry")
        self.replica, self.index, self.entry, self.by, self.now = replica, index, entry, by, now
        self.receipt = entry.statement
        self.id = self.receipt.digest()
        self.attested: Attested | None = replica.memory.attested.get((self.receipt.node, self.receipt.bundle))
        self.insecure = _insecure(self.attested, configuration)
        """Switches of the configuration; None when it is not shown or not the bundle's."""

    @property
    def passed_on(self) -> bool:
        """True when a provider answered: the enclave passed on what it said."""
        return self.receipt.artifact == ZERO32 and self.receipt.upstream != ZERO32

    @property
    def measured(self) -> bool:
        """True when evidence says what ran, and nothing was switched off in it."""
        return self.attested is not None and self.attested.evidence is not None and self.insecure == ()


def _insecure(attested: Attested | None, configuration: bytes) -> tuple[str, ...] | None:
    if attested is None or not configuration:
        return None
    if hex0x(digest_of(EnclaveConfiguration, configuration)) != attested.bundle.configuration:
        return None
    try:
        return EnclaveConfiguration.decode(configuration).insecure
    except HallmarkError:
        return None


def live_findings(
    replica: Replica,
    index: int,
    entry: Entry,
    inclusion: Inclusion | None,
    *,
    by: str,
    now: int,
    configuration: bytes = b"",
) -> list[Finding]:
    """Everything that the log establishes about the receipt at `index`, as `by` sees it at `now` (unix ms).

    `configuration` is the exact `EnclaveConfiguration` document of the node. The log holds only its
    digest (in the bundle), so without it nobody knows which checks it switched off, and nothing that the
    enclave says rises above `claimed`.

    1. What this replica's own checks found against it.
    2. What full nodes hold against it, by the verdicts that count.
    3. What happened since to its key and its image.
    4. What the chain that the viewer read holds against the log below some size.
    5. What stands in its favour: checked by `by`, witnessed and anchored as far as `inclusion` reaches.
    6. What reviewers said of the answer.
    """
    view = View(replica, index, entry, by=by, now=now, configuration=configuration)
    found = [*_own(view), *_objections(view), *_ended(view)]
    if inclusion is not None and inclusion.contradicted_size > index:
        reason = "anchor_contradicted"
        found.append(_against(view, Question.PROVED, State.FAILED, reason=reason, by="the chain"))
    return [*found, *_positive(view, inclusion), *_reviewed(view, inclusion)]


def _own(view: View) -> list[Finding]:
    return [
        _against(view, question_of(reason), State.FAILED, reason=reason, by=view.by)
        for reason in view.replica.failures(view.index)
    ]


def _objections(view: View) -> list[Finding]:
    standing = view.replica.standing(view.index)
    if standing.state is None:
        return []
    by = (
        f"{len(standing.by)} full nodes"
        if len(standing.by) != 1
        else f"full node {wording.short(standing.by[0])}"
    )
    by = by if standing.by else "a proven fault"
    questions = {question_of(standing.reason), Question.PROVED}
    return [
        _against(view, question, standing.state, reason=standing.reason, by=by)
        for question in Question
        if question in questions
    ]


def _ended(view: View) -> list[Finding]:
    found = []
    registry = view.replica.registry
    member = registry.members.get(view.receipt.node)
    if member is not None and member.role is Role.NODE:
        since = member.compromised_since
        if since is not None and view.index >= since:
            found += [
                _against(view, question, State.REVOKED, reason="key_compromised", by="the log")
                for question in RESTS_ON_KEY
            ]
    approved: Approved | None = registry.approved.get(view.attested.measurement) if view.attested else None
    if approved is not None and not approved.valid.covers(view.index):
        found.append(_against(view, Question.RAN, State.REVOKED, reason="measurement_revoked", by="the log"))
    return found


def _positive(view: View, inclusion: Inclusion | None) -> list[Finding]:
    found = [_finding(view, Question.PROVED, State.CHECKED, view.id, _proved(view, None))]
    told = ((Question.RAN, _ran(view)), (Question.MODEL, _model(view)), (Question.ROUTE, _route(view)))
    for question, detail in told:
        if detail is None:
            continue
        found.append(_finding(view, question, State.CLAIMED, view.id, detail, by="the node"))
        if view.measured and not (question is Question.MODEL and view.receipt.artifact == ZERO32):
            found.append(_finding(view, question, State.CHECKED, view.id, detail))
            if inclusion is not None and inclusion.size > view.index:
                found.append(_witnessed(view, question, inclusion, detail))
    if view.receipt.inputs != EMPTY_ROOT:
        detail = {"what": wording.NOT_SHOWN["inputs"]}
        found.append(
            _finding(view, Question.INPUTS, State.CLAIMED, view.receipt.inputs, detail, by="the node")
        )
    found += _paid(view, inclusion)
    if inclusion is not None and inclusion.size > view.index:
        found.append(_witnessed(view, Question.PROVED, inclusion, _proved(view, inclusion)))
        if inclusion.anchored_size > view.index:
            detail = dict(_proved(view, inclusion)) | {"confirmations": str(inclusion.confirmations)}
            by = wording.quorum(len(inclusion.signers), inclusion.of)
            found.append(
                Finding(
                    Question.PROVED,
                    State.ANCHORED,
                    by,
                    inclusion.anchored_at,
                    inclusion.root,
                    detail=detail,
                )
            )
    return found


def _paid(view: View, inclusion: Inclusion | None) -> list[Finding]:
    """What was charged, or that nobody has to pay; this replica's own checks speak against it elsewhere."""
    record, digest = payment_of(view.entry), view.receipt.payment
    if record is None:
        return []
    detail = payment_wording.detail(record, _spent(view, record))
    rungs = [_finding(view, Question.PAID, State.CLAIMED, digest, detail, by="the node")]
    if view.measured:
        rungs.append(_finding(view, Question.PAID, State.CHECKED, digest, detail))
        if inclusion is not None and inclusion.size > view.index:
            rungs.append(_witnessed(view, Question.PAID, inclusion, detail))
    return [waived(rungs[-1])] if record.rail == "free" else rungs


def _spent(view: View, record: Payment) -> payment_wording.Spent | None:
    """The tokens that paid; None where none did, or when what the log says of them is forgotten."""
    if record.rail != "token" or len(view.entry.attachments) < 5:
        return None
    try:
        spend = TokenSpend.decode(view.entry.attachments[4])
    except HallmarkError:
        return None
    issued = view.replica.registry.issuer_keys.get(spend.keys)
    if issued is None:
        return None
    return payment_wording.spent_of(spend, view.replica.memory.key_set(spend.keys, issued))


def payment_of(entry: Entry) -> Payment | None:
    """The payment record beside a receipt that commits to it; None without one that can be read."""
    receipt = entry.statement
    if not isinstance(receipt, Receipt) or receipt.payment == ZERO32 or len(entry.attachments) < 4:
        return None
    if digest_of(Payment, entry.attachments[3]) != receipt.payment:
        return None
    try:
        return Payment.decode(entry.attachments[3])
    except HallmarkError:
        return None


def _reviewed(view: View, inclusion: Inclusion | None) -> list[Finding]:
    """Reviews that the replica accepted; witnessed as far as the verified checkpoint reaches."""
    item, size = view.id, inclusion.size if inclusion else 0
    counted = [
        Counted(review, State.WITNESSED, max(inclusion.at, view.replica.admitted(at)))
        if inclusion is not None and at < size
        else Counted(review, State.CHECKED, review.at)
        for at, review in view.replica.registry.reviews.get(item, ())
    ]
    return conclude(counted, item)


def _ran(view: View) -> Mapping[str, str] | None:
    attested, receipt = view.attested, view.receipt
    if attested is None:
        return None
    evidence = attested.evidence
    assurance = evidence.assurance if evidence else Assurance.NONE
    image = evidence.measurement if evidence else ""
    notes = ["request and response are the owner's to compare"]
    if view.insecure is None:
        notes.append(wording.NOT_SHOWN["configuration"])
    elif view.insecure:
        notes.append(wording.insecure(view.insecure))
    return {
        "what": wording.ran(
            receipt.node,
            attested.bundle.mode,
            image=image,
            assurance=assurance,
            upstream=view.passed_on,
            said=receipt.mode,
            notes=[*wording.beside(receipt.mode, shown=False), *notes],
        ),
        "assurance": assurance.value,
        "mode": Mode(receipt.mode).name.lower() if receipt.mode in (0, 1, 2, 3) else "unknown",
        "node": hex0x(receipt.node),
        "image": image,
        "insecure": ", ".join(view.insecure or ()),
    }


def _model(view: View) -> Mapping[str, str] | None:
    if view.receipt.artifact == ZERO32:
        # Who the provider is stands in the owner's upstream record; the log holds only its digest.
        return {"what": wording.asserted(None), "asserted_by": wording.SOME_PROVIDER}
    known = view.replica.registry.manifests.get(view.receipt.manifest)
    if known is None:
        return None
    manifest = known[1]
    return {
        "what": wording.model(manifest),
        "artifact": manifest.artifact,
        "label": manifest.label,
        "version": manifest.version,
    }


def _route(view: View) -> Mapping[str, str] | None:
    attachments = view.entry.attachments
    if len(attachments) < 3 or digest_of(RouteRecord, attachments[0]) != view.receipt.route:
        return None
    try:
        record = RouteRecord.decode(attachments[0])
    except HallmarkError:
        return None
    gateway, offered = None, 0
    if record.ticket != DIRECT:
        passage = parse_ticket(attachments[2], attachments[1], view.replica.genesis.chain_id)
        if passage is not None:
            gateway, offered = passage.ticket.gateway, len(passage.candidates or ())
    vouched = view.attested.evidence if view.attested else None
    beside = route_wording.Party(
        gateway,
        offered,
        wording.PROVIDER if view.receipt.upstream != ZERO32 else "",
        vouched.assurance if vouched else Assurance.NONE,
    )
    return {"what": route_wording.route(record, beside), **route_wording.detail(record, gateway)}


def _proved(view: View, inclusion: Inclusion | None) -> Mapping[str, str]:
    size = inclusion.size if inclusion else view.replica.size
    what = wording.clean(view.index, size, view.receipt.mode, quorum=inclusion is not None)
    return {"what": what, "index": str(view.index), "size": str(size)}


def _finding(
    view: View, question: Question, state: State, digest: bytes, detail: Mapping[str, str], *, by: str = ""
) -> Finding:
    at = view.receipt.finished if state is State.CLAIMED else view.now
    return Finding(question, state, by or view.by, at, digest, detail=detail)


def _witnessed(view: View, question: Question, inclusion: Inclusion, detail: Mapping[str, str]) -> Finding:
    by = wording.quorum(len(inclusion.signers), inclusion.of)
    digest = inclusion.root if question is Question.PROVED else view.id
    # Cosignatures carry whole seconds, rounded down: they may be dated before what they cover was admitted.
    at = max(inclusion.at, view.replica.admitted(view.index))
    return Finding(question, State.WITNESSED, by, at, digest, detail=detail)


def _against(view: View, question: Question, state: State, *, reason: str, by: str) -> Finding:
    detail = {"what": sentence_of(reason).rstrip(".")}
    return Finding(question, state, by, view.now, view.id, reason, detail)
