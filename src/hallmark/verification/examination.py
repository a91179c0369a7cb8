"""A dossier opened for examination: its parts typed, its documents held against what commits to them.

Everything here raises `VerificationFailed` with a reason code of `reasons` when something does not hold;
`findings` turns that into the mark that it speaks against.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from hallmark.core.document import Document, digest_of, hex0x, unhex
from hallmark.core.documents import (
    AnchorRecord,
    EnclaveConfiguration,
    KeyBundle,
    Manifest,
    Parameters,
    RouteRecord,
)
from hallmark.core.entries import SIGNATURE_SIZE, Entry
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.evidence import Assurance, VerifyEvidence
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.model_names import read_model_name
from hallmark.core.modes import CONFINED, NAMES, artifact_refusal, refusal
from hallmark.core.receipt import RECEIPT_VERSION, Mode, Receipt, request_digest, response_digest
from hallmark.core.statements import Registration, Ticket, Version
from hallmark.core.typed import signing_digest
from hallmark.crypto.secp256k1 import recover
from hallmark.verification.dossier import Dossier, LoggedPart, unbase64
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.objections_after import Objections, completes, leaves_of, objections, path_of
from hallmark.verification.reasons import sentence_of
from hallmark.verification.trust import Trust

VerifyProof = Callable[[bytes, str], ProvenPlace]
"""(leaf bytes, tlog-proof text) -> where the leaf is proven to stand; raises when the proof does not hold.
`hallmark.ledger.proof.verify_proof` under the trust file's tlog-policy is the one."""

CheckAnchor = Callable[[AnchorRecord], int]
"""(the server's word) -> confirmations, read from a chain of the caller's own choosing. Raises
VerificationFailed when that chain says otherwise, another HallmarkError when it did not say."""

D = TypeVar("D", bound=Document)
REMEMBERED_BYTES: Final = 8192


class Placed(msgspec.Struct, frozen=True):
    """An entry of the dossier with its place: proven, or None when no proof came with it."""

    part: LoggedPart
    entry: Entry
    place: ProvenPlace | None

    @property
    def witnessed_at(self) -> int:
        """Since when a quorum covers it, unix ms; 0 when no proof came with it.

        Cosignatures carry whole seconds, rounded down, so theirs may be dated before what they cover was
        admitted; a checkpoint is never older than that.
        """
        return max(self.place.cosigned_at, self.part.admitted) if self.place else 0


