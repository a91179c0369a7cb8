"""What authenticated evidence must say: measurement, debug, binding, freshness; and how verdicts speak."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.attestation.conftest import (
    IMAGE,
    NONCE,
    NOW,
    REPORT_DATA,
    Development,
    Forged,
    measurement_for,
)

from hallmark.attestation import judgement, verify
from hallmark.attestation.claims import Case, Claims, run
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule, pcr_of
from hallmark.core.documents import AttestationPolicy
from hallmark.core.evidence import Assurance, Evidence, Expectation, Step, StepState, VerifyEvidence

BOUND = Expectation(REPORT_DATA, NONCE)
NAMES = (
    "policy",
    "format",
    "header",
    "fields",
    "root",
    "chain",
    "signature",
    "debug",
    "measurement",
    "report_data",
    "nonce",
    "freshness",
)


def test_all_steps_pass_in_their_order(development: Development) -> None:
    """A sound document passes twelve named steps in the documented order, as simulated."""
    verdict = development.judge(development.attest(), expect=BOUND)
    assert tuple(step.name for step in verdict.steps) == NAMES
    assert all(step.state is StepState.PASS for step in verdict.steps)
    assert verdict.ok
    assert verdict.assurance is Assurance.SIMULATED
    assert verdict.measurement == "image 1.0"
    assert verdict.registers["PCR0"] == pcr_of(IMAGE).hex()


def test_verify_is_the_seam_that_services_pass_around() -> None:
    """`verify` has the shape of core's VerifyEvidence."""
    seam: VerifyEvidence = verify
    assert seam is verify


def test_same_arguments_same_verdict(development: Development) -> None:
    """The verdict is data and a function of its arguments alone."""
    evidence = development.attest()
    assert development.judge(evidence, expect=BOUND) == development.judge(evidence, expect=BOUND)


def test_nothing_is_skipped_in_silence(development: Development) -> None:
    """After a fatal failure every later step stands there as skipped, and the verdict is not ok."""
    data = development.attest().data
    for bad, first in ((b"", 1), (data[:-1] + bytes((data[-1] ^ 1,)), 6)):
        verdict = development.judge(bad, expect=BOUND)
        assert tuple(step.name for step in verdict.steps) == NAMES
        states = [step.state for step in verdict.steps]
        assert states == [StepState.PASS] * first + [StepState.FAIL] + [StepState.SKIPPED] * (11 - first)
        assert not verdict.ok
        assert verdict.assurance is Assurance.NONE


def test_all_that_is_wrong_is_told(development: Development) -> None:
    """Measurement, binding and freshness are judged each by itself, so one verdict tells all."""
    verdict = development.judge(
        development.attest(),
        at=NOW + 700_000,
        measurements=(),
        expect=Expectation(bytes(64), bytes(32)),
    )
    failed = {step.name: step.reason for step in verdict.steps if step.state is StepState.FAIL}
    assert failed == {
        "measurement": "measurement_not_accepted",
        "report_data": "report_data_mismatch",
        "nonce": "nonce_mismatch",
        "freshness": "evidence_too_old",
    }


def test_kind_that_the_policy_does_not_list_is_refused(development: Development) -> None:
    """Kinds that are not listed are refused before a byte is read."""
    policy = msgspec.structs.replace(development.policy, kinds=())
    verdict = development.judge(development.attest(), policy=policy)
    assert verdict.reason == "kind_not_accepted"


def test_unknown_kind_is_refused(development: Development) -> None:
    """A kind that this code does not know fails, with the shared steps skipped."""
    verdict = development.judge(Evidence("nvidia-gpu", b"x"))
    assert verdict.reason == "kind_unknown"
    assert {step.state for step in verdict.steps[1:]} == {StepState.SKIPPED}


def test_no_measurement_is_no_pass(development: Development) -> None:
    """Without any accepted measurement nothing is accepted: unknown is never a pass."""
    verdict = development.judge(development.attest(), measurements=())
    assert verdict.reason == "measurement_not_accepted"
    assert verdict.measurement == ""


@pytest.mark.parametrize(
    ("kind", "registers"),
    [
        ("nitro-dev", {"PCR0": pcr_of(b"other").hex()}),
        ("nitro-dev", {"PCR0": pcr_of(IMAGE).hex(), "PCR1": pcr_of(b"other").hex()}),
        ("nitro-dev", {"PCR0": pcr_of(IMAGE).hex(), "PCR16": "00" * 48}),
        ("nitro", {"PCR0": pcr_of(IMAGE).hex()}),
        ("nitro-dev", {"PCR8": "00" * 48}),
        ("nitro-dev", {}),
    ],
)
def test_measurement_must_match_wholly(
    development: Development, kind: str, registers: dict[str, str]
) -> None:
    """Every register of the measurement must be there and equal, its kind too, and PCR0 must be named."""
    verdict = development.judge(development.attest(), measurements=(measurement_for(kind, registers),))
    assert verdict.reason == "measurement_not_accepted"


