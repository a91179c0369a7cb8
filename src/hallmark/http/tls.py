"""TLS contexts and the check of a pinned public key (RFC 7858 section 4.2 style, SHA-256 of the SPKI)."""

from __future__ import annotations

import functools
import hmac
import ssl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256


@functools.cache
def pinned_context() -> ssl.SSLContext:
    """Client context for pinned peers: TLS 1.3; the certificate is judged by `check_pin`, not by a CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@functools.cache
def public_context() -> ssl.SSLContext:
    """Client context for peers that a public certificate authority vouches for."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def spki_digest(certificate: bytes) -> bytes:
    """SHA-256 of a DER certificate's SubjectPublicKeyInfo; 32 bytes (RFC 5280 section 4.1)."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def check_pin(peer: ssl.SSLObject | None, pin: bytes) -> None:
    """Require that the peer's public key is the pinned one, before any request byte is sent.

    Raises VerificationFailed `pin_mismatch`. The handshake has proved that the peer holds the key.
    """
    certificate = peer.getpeercert(binary_form=True) if peer is not None else None
    try:
        shown = spki_digest(certificate) if certificate else b""
    except (ValueError, UnsupportedAlgorithm):  # a key of a kind that no bundle can name
        shown = b""
    if not hmac.compare_digest(shown, pin):
        raise VerificationFailed(
            "pin_mismatch",
            "The peer's TLS key is not the one in its key bundle.",
            "Someone else answers at this address, or the node was restarted and not yet registered again.",
        )