class Examination:
    """One dossier under one trust file. Parts are read on demand; reading raises VerificationFailed."""

    def __init__(
        self,
        dossier: Dossier,
        trust: Trust,
        now: int,
        *,
        verify_evidence: VerifyEvidence,
        verify_proof: VerifyProof | None,
        check_anchor: CheckAnchor | None,
    ) -> None:
        self.dossier, self.trust, self.now = dossier, trust, now
        self.verify_evidence = verify_evidence
        self.verify_proof = verify_proof
        self.check_anchor = check_anchor
        self.receipt: Receipt = dossier.opened()
        self.measured = False
        """Set when `ran` was checked: only then is what the enclave says more than a claim."""
        self.assurance = Assurance.NONE
        """What hardware was found to vouch for the enclave as `ran` was examined."""

    def check_receipt(self) -> None:
        """The receipt is of this network and version, is named by its id, and its node signed it."""
        receipt, trust = self.receipt, self.trust
        network = trust.network_id
        require(receipt.version == RECEIPT_VERSION, "receipt_version")
        require(receipt.network == network and unhex(self.dossier.network) == network, "wrong_network")
        require(self.dossier.chain_id == trust.chain_id, "chain_mismatch")
        hashed = receipt.digest()
        require(hex0x(hashed) == self.dossier.id, "id_mismatch")
        try:
            signer = recover(signing_digest(hashed, trust.chain_id), unhex(self.dossier.signature))
        except VerificationFailed as error:
            raise failure("bad_signature") from error
        require(signer == receipt.node, "bad_signature")

    def check_content(self) -> tuple[bool, bool]:
        """The owner's copies are what the receipt commits to; (request compared, response compared)."""
        request, response, salts = self.dossier.request, self.dossier.response, self.dossier.salts
        require(self._request_found in (None, self.receipt.request), "request_mismatch")
        if response is not None and salts.response is not None:
            found = response_digest(unhex(salts.response), response.body.encode())
            require(found == self.receipt.response, "response_mismatch")
        return request is not None, response is not None

    @functools.cached_property
    def _request_found(self) -> bytes | None:
        """The digest of the request as it is shown, empty where it can have none; None when it, or its salt,
        is not shown.
        """
        request, salt = self.dossier.request, self.dossier.salts.request
        if request is None or salt is None:
            return None
        if len(request.path.encode()) >= 1 << 16:
            return b""
        return request_digest(unhex(salt), request.path, request.body.encode())

    def pinned(self) -> str:
        """The artifact (0x-hex) to which the request pinned its model; empty when it did not, or when the
        request is not shown as the one that the receipt commits to.
        """
        request = self.dossier.request
        if request is None or self._request_found != self.receipt.request:
            return ""
        try:
            return read_model_name(msgspec.json.decode(request.body.encode(), type=_Named).model).artifact
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""

    @property
    def passed_on(self) -> bool:
        """True when a provider answered: the enclave passed on what it said."""
        return self.receipt.artifact == ZERO32 and self.receipt.upstream != ZERO32

    @property
    def shows_bundle(self) -> bool:
        """False when the file leaves the key bundle out."""
        return bool(self.dossier.documents.bundle)

    @functools.cached_property
    def bundle(self) -> KeyBundle:
        """The key bundle: the one that the receipt commits to, of this key and network, of a node whose
        receipts may have this mode.
        """
        bundle = committed(KeyBundle, self.dossier.documents.bundle, self.receipt.bundle, "bundle_mismatch")
        require(bundle.signing_key == hex0x(self.receipt.node), "key_mismatch")
        require(bundle.network == self.dossier.network, "wrong_network")
        refused = refusal(self.receipt.mode, bundle.mode)
        require(not refused, refused)
        return bundle

    @property
    def confinement(self) -> int | None:
        """What confines the node, as a mode; None while the bundle that would say so is not shown."""
        if self.receipt.mode in CONFINED:
            return self.receipt.mode
        return self.bundle.mode if self.shows_bundle else None

    def check_mode(self) -> bool:
        """The manifest allows the receipt's mode, and the parameters name the trace that it needs; False
        while what says so is not shown.
        """
        mode, text = self.receipt.mode, self.dossier.documents.manifest
        require(mode in NAMES, "mode_not_supported")
        if mode in CONFINED:
            return True
        if text is None and self.receipt.artifact != ZERO32:
            return False
        manifest = committed(Manifest, text, self.receipt.manifest, "manifest_mismatch") if text else None
        refused = artifact_refusal(mode, manifest)
        require(not refused, refused)
        parameters = self.parameters()
        traced = parameters is None or mode != Mode.REPLAY or parameters.trace_root is not msgspec.UNSET
        require(traced, "trace_missing")
        return parameters is not None

    def configuration(self, bundle: KeyBundle) -> EnclaveConfiguration | None:
        """The enclave's configuration, and that its insecure switches are the listed ones, if any are listed;
        None if not shown.
        """
        text = self.dossier.documents.configuration
        if text is None:
            return None
        digest = unhex(bundle.configuration)
        found = committed(EnclaveConfiguration, text, digest, "configuration_mismatch")
        listed = self.dossier.insecure
        require(not listed or found.insecure == listed, "insecure_mismatch")
        return found

    def parameters(self) -> Parameters | None:
        """The parameters that were applied; None if not shown."""
        text = self.dossier.documents.parameters
        if text is None:
            return None
        return committed(Parameters, text, self.receipt.parameters, "parameters_mismatch")

    def placed(self, part: LoggedPart | None, mismatch: str, unproven: str) -> Placed | None:
        """An entry of the dossier and its proven place; None when the dossier has no such entry."""
        if part is None:
            return None
        try:
            entry = part.entry()
        except HallmarkError as error:
            raise failure(mismatch) from error
        if part.proof is None or self.verify_proof is None:
            return Placed(part, entry, None)
        try:
            place = self.verify_proof(part.leaf(), part.proof)
        except HallmarkError as error:
            raise failure(unproven, f"{error.reason}: {error.message}") from error
        require(place.index == part.index, unproven)
        lines = part.proof.split("\n")
        require(not lines[1].startswith("extra "), unproven)
        require(place.unknown == 0, "unknown_cosigner")
        return Placed(part, entry, place)

    @functools.cached_property
    def entry(self) -> Placed | None:
        """The receipt's own entry: this receipt, this signature, these attachments."""
        placed = self.placed(self.dossier.entry, "entry_mismatch", "proof_invalid")
        if placed is not None:
            entry, documents = placed.entry, self.dossier.documents
            require(entry.statement == self.receipt, "entry_mismatch")
            require(entry.signatures == (unhex(self.dossier.signature),), "entry_mismatch")
            shown: tuple[str | bytes | None, ...] = (
                documents.route or None,
                documents.candidates,
                self.dossier.ticket and self.ticket_bytes(),
            )
            if self.receipt.payment != ZERO32:
                shown = (*shown, documents.payment, self.authorization_bytes())
            require(len(entry.attachments) == len(shown), "entry_mismatch")
            for text, found in zip(shown, entry.attachments, strict=True):
                beside = text.encode() if isinstance(text, str) else text
                require(beside is None or beside == found, "entry_mismatch")
            require(digest_of(RouteRecord, entry.attachments[0]) == self.receipt.route, "entry_mismatch")
        return placed

    @functools.cached_property
    def registration(self) -> Placed | None:
        """The node's registration: this key, this bundle, this evidence."""
        placed = self.placed(self.dossier.registration, "registration_mismatch", "registration_proof")
        if placed is not None:
            statement, evidence = placed.entry.statement, self.evidence_bytes()
            require(isinstance(statement, Registration), "registration_mismatch")
            assert isinstance(statement, Registration)
            found = (statement.key, statement.document)
            require(found == (self.receipt.node, self.receipt.bundle), "registration_mismatch")
            require(len(placed.entry.attachments) == 2, "registration_mismatch")
            bundle, beside = placed.entry.attachments
            shown = self.dossier.documents.bundle.encode()
            require(not shown or bundle == shown, "registration_mismatch")
            require(digest_of(KeyBundle, bundle) == self.receipt.bundle, "registration_mismatch")
            require((sha256(beside) if beside else ZERO32) == statement.evidence, "registration_mismatch")
            if evidence or self.confinement == Mode.VANILLA:
                expected = sha256(evidence) if evidence else ZERO32
                require((statement.evidence, beside) == (expected, evidence), "registration_mismatch")
            self._earlier(placed, "registration_mismatch")
        return placed

    @functools.cached_property
    def version(self) -> Placed | None:
        """The entry that pointed the label at this manifest."""
        placed = self.placed(self.dossier.version, "version_mismatch", "version_proof")
        if placed is not None:
            statement = placed.entry.statement
            require(isinstance(statement, Version), "version_mismatch")
            assert isinstance(statement, Version)
            found = (statement.document, statement.artifact)
            require(found == (self.receipt.manifest, self.receipt.artifact), "version_mismatch")
            beside = [digest_of(Manifest, data) for data in placed.entry.attachments]
            require(beside == [self.receipt.manifest], "version_mismatch")
            self._earlier(placed, "version_mismatch")
        return placed

    @functools.cached_property
    def reviews(self) -> tuple[Placed, ...]:
        """The reviews that came with the receipt, in log order."""
        found = [self.placed(part, "review_subject", "review_proof") for part in self.dossier.reviews]
        return tuple(sorted((p for p in found if p is not None), key=lambda p: p.part.index))

    @property
    def parties_known(self) -> bool:
        """False while the file leaves out what says who took part: bundle, route record or ticket."""
        route = self.dossier.documents.route
        direct = bool(route) and _is_direct(route, self.receipt.route)
        return self.shows_bundle and (direct or self.dossier.ticket is not None)

    @property
    def gateway(self) -> bytes | None:
        """The gateway that the ticket names; None without a readable ticket."""
        try:
            return Ticket.unpack(self.ticket_bytes()[:-SIGNATURE_SIZE]).gateway
        except HallmarkError:
            return None

    def moment(self) -> int:
        """When the answer counts as given: its admission by the log, or before that the node's own time."""
        return self.dossier.entry.admitted if self.dossier.entry else self.receipt.finished

    def evidence_bytes(self) -> bytes:
        """The encoded evidence; empty when there is none."""
        return unbase64(self.dossier.evidence) if self.dossier.evidence else b""

    def ticket_bytes(self) -> bytes:
        """The route ticket, packed || signature; empty when there is none."""
        return unhex(self.dossier.ticket) if self.dossier.ticket else b""

    def authorization_bytes(self) -> bytes | None:
        """What the payer signed; None when it is not shown."""
        text = self.dossier.payment_authorization
        return unbase64(text) if text else None

    def objections(self) -> Objections | None:
        """What the leaves between the receipt and its checkpoint's end hold against it; None if not shown."""
        placed = self.entry
        if placed is None or placed.place is None or placed.part.after is None:
            return None
        after = leaves_of(placed.part.after)
        path = path_of(placed.part.proof or "")
        require(completes(placed.place, path, placed.part.leaf(), after), "after_mismatch")
        return objections(placed.place.index, after, self.trust)

    def _earlier(self, placed: Placed, reason: str) -> None:
        require(placed.part.after is None, reason)
        if self.dossier.entry is not None:
            require(placed.part.index < self.dossier.entry.index, reason)
            require(placed.part.admitted <= self.dossier.entry.admitted, reason)


