"""secp256k1 keys and recoverable signatures over 32-byte digests (EIP-712, EIP-2)."""

from __future__ import annotations

import functools
from typing import Final, Protocol

import coincurve

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import keccak256
from hallmark.core.typed import TypedStruct

REMEMBERED: Final = 1024
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


class Signer(Protocol):
    """Whatever can sign digests: a key in memory, a wallet, a security module."""

    @property
    def address(self) -> bytes:
        """20-byte Ethereum address of the key."""
        ...

    def sign(self, digest: bytes) -> bytes:
        """65-byte signature r || s || v over a 32-byte digest, low s, v 27 or 28."""
        ...


class Key:
    """A private key in memory."""

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.address = address_of(self._key.public_key)

    @classmethod
    def generate(cls) -> Key:
        """A fresh key from the operating system's randomness."""
        return cls(coincurve.PrivateKey().secret)

    @property
    def secret(self) -> bytes:
        """The 32 secret bytes; only for storing the key."""
        return self._key.secret

    def sign(self, digest: bytes) -> bytes:
        """65-byte signature r || s || v over a 32-byte digest, low s, v 27 or 28."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((27 + signature[64],))


def address_of(key: coincurve.PublicKey) -> bytes:
    """Ethereum address of a public key; 20 bytes."""
    return keccak256(key.format(compressed=False)[1:])[12:]


@functools.lru_cache(maxsize=REMEMBERED)
def recover(digest: bytes, signature: bytes) -> bytes:
    """Address that signed `digest`. Raises VerificationFailed `bad_signature` (also for high s, EIP-2).

    What these bytes give is always the same: a process that meets a signature again (a gateway sees a receipt
    with its answer and then in the log) does not compute it again.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise VerificationFailed("bad_signature", "A signature is 65 bytes, r || s || v with v 27 or 28.")
    if int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        raise VerificationFailed("bad_signature", "The signature's s value is not in the lower half.")
    try:
        raw = signature[:64] + bytes((signature[64] - 27,))
        return address_of(coincurve.PublicKey.from_signature_and_message(raw, digest, hasher=None))
    except Exception as error:
        raise VerificationFailed("bad_signature", "The signature does not recover to a key.") from error


def sign_statement(statement: TypedStruct, chain_id: int, signer: Signer) -> bytes:
    """Sign a typed struct; 65 bytes."""
    return signer.sign(statement.signing_digest(chain_id))


def recover_statement(statement: TypedStruct, chain_id: int, signature: bytes) -> bytes:
    """Address that signed a typed struct. Raises VerificationFailed `bad_signature`."""
    return recover(statement.signing_digest(chain_id), signature)
