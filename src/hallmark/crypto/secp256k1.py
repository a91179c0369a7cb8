"""secp256k1 keys and recoverable signatures over 32-byte digests (EIP-712, EIP-2)."""

from __future__ import annotations

import functools
import threading
from typing import Any, Final, Protocol

import coincurve
from coincurve._libsecp256k1 import ffi, lib

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


class _Scratch(threading.local):
    """What libsecp256k1 writes into while it recovers a key, one for each thread, used again and again:
    coincurve's interface makes anew each time what takes as long as a fifth of the recovery.
    """

    def __init__(self) -> None:
        self.context: Any = coincurve.GLOBAL_CONTEXT.ctx
        self.signature: Any = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        self.key: Any = ffi.new("secp256k1_pubkey *")
        self.point: Any = ffi.new("unsigned char[65]")
        self.size: Any = ffi.new("size_t *")


_scratch = _Scratch()


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
    at = _scratch
    if (
        len(digest) != 32
        or not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
            at.context, at.signature, signature[:64], signature[64] - 27
        )
        or not lib.secp256k1_ecdsa_recover(at.context, at.key, at.signature, digest)
    ):
        raise VerificationFailed("bad_signature", "The signature does not recover to a key.")
    at.size[0] = 65
    lib.secp256k1_ec_pubkey_serialize(at.context, at.point, at.size, at.key, lib.SECP256K1_EC_UNCOMPRESSED)
    return keccak256(ffi.buffer(at.point)[1:])[12:]


def is_signed_by(digest: bytes, signature: bytes, by: bytes) -> bool:
    """Whether the key behind the address `by` (20 bytes) signed `digest`, in a form that `recover` takes."""
    try:
        return recover(digest, signature) == by
    except VerificationFailed:
        return False


def sign_statement(statement: TypedStruct, chain_id: int, signer: Signer) -> bytes:
    """Sign a typed struct; 65 bytes."""
    return signer.sign(statement.signing_digest(chain_id))


def recover_statement(statement: TypedStruct, chain_id: int, signature: bytes) -> bytes:
    """Address that signed a typed struct. Raises VerificationFailed `bad_signature`."""
    return recover(statement.signing_digest(chain_id), signature)