class _Named(msgspec.Struct, frozen=True):
    """What every request names."""

    model: str


def _is_direct(text: str, digest: bytes) -> bool:
    """Whether the route record is the committed one and names no ticket."""
    try:
        return committed(RouteRecord, text, digest, "route_mismatch").ticket == hex0x(ZERO32)
    except HallmarkError:
        return False


def require(holds: bool, reason: str) -> None:
    """Raises VerificationFailed with this reason code unless `holds`."""
    if not holds:
        raise failure(reason)


def failure(reason: str, hint: str = "") -> VerificationFailed:
    """The error of a reason code."""
    return VerificationFailed(reason, sentence_of(reason), hint)


def committed(cls: type[D], text: str | None, digest: bytes, reason: str) -> D:
    """The document behind `text`, whose tagged digest must be `digest` (32 bytes); raises with `reason`."""
    data = (text or "").encode()
    require(digest_of(cls, data) == digest, reason)
    try:
        return _read(cls, data) if len(data) <= REMEMBERED_BYTES else cls.decode(data)
    except HallmarkError as error:
        raise failure(reason) from error


@functools.lru_cache(maxsize=256)
def _read(cls: type[D], data: bytes) -> D:
    """A document, read once: every answer of a node comes with the same bundle and configuration."""
    return cls.decode(data)
