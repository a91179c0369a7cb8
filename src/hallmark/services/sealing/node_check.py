"""What a client checks of a node before it seals a question to it.

In this order, each with its reason:

1. the record is readable, and of the node that was drawn;
2. the bundle is the one that the ticket's candidate names, of this network and key, and of an enclave;
3. its registration stands in the log below a quorum's checkpoint, signed by the node's key and by its
   owner, and neither key nor image is one that the trust file no longer believes;
4. every entry behind it up to that checkpoint's end is shown, and they hold no objections of more full nodes
   than may be wrong: so none to a second bundle for one epoch;
5. no other bundle of this node and epoch is known here;
6. the evidence is the registered one, binds exactly this bundle, and is fresh;
7. the configuration is the bundle's, and switches nothing off that is named insecure, unless the client's
   owner allows that;
8. the key configurations are those of the present window, as the bundle's sealing root commits to them.

So everybody seals to the same keys, or fails: whoever hands one client a key of its own needs an entry in
the log that everybody can see, and an enclave that makes it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import digest_of, hex0x, report_data, unhex
from hallmark.core.documents import EnclaveConfiguration, KeyBundle
from hallmark.core.entries import Entry, decode, split_leaf
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.evidence import Evidence, Expectation, VerifyEvidence
from hallmark.core.evidence import Verdict as EvidenceVerdict
from hallmark.core.hashing import sha256
from hallmark.core.marks import State
from hallmark.core.receipt import Mode
from hallmark.core.statements import Registration, Role
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.ledger.proof import ProofVerifier, VerifiedProof
from hallmark.privacy.key_configurations import verify_window
from hallmark.privacy.ohttp import KeyConfiguration, decode_list
from hallmark.services.sealing.known_bundles import KnownBundles
from hallmark.services.sealing.refusals import NothingSent
from hallmark.services.sealing.ticket_check import Choice
from hallmark.verification.attested import matches
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.objections_after import completes, leaves_of, objections, path_of
from hallmark.verification.reasons import sentence_of
from hallmark.verification.trust import Trust

GRACE_MS: Final = 120_000
"""How long past its end a window's keys are still taken, for requests on their way."""


class _Registered(msgspec.Struct, frozen=True):
    leaf: str
    index: int
    proof: str
    after: tuple[str, ...] | None = None


class _Sealing(msgspec.Struct, frozen=True):
    window: int
    configurations: str
    path: tuple[str, ...]


class NodeRecord(msgspec.Struct, frozen=True):
    """What `GET /v1/hallmark/nodes/{node}` says; nothing of it is believed."""

    node: str
    bundle: str
    configuration: str
    registration: _Registered
    evidence: str | None = None
    sealing: _Sealing | None = None


class CheckedNode(msgspec.Struct, frozen=True):
    """A node that questions may be sealed to until `until` (unix ms): its key configurations of `window`."""

    node: bytes
    bundle: KeyBundle
    digest: bytes
    window: int
    blob: bytes
    keys: tuple[KeyConfiguration, ...]
    assurance: str
    image: str
    insecure: tuple[str, ...]
    until: int

    @property
    def configuration_digest(self) -> str:
        """SHA-256 of the key configurations, 0x-hex: what a route record names."""
        return hex0x(sha256(self.blob))


