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
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from hallmark.attestation import certificates, der, x509
from hallmark.attestation.certificates import Span
from hallmark.attestation.x509 import Certificate
from hallmark.core.errors import VerificationFailed

MAX_CHAIN = 16 * 1024
RSA_BITS = 4096
RSA_EXPONENT = 65_537
RSA_KEYS = "ARK and ASK have RSA keys of 4096 bits."
ARC: Final = bytes.fromhex("2b060104019c7801")
"""1.3.6.1.4.1.3704.1, below which AMD's extensions stand."""
PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
RSA_KEY: Final = bytes.fromhex("300d06092a864886f70d0101010500")
PSS: Final = bytes.fromhex("2a864886f70d01010a")
MGF1: Final = bytes.fromhex("2a864886f70d010108")
SHA384: Final = bytes.fromhex("608648016503040202")

# Security patch levels, by byte of a TCB version; the rest of the eight bytes is reserved (zero).
TCB_BYTES: Final[Mapping[str, Mapping[int, tuple[int, int]]]] = {
    "Milan": {0: (3, 1), 1: (3, 2), 6: (3, 3), 7: (3, 8)},
    "Genoa": {0: (3, 1), 1: (3, 2), 6: (3, 3), 7: (3, 8)},
    "Turin": {0: (3, 9), 1: (3, 1), 2: (3, 2), 3: (3, 3), 7: (3, 8)},
}


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


def read(data: bytes) -> Certificate:
    """Read a certificate, also one with serial number zero, which AMD's chip keys have.

    Raises VerificationFailed `certificate_unreadable`.
    """
    return x509.read(data, zero_serial=True)


def check_chain(vcek: Certificate, ask: Certificate, ark: Certificate) -> tuple[Span, ...]:
    """ARK signed itself and ASK, ASK signed VCEK; both are CAs; returns the spans of validity.

    Raises VerificationFailed `chain_names`, `chain_signature`, `certificate_algorithm`, `not_a_ca`,
    `key_usage`, `critical_extension`, `leaf_is_a_ca`.
    """
    for issuer, subject in ((ark, ark), (ark, ask), (ask, vcek)):
        _check_authority(issuer)
        _check_issued(subject, issuer)
    certificates.check_critical(vcek)
    if vcek.constraints is not None and vcek.constraints.ca:
        raise VerificationFailed("leaf_is_a_ca", "The VCEK is a CA.")
    named = (("root", ark), ("authority 1", ask), ("leaf", vcek))
    return tuple(certificates.span(c, name) for name, c in named)


def read_chip_key(vcek: Certificate) -> ChipKey:
    """What the VCEK's AMD extensions say (product 1.2, patch levels 1.3.x, hardware id 1.4).

    Raises VerificationFailed `vcek_extensions`, `product_unknown`, `certificate_algorithm`.
    """
    key = certificates.p384_key(vcek)

    def value(*arcs: int) -> bytes | None:
        found = vcek.extensions.get(ARC + bytes(arcs))
        return None if found is None else found.value

    product = _ia5_string(value(2)).split("-")[0]
    if product not in TCB_BYTES:
        raise VerificationFailed("product_unknown", "The VCEK names a product that is not known here.")
    levels = {place: _small_integer(value(*arcs)) for place, arcs in TCB_BYTES[product].items()}
    tcb = bytes(levels.get(place, 0) for place in range(8))
    return ChipKey(key, product, _octets(value(4)), tcb)


def _check_authority(certificate: Certificate) -> None:
    certificates.check_critical(certificate)
    if certificate.constraints is None or not certificate.constraints.ca:
        raise VerificationFailed("not_a_ca", "ARK or ASK is not a CA.")
    if certificate.usage is None:
        raise VerificationFailed("key_usage", "ARK or ASK has no keyUsage.")
    if not certificate.usage.cert_sign:
        raise VerificationFailed("key_usage", "ARK or ASK may not issue certificates.")


def _check_issued(subject: Certificate, issuer: Certificate) -> None:
    certificates.check_names(subject, issuer)
    key = _rsa_key(issuer)
    if subject.algorithm != subject.inner_algorithm or not _is_pss(subject.algorithm):
        raise VerificationFailed("certificate_algorithm", "AMD signs with RSA-PSS and SHA-384.")
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), hashes.SHA384.digest_size)
    try:
        key.verify(subject.signature, subject.tbs, pss, hashes.SHA384())
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed("chain_signature", "A certificate's signature does not hold.") from error


def _rsa_key(certificate: Certificate) -> rsa.RSAPublicKey:
    """The RSA key of 4096 bits. Raises VerificationFailed `certificate_algorithm`."""
    try:
        parts = der.opened(certificate.key, der.SEQUENCE)
        algorithm, key = parts.take(), der.opened(der.whole_bytes(parts.take(der.BITS)), der.SEQUENCE)
        modulus, exponent = (der.integer(key.take(der.INTEGER)) for _ in range(2))
        key.end()
        if algorithm.whole == RSA_KEY and modulus.bit_length() == RSA_BITS and exponent == RSA_EXPONENT:
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (VerificationFailed, ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed(
            "certificate_algorithm", "ARK and ASK have RSA keys of 4096 bits."
        ) from error
    raise VerificationFailed("certificate_algorithm", "ARK and ASK have RSA keys of 4096 bits.")


def _is_pss(algorithm: bytes) -> bool:
    """Whether an AlgorithmIdentifier says RSASSA-PSS, SHA-384 throughout, salt of 48 bytes (RFC 4055)."""
    try:
        parts = der.opened(algorithm, der.SEQUENCE)
        name, parameters = der.oid(parts.take(der.OID)), parts.into(der.SEQUENCE)
        parts.end()
        digest, mask = parameters.into(0xA0), parameters.into(0xA1)
        salt, trailer = parameters.into(0xA2), parameters.maybe(0xA3)
        generator = mask.into(der.SEQUENCE)
        told = (name, _digest(digest), der.oid(generator.take(der.OID)), _digest(generator))
        size = der.integer(salt.take(der.INTEGER))
        for reader in (parameters, mask, salt):
            reader.end()
        if trailer is not None and trailer.content != b"\x02\x01\x01":
            return False
    except VerificationFailed:
        return False
    return told == (PSS, SHA384, MGF1, SHA384) and size == hashes.SHA384.digest_size


def _digest(parts: der.Reader) -> bytes:
    """The identifier of a hash algorithm, its parameters NULL or absent, and nothing behind it."""
    inner = parts.into(der.SEQUENCE)
    name, parameters = der.oid(inner.take(der.OID)), inner.maybe(der.NULL)
    if parameters is not None and parameters.content:
        raise der.unreadable()
    inner.end()
    parts.end()
    return name


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
