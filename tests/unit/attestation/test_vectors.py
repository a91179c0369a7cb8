"""Recorded evidence from real hardware, judged at its own time and at others."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.attestation.conftest import Recorded, measurement_for, policy_for

from hallmark.attestation import INTEL_SGX_ROOT, verify
from hallmark.core.evidence import Assurance, Evidence, Expectation, StepState, Verdict

Reader = Callable[[str], Recorded]

PRODUCTION = ("og_evm", "dstack_nsmqvl", "evervault_beta_valid", "oyster_bin")
DEBUG = ("dstack_attest_debug", "evervault_ga_debug")
TODAY = calendar.timegm((2026, 11, 20, 0, 0, 0)) * 1000
TDX_TIME = calendar.timegm((2025, 6, 24, 0, 0, 0)) * 1000
OUTDATED_TIME = calendar.timegm((2026, 2, 23, 0, 0, 0)) * 1000
TDX_MRTD = "91eb2b44d141d4ece09f0c75c2c53d247a3c68edd7fafe8a3520c942a604a407de03ae6dc5f87f27428b2538873118b7"


@pytest.mark.parametrize("name", PRODUCTION)
def test_production_document_verifies_at_its_own_time(recorded: Reader, name: str) -> None:
    """A production document passes every step at its own timestamp, as hardware."""
    verdict = recorded(name).judge()
    assert verdict.ok
    assert verdict.reason == ""
    assert verdict.assurance is Assurance.HARDWARE
    assert all(step.state is StepState.PASS for step in verdict.steps)
    assert verdict.measurement == "image 1.0"
    assert verdict.made_at == recorded(name).at
    assert len(verdict.digest) == 32


@pytest.mark.parametrize("name", PRODUCTION + DEBUG)
def test_document_is_refused_today(recorded: Reader, name: str) -> None:
    """A leaf lives three hours, so today every recorded document fails at the chain."""
    verdict = recorded(name).judge(at=TODAY)
    assert not verdict.ok
    assert verdict.reason == "certificate_expired"
    assert verdict.assurance is Assurance.NONE


@pytest.mark.parametrize("name", DEBUG)
def test_debug_document_is_authentic_but_refused(recorded: Reader, name: str) -> None:
    """Chain and signature of a debug enclave hold; the debug step refuses it, allow list or not."""
    for changes in ({}, {"measurements": ()}):
        verdict = recorded(name).judge(**changes)
        states = {step.name: step.state for step in verdict.steps}
        assert states["chain"] is states["signature"] is StepState.PASS
        assert states["debug"] is StepState.FAIL
        assert verdict.reason == "debug_mode"
        assert not verdict.ok


def test_debug_shows_in_pcr0_not_in_others(recorded: Reader) -> None:
    """Debug documents may have PCR3 or PCR4 set, and production ones PCR8 zero: neither decides."""
    debug, production = recorded("evervault_ga_debug").judge(), recorded("og_evm").judge()
    assert int(debug.registers["PCR3"], 16) != 0
    assert int(debug.registers["PCR4"], 16) != 0
    assert int(production.registers["PCR8"], 16) == 0
    assert production.ok


def test_both_map_encodings_are_among_the_vectors(recorded: Reader) -> None:
    """The vectors hold definite (0xa9) and indefinite (0xbf) payload maps, and both verify above."""
    marker = bytes.fromhex("a1013822")
    heads = {recorded(n).data[recorded(n).data.index(marker) + 5 :][3] for n in PRODUCTION}
    assert heads == {0xA9, 0xBF}


def test_recorded_nonce_and_user_data_are_compared(recorded: Reader) -> None:
    """A document verifies with the nonce and user data that it carries, and with no others."""
    document = recorded("og_evm")
    user_data, nonce = document.payload["user_data"], document.payload["nonce"]
    assert document.judge(expect=Expectation(user_data, nonce)).ok
    assert document.judge(expect=Expectation(user_data, b"\x00" + nonce)).reason == "nonce_mismatch"
    assert document.judge(expect=Expectation(user_data + b"\0", nonce)).reason == "report_data_mismatch"


def test_nonce_is_optional_in_the_format_but_not_when_expected(recorded: Reader) -> None:
    """A document without a nonce is sound, and fails as soon as a nonce is asked for."""
    document = recorded("dstack_nsmqvl")
    assert document.payload["nonce"] is None
    assert document.judge(expect=Expectation(None, b"n" * 32)).reason == "nonce_absent"


def test_aws_document_is_no_development_document(recorded: Reader) -> None:
    """An AWS document under kind nitro-dev fails at the root, because the roots never mix."""
    document = recorded("og_evm")
    policy = policy_for("nitro-dev", b"\x11" * 32)
    verdict = document.judge(policy=policy, evidence=Evidence("nitro-dev", document.data))
    assert verdict.reason == "root_not_accepted"


def tdx_evidence(vectors: Path, name: str) -> Evidence:
    """A recorded TDX quote with its collateral."""
    folder = vectors / "tdx"
    return Evidence("tdx", (folder / name).read_bytes(), (folder / f"{name}_collateral.json").read_bytes())


def judge_tdx(evidence: Evidence, at: int, **changes: object) -> Verdict:
    """The verdict on a TDX quote whose registers are accepted, without a maximum age."""
    zero = "00" * 48
    policy = policy_for("tdx", INTEL_SGX_ROOT, max_age=0, **changes)
    found = verify(evidence, policy, at, measurements=(), expect=Expectation()).registers
    names = ("MRTD", "RTMR0", "RTMR1", "RTMR2")
    accepted = measurement_for("tdx", {name: found.get(name, zero) for name in names})
    return verify(evidence, policy, at, measurements=(accepted,), expect=Expectation())


def test_tdx_quote_verifies_at_its_time(vectors: Path) -> None:
    """The recorded quote passes every step on 2025-06-24, its TCB status and registers being data."""
    verdict = judge_tdx(tdx_evidence(vectors, "tdx_quote"), TDX_TIME)
    assert verdict.ok, verdict.steps
    assert verdict.assurance is Assurance.HARDWARE
    assert verdict.facts["tcb_status"] == "UpToDate"
    assert verdict.facts["advisories"] == ""
    assert verdict.facts["fmspc"] == "b0c06f000000"
    assert verdict.facts["report_data"].startswith("9a9d48e7f6799642")
    assert verdict.registers["MRTD"] == TDX_MRTD
    assert verdict.registers["RTMR3"] == "00" * 48
    assert set(verdict.registers) >= {"RTMR0", "RTMR1", "RTMR2"}


def test_tdx_report_data_is_compared(vectors: Path) -> None:
    """The quote's 64 bytes of report data are compared whole."""
    evidence = tdx_evidence(vectors, "tdx_quote")
    policy = policy_for("tdx", INTEL_SGX_ROOT, max_age=0)
    bound = bytes.fromhex(judge_tdx(evidence, TDX_TIME).facts["report_data"])
    for data, state in ((bound, StepState.PASS), (bound[:32] + bytes(32), StepState.FAIL)):
        verdict = verify(evidence, policy, TDX_TIME, measurements=(), expect=Expectation(data))
        assert {s.name: s.state for s in verdict.steps}["report_data"] is state


