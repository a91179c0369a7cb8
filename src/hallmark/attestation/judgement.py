"""The part of a verification that is the same for every kind: what authenticated evidence must say.

None of these checks is fatal: the verdict tells all that is wrong, not only the first thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from hallmark.attestation.claims import Case, Check, Claims, Undetermined
from hallmark.core.document import unhex
from hallmark.core.documents import Measurement
from hallmark.core.errors import VerificationFailed

NONCED_TAG = b"hallmark/nonced-report-data/v1\0"
FLOOR = "_FLOOR"

# What a measurement must name at least; one that names less would accept code that nobody measured.
REQUIRED_REGISTERS: Mapping[str, frozenset[str]] = {
    "nitro": frozenset({"PCR0"}),
    "nitro-dev": frozenset({"PCR0"}),
    "tdx": frozenset({"MRTD", "RTMR0", "RTMR1", "RTMR2"}),
    "sgx": frozenset({"MRENCLAVE"}),
    "snp": frozenset({"MEASUREMENT", "TCB" + FLOOR}),
}


def nonced_report_data(report_data: bytes, nonce: bytes) -> bytes:
    """The 64 bytes that a kind without a nonce field (tdx, sgx, snp) binds when there is a nonce.

    SHA-512("hallmark/nonced-report-data/v1" || 0x00 || report_data (64 bytes) || nonce).
    """
    return hashlib.sha512(NONCED_TAG + report_data + nonce).digest()


def checks(case: Case, claims: Callable[[], Claims]) -> tuple[Check, ...]:
    """The shared checks in their order. Report data and nonce have a step only where one is expected."""
    found = [
        Check("debug", lambda: _debug(case, claims()), fatal=False),
        Check("measurement", lambda: _measurement(case, claims()), fatal=False),
    ]
    if case.expect.report_data is not None:
        found.append(Check("report_data", lambda: _report_data(case, claims()), fatal=False))
    if case.expect.nonce is not None:
        found.append(Check("nonce", lambda: _nonce(case, claims()), fatal=False))
    found.append(Check("freshness", lambda: _freshness(case, claims()), fatal=False))
    return tuple(found)


def accepted_measurement(case: Case, claims: Claims) -> str:
    """Name and version of the measurement that `claims` meet, with a space between.

    Raises VerificationFailed `measurement_not_accepted`, `tcb_below_floor`, `measurement_expired`.
    """
    kind = case.evidence.kind
    usable = [
        m for m in case.measurements if m.evidence == kind and REQUIRED_REGISTERS[kind] <= set(m.registers)
    ]
    same = [m for m in usable if _equals(m, claims)]
    if not same:
        raise VerificationFailed(
            "measurement_not_accepted", f"None of {len(usable)} accepted {kind} measurements is this one."
        )
    high = [m for m in same if _over_floors(m, claims)]
    if not high:
        raise VerificationFailed("tcb_below_floor", "The platform is below the floor that is set for it.")
    current = [m for m in high if not m.not_after or case.at <= m.not_after]
    if not current:
        raise VerificationFailed(
            "measurement_expired", "The measurement was accepted only until a past time."
        )
    return f"{current[0].name} {current[0].version}"


def _debug(case: Case, claims: Claims) -> str:
    if not claims.debug:
        return "not a debug enclave"
    if not case.policy.debug:
        raise VerificationFailed("debug_mode", "This is a debug enclave: its host can read it.")
    return "a debug enclave, which the policy accepts"


def _measurement(case: Case, claims: Claims) -> str:
    return accepted_measurement(case, claims)


def _equals(measurement: Measurement, claims: Claims) -> bool:
    exact = {name: value for name, value in measurement.registers.items() if not name.endswith(FLOOR)}
    return all("0x" + claims.registers.get(name, "") == value for name, value in exact.items())


def _over_floors(measurement: Measurement, claims: Claims) -> bool:
    """Each byte of register NAME is at least the same byte of NAME_FLOOR: one byte, one component."""
    for name, value in measurement.registers.items():
        if name.endswith(FLOOR):
            floor = unhex(value)
            found = bytes.fromhex(claims.registers.get(name.removesuffix(FLOOR), ""))
            if len(found) != len(floor) or any(have < need for have, need in zip(found, floor, strict=True)):
                return False
    return True


def _report_data(case: Case, claims: Claims) -> str:
    wanted = case.expect.report_data
    if claims.report_data is None:
        raise VerificationFailed("report_data_absent", "The evidence binds no report data.")
    if wanted is not None and not claims.carries_nonce and case.expect.nonce is not None:
        wanted = nonced_report_data(wanted, case.expect.nonce)
    if claims.report_data != wanted:
        raise VerificationFailed("report_data_mismatch", "The evidence binds another key bundle.")
    return "binds the expected report data"


def _nonce(case: Case, claims: Claims) -> str:
    if not claims.carries_nonce:
        return _nonce_in_report_data(case, claims)
    if claims.nonce is None:
        raise VerificationFailed("nonce_absent", "The evidence carries no nonce.")
    if claims.nonce != case.expect.nonce:
        raise VerificationFailed("nonce_mismatch", "The evidence was made for another nonce.")
    return "carries the expected nonce"


def _nonce_in_report_data(case: Case, claims: Claims) -> str:
    report_data, nonce = case.expect.report_data, case.expect.nonce
    if report_data is None or nonce is None:
        raise Undetermined(
            "nonce_not_checkable",
            "This kind binds a nonce only together with report data, and none was given.",
        )
    if claims.report_data != nonced_report_data(report_data, nonce):
        raise VerificationFailed("nonce_mismatch", "The evidence was not made for this nonce.")
    return "bound inside the report data"


def _freshness(case: Case, claims: Claims) -> str:
    policy = case.policy
    if claims.made_at is None:
        return _freshness_without_time(case, claims)
    age = case.at - claims.made_at
    if age < -policy.skew:
        raise VerificationFailed("evidence_from_future", f"The evidence is dated {-age} ms after this time.")
    if policy.max_age and age > policy.max_age:
        raise VerificationFailed(
            "evidence_too_old", f"It is {age} ms old; the policy allows {policy.max_age}."
        )
    return f"{age} ms old"


def _freshness_without_time(case: Case, claims: Claims) -> str:
    """Evidence without a time is as fresh as the nonce in it; without either nothing says how old it is."""
    if case.expect.nonce is not None:
        _nonce(case, claims)
        return "as recent as its nonce"
    if not case.policy.max_age:
        return "the policy sets no maximum age"
    raise Undetermined("no_time_in_evidence", "This kind carries no time, and no nonce was expected of it.")