def test_any_of_several_measurements_will_do(development: Development) -> None:
    """Of several accepted measurements the one that matches is named."""
    other = measurement_for("nitro-dev", {"PCR0": pcr_of(b"other").hex()})
    verdict = development.judge(development.attest(), measurements=(other, *development.measurements))
    assert verdict.ok


@pytest.mark.parametrize(("not_after", "reason"), [(NOW, ""), (NOW - 1, "measurement_expired"), (0, "")])
def test_measurement_may_have_an_end(development: Development, not_after: int, reason: str) -> None:
    """A measurement holds up to its last instant; 0 means without end."""
    accepted = measurement_for("nitro-dev", {"PCR0": pcr_of(IMAGE).hex()}, not_after)
    assert development.judge(development.attest(), measurements=(accepted,)).reason == reason


def debug_enclave() -> Development:
    """An emulated enclave in debug mode: PCR0 to PCR2 all zero."""
    root = DevelopmentRoot.create(NOW)
    return Development(root, SecurityModule(root, {3: pcr_of(b"role"), 4: pcr_of(b"parent")}))


def test_debug_is_refused_even_where_its_zeros_are_accepted() -> None:
    """An allow list that holds the zero measurement does not let a debug enclave in."""
    enclave = debug_enclave()
    zeros = measurement_for("nitro-dev", {"PCR0": "00" * 48})
    assert enclave.judge(enclave.attest(), measurements=()).reason == "debug_mode"
    assert enclave.judge(enclave.attest(), measurements=(zeros,)).reason == "debug_mode"


def test_debug_policy_still_needs_a_measurement() -> None:
    """A policy for tests may accept debug; a measurement is needed all the same."""
    enclave = debug_enclave()
    policy = msgspec.structs.replace(enclave.policy, debug=True)
    zeros = measurement_for("nitro-dev", {"PCR0": "00" * 48})
    assert enclave.judge(enclave.attest(), policy=policy, measurements=(zeros,)).ok
    refused = enclave.judge(enclave.attest(), policy=policy, measurements=())
    assert refused.reason == "measurement_not_accepted"


def test_document_without_pcr0_counts_as_debug(development: Development, sound: Forged) -> None:
    """A document that does not show PCR0 has measured nothing."""
    document = sound.document(pcrs={1: pcr_of(IMAGE)})
    assert development.judge(document, policy=sound.policy).reason == "debug_mode"


@pytest.mark.parametrize(
    ("user_data", "reason"),
    [
        (REPORT_DATA, ""),
        (REPORT_DATA[:-1], "report_data_mismatch"),
        (REPORT_DATA + b"\0", "report_data_mismatch"),
        (REPORT_DATA[::-1], "report_data_mismatch"),
        (b"", "report_data_mismatch"),
        (None, "report_data_absent"),
    ],
)
def test_user_data_is_the_whole_of_report_data(
    development: Development, sound: Forged, user_data: bytes | None, reason: str
) -> None:
    """`user_data` must be the 64 expected bytes, no more and no fewer: no prefix and no slots."""
    document = sound.document(user_data=user_data)
    verdict = development.judge(document, policy=sound.policy, expect=Expectation(REPORT_DATA))
    assert verdict.reason == reason


@pytest.mark.parametrize(
    ("nonce", "reason"), [(NONCE, ""), (NONCE[:-1], "nonce_mismatch"), (None, "nonce_absent")]
)
def test_nonce_is_compared_whole(
    development: Development, sound: Forged, nonce: bytes | None, reason: str
) -> None:
    """The nonce is compared byte for byte, and its absence is no match."""
    document = sound.document(nonce=nonce)
    verdict = development.judge(document, policy=sound.policy, expect=Expectation(None, NONCE))
    assert verdict.reason == reason


def test_public_key_proves_nothing_by_itself(development: Development, sound: Forged) -> None:
    """What stands in `public_key` is shown as a fact and never takes the place of report data."""
    document = sound.document(public_key=b"dummy", user_data=None)
    verdict = development.judge(document, policy=sound.policy, expect=Expectation(b"dummy"))
    assert verdict.reason == "report_data_absent"
    assert verdict.facts["public_key"] == b"dummy".hex()


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (600_000, ""),
        (600_001, "evidence_too_old"),
        (0, ""),
        (-60_000, ""),
        (-60_001, "evidence_from_future"),
    ],
)
def test_freshness_boundaries(development: Development, sound: Forged, age: int, reason: str) -> None:
    """Exactly the maximum age and exactly the skew are still fresh, 1 ms beyond is not."""
    document = sound.document(timestamp=NOW - age)
    assert development.judge(document, policy=sound.policy).reason == reason


def test_old_document_inside_its_leaf_is_still_too_old(development: Development) -> None:
    """The leaf lives three hours; the policy's maximum age is what ends a document."""
    verdict = development.judge(development.attest(), at=NOW + 2 * 3_600_000)
    states = {step.name: step.state for step in verdict.steps}
    assert states["chain"] is StepState.PASS
    assert verdict.reason == "evidence_too_old"


