"""Intel TDX and SGX quotes (DCAP), judged offline with the collateral that travels with the evidence.

`dcap-qvl` does the cryptography: PCK chain, revocation lists, TCB info, quoting enclave identity, quote
signature. What it found comes back as data, and the policy decides here. Source: Intel SGX and TDX DCAP
Quoting Library API; the collateral is the JSON form of `QuoteCollateralV3`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hallmark.attestation.claims import Case, Check, Claims
from hallmark.attestation.roots import accepted_roots
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256

MAX_QUOTE = 16 * 1024
MAX_COLLATERAL = 48 * 1024
HEADER_SIZE = 48
TEE_TYPES: Final = {0x00: "sgx", 0x81: "tdx"}

# Where the signed body begins and how long it is, by (quote version, TEE), and by body type in version 5.
BODIES: Final = {(3, "sgx"): 384, (4, "sgx"): 384, (4, "tdx"): 584}
BODIES_5: Final = {(1, "sgx"): 384, (2, "tdx"): 584, (3, "tdx"): 648}
BODY_5_PREFIX = 6

# Fields of a body: offset and size in bytes. SGX enclave report; TD report 1.0, and what 1.5 adds to it.
SGX_LAYOUT: Final = {
    "ATTRIBUTES": (48, 16),
    "MRENCLAVE": (64, 32),
    "MRSIGNER": (128, 32),
    "ISVPRODID": (256, 2),
    "ISVSVN": (258, 2),
    "REPORTDATA": (320, 64),
}
TDX_LAYOUT: Final = {
    "TEE_TCB_SVN": (0, 16),
    "MRSEAM": (16, 48),
    "TDATTRIBUTES": (120, 8),
    "XFAM": (128, 8),
    "MRTD": (136, 48),
    "MRCONFIGID": (184, 48),
    "MROWNER": (232, 48),
    "MROWNERCONFIG": (280, 48),
    "RTMR0": (328, 48),
    "RTMR1": (376, 48),
    "RTMR2": (424, 48),
    "RTMR3": (472, 48),
    "REPORTDATA": (520, 64),
}
MRSERVICETD: Final = (600, 48)
SGX_DEBUG = 0x02
PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", re.ASCII)

# What the library says, in our reason codes; the first fragment that occurs counts.
REASONS: Final = (
    ("No matching TCB level", "tcb_below_floor"),
    ("issue date is in the future", "collateral_not_yet_valid"),
    ("expired", "collateral_expired"),
    ("CrlExpired", "collateral_expired"),
    ("ebug", "debug_mode"),
    ("evoked", "revoked"),
    ("MR service TD", "service_td"),
    ("ignature is invalid", "signature_invalid"),
)


class Body(msgspec.Struct, frozen=True):
    """The signed part of a quote: its bytes (header and report), and the report's fields by name."""

    version: int
    kind: str
    signed: bytes
    fields: Mapping[str, bytes]


class _Collateral(msgspec.Struct):
    tcb_info_issuer_chain: str


def examine(case: Case) -> Quote:
    """Begin the examination of `case`; nothing is checked yet."""
    return Quote(case)


class Quote:
    """One quote under examination."""

    _root_der: bytes
    _body: Body
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
            Check("tcb", lambda: check_tcb(self._case, self._body, self._found), fatal=False),
        )

    def identity(self) -> bytes:
        """SHA-256 of quote header and report, which are what the quoting enclave signed."""
        return sha256(self._signed or self._case.evidence.data)

    def claims(self) -> Claims:
        """Registers, report data and platform facts; see `read_claims`."""
        return read_claims(self._body, self._found)

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
        self._body = read_body(self._case.evidence.data, self._case.evidence.kind)
        self._signed = self._body.signed
        return f"quote version {self._body.version}"

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


def read_body(quote: bytes, kind: str) -> Body:
    """Cut the signed part of a quote, which is at least a header long, into its fields.

    Raises VerificationFailed `wrong_tee_type`, `quote_version`, `quote_unreadable`.
    """
    version, tee_type = int.from_bytes(quote[:2], "little"), int.from_bytes(quote[4:8], "little")
    if TEE_TYPES.get(tee_type) != kind:
        raise VerificationFailed("wrong_tee_type", f"TEE type {tee_type:#x} is not this evidence kind.")
    begin, size = HEADER_SIZE, BODIES.get((version, kind))
    if version == 5:
        body_type = int.from_bytes(quote[begin : begin + 2], "little")
        begin, size = begin + BODY_5_PREFIX, BODIES_5.get((body_type, kind))
    if size is None:
        raise VerificationFailed("quote_version", f"This form of quote version {version} is not supported.")
    body = quote[begin : begin + size]
    if len(body) != size:
        raise VerificationFailed("quote_unreadable", "The quote ends inside its report.")
    layout = dict(TDX_LAYOUT if kind == "tdx" else SGX_LAYOUT)
    if size > MRSERVICETD[0]:
        layout["MRSERVICETD"] = MRSERVICETD
    fields = {name: body[at : at + length] for name, (at, length) in layout.items()}
    return Body(version, kind, quote[: begin + size], fields)


