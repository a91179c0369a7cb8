"""Marks as this gateway can strike them: at first by examining the answer, later from the log it follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from hallmark.attestation.evidence_cache import EvidenceCache
from hallmark.core.document import hex0x
from hallmark.core.entries import leaf
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Mark, Question, State, derive_marks
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import ProofVerifier, VerifiedProof
from hallmark.services.chain.check import ConfirmedAnchor
from hallmark.services.following.follower import Follower
from hallmark.services.gateway.receipt_store import Kept
from hallmark.verification.answer_parser import UNREADABLE, ParsedAnswer
from hallmark.verification.findings import RESTS_ON_RECEIPT, findings
from hallmark.verification.live import Inclusion, live_findings
from hallmark.verification.reviews import Counted, conclude
from hallmark.verification.trust import Trust
from hallmark.verification.wording import by_its_word


class Marker:
    """Derives marks for answers and for receipts in the log."""

    def __init__(
        self,
        trust: Trust,
        follower: Follower,
        verify_evidence: VerifyEvidence,
        *,
        by: str,
        clock: Callable[[], int],
    ) -> None:
        self.trust = trust
        self.policy = Policy.parse(trust.tlog_policy)
        self._proofs = ProofVerifier(self.policy)
        self._follower = follower
        self._verify_evidence = EvidenceCache(verify_evidence)
        self._by = by
        self._clock = clock
        self._struck: dict[int, int] = {}
        """When the reviews at these positions were first seen to be cosigned, unix ms."""

    def examine(self, sealed: ParsedAnswer, path: str, request: bytes) -> Sequence[Finding]:
        """Everything that can be re-computed when an answer has just arrived: signature, digests of the very
        bytes that were passed on, documents, ticket, evidence. What does not hold is a negative finding.
        """
        try:
            dossier = sealed.dossier(path, request)
            found = findings(dossier, self.trust, self._clock(), self._verify_evidence)
        except UNREADABLE:
            return [self._broken(sealed, question, "receipt_unreadable") for question in RESTS_ON_RECEIPT]
        return [msgspec.structs.replace(f, by=self._by) if f.by == "this verifier" else f for f in found]

    def broken(self, sealed: ParsedAnswer, reason: str) -> list[Finding]:
        """Findings that speak against an answer for a reason that only the gateway can know."""
        return [self._broken(sealed, question, reason) for question in RESTS_ON_RECEIPT]

    def follow(
        self, kept: Kept, proof: str | None, anchor: ConfirmedAnchor | None = None
    ) -> tuple[dict[Question, Mark], list[Finding]]:
        """Marks of a logged receipt, and what speaks against it; `proof` is the log's, verified here."""
        entry, receipt = kept.opened()
        if kept.position is None or self._follower.replica.size <= kept.position:
            claimed = [
                Finding(question, State.CLAIMED, "the node", receipt.finished, detail={"what": what})
                for question, what in by_its_word(receipt.upstream != ZERO32).items()
            ]
            return derive_marks(claimed), []
        found = live_findings(
            self._follower.replica,
            kept.position,
            entry,
            self._inclusion(kept, proof, anchor),
            by=self._by,
            now=self._clock(),
            configuration=kept.configuration,
        )
        found = [f for f in found if f.question is not Question.REVIEWED] + self._reviewed(kept.id)
        return derive_marks(found), [finding for finding in found if finding.state.is_negative]

    def _reviewed(self, receipt_id: bytes) -> list[Finding]:
        """Reviews, each struck by the first head seen here to cover it: they may come long after the
        checkpoint that the receipt's proof is against.
        """
        counted = []
        for position, review in self._follower.replica.registry.reviews.get(receipt_id, ()):
            head = self._follower.head
            if position not in self._struck and head is not None and position < head.checkpoint.size:
                self._struck[position] = max(*head.times, self._follower.replica.admitted(position))
            at = self._struck.get(position)
            counted.append(
                Counted(review, State.CHECKED, review.at)
                if at is None
                else Counted(review, State.WITNESSED, at)
            )
        return conclude(counted, receipt_id)

    def verify(self, kept: Kept, proof: str) -> VerifiedProof:
        """Where the quorum saw the receipt. Raises VerificationFailed, InvalidInput."""
        assert kept.admitted is not None
        return self._proofs.verify(leaf(kept.admitted, kept.entry), proof.encode())

    def _inclusion(self, kept: Kept, proof: str | None, anchor: ConfirmedAnchor | None) -> Inclusion | None:
        if proof is None:
            return None
        verified = self.verify(kept, proof)
        head = verified.checkpoint
        # A quorum's checkpoint covers the verdicts on all below it: only then is silence a good sign.
        if self._follower.replica.size < head.size or verified.index != kept.position:
            return None
        of = len(self.policy.witnesses)
        inclusion = Inclusion(head.size, head.root, verified.signers, of, max(verified.times))
        if anchor is None or anchor.size > self._follower.replica.size:
            return inclusion
        if not self.is_ours(anchor):
            return msgspec.structs.replace(inclusion, contradicted_size=anchor.size)
        return msgspec.structs.replace(
            inclusion,
            anchored_size=anchor.size,
            anchored_at=anchor.time,
            confirmations=anchor.confirmations,
        )

    def is_ours(self, anchor: ConfirmedAnchor) -> bool:
        """The chain's root at that size is the one that this gateway recomputed."""
        replica = self._follower.replica
        return anchor.size <= replica.size and replica.root(anchor.size) == anchor.root

    def _broken(self, sealed: ParsedAnswer, question: Question, reason: str) -> Finding:
        detail = {"what": "the answer is not what its receipt says", "receipt": hex0x(sealed.id)}
        return Finding(question, State.FAILED, self._by, self._clock(), sealed.id, reason, detail)
