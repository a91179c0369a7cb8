"""AWS Nitro attestation documents, and documents of the same format under a development root.

One code for both kinds; only the accepted roots differ. Source: aws-nitro-enclaves-nsm-api,
docs/attestation_process.md; COSE_Sign1 of RFC 9052, ES384.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hallmark.attestation import certificates, cose
from hallmark.attestation.claims import Case, Check, Claims
from hallmark.attestation.roots import accepted_roots
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256

MAX_DOCUMENT = 16 * 1024
MAX_CERTIFICATE = 1024
MAX_CALLER_DATA = 512
PCR_SIZE = 48
PCR_COUNT = 32
ZERO_PCR = bytes(PCR_SIZE)


class Payload(msgspec.Struct, frozen=True):
    """The document's payload with every field's type and length checked. `timestamp` is unix ms."""

    module_id: str
    timestamp: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


def examine(case: Case) -> Document:
    """Begin the examination of `case`; nothing is checked yet."""
    return Document(case)


class Document:
    """One document under examination. Each step leaves what it established for the steps behind it."""

    _members: list[object]
    _sign1: cose.Sign1
    _payload: Payload
    _leaf: certificates.Leaf

    def __init__(self, case: Case) -> None:
        self._case = case
        self._signed = b""

    def checks(self) -> tuple[Check, ...]:
        """Format, header, fields, root, chain, signature; all of them fatal."""
        return (
            Check("format", self._format),
            Check("header", self._header),
            Check("fields", self._fields),
            Check("root", self._root),
            Check("chain", self._chain),
            Check("signature", self._signature),
        )

    def identity(self) -> bytes:
        """SHA-256 of the signed payload, never of signature bytes: (r, n - s) is a second valid signature."""
        return sha256(self._signed or self._case.evidence.data)

    def claims(self) -> Claims:
        """Registers PCR0 .. PCR31 (those that were locked), user data, nonce, time."""
        payload = self._payload
        facts = {"module_id": payload.module_id, "root": sha256(payload.cabundle[0]).hex()}
        if payload.public_key is not None:
            facts["public_key"] = payload.public_key.hex()
        return Claims(
            registers={f"PCR{index}": value.hex() for index, value in sorted(payload.pcrs.items())},
            report_data=payload.user_data,
            nonce=payload.nonce,
            carries_nonce=True,
            made_at=payload.timestamp,
            debug=payload.pcrs.get(0, ZERO_PCR) == ZERO_PCR,
            facts=facts,
        )

    def _format(self) -> str:
        evidence = self._case.evidence
        if len(evidence.data) > MAX_DOCUMENT:
            raise VerificationFailed("evidence_too_large", f"A document has at most {MAX_DOCUMENT} bytes.")
        if evidence.collateral:
            raise VerificationFailed("collateral_unexpected", "This kind of evidence has no collateral.")
        self._members = cose.split(evidence.data)
        return f"{len(evidence.data)} bytes"

    def _header(self) -> str:
        self._sign1 = cose.check_header(self._members)
        self._signed = self._sign1.payload
        return "COSE_Sign1 with ES384"

    def _fields(self) -> str:
        self._payload = read_payload(self._sign1.payload)
        return self._payload.module_id

    def _root(self) -> str:
        digest = sha256(self._payload.cabundle[0])
        if digest not in accepted_roots(self._case.policy, self._case.evidence.kind, self._case.only):
            raise VerificationFailed(
                "root_not_accepted", f"Root {digest.hex()} is not accepted for this kind."
            )
        return digest.hex()

    def _chain(self) -> str:
        above = certificates.authorities(self._payload.cabundle)
        self._leaf = certificates.leaf(self._payload.certificate, above)
        certificates.check_spans(self._leaf.spans, self._case.at)
        return f"{len(self._leaf.spans)} certificates, valid at {self._case.at}"

    def _signature(self) -> str:
        half = cose.COORDINATE_SIZE
        raw = self._sign1.signature
        der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        try:
            self._leaf.key.verify(der, self._sign1.signed_bytes(), ec.ECDSA(hashes.SHA384()))
        except InvalidSignature as error:
            raise VerificationFailed("signature_invalid", "The leaf did not sign this document.") from error
        return "ECDSA P-384 by the leaf"


def read_payload(data: bytes) -> Payload:
    """Read and check the payload map, definite or indefinite.

    Raises VerificationFailed `bad_cbor`, `trailing_bytes`, `field_missing`, `field_unknown`, `field_invalid`.
    """
    fields = cose.strict_loads(data, depth=3, indefinite=True)
    if type(fields) is not dict:
        raise VerificationFailed("field_invalid", "The payload is not a map.")
    if missing := sorted(REQUIRED - fields.keys()):
        raise VerificationFailed("field_missing", f"The payload lacks {missing[0]}.")
    if not fields.keys() <= RULES.keys():
        raise VerificationFailed("field_unknown", "The payload has a field that the format does not know.")
    for name, value in fields.items():
        if not RULES[name](value):
            raise VerificationFailed("field_invalid", f"Field {name} has a wrong type, length or value.")
    return Payload(
        module_id=fields["module_id"],
        timestamp=fields["timestamp"],
        pcrs=fields["pcrs"],
        certificate=fields["certificate"],
        cabundle=tuple(fields["cabundle"]),
        public_key=fields.get("public_key"),
        user_data=fields.get("user_data"),
        nonce=fields.get("nonce"),
    )


def _is_bytes(value: object, low: int, high: int) -> bool:
    return type(value) is bytes and low <= len(value) <= high


def _optional(value: object, low: int, high: int) -> bool:
    return value is None or _is_bytes(value, low, high)


def _is_pcrs(value: object) -> bool:
    if type(value) is not dict or not value:
        return False
    pairs = cast(dict[object, object], value).items()
    return all(type(k) is int and 0 <= k < PCR_COUNT and _is_bytes(v, PCR_SIZE, PCR_SIZE) for k, v in pairs)


def _is_bundle(value: object) -> bool:
    return type(value) is list and bool(value) and all(_is_bytes(der, 1, MAX_CERTIFICATE) for der in value)


# Field by field, the rules of the specification; user_data keeps to the stricter of its two stated limits.
RULES: Final[Mapping[object, Callable[[object], bool]]] = {
    "module_id": lambda v: type(v) is str and bool(v),
    "digest": lambda v: v == "SHA384",
    "timestamp": lambda v: type(v) is int and 0 < v < 2**63,
    "pcrs": _is_pcrs,
    "certificate": lambda v: _is_bytes(v, 1, MAX_CERTIFICATE),
    "cabundle": _is_bundle,
    "public_key": lambda v: _optional(v, 1, MAX_CERTIFICATE),
    "user_data": lambda v: _optional(v, 0, MAX_CALLER_DATA),
    "nonce": lambda v: _optional(v, 0, MAX_CALLER_DATA),
}
REQUIRED: Final = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