class NodeChecker:
    """Checks records under one trust file. `judge` judges evidence, `known` remembers bundles;
    `unsafe_insecure` takes nodes that run without a check, as their configuration says.
    """

    def __init__(
        self,
        trust: Trust,
        proofs: ProofVerifier,
        judge: VerifyEvidence,
        known: KnownBundles,
        *,
        unsafe_insecure: bool = False,
    ) -> None:
        self._trust, self._proofs, self._judge, self._known = trust, proofs, judge, known
        self._unsafe_insecure = unsafe_insecure

    def check(self, data: bytes, choice: Choice, now: int) -> CheckedNode | None:
        """The node behind a record's exact bytes; None when it holds and the node takes nothing sealed.

        Raises NothingSent: `node_record_unreadable`, `node_record_other`, `candidate_bundle_other`,
        `bundle_not_of_node`, `node_without_enclave`, `node_insecure`, and the reasons of steps 3 to 8.
        """
        record = _read(data)
        if record.node != hex0x(choice.node):
            raise NothingSent("node_record_other", "The gateway showed another node than the one drawn.")
        bundle = self._bundle(record, choice)
        index, admitted, registration, evidence = self._registered(record, choice)
        self._known.require_only(choice.node, bundle, choice.bundle)
        verdict = self._evidence(record, registration, evidence, admitted=admitted, now=now)
        self._believed(choice.node, index, verdict)
        configuration = _configuration(record, bundle)
        if configuration.insecure and not self._unsafe_insecure:
            raise NothingSent(
                "node_insecure",
                f"The node runs without what keeps others out: {', '.join(configuration.insecure)}.",
                "Ask again, or allow such nodes: --insecure-nodes, or unsafe_insecure_nodes=True.",
            )
        if isinstance(bundle.sealing, msgspec.UnsetType):
            return None
        if record.sealing is None:
            if now < bundle.sealing.since + bundle.sealing.count * bundle.sealing.every:
                raise NothingSent(
                    "key_configuration_missing", "The node has keys now, and they are not shown."
                )
            return None
        blob, until = _window(record.sealing, bundle, now)
        return CheckedNode(
            choice.node,
            bundle,
            choice.bundle,
            record.sealing.window,
            blob,
            _keys(blob),
            verdict.assurance.value,
            verdict.measurement,
            configuration.insecure,
            min(until, verdict.made_at + self._trust.attestation.max_age),
        )

    def _bundle(self, record: NodeRecord, choice: Choice) -> KeyBundle:
        data = record.bundle.encode()
        if digest_of(KeyBundle, data) != choice.bundle:
            raise NothingSent("candidate_bundle_other", "The bundle is not the one that the ticket names.")
        try:
            bundle = KeyBundle.decode(data)
        except InvalidInput as error:
            raise NothingSent("node_record_unreadable", "The node's key bundle cannot be read.") from error
        if bundle.signing_key != hex0x(choice.node) or bundle.network != hex0x(self._trust.network_id):
            raise NothingSent("bundle_not_of_node", "The bundle is of another key or another network.")
        if bundle.mode == Mode.VANILLA:
            raise NothingSent(
                "node_without_enclave", "The node has no enclave, so nothing can be sealed to it."
            )
        return bundle

    def _registered(self, record: NodeRecord, choice: Choice) -> tuple[int, int, Registration, bytes]:
        """Place, admission and statement of the registration, and the evidence beside it."""
        try:
            data = base64.b64decode(record.registration.leaf, validate=True)
            admitted, raw = split_leaf(data)
            entry = decode(raw)
            place = self._proofs.verify(data, record.registration.proof.encode())
        except (HallmarkError, binascii.Error) as error:
            raise NothingSent(
                "registration_not_proven",
                "That the node's bundle is in the log, below a quorum's checkpoint, is not shown.",
            ) from error
        statement = entry.statement
        if place.index != record.registration.index or place.unknown:
            raise NothingSent("registration_not_proven", "The proof is of another place, or by strangers.")
        if not isinstance(statement, Registration) or not self._is_of(entry, statement, record, choice):
            raise NothingSent(
                "registration_other", "The log entry is not the registration of this node and this bundle."
            )
        self._unobjected(record.registration, place, data)
        return place.index, admitted, statement, entry.attachments[1]

    def _unobjected(self, shown: _Registered, place: VerifiedProof, leaf: bytes) -> None:
        """Full nodes cosign a checkpoint when it holds their objections to everything below, not before. So
        who has all leaves up to its end has every objection of those who cosigned it.
        """
        if shown.after is None:
            raise NothingSent("objections_not_shown", "Whether full nodes object to the node is not shown.")
        checkpoint = place.checkpoint
        proven = ProvenPlace(
            place.index, checkpoint.size, checkpoint.root, place.signers, place.times, place.unknown
        )
        try:
            after = leaves_of(shown.after)
            whole = completes(proven, path_of(shown.proof), leaf, after)
        except HallmarkError as error:
            raise NothingSent(
                "objections_not_shown", "What follows the registration is unreadable."
            ) from error
        if not whole:
            raise NothingSent(
                "objections_not_shown", "What is said to follow the registration in the log is not all of it."
            )
        found = objections(place.index, after, self._trust)
        if found.state is State.FAILED:
            raise NothingSent(
                "registration_objected",
                "Full nodes object to the registration of the node's key bundle.",
                f"Their reason is {found.reason}: {sentence_of(found.reason)}",
            )

    def _is_of(self, entry: Entry, statement: Registration, record: NodeRecord, choice: Choice) -> bool:
        named = (statement.network, statement.role, statement.key, statement.document)
        if named != (self._trust.network_id, Role.NODE, choice.node, choice.bundle):
            return False
        if len(entry.attachments) != 2 or entry.attachments[0] != record.bundle.encode():
            return False
        try:
            signers = [recover_statement(statement, self._trust.chain_id, one) for one in entry.signatures]
        except HallmarkError:
            return False
        return signers == [statement.key, statement.owner]

    def _evidence(
        self, record: NodeRecord, registration: Registration, beside: bytes, *, admitted: int, now: int
    ) -> EvidenceVerdict:
        raw = _base64(record.evidence or "")
        if not raw or raw != beside or sha256(raw) != registration.evidence:
            raise NothingSent("evidence_not_registered", "The evidence shown is not the registered one.")
        trust = self._trust
        bound = report_data(KeyBundle, record.bundle.encode())
        nonce = evidence_nonce(registration.beacon_size, registration.beacon_root)
        try:
            verdict = self._judge(
                Evidence.decode(raw),
                trust.attestation,
                admitted,
                measurements=trust.measurement,
                expect=Expectation(bound, nonce),
            )
        except InvalidInput as error:
            raise NothingSent("evidence_does_not_hold", "The node's evidence cannot be read.") from error
        if not verdict.ok:
            raise NothingSent(
                "evidence_does_not_hold",
                "The evidence does not show that accepted code holds the keys.",
                f"First step that does not hold: {verdict.reason}.",
            )
        if verdict.made_at + trust.attestation.max_age < now:
            raise NothingSent("evidence_too_old", "The node's evidence is older than the trust file allows.")
        return verdict

    def _believed(self, node: bytes, index: int, verdict: EvidenceVerdict) -> None:
        for key in self._trust.compromised:
            if key.key == hex0x(node):
                raise NothingSent("node_key_compromised", "The trust file says not to believe this key.")
        revoked = {one.document for one in self._trust.revoked if index >= one.since}
        for measurement in self._trust.measurement:
            if hex0x(measurement.digest()) in revoked and matches(measurement, verdict):
                raise NothingSent("image_revoked", "The trust file no longer accepts the node's image.")


