"""TDX and SGX quotes: what is refused, and how fields and library messages are read.

There is no recorded SGX quote among the vectors. SGX is tested here on its negative paths and on the
reading of its report; no SGX quote is shown to verify.
"""

from __future__ import annotations

import calendar
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.unit.attestation.conftest import NOW, measurement_for, policy_for

from hallmark.attestation import INTEL_SGX_ROOT, dcap, verify
from hallmark.attestation.claims import Case
from hallmark.core.errors import VerificationFailed
from hallmark.core.evidence import Evidence, Expectation, StepState, Verdict

TIME = calendar.timegm((2025, 6, 24, 0, 0, 0)) * 1000
SIGNED_SIZE = 48 + 584


@pytest.fixture(scope="module")
def quote(vectors: Path) -> Evidence:
    """The recorded TDX quote that verifies at TIME."""
    folder = vectors / "tdx"
    collateral = (folder / "tdx_quote_collateral.json").read_bytes()
    return Evidence("tdx", (folder / "tdx_quote").read_bytes(), collateral)


def judge(evidence: Evidence, at: int = TIME, **changes: Any) -> Verdict:
    """The verdict without accepted measurements: every step up to `tcb` can pass."""
    policy = policy_for(evidence.kind, INTEL_SGX_ROOT, max_age=0, **changes)
    return verify(evidence, policy, at, measurements=(), expect=Expectation())


def fields_of(evidence: Evidence, **changes: object) -> Evidence:
    """The evidence with members of its collateral changed; `...` leaves one out."""
    found = json.loads(evidence.collateral) | changes
    kept = {name: value for name, value in found.items() if value is not ...}
    return Evidence(evidence.kind, evidence.data, json.dumps(kept).encode())


def authentic(verdict: Verdict) -> bool:
    """Whether the quote step passed."""
    return any(s.name == "quote" and s.state is StepState.PASS for s in verdict.steps)


def test_unaccepted_measurement_is_the_only_thing_wrong(quote: Evidence) -> None:
    """Without accepted measurements the recorded quote is authentic and still refused."""
    verdict = judge(quote)
    assert authentic(verdict)
    assert verdict.reason == "measurement_not_accepted"


def test_no_flipped_bit_of_the_signed_part_passes(quote: Evidence) -> None:
    """Of 200 seeded bit flips in header and report none verifies."""
    chance = random.Random(5)
    for bit in chance.sample(range(SIGNED_SIZE * 8), 200):
        data = bytearray(quote.data)
        data[bit // 8] ^= 1 << bit % 8
        assert not authentic(judge(Evidence("tdx", bytes(data), quote.collateral))), bit


def test_flips_outside_the_signed_part_change_no_identity(quote: Evidence) -> None:
    """Framing and line ends of the certificates are not signed: what still verifies is the same evidence."""
    chance = random.Random(6)
    plain, twins = judge(quote), 0
    for bit in chance.sample(range(SIGNED_SIZE * 8, len(quote.data) * 8), 200):
        data = bytearray(quote.data)
        data[bit // 8] ^= 1 << bit % 8
        verdict = judge(Evidence("tdx", bytes(data), quote.collateral))
        if authentic(verdict):
            twins += 1
            assert verdict.digest == plain.digest
            assert verdict.registers == plain.registers
    assert twins > 0


def test_truncated_quotes_get_a_verdict(quote: Evidence) -> None:
    """Every truncation in steps of 37 bytes is refused without an exception."""
    for size in range(0, 4900, 37):
        assert not authentic(judge(Evidence("tdx", quote.data[:size], quote.collateral))), size


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"tcb_info": ...}, {"quote_invalid"}),
        ({"tcb_info": "{}"}, {"quote_invalid"}),
        ({"tcb_info_signature": "00" * 64}, {"signature_invalid", "quote_invalid"}),
        ({"qe_identity_signature": "00" * 64}, {"signature_invalid", "quote_invalid"}),
        ({"tcb_info_issuer_chain": ""}, {"collateral_unreadable"}),
        ({"tcb_info_issuer_chain": 7}, {"collateral_unreadable"}),
        ({"tcb_info_issuer_chain": ...}, {"collateral_unreadable"}),
        ({"root_ca_crl": ""}, {"quote_invalid"}),
        ({"pck_crl": "30"}, {"quote_invalid"}),
    ],
)
def test_broken_collateral_is_refused(quote: Evidence, change: dict[str, object], reasons: set[str]) -> None:
    """Collateral with a member missing, broken or unsigned does not support a quote."""
    assert judge(fields_of(quote, **change)).reason in reasons


