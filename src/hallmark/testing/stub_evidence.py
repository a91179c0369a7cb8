"""Evidence for tests that proves nothing: JSON that says what a real document would say, judged by the same
rules.

It never claims more than `simulated`, and no service knows it: only a test can pass `verify_stub_evidence`
in.
Real documents are judged by `hallmark.attestation`.
"""

from __future__ import annotations

import msgspec

from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.evidence import Assurance, Evidence, Expectation, Step, StepState, Verdict
from hallmark.core.hashing import sha256

STUB_KIND = "nitro-dev"


class Stub(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the stub says: when it was made (unix ms), registers as hex, report data and nonce as hex."""

    made_at: int
    registers: dict[str, str]
    report_data: str
    nonce: str


def stub_evidence(made_at: int, registers: dict[str, str], report_data: bytes, nonce: bytes) -> Evidence:
    """Stub evidence of kind `nitro-dev`."""
    stub = Stub(made_at, registers, report_data.hex(), nonce.hex())
    return Evidence(STUB_KIND, msgspec.json.encode(stub, order="deterministic"))


def verify_stub_evidence(
    evidence: Evidence,
    policy: AttestationPolicy,
    at: int,
    *,
    measurements: tuple[Measurement, ...],
    expect: Expectation,
) -> Verdict:
    """Judge stub evidence: kind, age, skew, measurement, report data, nonce; assurance is `simulated`."""
    try:
        stub = msgspec.json.decode(evidence.data, type=Stub)
    except msgspec.DecodeError:
        stub = Stub(0, {}, "", "")
    found = next((m for m in measurements if _same(m, stub)), None)
    steps = (
        _step("kind", evidence.kind == STUB_KIND and evidence.kind in policy.kinds, "kind_not_accepted"),
        _step("age", stub.made_at + policy.max_age >= at, "evidence_too_old"),
        _step("skew", stub.made_at <= at + policy.skew, "evidence_in_future"),
        _step("measurement", found is not None, "measurement_not_accepted"),
        _bound("report_data", stub.report_data, expect.report_data),
        _bound("nonce", stub.nonce, expect.nonce),
    )
    return Verdict(
        all(step.state is StepState.PASS for step in steps),
        evidence.kind,
        Assurance.SIMULATED,
        steps,
        sha256(evidence.encode()),
        stub.made_at,
        f"{found.name} {found.version}" if found else "",
        stub.registers,
    )


def _same(measurement: Measurement, stub: Stub) -> bool:
    wanted = {name: value.removeprefix("0x") for name, value in measurement.registers.items()}
    return all(stub.registers.get(name) == value for name, value in wanted.items())


def _step(name: str, holds: bool, reason: str) -> Step:
    return Step(name, StepState.PASS) if holds else Step(name, StepState.FAIL, reason)


def _bound(name: str, said: str, expected: bytes | None) -> Step:
    if expected is None:
        return Step(name, StepState.PASS, detail="not compared")
    return _step(name, said == expected.hex(), f"{name}_mismatch")
