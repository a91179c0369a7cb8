"""Blind RSA signatures: RSABSSA-SHA384-PSS (RFC 9474), randomized and deterministic.

The two variants sign the same way and differ in what they sign: `Deterministic` the message itself, and
`Randomized` 32 random bytes and the message (`prepare_randomized`). Tokens take the first, because RFC 9578
says so: their message holds a nonce that the signer never sees, which is what the random bytes are for.

A signature is an ordinary RSASSA-PSS signature (SHA-384, MGF1 with SHA-384, 48 bytes of salt).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.tokens import SPKI_HEAD, SPKI_SIZE, SPKI_TAIL

Chance = Callable[[int], bytes]
"""So many random bytes, as `os.urandom` gives them."""

EXPONENT: Final = 65_537
SALT: Final = 48
PREFIX: Final = 32
BITS: Final = 2048
_HASH: Final = 48
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA384()), SALT)


class BlindPublicKey:
    """A public key with exponent 65,537."""

    def __init__(self, modulus: int) -> None:
        self.modulus = modulus
        self.size = (modulus.bit_length() + 7) // 8
        self._key = rsa.RSAPublicNumbers(EXPONENT, modulus).public_key()

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo of a key of 2,048 bits (RFC 9578 section 6.5); 342 bytes."""
        return SPKI_HEAD + self.modulus.to_bytes(BITS // 8, "big") + SPKI_TAIL

    @functools.cached_property
    def key_id(self) -> bytes:
        """SHA-256 of `spki`: the token_key_id; 32 bytes."""
        return sha256(self.spki)

    @classmethod
    def from_spki(cls, data: bytes) -> BlindPublicKey:
        """Read a key of 2,048 bits. Raises InvalidInput `bad_token_key` unless this is exactly one."""
        modulus = int.from_bytes(data[len(SPKI_HEAD) : -len(SPKI_TAIL)], "big")
        whole = len(data) == SPKI_SIZE and data.startswith(SPKI_HEAD) and data.endswith(SPKI_TAIL)
        if not whole or modulus.bit_length() != BITS or modulus % 2 == 0:
            raise InvalidInput("bad_token_key", "This is not a token key: RSASSA-PSS, 2,048 bits.")
        return cls(modulus)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raises VerificationFailed `token_invalid` unless this key signed the message."""
        try:
            self._key.verify(signature, message, _PSS, hashes.SHA384())
        except InvalidSignature as error:
            raise VerificationFailed("token_invalid", "The signature is not of this key.") from error


class Blinded(msgspec.Struct, frozen=True):
    """A message that a signer may see, and what takes the blinding off: that stays with who made it."""

    message: bytes
    inverse: bytes


def prepare_randomized(message: bytes, chance: Chance) -> bytes:
    """What the variant `Randomized` signs (RFC 9474 section 4.1)."""
    return chance(PREFIX) + message


def blind(key: BlindPublicKey, message: bytes, chance: Chance) -> Blinded:
    """Blind a prepared message (RFC 9474 section 4.2)."""
    return blinded_with(key, message, chance(SALT), number_below(key.modulus, chance))


def blinded_with(key: BlindPublicKey, message: bytes, salt: bytes, factor: int) -> Blinded:
    """Blind with a salt (48 bytes) and a factor that are nobody else's and used once. Raises InvalidInput
    `bad_token_key` when message or factor shares a divisor with the modulus, which is then no sound one.
    """
    modulus, size = key.modulus, key.size
    encoded = int.from_bytes(encode_pss(message, salt, modulus.bit_length() - 1), "big")
    if math.gcd(encoded, modulus) != 1 or math.gcd(factor, modulus) != 1:
        raise InvalidInput("bad_token_key", "The key's modulus has a divisor that is easily found.")
    hidden = encoded * pow(factor, EXPONENT, modulus) % modulus
    return Blinded(hidden.to_bytes(size, "big"), pow(factor, -1, modulus).to_bytes(size, "big"))


def finalize(key: BlindPublicKey, message: bytes, blind_signature: bytes, inverse: bytes) -> bytes:
    """The signature of a prepared message (RFC 9474 section 4.4). Raises VerificationFailed `token_invalid`
    when the signer did not sign what was sent.
    """
    if len(blind_signature) != key.size:
        raise VerificationFailed("token_invalid", "The blind signature has another length than the key.")
    found = int.from_bytes(blind_signature, "big") * int.from_bytes(inverse, "big") % key.modulus
    signature = found.to_bytes(key.size, "big")
    key.verify(message, signature)
    return signature


def encode_pss(message: bytes, salt: bytes, bits: int) -> bytes:
    """EMSA-PSS-ENCODE with SHA-384 (RFC 8017 section 9.1.1)."""
    size = (bits + 7) // 8
    hashed = hashlib.sha384(bytes(8) + hashlib.sha384(message).digest() + salt).digest()
    block = bytes(size - len(salt) - _HASH - 2) + b"\x01" + salt
    mask = _mgf1(hashed, len(block))
    masked = int.from_bytes(block, "big") ^ int.from_bytes(mask, "big")
    masked &= (1 << (8 * len(block) - (8 * size - bits))) - 1
    return masked.to_bytes(len(block), "big") + hashed + b"\xbc"


def _mgf1(seed: bytes, size: int) -> bytes:
    count = -(-size // _HASH)
    return b"".join(hashlib.sha384(seed + i.to_bytes(4, "big")).digest() for i in range(count))[:size]


def number_below(modulus: int, chance: Chance) -> int:
    """A number from 1 to the modulus less one, each as likely as any other but for 2^-128."""
    return 1 + int.from_bytes(chance((modulus.bit_length() + 7) // 8 + 16), "big") % (modulus - 1)
