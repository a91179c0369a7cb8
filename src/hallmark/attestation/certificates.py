"""Chains of P-384 certificates (RFC 5280), judged at a given time, with one pinned root.

The bundle of authorities is the same for every document of an instance for hours, so its validation, which
does not depend on the time, is remembered by its exact bytes. Times are compared on every call.
Certificates are read by `x509` alone; the library only sees a point of 97 bytes and a signature's numbers.
"""

from __future__ import annotations

import functools

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hallmark.attestation import der, x509
from hallmark.attestation.x509 import Certificate
from hallmark.core.errors import VerificationFailed

MAX_AUTHORITIES = 8
HALF = 48
UNDERSTOOD = frozenset({x509.BASIC_CONSTRAINTS, x509.KEY_USAGE})


class Span(msgspec.Struct, frozen=True):
    """When one certificate is valid: first and last instant, unix ms, both inclusive."""

    position: str
    not_before: int
    not_after: int


class Authorities(msgspec.Struct, frozen=True):
    """A validated bundle: subject and key of what issues leaves, and every authority's span of validity."""

    issuer: Certificate
    key: ec.EllipticCurvePublicKey
    spans: tuple[Span, ...]


class Leaf(msgspec.Struct, frozen=True):
    """A leaf certificate whose chain holds: its key, and the spans from root to leaf."""

    key: ec.EllipticCurvePublicKey
    spans: tuple[Span, ...]


def span(certificate: Certificate, position: str) -> Span:
    """The certificate's validity in unix ms."""
    return Span(position, certificate.first, certificate.last)


def check_spans(spans: tuple[Span, ...], at: int) -> None:
    """All spans contain `at` (unix ms).

    Raises VerificationFailed `certificate_not_yet_valid`, `certificate_expired`.
    """
    for each in spans:
        if at < each.not_before:
            raise VerificationFailed(
                "certificate_not_yet_valid",
                f"The {each.position} certificate begins at {each.not_before}.",
            )
        if at > each.not_after:
            raise VerificationFailed(
                "certificate_expired", f"The {each.position} certificate ended at {each.not_after}."
            )


@functools.lru_cache(maxsize=256)
def authorities(bundle: tuple[bytes, ...]) -> Authorities:
    """Validate a CA bundle, root first, whose root is already pinned; all but the times.

    Each certificate: P-384 key, ECDSA with SHA-384, basicConstraints critical with CA true, a path length
    that suffices, keyUsage critical with keyCertSign, no critical extension beyond those, issued by the one
    before it. Raises VerificationFailed with the reason; failures are not remembered.
    """
    if len(bundle) > MAX_AUTHORITIES:
        raise VerificationFailed("chain_too_long", f"A bundle holds at most {MAX_AUTHORITIES} certificates.")
    chain = [x509.read(data) for data in bundle]
    keys: list[ec.EllipticCurvePublicKey] = []
    for depth, certificate in enumerate(chain):
        keys.append(_check_key(certificate))
        _check_authority(certificate, below=len(chain) - 1 - depth)
        if depth:  # the root is pinned by its hash; that it signed itself would add nothing
            _check_issued(certificate, chain[depth - 1], keys[depth - 1])
    names = ["root", *(f"authority {depth}" for depth in range(1, len(chain)))]
    return Authorities(
        chain[-1], keys[-1], tuple(span(c, name) for c, name in zip(chain, names, strict=True))
    )


def leaf(data: bytes, above: Authorities) -> Leaf:
    """Validate a leaf under `above`; all but the times.

    P-384 key, not a CA, keyUsage with digitalSignature and without keyCertSign, issued by the bundle's last.
    Raises VerificationFailed with the reason.
    """
    certificate = x509.read(data)
    key = _check_key(certificate)
    check_critical(certificate)
    if certificate.constraints is not None and certificate.constraints.ca:
        raise VerificationFailed("leaf_is_a_ca", "The certificate that signs evidence is a CA.")
    usage = certificate.usage
    if usage is None or not usage.digital_signature or usage.cert_sign:
        raise VerificationFailed("key_usage", "The leaf's keyUsage does not allow it to sign evidence.")
    _check_issued(certificate, above.issuer, above.key)
    return Leaf(key, (*above.spans, span(certificate, "leaf")))


def p384_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    """The certificate's key, an uncompressed point on P-384.

    Raises VerificationFailed `certificate_algorithm`.
    """
    point = certificate.p384_point()
    try:
        if point is not None:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed("certificate_algorithm", "A certificate's key is not on P-384.") from error
    raise VerificationFailed("certificate_algorithm", "A certificate's key is not on P-384.")


def check_critical(certificate: Certificate) -> None:
    """No extension is critical beyond those understood. Raises VerificationFailed `critical_extension`."""
    if any(e.critical and name not in UNDERSTOOD for name, e in certificate.extensions.items()):
        raise VerificationFailed("critical_extension", "A certificate has a critical extension unknown here.")


def check_names(certificate: Certificate, issuer: Certificate) -> None:
    """`certificate` names `issuer` by its name's exact bytes. Raises VerificationFailed `chain_names`."""
    if certificate.issuer != issuer.subject:
        raise VerificationFailed("chain_names", "A certificate names another issuer than the one before it.")


def _check_issued(certificate: Certificate, issuer: Certificate, key: ec.EllipticCurvePublicKey) -> None:
    check_names(certificate, issuer)
    try:
        key.verify(_signature(certificate.signature), certificate.tbs, ec.ECDSA(hashes.SHA384()))
    except (InvalidSignature, ValueError) as error:
        raise VerificationFailed("chain_signature", "A certificate's signature does not hold.") from error


def _signature(data: bytes) -> bytes:
    """An ECDSA signature, read strictly (two minimal positive INTEGERs of 48 bytes at most) and written anew.

    Raises VerificationFailed `chain_signature`.
    """
    try:
        parts = der.opened(data, der.SEQUENCE)
        r, s = der.integer(parts.take(der.INTEGER)), der.integer(parts.take(der.INTEGER))
        parts.end()
    except VerificationFailed as error:
        raise VerificationFailed("chain_signature", "A certificate's signature does not hold.") from error
    if not (0 < r < 1 << 8 * HALF and 0 < s < 1 << 8 * HALF):
        raise VerificationFailed("chain_signature", "A certificate's signature does not hold.")
    return encode_dss_signature(r, s)


def _check_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    key = p384_key(certificate)
    if (certificate.algorithm, certificate.inner_algorithm) != (x509.ECDSA_SHA384, x509.ECDSA_SHA384):
        raise VerificationFailed("certificate_algorithm", "A certificate is not signed with SHA-384.")
    return key


def _check_authority(certificate: Certificate, *, below: int) -> None:
    check_critical(certificate)
    constraints, usage = certificate.constraints, certificate.usage
    if constraints is None or not constraints.critical or not constraints.ca:
        raise VerificationFailed("not_a_ca", "A certificate of the bundle is not a CA.")
    if constraints.path_length is not None and constraints.path_length < below:
        raise VerificationFailed("path_length", "A CA certificate does not allow a chain this long.")
    if usage is None or not usage.critical or not usage.cert_sign:
        raise VerificationFailed("key_usage", "A CA certificate's keyUsage does not allow it to issue.")