def test_no_clock_but_the_given_time(development: Development, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification never reads this machine's clock."""
    import time

    def forbidden(*_: object) -> float:
        raise AssertionError("a clock was read")

    evidence = development.attest()
    for name in ("time", "time_ns", "monotonic"):
        monkeypatch.setattr(time, name, forbidden)
    assert development.judge(evidence, expect=BOUND).ok


def test_two_nodes_give_one_verdict(development: Development, tmp_path: Path) -> None:
    """Two processes with other time zones and hash seeds give the same verdict on the same bytes and time."""
    arguments = (
        development.attest(),
        development.policy,
        NOW,
        development.measurements,
        Expectation(REPORT_DATA, NONCE),
    )
    (tmp_path / "case").write_bytes(msgspec.msgpack.encode(arguments))
    verdicts = set()
    for zone, seed in (("UTC", "1"), ("Asia/Kolkata", "2")):
        settings = os.environ | {"TZ": zone, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", NODE, str(tmp_path / "case")]
        verdicts.add(subprocess.run(command, env=settings, capture_output=True, check=True).stdout)
    here = development.judge(arguments[0], expect=BOUND)
    assert verdicts == {msgspec.json.encode(here)}


NODE = """
import sys, msgspec
from hallmark.attestation import verify
from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.evidence import Evidence, Expectation
kinds = tuple[Evidence, AttestationPolicy, int, tuple[Measurement, ...], Expectation]
evidence, policy, at, accepted, expect = msgspec.msgpack.decode(open(sys.argv[1], "rb").read(), type=kinds)
verdict = verify(evidence, policy, at, measurements=accepted, expect=expect)
sys.stdout.buffer.write(msgspec.json.encode(verdict))
"""


def claims(**changes: Any) -> Claims:
    """Claims of a kind that has neither time nor nonce."""
    settings: dict[str, Any] = {"registers": {}, "report_data": REPORT_DATA} | changes
    return Claims(**settings)


def judged(made: Claims, expect: Expectation, max_age: int = 1) -> dict[str, Step]:
    """The shared steps on `made`, for a TDX quote."""
    policy = AttestationPolicy("p", 1, ("tdx",), {}, max_age, 0)
    case = Case(Evidence("tdx", b""), policy, NOW, (), expect)
    return {step.name: step for step in run(judgement.checks(case, lambda: made))}


def test_kind_without_nonce_field_binds_nonce_in_report_data() -> None:
    """Where a kind has no nonce field, report data and nonce are bound together in its 64 bytes."""
    both = judgement.nonced_report_data(REPORT_DATA, NONCE)
    assert len(both) == 64
    steps = judged(claims(report_data=both), BOUND)
    for name in ("report_data", "nonce", "freshness"):
        assert steps[name].state is StepState.PASS, name
    assert judged(claims(report_data=REPORT_DATA), BOUND)["report_data"].reason == "report_data_mismatch"
    assert judged(claims(report_data=REPORT_DATA), BOUND)["nonce"].reason == "nonce_mismatch"
    assert judged(claims(report_data=REPORT_DATA), BOUND)["freshness"].reason == "nonce_mismatch"
    assert judged(claims(report_data=REPORT_DATA), Expectation(REPORT_DATA))["report_data"].state == "pass"


def test_nonce_without_report_data_is_unknown_for_such_kinds() -> None:
    """A nonce that cannot be checked is unknown, and unknown is not a pass."""
    steps = judged(claims(), Expectation(None, NONCE))
    assert steps["nonce"].state is StepState.UNKNOWN
    assert steps["nonce"].reason == "nonce_not_checkable"
    assert steps["freshness"].state is StepState.UNKNOWN


def test_timeless_evidence_is_fresh_only_by_nonce_or_without_limit() -> None:
    """Without time and nonce freshness is unknown, unless the policy sets no maximum age."""
    assert judged(claims(), Expectation())["freshness"].reason == "no_time_in_evidence"
    assert judged(claims(), Expectation(), max_age=0)["freshness"].state is StepState.PASS


@pytest.mark.parametrize(
    ("value", "ok"), [("0203", True), ("0304", True), ("0202", False), ("ff02", False), ("020300", False)]
)
def test_floor_is_compared_component_by_component(value: str, ok: bool) -> None:
    """Each byte must reach its floor; a high one does not make up for a low one."""
    measurement = measurement_for("snp", {"MEASUREMENT": "aa", "TCB_FLOOR": "0203"})
    policy = AttestationPolicy("p", 1, ("snp",), {}, 0, 0)
    case = Case(Evidence("snp", b""), policy, NOW, (measurement,), Expectation())
    steps = run(judgement.checks(case, lambda: claims(registers={"MEASUREMENT": "aa", "TCB": value})))
    assert steps[1].reason == ("" if ok else "tcb_below_floor")
