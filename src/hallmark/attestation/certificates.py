"""X.509 chains of P-384 certificates (RFC 5280), judged at a given time, with one pinned root.

The bundle of authorities is the same for every document of an instance for hours, so its validation, which
does not depend on the time, is remembered by its exact bytes. Times are compared on every call.
"""

from __future__ import annotations

import functools
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

from hallmark.core.errors import VerificationFailed

T = TypeVar("T", bound=x509.ExtensionType)
MAX_AUTHORITIES = 8
UNDERSTOOD = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})


class Span(msgspec.Struct, frozen=True):
    """When one certificate is valid: first and last instant, unix ms, both inclusive."""

    position: str
    not_before: int
    not_after: int


class Authorities(msgspec.Struct, frozen=True):
    """A validated bundle: the certificate that issues leaves, and every authority's span of validity."""

    issuer: x509.Certificate
    spans: tuple[Span, ...]


class Leaf(msgspec.Struct, frozen=True):
    """A leaf certificate whose chain holds: its key, and the spans from root to leaf."""

    key: ec.EllipticCurvePublicKey
    spans: tuple[Span, ...]


def load(der: bytes) -> x509.Certificate:
    """Parse one DER certificate. Raises VerificationFailed `certificate_unreadable`."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.extensions, certificate.not_valid_after_utc, certificate.subject, certificate.issuer
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
    ) as error:
        raise VerificationFailed("certificate_unreadable", "A certificate cannot be read.") from error
    if certificate.version is not x509.Version.v3 or certificate.serial_number <= 0:
        raise VerificationFailed("certificate_unreadable", "A certificate breaks RFC 5280 (version, serial).")
    return certificate


def span(certificate: x509.Certificate, position: str) -> Span:
    """The certificate's validity in unix ms."""
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Span(position, int(first.timestamp()) * 1000, int(last.timestamp()) * 1000)


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
    chain = [load(der) for der in bundle]
    for depth, certificate in enumerate(chain):
        _check_key(certificate)
        _check_authority(certificate, below=len(chain) - 1 - depth)
        if depth:  # the root is pinned by its hash; that it signed itself would add nothing
            check_issued(certificate, chain[depth - 1])
    names = ["root", *(f"authority {depth}" for depth in range(1, len(chain)))]
    return Authorities(chain[-1], tuple(span(c, name) for c, name in zip(chain, names, strict=True)))


def leaf(der: bytes, above: Authorities) -> Leaf:
    """Validate a leaf under `above`; all but the times.

    P-384 key, not a CA, keyUsage with digitalSignature and without keyCertSign, issued by the bundle's last.
    Raises VerificationFailed with the reason.
    """
    certificate = load(der)
    key = _check_key(certificate)
    _check_critical(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise VerificationFailed("leaf_is_a_ca", "The certificate that signs evidence is a CA.")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.value.digital_signature or usage.value.key_cert_sign:
        raise VerificationFailed("key_usage", "The leaf's keyUsage does not allow it to sign evidence.")
    check_issued(certificate, above.issuer)
    return Leaf(key, (*above.spans, span(certificate, "leaf")))


def check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """`issuer` issued `certificate`: names match and the signature holds.

    Raises VerificationFailed `chain_names`, `chain_signature`.
    """
    if certificate.issuer != issuer.subject:
        raise VerificationFailed("chain_names", "A certificate names another issuer than the one before it.")
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise VerificationFailed("chain_signature", "A certificate's signature does not hold.") from error


def _check_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key, digest = certificate.public_key(), certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed("certificate_algorithm", "A certificate's key cannot be used.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise VerificationFailed("certificate_algorithm", "A certificate's key is not on P-384.")
    if not isinstance(digest, hashes.SHA384):
        raise VerificationFailed("certificate_algorithm", "A certificate is not signed with SHA-384.")
    return key


def _check_authority(certificate: x509.Certificate, *, below: int) -> None:
    _check_critical(certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.critical or not constraints.value.ca:
        raise VerificationFailed("not_a_ca", "A certificate of the bundle is not a CA.")
    if constraints.value.path_length is not None and constraints.value.path_length < below:
        raise VerificationFailed("path_length", "A CA certificate does not allow a chain this long.")
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.key_cert_sign:
        raise VerificationFailed("key_usage", "A CA certificate's keyUsage does not allow it to issue.")


def _check_critical(certificate: x509.Certificate) -> None:
    if any(e.critical and e.oid not in UNDERSTOOD for e in certificate.extensions):
        raise VerificationFailed("critical_extension", "A certificate has a critical extension unknown here.")


def _extension(certificate: x509.Certificate, kind: type[T]) -> x509.Extension[T] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
