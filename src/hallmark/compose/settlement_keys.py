"""Which key the authority may register in the vault: one that an enclave's evidence binds, and nothing less.

The authority judges the node's registration itself, from the log's bytes and the network's trust file, and by
the same function as full nodes do. It signs for no key on the word of a node, a gateway or the log.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hallmark.attestation import verify as verify_evidence
from hallmark.core.beacon import evidence_nonce
from hallmark.core.document import digest_of, hex0x, report_data, unhex
from hallmark.core.documents import KeyBundle, Measurement
from hallmark.core.entries import Kind, decode, split_leaf
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.core.evidence import Evidence, Expectation, VerifyEvidence
from hallmark.core.hashing import sha256
from hallmark.core.objected import decode_runs
from hallmark.core.receipt import Mode
from hallmark.core.statements import Registration, Role, Verdict
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.verification.attested import matches
from hallmark.verification.trust import Trust


class SettlementKey(msgspec.Struct, frozen=True):
    """A key that an enclave's evidence binds (20 bytes), who is paid (20 bytes), and the digests of the key
    bundle and of the approved measurement (32 bytes each).
    """

    key: bytes
    payee: bytes
    bundle: bytes
    measurement: bytes


def verify_settlement_key(
    trust: Trust,
    leaf: bytes,
    index: int,
    *,
    node: bytes,
    owner: bytes,
    judge: VerifyEvidence = verify_evidence,
) -> SettlementKey | None:
    """The settlement key that the registration at `index` names; None when it names none.

    1. It registers this node's key, signed by that key and by the owner whom the authority knows.
    2. Its bundle is the one that it commits to, of this network, key and owner.
    3. Nobody declared the key compromised.
    4. The evidence held when the log took it, binds that bundle, and shows a measurement that still counts.

    Raises Unavailable `registration_pending` while the entry there is another key's; VerificationFailed
    `not_a_registration`, `registrant_unknown`, `bundle_other`, `key_compromised`, `evidence_absent`,
    `evidence_rejected`, and for signatures that are none; InvalidInput for what cannot be read.
    """
    admitted, data = split_leaf(leaf)
    entry = decode(data)
    statement = entry.statement
    if not isinstance(statement, Registration) or statement.role != Role.NODE or len(entry.attachments) != 2:
        raise VerificationFailed("not_a_registration", "The log has no node's registration there.")
    if statement.key != node:
        raise Unavailable("registration_pending", "The enclave's own registration is not in the log yet.")
    _signed(trust, statement, entry.signatures, owner)
    document, raw = entry.attachments
    bundle = _bundle(statement, document)
    if any(unhex(one.key) == node and one.since <= index for one in trust.compromised):
        raise VerificationFailed("key_compromised", "The node's key was declared compromised.")
    if not isinstance(bundle.settlement, str):
        return None
    if bundle.mode == Mode.VANILLA or not raw or sha256(raw) != statement.evidence:
        raise VerificationFailed("evidence_absent", "No evidence binds this settlement key.")
    measurements = tuple(_counting(trust, index))
    verdict = judge(
        Evidence.decode(raw),
        trust.attestation,
        admitted,
        measurements=measurements,
        expect=Expectation(
            report_data(KeyBundle, document), evidence_nonce(statement.beacon_size, statement.beacon_root)
        ),
    )
    shown = next((m for m in measurements if verdict.ok and matches(m, verdict)), None)
    if shown is None:
        raise VerificationFailed(
            "evidence_rejected", "The evidence behind this settlement key does not hold.", verdict.reason
        )
    return SettlementKey(unhex(bundle.settlement), unhex(bundle.payment), statement.document, shown.digest())


def _signed(trust: Trust, statement: Registration, signatures: tuple[bytes, ...], owner: bytes) -> None:
    known = statement.owner == owner and statement.network == trust.network_id
    signers = [recover_statement(statement, trust.chain_id, signature) for signature in signatures]
    if not known or signers != [statement.key, owner]:
        raise VerificationFailed("registrant_unknown", "This node's key and owner have not signed that.")


def _bundle(statement: Registration, document: bytes) -> KeyBundle:
    bundle = KeyBundle.decode(document)
    named = (bundle.network, bundle.signing_key, bundle.owner)
    stated = tuple(map(hex0x, (statement.network, statement.key, statement.owner)))
    if digest_of(KeyBundle, document) != statement.document or named != stated:
        raise VerificationFailed("bundle_other", "The key bundle is not this registration's.")
    return bundle


def _counting(trust: Trust, index: int) -> Iterable[Measurement]:
    """The approved measurements that nobody has revoked."""
    revoked = {one.document for one in trust.revoked if one.since <= index}
    return (one for one in trust.measurement if hex0x(one.digest()) not in revoked)


def objectors(trust: Trust, leaves: Iterable[bytes], index: int) -> frozenset[bytes]:
    """The full nodes (20-byte addresses) that in these leaves object to the entry at `index`."""
    members = {unhex(address) for address in trust.full_nodes}
    found = set()
    for leaf in leaves:
        if leaf[9:10] != bytes((Kind.VERDICT,)):
            continue
        entry = decode(split_leaf(leaf)[1])
        if not isinstance(entry.statement, Verdict) or entry.statement.author not in members:
            continue
        if any(run.covers(index) for run in decode_runs(entry.attachments[0])):
            found.add(entry.statement.author)
    return frozenset(found)
