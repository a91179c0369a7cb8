"""Intel TDX and SGX quotes (DCAP), judged offline with the collateral that travels with the evidence.

`dcap-qvl` does the cryptography: PCK chain, revocation lists, TCB info, quoting enclave identity, quote
signature. What it found comes back as data, and the policy decides here. Source: Intel SGX and TDX DCAP
Quoting Library API; the collateral is the JSON form of `QuoteCollateralV3`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hallmark.attestation.case import Case, Check, Claims
from hallmark.attestation.roots import accepted_roots
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256

MAX_QUOTE = 16 * 1024
MAX_COLLATERAL = 48 * 1024
HEADER_SIZE = 48
TEE_TYPES: Final = {0x00: "sgx", 0x81: "tdx"}

# Size of the signed body by (quote version, TEE); version 5 states its own after the header.
BODY_SIZES: Final = {(3, "sgx"): 384, (4, "sgx"): 384, (4, "tdx"): 584}
BODY_5_PREFIX = 6

# What the library says, in our reason codes; the first fragment that occurs counts.
REASONS: Final = (
    ("No matching TCB level", "tcb_below_floor"),
    ("issue date is in the future", "collateral_not_yet_valid"),
    ("expired", "collateral_expired"),
    ("CrlExpired", "collateral_expired"),
    ("Debug", "debug_mode"),
    ("debug", "debug_mode"),
    ("revoked", "certificate_revoked"),
    ("Revoked", "certificate_revoked"),
    ("signature", "signature_invalid"),
)
TDX_REGISTERS: Final = {
    "MRTD": "mr_td",
    "RTMR0": "rt_mr0",
    "RTMR1": "rt_mr1",
    "RTMR2": "rt_mr2",
    "RTMR3": "rt_mr3",
    "MRSEAM": "mr_seam",
    "MRCONFIGID": "mr_config_id",
    "MROWNER": "mr_owner",
    "MROWNERCONFIG": "mr_owner_config",
    "TEE_TCB_SVN": "tee_tcb_svn",
}
SGX_DEBUG = 0x02


def examine(case: Case) -> Quote:
    """Begin the examination of `case`; nothing is checked yet."""
    return Quote(case)


class Quote:
    """One quote under examination."""

    _root_der: bytes
    _found: Mapping[str, Any]

    def __init__(self, case: Case) -> None:
        self._case = case
        self._signed = b""

    def checks(self) -> tuple[Check, ...]:
        """Format, TEE type, root, quote (all that Intel's chain covers), then TCB status."""
        return (
            Check("format", self._format),
            Check("header", self._header),
            Check("root", self._root),
            Check("quote", self._quote),
            Check("tcb", lambda: check_tcb(self._case, self._found), fatal=False),
        )

    def identity(self) -> bytes:
        """SHA-256 of quote header and report, which are what the quoting enclave signed."""
        return sha256(self._signed or self._case.evidence.data)

    def claims(self) -> Claims:
        """Registers, report data and platform facts; see `read_claims`."""
        return read_claims(self._found)

    def _format(self) -> str:
        evidence = self._case.evidence
        if len(evidence.data) > MAX_QUOTE or len(evidence.collateral) > MAX_COLLATERAL:
            raise VerificationFailed("evidence_too_large", "The quote or its collateral is over its limit.")
        if not evidence.collateral:
            raise VerificationFailed("collateral_absent", "A quote cannot be judged without its collateral.")
        if len(evidence.data) < HEADER_SIZE:
            raise VerificationFailed("quote_unreadable", "This is too short for a quote.")
        return f"{len(evidence.data)} bytes, collateral {len(evidence.collateral)} bytes"

    def _header(self) -> str:
        data = self._case.evidence.data
        version, tee_type = int.from_bytes(data[:2], "little"), int.from_bytes(data[4:8], "little")
        kind = TEE_TYPES.get(tee_type, "")
        if kind != self._case.evidence.kind:
            raise VerificationFailed("wrong_tee_type", f"TEE type {tee_type:#x} is not this evidence kind.")
        self._signed = data[: HEADER_SIZE + _body_size(data, version, kind)]
        return f"quote version {version}"

    def _root(self) -> str:
        self._root_der = root_of(self._case.evidence.collateral)
        digest = sha256(self._root_der)
        if digest not in accepted_roots(self._case.policy, self._case.evidence.kind, self._case.only):
            raise VerificationFailed("root_not_accepted", f"Root {digest.hex()} is not accepted.")
        return digest.hex()

    def _quote(self) -> str:
        evidence, seconds = self._case.evidence, self._case.at // 1000
        self._found = _verify_quote(evidence.data, evidence.collateral, self._root_der, seconds)
        return f"TCB evaluation {self._found['tcb']['eval_data_number']}"


def check_tcb(case: Case, found: Mapping[str, Any]) -> str:
    """Compare TCB status and advisories with the policy.

    Raises VerificationFailed `tcb_status_not_accepted`, `advisory_denied`, `service_td`.
    """
    status, advisories = str(found["tcb"]["status"]), found["tcb"]["advisory_ids"]
    if status not in case.policy.tcb_statuses:
        raise VerificationFailed("tcb_status_not_accepted", f"TCB status {status} is not accepted.")
    if denied := sorted(set(advisories) & set(case.policy.denied_advisories)):
        raise VerificationFailed("advisory_denied", f"The platform is open to {', '.join(denied)}.")
    if int(_report(found).get("mr_service_td", "0") or "0", 16):
        raise VerificationFailed("service_td", "A service TD is bound, which could migrate this one.")
    return status


def read_claims(found: Mapping[str, Any]) -> Claims:
    """Claims from the library's verified data (the JSON form of `QuoteClaims`)."""
    report = _report(found)
    is_tdx = TEE_TYPES[found["tee_type"]] == "tdx"
    pck = found["platform"]["pck"]
    facts = {
        "tcb_status": found["tcb"]["status"],
        "advisories": ",".join(found["tcb"]["advisory_ids"]),
        "tcb_evaluation": str(found["tcb"]["eval_data_number"]),
        "fmspc": bytes(pck["fmspc"]).hex(),
        "ppid": bytes(pck["ppid"]).hex(),
        "smt": str(pck.get("smt_enabled", "Undefined")).lower(),
        "report_data": report["report_data"],
    }
    if is_tdx:
        registers = {name: report[field] for name, field in TDX_REGISTERS.items()}
        facts |= {name: report[name] for name in ("td_attributes", "xfam")}
        # The first attribute byte is the "TD under debug" group; none of its bits is for production.
        debug = report["td_attributes"][:2] != "00"
    else:
        registers = {"MRENCLAVE": report["mr_enclave"], "MRSIGNER": report["mr_signer"]}
        registers["ISVPRODID"] = int(report["isv_prod_id"]).to_bytes(2, "big").hex()
        registers["ISVSVN"] = int(report["isv_svn"]).to_bytes(2, "big").hex()
        facts["attributes"] = report["attributes"]
        debug = bool(int(report["attributes"][:2], 16) & SGX_DEBUG)
    return Claims(registers, bytes.fromhex(report["report_data"]), debug=debug, facts=facts)


def root_of(collateral: bytes) -> bytes:
    """DER of the root certificate that the collateral's TCB info chain ends in.

    Raises VerificationFailed `collateral_unreadable`.
    """
    try:
        chain = msgspec.json.decode(collateral, type=dict[str, Any])["tcb_info_issuer_chain"]
        return x509.load_pem_x509_certificates(chain.encode())[-1].public_bytes(Encoding.DER)
    except (msgspec.DecodeError, UnicodeError, KeyError, AttributeError, ValueError, TypeError) as error:
        raise VerificationFailed("collateral_unreadable", "The collateral cannot be read.") from error


def reason_of(message: str) -> str:
    """Our reason code for a message of the library."""
    return next((reason for fragment, reason in REASONS if fragment in message), "quote_invalid")


def _report(found: Mapping[str, Any]) -> Mapping[str, Any]:
    (report,) = found["report"].values()
    if not isinstance(report, Mapping):
        raise VerificationFailed("quote_unreadable", "The quote's report is of an unknown form.")
    return report


def _body_size(data: bytes, version: int, kind: str) -> int:
    if version == 5:
        return BODY_5_PREFIX + int.from_bytes(data[HEADER_SIZE + 2 : HEADER_SIZE + BODY_5_PREFIX], "little")
    size = BODY_SIZES.get((version, kind))
    if size is None:
        raise VerificationFailed("quote_version", f"Quote version {version} is not supported for {kind}.")
    return size


def _verify_quote(quote: bytes, collateral: bytes, root_der: bytes, seconds: int) -> Mapping[str, Any]:
    import dcap_qvl  # heavy, and only needed where somebody shows Intel evidence

    try:
        parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.decode())
        policy = dcap_qvl.QuotePolicy.claims_only(seconds)
        claims = dcap_qvl.QuoteVerifier(root_der).verify_with_policy(quote, parsed, seconds, policy)
    except (ValueError, OverflowError) as error:
        message = str(error)
        raise VerificationFailed(reason_of(message), f"dcap-qvl: {message[:200]}") from error
    except BaseException as error:
        # A panic in the library's Rust code is no Exception; it must refuse this quote, not end the process.
        if type(error).__name__ != "PanicException":
            raise
        raise VerificationFailed("quote_unreadable", "dcap-qvl cannot read this quote.") from error
    found: dict[str, Any] = msgspec.json.decode(claims.to_json())
    return found