def check_tcb(case: Case, body: Body, found: Mapping[str, Any]) -> str:
    """Compare TCB status and advisories with the policy.

    Raises VerificationFailed `tcb_status_not_accepted`, `advisory_denied`, `service_td`.
    """
    status, advisories = str(found["tcb"]["status"]), found["tcb"]["advisory_ids"]
    if status not in case.policy.tcb_statuses:
        raise VerificationFailed("tcb_status_not_accepted", f"TCB status {status} is not accepted.")
    if denied := sorted(set(advisories) & set(case.policy.denied_advisories)):
        raise VerificationFailed("advisory_denied", f"The platform is open to {', '.join(denied)}.")
    if any(body.fields.get("MRSERVICETD", b"")):
        raise VerificationFailed("service_td", "A service TD is bound, which could migrate this one.")
    return status


def read_claims(body: Body, found: Mapping[str, Any]) -> Claims:
    """Registers from the signed body; facts from what the library verified (JSON of `QuoteClaims`)."""
    pck = found["platform"]["pck"]
    facts = {
        "tcb_status": str(found["tcb"]["status"]),
        "advisories": ",".join(found["tcb"]["advisory_ids"]),
        "tcb_evaluation": str(found["tcb"]["eval_data_number"]),
        "fmspc": bytes(pck["fmspc"]).hex(),
        "ppid": bytes(pck["ppid"]).hex(),
        "smt": str(pck["smt_enabled"]).lower(),
        "report_data": body.fields["REPORTDATA"].hex(),
    }
    if body.kind == "tdx":
        # The first attribute byte is the "TD under debug" group; none of its bits is for production.
        debug = body.fields["TDATTRIBUTES"][0] != 0
    else:
        debug = bool(body.fields["ATTRIBUTES"][0] & SGX_DEBUG)
    registers = {name: value.hex() for name, value in body.fields.items() if name != "REPORTDATA"}
    return Claims(registers, body.fields["REPORTDATA"], debug=debug, facts=facts)


def root_of(collateral: bytes) -> bytes:
    """DER of the root certificate that the collateral's TCB info chain ends in.

    Raises VerificationFailed `collateral_unreadable`.
    """
    try:
        chain = msgspec.json.decode(collateral, type=_Collateral).tcb_info_issuer_chain
        last = PEM.findall(chain)[-1]
        return base64.b64decode("".join(last.split()), validate=True)
    except (msgspec.DecodeError, UnicodeError, RecursionError, IndexError, ValueError) as error:
        raise VerificationFailed("collateral_unreadable", "The collateral cannot be read.") from error


def reason_of(message: str) -> str:
    """Our reason code for a message of the library."""
    return next((reason for fragment, reason in REASONS if fragment in message), "quote_invalid")


def _verify_quote(quote: bytes, collateral: bytes, root_der: bytes, seconds: int) -> Mapping[str, Any]:
    import dcap_qvl  # heavy, and only needed where somebody shows Intel evidence

    try:
        parsed = dcap_qvl.QuoteCollateralV3.from_json(collateral.decode())
        policy = dcap_qvl.QuotePolicy.claims_only(seconds)
        claims = dcap_qvl.QuoteVerifier(root_der).verify_with_policy(quote, parsed, seconds, policy)
    except (
        Exception
    ) as error:  # the library says ValueError; whatever else it may raise refuses the quote too
        message = str(error)
        raise VerificationFailed(reason_of(message), f"dcap-qvl: {message[:200]}") from error
    except BaseException as error:
        # A panic in the library's Rust code is no Exception; it must refuse this quote, not end the process.
        if type(error).__name__ != "PanicException":
            raise
        raise VerificationFailed("quote_unreadable", "dcap-qvl cannot read this quote.") from error
    found: dict[str, Any] = msgspec.json.decode(claims.to_json())
    return found
