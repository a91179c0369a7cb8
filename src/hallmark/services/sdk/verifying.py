"""Verification as a client does it: a trust file, the bytes at hand, and nobody's word."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hallmark.attestation import verify as verify_evidence
from hallmark.core.document import unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.marks import Finding
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import ProofVerifier
from hallmark.services.chain.check import ConfirmedAnchor, check_anchor
from hallmark.services.chain.rpc import RPC
from hallmark.verification.dossier import Dossier
from hallmark.verification.examination import CheckAnchor
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.offline import Verified, verify_dossier
from hallmark.verification.trust import Trust, read_trust


class Verifier:
    """Verifies dossiers under one trust file. Keeps nothing between calls but the parsed file.

    `judge` judges evidence; anything but the default is for tests.
    """

    def __init__(self, trust: Trust, judge: VerifyEvidence = verify_evidence) -> None:
        self.trust = trust
        self.judge = judge
        self._proofs = ProofVerifier(Policy.parse(trust.tlog_policy))

    @classmethod
    def read(cls, path: Path) -> Verifier:
        """A verifier for the trust file at `path`. Raises InvalidInput `no_trust_file`, `bad_trust_file`."""
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                "no_trust_file",
                f"There is no trust file at {path}.",
                "Get it from whoever runs the network, by a way that you trust, and name it with --trust.",
            ) from error
        return cls(read_trust(text))

    def place(self, leaf: bytes, proof: str) -> ProvenPlace:
        """Where `leaf` is proven to stand; raises what `ledger.proof.verify_proof` raises."""
        proven = self._proofs.verify(leaf, proof.encode())
        return ProvenPlace(
            proven.index,
            proven.checkpoint.size,
            proven.checkpoint.root,
            proven.signers,
            proven.times,
            proven.unknown,
            len(self._proofs.policy.witnesses),
        )

    def verify(
        self,
        dossier: Dossier,
        now: int,
        *,
        status: Iterable[Finding] = (),
        check: CheckAnchor | None = None,
    ) -> Verified:
        """Derive the marks of `dossier` at `now` (unix ms). See `verify_dossier`.

        `check` asks a chain about the anchor (see `anchor_check`); without it no mark reads `anchored`.
        """
        return verify_dossier(
            dossier,
            self.trust,
            now,
            verify_evidence=self.judge,
            verify_proof=self.place,
            check_anchor=check,
            status=status,
        )

    async def anchor_check(self, dossier: Dossier, rpc: RPC, confirmations: int = 1) -> CheckAnchor | None:
        """Ask the chain behind `rpc` whether it holds the dossier's anchor; None when there is none
        to ask about.

        The returned function tells what the chain said: its confirmations, or that it says otherwise, which
        makes `proved` fail. Raises Unavailable, as `check_anchor` does, when the chain did not say.
        """
        word = dossier.anchor
        if word is None or self.trust.anchor is None:
            return None
        fields = {name: getattr(word, name) for name in AnchorRecord.__struct_fields__}
        contract = unhex(self.trust.anchor.contract)
        record = AnchorRecord(**fields)
        said: ConfirmedAnchor | VerificationFailed
        try:
            said = await check_anchor(
                rpc, contract, record, chain_id=self.trust.anchor.chain_id, confirmations=confirmations
            )
        except VerificationFailed as error:
            said = error

        def check(asked: AnchorRecord) -> int:
            if asked != record:
                raise InvalidInput("anchor_other_checkpoint", "Another checkpoint was asked about.")
            if isinstance(said, VerificationFailed):
                raise said
            return said.confirmations

        return check
