"""Verifying a saved receipt offline, as a stranger: a dossier, a trust file, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from hallmark.core.documents import ClearingPolicy
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.marks import Finding, Mark, Question, derive_marks
from hallmark.core.policy import Decision, evaluate, waive
from hallmark.core.receipt import Receipt
from hallmark.verification.dossier import Dossier
from hallmark.verification.examination import CheckAnchor, Examination, VerifyProof
from hallmark.verification.findings import examined
from hallmark.verification.trust import Trust

_SEAL: Final = object()


class Verified(msgspec.Struct, frozen=True):
    """What verifying a dossier gave: the seven marks, the findings behind them, the receipt.

    Only `verify_dossier` makes one. That it exists says that the dossier was examined, not that it holds: the
    marks say what holds, and `decide` whether that meets a policy.
    """

    marks: Mapping[Question, Mark]
    findings: tuple[Finding, ...]
    receipt: Receipt
    receipt_id: str
    at: int
    trust: Trust
    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("Verified is made by verify_dossier alone.")

    def decide(self, policy: str) -> Decision:
        """Whether the marks meet the trust file's policy of this name. Raises NotFound `policy_unknown`."""
        return self.judge(self.trust.clearing(policy))

    def judge(self, policy: ClearingPolicy) -> Decision:
        """Whether the marks meet a policy of the caller's own."""
        return evaluate(policy, self.marks, self.at)

    def shown(self, policy: str) -> dict[Question, Mark]:
        """The marks as that policy presents them: what it waives and nobody spoke about reads
        `not_required`.
        """
        return waive(self.trust.clearing(policy), self.marks)


def verify_dossier(
    dossier: Dossier,
    trust: Trust,
    now: int,
    *,
    verify_evidence: VerifyEvidence,
    verify_proof: VerifyProof | None = None,
    check_anchor: CheckAnchor | None = None,
    status: Iterable[Finding] = (),
) -> Verified:
    """Examine a saved receipt and derive its marks at `now` (unix ms).

    1. Everything that the dossier says is re-computed under `trust`; see `findings`.
    2. `status` is what somebody else knows of today (objections, revocations): only what speaks against the
       answer is taken from it, because a stranger's good word proves nothing.
    3. The marks follow from the findings alone.

    Raises nothing about the dossier's content: what does not hold is a failed mark with a reason code.
    """
    exam = Examination(
        dossier,
        trust,
        now,
        verify_evidence=verify_evidence,
        verify_proof=verify_proof,
        check_anchor=check_anchor,
    )
    found = examined(exam)
    against = [finding for finding in status if finding.state.is_negative]
    marks = derive_marks([*found, *against])
    return Verified(marks, (*found, *against), exam.receipt, dossier.id, now, trust, _SEAL)