def test_collateral_of_another_platform_is_refused(quote: Evidence, vectors: Path) -> None:
    """Genuine collateral for other hardware does not support this quote."""
    other = (vectors / "tdx" / "tdx_quote_outdated_collateral.json").read_bytes()
    at = calendar.timegm((2026, 2, 23, 0, 0, 0)) * 1000
    verdict = judge(Evidence("tdx", quote.data, other), at)
    assert not authentic(verdict)
    assert verdict.reason == "quote_invalid"


def test_lowered_floor_breaks_the_signature(quote: Evidence) -> None:
    """Collateral is signed: an edited TCB table is refused."""
    edited = json.loads(quote.collateral)["tcb_info"].replace("UpToDate", "OutOfDate")
    assert judge(fields_of(quote, tcb_info=edited)).reason in ("signature_invalid", "quote_invalid")


def test_missing_and_oversized_parts_are_refused(quote: Evidence) -> None:
    """No collateral, too much of it, too long a quote and too short a quote each have a reason."""
    assert judge(Evidence("tdx", quote.data)).reason == "collateral_absent"
    assert judge(Evidence("tdx", bytes(16 * 1024 + 1), b"x")).reason == "evidence_too_large"
    assert judge(Evidence("tdx", quote.data, bytes(48 * 1024 + 1))).reason == "evidence_too_large"
    assert judge(Evidence("tdx", b"\x04\x00", quote.collateral)).reason == "quote_unreadable"


def test_tdx_quote_is_no_sgx_quote(quote: Evidence) -> None:
    """A quote counts only as the TEE type that it states."""
    assert judge(Evidence("sgx", quote.data, quote.collateral)).reason == "wrong_tee_type"
    header = bytearray(quote.data)
    header[4] = 0
    relabelled = Evidence("sgx", bytes(header), quote.collateral)
    assert not authentic(judge(relabelled))


@pytest.mark.parametrize(
    ("version", "tee", "kind", "reason"),
    [
        (3, 0x81, "tdx", "quote_version"),
        (6, 0x81, "tdx", "quote_version"),
        (4, 0x00, "tdx", "wrong_tee_type"),
        (4, 0x81, "sgx", "wrong_tee_type"),
        (2, 0x00, "sgx", "quote_version"),
        (4, 0x00, "sgx", "quote_unreadable"),
        (5, 0x00, "sgx", "quote_version"),
        (4, 0x07, "sgx", "wrong_tee_type"),
    ],
)
def test_quote_forms_that_are_not_known_are_refused(version: int, tee: int, kind: str, reason: str) -> None:
    """Unknown versions, other TEE types and short reports are refused by the header step."""
    data = version.to_bytes(2, "little") + bytes(2) + tee.to_bytes(4, "little") + bytes(60)
    assert judge(Evidence(kind, data, b"{}")).reason == reason


