"""What an entry is judged against: the log before it, the network's genesis, and what it itself carries.

A `JudgedEntry` lives for one judgement. Decoded parts are computed once and kept, so that each check stays a
few lines; a part that cannot be had is None, and exactly one check says why.
"""

from __future__ import annotations

from collections.abc import Callable

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.documents import AttestationPolicy
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.marks import State
from hallmark.core.registry import Registry
from hallmark.core.typed import signing_digest
from hallmark.crypto.secp256k1 import recover
from hallmark.verification.genesis import Genesis
from hallmark.verification.objections import Judgements, standing
from hallmark.verification.outcome import OK
from hallmark.verification.packed import struct_hash

SKEW_MS = 60_000

CheckArtifact = Callable[[bytes, bytes, int], str | None]
"""(blob id, sha256, size in bytes) -> "" when the artifact held here matches, a reason code when it does
not, None when no copy is held here."""


class Context:
    """What stays the same from entry to entry: genesis, registry, roots of the log, judges of evidence."""

    def __init__(
        self, genesis: Genesis, verify_evidence: VerifyEvidence, registry: Registry, judgements: Judgements
    ) -> None:
        self.genesis = genesis
        self.verify_evidence = verify_evidence
        self.check_artifact: CheckArtifact | None = None
        self.registry = registry
        self.judgements = judgements


class JudgedEntry:
    """One entry at its place: position, admission time (unix ms), statement, recovered signers.

    `packed` is the statement's packed form, `digest` its EIP-712 struct hash (32 bytes).
    """

    def __init__(self, context: Context, index: int, admitted: int, entry: Entry, *, packed: bytes) -> None:
        self.context = context
        self.registry = context.registry
        self.genesis = context.genesis
        self.index = index
        self.admitted = admitted
        self.entry = entry
        self.digest = struct_hash(type(entry.statement), packed)
        self.signers = signers_of(self.digest, entry.signatures, context.genesis.chain_id)

    def signer(self, at: int) -> bytes | None:
        """The address behind the signature at `at`; None when there is none or it does not recover."""
        return self.signers[at] if at < len(self.signers) else None

    def attachment(self, at: int) -> bytes:
        """The attachment at `at`; empty when there is none."""
        return self.entry.attachments[at] if at < len(self.entry.attachments) else b""

    def authorised(self, skip: int = 0) -> bool:
        """True when distinct authority keys reach the threshold among the signatures from `skip` on."""
        found = {signer for signer in self.signers[skip:] if signer in self.genesis.authority}
        return len(found) >= self.genesis.threshold

    def attestation_policy(self) -> AttestationPolicy | None:
        """The attestation policy in force here."""
        policies = self.registry.attestation
        return policies[-1][2] if policies else None

    def beacon_holds(self, size: int, root: bytes) -> str:
        """OK, or why (size, root) is not a checkpoint of this log at or before this position."""
        if size > self.index:
            return "beacon_in_future"
        known = self.context.judgements.tree.root(size) if size else EMPTY_ROOT
        return OK if root == known else "beacon_unknown"

    def objected(self, position: int) -> bool:
        """True when f+1 full nodes object to the entry at `position`."""
        if position not in self.registry.objections:
            return False
        return standing(self.registry, {}, position).state is State.FAILED

    def in_future(self, at: int) -> bool:
        """True when `at` (unix ms) lies past admission by more than the clock skew that is allowed."""
        return at > self.admitted + SKEW_MS


def signers_of(hashed: bytes, signatures: tuple[bytes, ...], chain_id: int) -> tuple[bytes | None, ...]:
    """The address behind each signature of a statement with this struct hash, None where none recovers."""
    if not signatures:
        return ()
    digest = signing_digest(hashed, chain_id)
    return tuple([_recovered(digest, signature) for signature in signatures])


def _recovered(digest: bytes, signature: bytes) -> bytes | None:
    try:
        return recover(digest, signature)
    except HallmarkError:
        return None
