"""HPKE (RFC 9180), base mode, one message: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

A sealed message is the encapsulated key (32 bytes) and the ciphertext (16 bytes longer than the text). What
it is bound to goes into `info` (section 5.1), which the key schedule hashes.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hallmark.core.errors import InvalidInput, VerificationFailed

KEM_X25519: Final = 0x0020
KDF_SHA256: Final = 0x0001
AEAD_CHACHA20: Final = 0x0003
PUBLIC_SIZE: Final = 32
OVERHEAD: Final = 48
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class HPKEPrivateKey:
    """An X25519 key that opens what was sealed to it. Its bytes are never shown."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 random bytes."""
        self._key = X25519PrivateKey.from_private_bytes(secret)

    @property
    def public(self) -> bytes:
        """The public key; 32 bytes."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The message. Raises VerificationFailed `sealed_for_another` unless key and `info` are the same."""
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError) as error:
            raise VerificationFailed(
                "sealed_for_another", "The message was sealed to another key or for another purpose."
            ) from error


def seal(message: bytes, public: bytes, info: bytes) -> bytes:
    """Seal `message` to a public key (32 bytes). Raises InvalidInput `bad_hpke_key`."""
    try:
        return _SUITE.encrypt(message, X25519PublicKey.from_public_bytes(public), info)
    except ValueError as error:
        raise InvalidInput("bad_hpke_key", "This is not an X25519 key that can be sealed to.") from error
