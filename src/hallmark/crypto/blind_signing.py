"""Signing blind (RFC 9474 section 4.3): an issuer's side of `blind_rsa`, and nobody else's."""

from __future__ import annotations

import gmpy2
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from hallmark.core.errors import InvalidInput
from hallmark.crypto.blind_rsa import BITS, EXPONENT, BlindPublicKey, Chance, number_below


class BlindSigningKey:
    """A private key that signs without seeing what. Its bytes are shown by `der` alone."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        numbers = key.private_numbers()
        self._p, self._q, self._dp, self._dq = numbers.p, numbers.q, numbers.dmp1, numbers.dmq1
        self._qinv = numbers.iqmp
        self.public = BlindPublicKey(numbers.public_numbers.n)

    @classmethod
    def generate(cls) -> BlindSigningKey:
        """A new key of 2,048 bits, by OpenSSL's randomness; takes a second at times."""
        return cls(rsa.generate_private_key(EXPONENT, BITS))

    @classmethod
    def from_der(cls, data: bytes) -> BlindSigningKey:
        """Read what `der` wrote. Raises InvalidInput `bad_token_key`."""
        try:
            key = load_der_private_key(data, None)
        except (ValueError, TypeError) as error:
            raise InvalidInput("bad_token_key", "This is not a private key.") from error
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key().public_numbers().e != EXPONENT:
            raise InvalidInput("bad_token_key", "This is not an RSA key with exponent 65,537.")
        return cls(key)

    def der(self) -> bytes:
        """The private key, PKCS #8, not encrypted."""
        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def blind_sign(self, blinded: bytes, chance: Chance) -> bytes:
        """Sign what somebody blinded (RFC 9474 section 4.3).

        The exponent meets only numbers that who asks does not know (base blinding), in an exponentiation
        whose time does not depend on it. A signature that came out wrong, which would give the key away, is
        never handed out.

        Raises InvalidInput `bad_blinded_message` unless it is a number below the modulus, as long as it.
        """
        modulus, size = self.public.modulus, self.public.size
        asked = int.from_bytes(blinded, "big")
        if len(blinded) != size or not 0 < asked < modulus:
            raise InvalidInput("bad_blinded_message", "This is not a blinded message for this key.")
        factor = number_below(modulus, chance)
        hidden = asked * pow(factor, EXPONENT, modulus) % modulus
        signed = self._raw(hidden) * pow(factor, -1, modulus) % modulus
        if pow(signed, EXPONENT, modulus) != asked:
            raise RuntimeError("a blind signature came out wrong")
        return signed.to_bytes(size, "big")

    def _raw(self, number: int) -> int:
        """number^d mod n by the Chinese remainder theorem."""
        left = int(gmpy2.powmod_sec(number % self._p, self._dp, self._p))
        right = int(gmpy2.powmod_sec(number % self._q, self._dq, self._q))
        return right + self._q * (self._qinv * (left - right) % self._p)
