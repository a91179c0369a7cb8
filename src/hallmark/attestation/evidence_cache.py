"""Judging evidence once, however often it is asked for."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.evidence import Evidence, Expectation, Verdict, VerifyEvidence
from hallmark.core.hashing import sha256

REMEMBERED: Final = 256


class EvidenceCache:
    """`VerifyEvidence` that judges the same evidence under the same terms once."""

    def __init__(self, verify: VerifyEvidence) -> None:
        self._verify = verify
        self._verdicts: OrderedDict[object, Verdict] = OrderedDict()

    def __call__(
        self,
        evidence: Evidence,
        policy: AttestationPolicy,
        at: int,
        *,
        measurements: tuple[Measurement, ...],
        expect: Expectation,
    ) -> Verdict:
        """See `VerifyEvidence`. `at` counts by the minute: a verdict may have been judged up to a minute
        before or after the time that is asked for.
        """
        terms = (evidence.kind, sha256(evidence.data), at // 60_000, expect.report_data, expect.nonce)
        known = (*terms, id(policy), tuple(id(m) for m in measurements))
        verdict = self._verdicts.get(known)
        if verdict is None:
            verdict = self._verify(evidence, policy, at, measurements=measurements, expect=expect)
            self._verdicts[known] = verdict
            while len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
        return verdict
