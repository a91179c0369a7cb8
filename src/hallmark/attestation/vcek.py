"""AMD's key hierarchy: VCEK <- ASK <- ARK, RSA-PSS-4096 above a P-384 chip key.

Source: AMD 57230, "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification". The
chain travels as three concatenated PEM certificates: VCEK, ASK, ARK.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from hallmark.attestation import certificates
from hallmark.attestation.certificates import Span
from hallmark.core.errors import VerificationFailed

MAX_CHAIN = 16 * 1024
RSA_BITS = 4096
ARC: Final = "1.3.6.1.4.1.3704.1."
PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
ZERO_SERIAL: Final = b"\x02\x01\x00"
VERSION_3: Final = b"\xa0\x03\x02\x01\x02"

# Security patch levels, by byte of a TCB version; the rest of the eight bytes is reserved (zero).
TCB_BYTES: Final[Mapping[str, Mapping[int, str]]] = {
    "Milan": {0: "3.1", 1: "3.2", 6: "3.3", 7: "3.8"},
    "Genoa": {0: "3.1", 1: "3.2", 6: "3.3", 7: "3.8"},
    "Turin": {0: "3.9", 1: "3.1", 2: "3.2", 3: "3.3", 7: "3.8"},
}


class Certificate(msgspec.Struct, frozen=True):
    """A parsed certificate with the bytes that its issuer signed."""

    der: bytes
    fields: x509.Certificate
    signed: bytes


class ChipKey(msgspec.Struct, frozen=True):
    """What a VCEK says: its key, product ("Genoa"), chip id, and TCB version (8 bytes as in a report)."""

    key: ec.EllipticCurvePublicKey
    product: str
    chip_id: bytes
    tcb: bytes


def read_chain(collateral: bytes) -> tuple[Certificate, Certificate, Certificate]:
    """VCEK, ASK and ARK from three PEM certificates and nothing else.

    Raises VerificationFailed `collateral_absent`, `evidence_too_large`, `collateral_unreadable`,
    `certificate_unreadable`.
    """
    if not collateral:
        raise VerificationFailed("collateral_absent", "A report cannot be judged without its certificates.")
    if len(collateral) > MAX_CHAIN:
        raise VerificationFailed("evidence_too_large", "The certificates are over their limit.")
    blocks = PEM.findall(collateral)
    if len(blocks) != 3 or PEM.sub(b"", collateral).strip():
        raise VerificationFailed("collateral_unreadable", "The collateral is not three PEM certificates.")
    try:
        vcek, ask, ark = (base64.b64decode(b"".join(block.split()), validate=True) for block in blocks)
    except ValueError as error:
        raise VerificationFailed("collateral_unreadable", "The collateral is not PEM.") from error
    return read(vcek), read(ask), read(ark)


def read(der: bytes) -> Certificate:
    """Parse a certificate, also one with serial number zero, which AMD's chip keys have.

    RFC 5280 forbids that serial and `cryptography` says that it will refuse it. So the fields are read from a
    copy whose serial is one; the signature is checked over the bytes as they came.
    Raises VerificationFailed `certificate_unreadable`.
    """
    signed_at, signed_end = _tbs_bounds(der)
    serial_at = _content_at(der, signed_at) + len(VERSION_3)
    copy = der
    if der[serial_at - len(VERSION_3) : serial_at + 3] == VERSION_3 + ZERO_SERIAL:
        copy = der[: serial_at + 2] + b"\x01" + der[serial_at + 3 :]
    return Certificate(der, certificates.load(copy), der[signed_at:signed_end])


def check_chain(vcek: Certificate, ask: Certificate, ark: Certificate) -> tuple[Span, ...]:
    """ARK signed itself and ASK, ASK signed VCEK; both are CAs; returns the spans of validity.

    Raises VerificationFailed `chain_names`, `chain_signature`, `certificate_algorithm`, `not_a_ca`,
    `key_usage`, `leaf_is_a_ca`.
    """
    for issuer, subject in ((ark, ark), (ark, ask), (ask, vcek)):
        _check_authority(issuer.fields)
        _check_issued(subject, issuer)
    constraints = _constraints(vcek.fields)
    if constraints is not None and constraints.ca:
        raise VerificationFailed("leaf_is_a_ca", "The VCEK is a CA.")
    named = (("root", ark), ("authority 1", ask), ("leaf", vcek))
    return tuple(certificates.span(c.fields, name) for name, c in named)


def read_chip_key(vcek: Certificate) -> ChipKey:
    """What the VCEK's AMD extensions say (product 1.2, patch levels 1.3.x, hardware id 1.4).

    Raises VerificationFailed `vcek_extensions`, `product_unknown`, `certificate_algorithm`.
    """
    key = vcek.fields.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise VerificationFailed("certificate_algorithm", "The VCEK is not on P-384.")
    values = {
        e.oid.dotted_string.removeprefix(ARC): e.value.value
        for e in vcek.fields.extensions
        if isinstance(e.value, x509.UnrecognizedExtension) and e.oid.dotted_string.startswith(ARC)
    }
    product = _ia5_string(values.get("2")).split("-")[0]
    if product not in TCB_BYTES:
        raise VerificationFailed("product_unknown", "The VCEK names a product that is not known here.")
    levels = {place: _small_integer(values.get(oid)) for place, oid in TCB_BYTES[product].items()}
    tcb = bytes(levels.get(place, 0) for place in range(8))
    return ChipKey(key, product, _octets(values.get("4")), tcb)


def _check_authority(certificate: x509.Certificate) -> None:
    constraints = _constraints(certificate)
    if constraints is None or not constraints.ca:
        raise VerificationFailed("not_a_ca", "ARK or ASK is not a CA.")
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise VerificationFailed("key_usage", "ARK or ASK has no keyUsage.") from error
    if not usage.key_cert_sign:
        raise VerificationFailed("key_usage", "ARK or ASK may not issue certificates.")


def _check_issued(subject: Certificate, issuer: Certificate) -> None:
    if subject.fields.issuer != issuer.fields.subject:
        raise VerificationFailed("chain_names", "A certificate names another issuer than the one before it.")
    try:
        key, digest = issuer.fields.public_key(), subject.fields.signature_hash_algorithm
        parameters = subject.fields.signature_algorithm_parameters
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VerificationFailed("certificate_algorithm", "A certificate's algorithm is unknown.") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != RSA_BITS:
        raise VerificationFailed("certificate_algorithm", "ARK and ASK have RSA keys of 4096 bits.")
    if not isinstance(parameters, padding.PSS) or not isinstance(digest, hashes.SHA384):
        raise VerificationFailed("certificate_algorithm", "AMD signs with RSA-PSS and SHA-384.")
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), hashes.SHA384.digest_size)
    try:
        key.verify(subject.fields.signature, subject.signed, pss, hashes.SHA384())
    except InvalidSignature as error:
        raise VerificationFailed("chain_signature", "A certificate's signature does not hold.") from error


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _content_at(der: bytes, at: int) -> int:
    """Where the content of the DER sequence at `at` begins."""
    if len(der) < at + 6 or der[at] != 0x30:
        raise VerificationFailed("certificate_unreadable", "A certificate cannot be read.")
    return at + 2 + (der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0)


def _tbs_bounds(der: bytes) -> tuple[int, int]:
    """Begin and end of tbsCertificate, the first member of the outer sequence."""
    begin = _content_at(der, 0)
    content = _content_at(der, begin)
    short = content == begin + 2
    length = der[begin + 1] if short else int.from_bytes(der[begin + 2 : content], "big")
    return begin, content + length


def _ia5_string(value: bytes | None) -> str:
    if value is None or len(value) < 2 or value[0] != 0x16 or value[1] != len(value) - 2:
        raise VerificationFailed("vcek_extensions", "The VCEK does not name its product.")
    return value[2:].decode("ascii", "replace")


def _small_integer(value: bytes | None) -> int:
    """A DER INTEGER of 0 to 255."""
    if value is None or len(value) not in (3, 4) or value[:2] != bytes((2, len(value) - 2)):
        raise VerificationFailed("vcek_extensions", "The VCEK does not give its patch levels.")
    number = int.from_bytes(value[2:], "big", signed=True)
    if not 0 <= number <= 255:
        raise VerificationFailed("vcek_extensions", "A patch level of the VCEK is out of range.")
    return number


def _octets(value: bytes | None) -> bytes:
    """The hardware id: bare octets as AMD issues them, or wrapped in a DER OCTET STRING."""
    if value is not None and len(value) > 2 and value[0] == 4 and value[1] == len(value) - 2:
        value = value[2:]
    if value is None or len(value) not in (8, 64):
        raise VerificationFailed("vcek_extensions", "The VCEK does not name its chip.")
    return value