def test_other_root_is_refused(quote: Evidence) -> None:
    """The collateral's own root must be Intel's, by the hash of the whole certificate."""
    chain = json.loads(quote.collateral)["tcb_info_issuer_chain"]
    first = chain[: chain.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
    assert judge(fields_of(quote, tcb_info_issuer_chain=first)).reason == "root_not_accepted"
    assert dcap.sha256(dcap.root_of(quote.collateral)) == INTEL_SGX_ROOT


def test_same_verdict_every_time(quote: Evidence) -> None:
    """Verdicts on quotes are a function of their arguments as well."""
    assert judge(quote) == judge(quote)


def test_panic_in_the_library_refuses_the_quote(quote: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panic of the Rust code, which is no Exception, is a refusal; an interrupt still goes through."""
    import dcap_qvl

    class PanicException(BaseException):
        pass

    for error, reason in ((PanicException, "quote_unreadable"), (KeyboardInterrupt, "")):

        def verifier(_: bytes, error: type[BaseException] = error) -> None:
            raise error

        monkeypatch.setattr(dcap_qvl, "QuoteVerifier", verifier)
        if reason:
            assert judge(quote).reason == reason
        else:
            with pytest.raises(KeyboardInterrupt):
                judge(quote)


def sgx_body(attributes: int = 0x05) -> dcap.Body:
    """A made SGX report, never signed: for reading only."""
    report = bytearray(384)
    report[48] = attributes
    report[64:96] = b"\xaa" * 32
    report[128:160] = b"\xbb" * 32
    report[256:258] = (7).to_bytes(2, "little")
    report[258:260] = (9).to_bytes(2, "little")
    report[320:384] = bytes(range(64))
    header = (3).to_bytes(2, "little") + bytes(46)
    return dcap.read_body(header + report + b"rest", "sgx")


def tdx_body(version: int = 4, body_type: int = 2, **bytes_at: int) -> dcap.Body:
    """A made TD report, never signed; `bytes_at` maps `at_<offset>` to a byte."""
    report = bytearray(648 if body_type == 3 else 584)
    for name, value in bytes_at.items():
        report[int(name.removeprefix("at_"))] = value
    header = version.to_bytes(2, "little") + bytes(2) + (0x81).to_bytes(4, "little") + bytes(40)
    prefix = body_type.to_bytes(2, "little") + len(report).to_bytes(4, "little") if version == 5 else b""
    return dcap.read_body(header + prefix + report + b"rest", "tdx")


FOUND: dict[str, Any] = {
    "tcb": {"status": "UpToDate", "advisory_ids": ["INTEL-SA-00289"], "eval_data_number": 17},
    "platform": {"pck": {"fmspc": [0, 1], "ppid": [2, 3], "smt_enabled": "True"}},
}


def test_sgx_report_is_read() -> None:
    """Measurements, product and version numbers come from their places in an enclave report."""
    claims = dcap.read_claims(sgx_body(), FOUND)
    assert claims.registers["MRENCLAVE"] == "aa" * 32
    assert claims.registers["MRSIGNER"] == "bb" * 32
    assert claims.registers["ISVPRODID"] == "0700"
    assert claims.registers["ISVSVN"] == "0900"
    assert claims.report_data == bytes(range(64))
    assert claims.made_at is None
    assert not claims.debug
    assert claims.facts["advisories"] == "INTEL-SA-00289"
    assert claims.facts["fmspc"] == "0001"


@pytest.mark.parametrize(("attributes", "debug"), [(0x05, False), (0x07, True), (0x02, True)])
def test_sgx_debug_attribute_is_seen(attributes: int, debug: bool) -> None:
    """Bit 1 of an enclave's attributes says debug."""
    assert dcap.read_claims(sgx_body(attributes), FOUND).debug is debug


@pytest.mark.parametrize(("value", "debug"), [(0x00, False), (0x01, True), (0x80, True)])
def test_tdx_debug_attributes_are_seen(value: int, debug: bool) -> None:
    """Any bit of the first attribute byte says that a TD is under debug."""
    assert dcap.read_claims(tdx_body(at_120=value), FOUND).debug is debug


def test_tdx_report_1_5_has_a_service_td() -> None:
    """Version 5 quotes with a 1.5 report are read too, with their service TD."""
    body = tdx_body(version=5, body_type=3, at_136=1)
    assert body.fields["MRTD"][0] == 1
    assert body.fields["MRSERVICETD"] == bytes(48)
    assert len(body.signed) == 48 + 6 + 648


def check_tcb(body: dcap.Body, **changes: Any) -> str:
    """Status when accepted, else the reason."""
    policy = policy_for("tdx", INTEL_SGX_ROOT, **changes)
    case = Case(Evidence("tdx", b""), policy, NOW, (), Expectation())
    try:
        return dcap.check_tcb(case, body, FOUND)
    except VerificationFailed as error:
        return error.reason


def test_tcb_is_judged_by_the_policy() -> None:
    """Status, denied advisories and a bound service TD are judged here, not by the library."""
    plain = tdx_body()
    assert check_tcb(plain) == "UpToDate"
    assert check_tcb(plain, tcb_statuses=("OutOfDate",)) == "tcb_status_not_accepted"
    assert check_tcb(plain, tcb_statuses=()) == "tcb_status_not_accepted"
    assert check_tcb(plain, denied_advisories=("INTEL-SA-00289",)) == "advisory_denied"
    assert check_tcb(plain, denied_advisories=("INTEL-SA-1",)) == "UpToDate"
    assert check_tcb(tdx_body(version=5, body_type=3, at_600=1)) == "service_td"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Verification failed: No matching TCB level found", "tcb_below_floor"),
        ("Verification failed: TCBInfo expired", "collateral_expired"),
        ("Verification failed: QE Identity issue date is in the future", "collateral_not_yet_valid"),
        ("Verification failed: Debug mode is enabled", "debug_mode"),
        ("Verification failed: TCB status is invalid: Revoked", "revoked"),
        ("Verification failed: Invalid MR service TD", "service_td"),
        ("Verification failed: Signature is invalid for qe_report in quote", "signature_invalid"),
        ("ISV enclave report signature is invalid", "signature_invalid"),
        ("Verification failed: Failed to decode quote", "quote_invalid"),
    ],
)
def test_library_messages_become_reason_codes(message: str, reason: str) -> None:
    """What the library says in words becomes one stable code."""
    assert dcap.reason_of(message) == reason


