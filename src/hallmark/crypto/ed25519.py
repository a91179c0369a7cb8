"""Ed25519 (RFC 8032): signatures, and public keys as points (section 5.1.3).

What a key must be before its signatures count. Libraries take any 32 bytes for a key and differ in what they
make of odd ones. So a key is refused here unless it is the one canonical encoding of a point on the curve
whose order is not small: under a point of small order one signature holds for many messages, whoever made it.
The browser's verifier refuses the same.

When a signature holds. S is below the group's order, and R is, byte for byte, the encoding of SB - kA: the
check without cofactor that OpenSSL makes, and the browser's verifier. libsodium makes it too, in half the
time, and refuses R of small order besides, which OpenSSL does not. So what libsodium takes holds, and what it
does not take is for OpenSSL to say. `tests/vectors/signatures.json` has the cases in which libraries differ.
"""

from __future__ import annotations

import functools
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

from hallmark.core.errors import VerificationFailed

P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P
ROOT: Final = pow(2, (P - 1) // 4, P)
COFACTOR_BITS: Final = 3
KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64


class PrivateKey:
    """A private key in memory. Its bytes are never shown."""

    def __init__(self, seed: bytes) -> None:
        """`seed` is 32 random bytes. Raises ValueError for another length."""
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """The signature; 64 bytes, always the same for a message."""
        return crypto_sign(message, self._secret)[:SIGNATURE_SIZE]


def verify(key: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature by a public key of which `is_public_key` holds, as the module docstring says.

    Raises VerificationFailed `bad_ed25519_signature`.
    """
    # libsodium reads as many bytes as these have, and does not look at their number.
    if len(key) == KEY_SIZE and len(signature) == SIGNATURE_SIZE:
        try:
            crypto_sign_open(signature + message, key)
        except CryptoError:
            pass
        else:
            return
    try:
        _public(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise VerificationFailed("bad_ed25519_signature", "The Ed25519 signature does not verify.") from error


@functools.lru_cache(maxsize=1024)
def _public(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)


@functools.lru_cache(maxsize=1024)
def is_public_key(key: bytes) -> bool:
    """Whether `key` is 32 bytes that canonically encode a point on the curve, and not one of small order."""
    if len(key) != KEY_SIZE:
        return False
    number = int.from_bytes(key, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return False
    x = decoded(y)
    if x is None or (x == 0 and sign):
        return False
    for _ in range(COFACTOR_BITS):
        x, y = _doubled(x, y)
    return (x, y) != (0, 1)


def decoded(y: int) -> int | None:
    """One of the two x with -x^2 + y^2 = 1 + d x^2 y^2 (either will do); None when there is none."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == u:
        return x
    return x * ROOT % P if v * x * x % P == -u % P else None


def _doubled(x: int, y: int) -> tuple[int, int]:
    """The point added to itself; the law of this curve is complete, so no case is special."""
    both = D * x * x * y * y % P
    return (
        2 * x * y * pow(1 + both, -1, P) % P,
        (y * y + x * x) * pow(1 - both, -1, P) % P,
    )