def test_tdx_platform_below_the_floor_is_refused(vectors: Path) -> None:
    """The outdated platform matches no TCB level, and that is the reason given."""
    verdict = judge_tdx(tdx_evidence(vectors, "tdx_quote_outdated"), OUTDATED_TIME)
    assert not verdict.ok
    assert verdict.reason == "tcb_below_floor"
    assert verdict.registers == {}


@pytest.mark.parametrize(
    ("name", "at", "reason"),
    [
        ("tdx_quote", TODAY, "collateral_expired"),
        ("tdx_quote", calendar.timegm((2025, 6, 1, 0, 0, 0)) * 1000, "collateral_not_yet_valid"),
        ("tdx_quote_outdated", TDX_TIME, "collateral_not_yet_valid"),
    ],
)
def test_tdx_collateral_has_a_life(vectors: Path, name: str, at: int, reason: str) -> None:
    """Collateral is judged at the given time: after its next update and before its issue it is refused."""
    assert judge_tdx(tdx_evidence(vectors, name), at).reason == reason


def test_tdx_status_that_the_policy_does_not_list_is_refused(vectors: Path) -> None:
    """TCB status is data: a policy without UpToDate refuses this quote by policy, not as a forgery."""
    verdict = judge_tdx(tdx_evidence(vectors, "tdx_quote"), TDX_TIME, tcb_statuses=("SWHardeningNeeded",))
    assert verdict.reason == "tcb_status_not_accepted"
    assert verdict.facts["tcb_status"] == "UpToDate"


def test_tdx_freshness_is_unknown_without_time_and_nonce(vectors: Path) -> None:
    """A quote carries no time: under a maximum age and without a nonce its freshness is unknown, no pass."""
    evidence = tdx_evidence(vectors, "tdx_quote")
    policy = policy_for("tdx", INTEL_SGX_ROOT, max_age=600_000)
    verdict = verify(evidence, policy, TDX_TIME, measurements=(), expect=Expectation())
    last = verdict.steps[-1]
    assert (last.name, last.state, last.reason) == ("freshness", StepState.UNKNOWN, "no_time_in_evidence")
    assert not verdict.ok