def test_sgx_measurement_needs_mrenclave() -> None:
    """A signer alone is no measurement: MRSIGNER without MRENCLAVE accepts nothing."""
    from hallmark.attestation import judgement

    accepted = measurement_for("sgx", {"MRSIGNER": "bb" * 32})
    policy = policy_for("sgx", INTEL_SGX_ROOT)
    case = Case(Evidence("sgx", b""), policy, NOW, (accepted,), Expectation())
    with pytest.raises(VerificationFailed) as caught:
        judgement.accepted_measurement(case, dcap.read_claims(sgx_body(), FOUND))
    assert caught.value.reason == "measurement_not_accepted"


@pytest.mark.parametrize("name", ["tdx_quote", "tdx_quote_outdated"])
def test_fields_agree_with_the_librarys_own_parser(vectors: Path, name: str) -> None:
    """Where we cut registers out of the signed bytes, the library finds the same values, in both forms."""
    import dcap_qvl

    data = (vectors / "tdx" / name).read_bytes()
    fields, report = dcap.read_body(data, "tdx").fields, dcap_qvl.parse_quote(data).report
    theirs = {
        "MRTD": report.mr_td,
        "RTMR0": report.rt_mr0,
        "RTMR1": report.rt_mr1,
        "RTMR2": report.rt_mr2,
        "RTMR3": report.rt_mr3,
        "MRSEAM": report.mr_seam,
        "MRCONFIGID": report.mr_config_id,
        "MROWNER": report.mr_owner,
        "MROWNERCONFIG": report.mr_owner_config,
        "TEE_TCB_SVN": report.tee_tcb_svn,
        "TDATTRIBUTES": report.td_attributes,
        "XFAM": report.xfam,
        "REPORTDATA": report.report_data,
    }
    if name == "tdx_quote_outdated":
        theirs["MRSERVICETD"] = report.mr_service_td
    assert fields == {key: bytes(value) for key, value in theirs.items()}
