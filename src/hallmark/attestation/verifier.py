"""`verify`: one function that judges all evidence, as a list of named steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Final, NamedTuple, cast

from hallmark.attestation import judgement
from hallmark.attestation.claims import Case, Check, Claims, Examination, run
from hallmark.attestation.roots import accepted_roots, check_roots
from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.errors import VerificationFailed
from hallmark.core.evidence import Assurance, Evidence, Expectation, StepState, Verdict
from hallmark.core.hashing import sha256


class Kind(NamedTuple):
    """One evidence kind: where its `examine(case) -> Examination` lives, and what stands behind it."""

    module: str
    assurance: Assurance


KINDS: Final[Mapping[str, Kind]] = {
    "nitro": Kind("hallmark.attestation.nitro", Assurance.HARDWARE),
    "nitro-dev": Kind("hallmark.attestation.nitro", Assurance.SIMULATED),
    "tdx": Kind("hallmark.attestation.dcap", Assurance.HARDWARE),
    "sgx": Kind("hallmark.attestation.dcap", Assurance.HARDWARE),
    "snp": Kind("hallmark.attestation.snp", Assurance.HARDWARE),
}


class _Unexamined:
    """Stands for evidence of a kind that this code does not know."""

    def __init__(self, case: Case) -> None:
        self._data = case.evidence.data

    def checks(self) -> tuple[Check, ...]:
        return ()

    def identity(self) -> bytes:
        return sha256(self._data)

    def claims(self) -> Claims:
        raise VerificationFailed("kind_unknown", "There is no such evidence kind.")


def verify(
    evidence: Evidence,
    policy: AttestationPolicy,
    at: int,
    *,
    measurements: tuple[Measurement, ...],
    expect: Expectation,
    roots: Mapping[str, Collection[bytes]] | None = None,
) -> Verdict:
    """Judge `evidence` under `policy` at time `at` (unix ms; a log's admission time, never this clock).

    Obligations, in this order, each a step of the verdict: (1) the policy takes this kind and keeps roots
    apart; (2) the kind's own checks, from the bytes to the signature; (3) not a debug enclave; (4) an
    accepted measurement; (5) the report data and nonce that `expect` names, where it does; (6) fresh at `at`.

    `roots` (kind to SHA-256 digests) narrows the policy's roots to those that the caller trusts as well;
    it never widens them. Pure: the same arguments give the same verdict, on every machine. Raises nothing
    that depends on the evidence: what is wrong with it is in the verdict.

    `digest` of the verdict is SHA-256 over the signed content (Nitro: the COSE payload), so re-encoding or a
    second valid signature does not make another identity; evidence that cannot be read is named by all
    its bytes. Registers, facts and time are empty unless the signature held; assurance is `none` unless ok.
    """
    only = None if roots is None else frozenset(roots.get(evidence.kind, ()))
    case = Case(evidence, policy, at, measurements, expect, only)
    examination = _examination(case)
    before = (Check("policy", lambda: _policy(case)), *examination.checks())
    steps = run((*before, *judgement.checks(case, examination.claims)))
    passed = {step.name for step in steps if step.state is StepState.PASS}
    ok = len(passed) == len(steps)
    claims = examination.claims() if all(c.name in passed for c in before if c.fatal) else None
    return Verdict(
        ok=ok,
        kind=evidence.kind,
        assurance=KINDS[evidence.kind].assurance if ok else Assurance.NONE,
        steps=steps,
        digest=examination.identity(),
        made_at=(claims.made_at or 0) if claims else 0,
        measurement=judgement.accepted_measurement(case, claims) if ok and claims else "",
        registers=claims.registers if claims else {},
        facts=claims.facts if claims else {},
    )


def _policy(case: Case) -> str:
    kind, policy = case.evidence.kind, case.policy
    if kind not in KINDS:
        raise VerificationFailed("kind_unknown", "There is no such evidence kind.")
    if kind not in policy.kinds:
        raise VerificationFailed("kind_not_accepted", f"The policy does not accept {kind} evidence.")
    check_roots(policy)
    if not accepted_roots(policy, kind, case.only):
        raise VerificationFailed("roots_missing", f"No root is accepted for {kind} evidence.")
    return f"{policy.name} version {policy.version} accepts {kind}"


def _examination(case: Case) -> Examination:
    kind = KINDS.get(case.evidence.kind)
    if kind is None:
        return _Unexamined(case)
    examine = import_module(kind.module).examine
    return cast(Examination, examine(case))
