"""ECDSA over NIST P-256 with SHA-256 (FIPS 186-5), for formats of others that know no other curve of ours."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hallmark.core.hashing import sha256

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_PEM = serialization.Encoding.PEM
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


class SigningKey:
    """A private key; `public_pem` is its SubjectPublicKeyInfo in PEM, as every library writes it."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        """The key that follows from a secret (32 bytes) for one purpose, and shows nothing of it."""
        wide = b"".join(sha256(b"hallmark/p256/v1\0", purpose.encode(), bytes([n]), secret) for n in (0, 1))
        self._key = ec.derive_private_key(int.from_bytes(wide, "big") % (ORDER - 1) + 1, ec.SECP256R1())
        self.public_pem = self._key.public_key().public_bytes(_PEM, _SPKI)

    def sign(self, message: bytes) -> bytes:
        """A DER signature, the same for the same message (RFC 6979)."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def is_signed(public_pem: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a P-256 key in PEM made this DER signature. False for whatever is no such key."""
    try:
        key = serialization.load_pem_public_key(public_pem)
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