def _read(data: bytes) -> NodeRecord:
    try:
        return msgspec.json.decode(data, type=NodeRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NothingSent("node_record_unreadable", "What is shown of a node is unreadable.") from error


def _configuration(record: NodeRecord, bundle: KeyBundle) -> EnclaveConfiguration:
    data = record.configuration.encode()
    if hex0x(digest_of(EnclaveConfiguration, data)) != bundle.configuration:
        raise NothingSent("configuration_other", "The configuration is not the one that the bundle names.")
    try:
        return EnclaveConfiguration.decode(data)
    except InvalidInput as error:
        raise NothingSent("node_record_unreadable", "The node's configuration cannot be read.") from error


def _window(shown: _Sealing, bundle: KeyBundle, now: int) -> tuple[bytes, int]:
    """The window's key configurations, and when they end (unix ms)."""
    sealing = bundle.sealing
    assert not isinstance(sealing, msgspec.UnsetType)
    blob = _base64(shown.configurations)
    start = sealing.since + shown.window * sealing.every
    if not start - GRACE_MS <= now < start + sealing.every + GRACE_MS:
        raise NothingSent(
            "key_window_other",
            "The keys shown are not those of the present window.",
            "Somebody repeats old keys, or a clock is wrong.",
        )
    path = tuple(unhex(step) for step in shown.path)
    within = max(start, min(now, start + sealing.every - 1))
    try:
        verify_window(sealing, shown.window, blob, path, within)
    except HallmarkError as error:
        raise NothingSent(
            "key_configuration_other", "The keys shown are not among those that the log entry commits to."
        ) from error
    return blob, start + sealing.every


def _keys(blob: bytes) -> tuple[KeyConfiguration, ...]:
    try:
        return tuple(decode_list(blob))
    except HallmarkError as error:
        raise NothingSent("key_configuration_other", "The node's keys cannot be read.") from error


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NothingSent("node_record_unreadable", "A value of the node's record is not base64.") from error
