"""HPKE (RFC 9180), base mode: contexts that seal many messages and export secrets, and single messages.

KEMs are DHKEM(X25519, HKDF-SHA256) and MLKEM768-X25519, which is X-Wing (draft-connolly-cfrg-xwing-kem;
code point 0x647a of draft-ietf-hpke-pq): it holds unless both of its halves are broken. The KDF is
HKDF-SHA256, AEADs are AES-128-GCM and ChaCha20-Poly1305. Primitives are `cryptography`'s; its own HPKE has
single messages alone, which OHTTP cannot do with.

A sealed single message is the encapsulated key and the ciphertext (16 bytes longer than the text). What it is
bound to goes into `info` (section 5.1), which the key schedule hashes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from hallmark.core.errors import InvalidInput, VerificationFailed

KEM_X25519: Final = 0x0020
KEM_XWING: Final = 0x647A
KDF_SHA256: Final = 0x0001
AEAD_AES128: Final = 0x0001
AEAD_CHACHA20: Final = 0x0003
TAG: Final = 16
NONCE: Final = 12
X25519_SIZE: Final = 32
MLKEM_PUBLIC: Final = 1184
MLKEM_CIPHERTEXT: Final = 1088
XWING_LABEL: Final = b"\\.//^\\"
MOST_MESSAGES: Final = 1 << 32
"""Far fewer than the 2^96 of RFC 9180, section 5.2, and more than any answer has."""


class KEM(msgspec.Struct, frozen=True):
    """A KEM's sizes, in bytes: of a public key and of an encapsulated key."""

    id: int
    public: int
    encapsulated: int


KEMS: Final = {
    kem.id: kem
    for kem in (
        KEM(KEM_X25519, X25519_SIZE, X25519_SIZE),
        KEM(KEM_XWING, MLKEM_PUBLIC + X25519_SIZE, MLKEM_CIPHERTEXT + X25519_SIZE),
    )
}


class AEAD(msgspec.Struct, frozen=True):
    """An AEAD: its code point, its key's size in bytes, what makes a cipher of a key."""

    id: int
    key: int
    cipher: Callable[[bytes], AESGCM | ChaCha20Poly1305]


AEADS: Final = {
    aead.id: aead for aead in (AEAD(AEAD_AES128, 16, AESGCM), AEAD(AEAD_CHACHA20, 32, ChaCha20Poly1305))
}


class X25519Key:
    """An X25519 key that opens what was encapsulated to it. Its bytes are never shown."""

    kem: Final = KEMS[KEM_X25519]

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 random bytes."""
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    def decapsulate(self, encapsulated: bytes) -> bytes:
        """The shared secret, 32 bytes. Raises ValueError."""
        shared = self._key.exchange(X25519PublicKey.from_public_bytes(encapsulated))
        return _dh_secret(shared, encapsulated + self.public)


class XWingKey:
    """An X-Wing key, made from 32 random bytes. Its bytes are never shown."""

    kem: Final = KEMS[KEM_XWING]

    def __init__(self, seed: bytes) -> None:
        """`seed` is 32 random bytes; both halves are expanded from it by SHAKE-256."""
        expanded = hashlib.shake_256(seed).digest(96)
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._public = self._x25519.public_key().public_bytes_raw()
        self.public = self._mlkem.public_key().public_bytes_raw() + self._public

    def decapsulate(self, encapsulated: bytes) -> bytes:
        """The shared secret, 32 bytes. Raises ValueError."""
        first, second = encapsulated[:MLKEM_CIPHERTEXT], encapsulated[MLKEM_CIPHERTEXT:]
        shared = self._mlkem.decapsulate(first)
        exchanged = self._x25519.exchange(X25519PublicKey.from_public_bytes(second))
        return _combine(shared, exchanged, second, self._public)


PrivateKey = X25519Key | XWingKey


def make_key(kem: int, secret: bytes) -> PrivateKey:
    """The private key of a KEM from 32 random bytes. Raises InvalidInput `unknown_suite`."""
    if kem == KEM_X25519:
        return X25519Key(secret)
    if kem == KEM_XWING:
        return XWingKey(secret)
    raise unknown_suite()


class Sequence:
    """Messages in order under one key, each with the nonce of its place (RFC 9180, section 5.2)."""

    def __init__(self, aead: AEAD, key: bytes, base: bytes) -> None:
        """`base` is the nonce of the first message; 12 bytes."""
        cipher = aead.cipher(key)
        self._encrypt, self._decrypt = cipher.encrypt, cipher.decrypt
        self._base = int.from_bytes(base, "big")
        self._number = 0

    def seal(self, message: bytes, aad: bytes | None = None) -> bytes:
        """The next message, 16 bytes longer; no `aad` is the same as an empty one, and quicker. Raises
        InvalidInput `too_many_messages`.
        """
        number = self._number
        if number >= MOST_MESSAGES:
            raise too_many()
        self._number = number + 1
        return self._encrypt((self._base ^ number).to_bytes(NONCE), message, aad)

    def open(self, sealed: bytes, aad: bytes | None = None) -> bytes:
        """The next message. Raises VerificationFailed `sealed_for_another`; nothing opens after that."""
        number = self._number
        if number >= MOST_MESSAGES:
            raise too_many()
        self._number = number + 1
        try:
            return self._decrypt((self._base ^ number).to_bytes(NONCE), sealed, aad)
        except (InvalidTag, ValueError) as error:
            self._number = MOST_MESSAGES
            raise sealed_for_another() from error


class Context(Sequence):
    """One direction of a key schedule: messages in order, and secrets exported from it (section 5.2, 5.3)."""

    def __init__(self, suite: bytes, aead: AEAD, shared: bytes, info: bytes) -> None:
        schedule = (
            b"\0" + _extract(suite, b"", b"psk_id_hash", b"") + _extract(suite, b"", b"info_hash", info)
        )
        secret = _extract(suite, shared, b"secret", b"")
        self._suite = suite
        self._exporter = _expand(suite, secret, b"exp", schedule, 32)
        key = _expand(suite, secret, b"key", schedule, aead.key)
        super().__init__(aead, key, _expand(suite, secret, b"base_nonce", schedule, NONCE))

    def export(self, context: bytes, size: int) -> bytes:
        """A secret of `size` bytes (at most 8,160) that both sides have."""
        return _expand(self._suite, self._exporter, b"sec", context, size)


def setup_sender(
    kem: int, public: bytes, aead: int, info: bytes, *, ephemeral: bytes = b""
) -> tuple[bytes, Context]:
    """The encapsulated key and the context of who seals to `public`.

    `ephemeral` fixes the X25519 key (32 bytes), for vectors alone. Raises InvalidInput `bad_hpke_key`,
    `unknown_suite`.
    """
    known = KEMS.get(kem)
    if known is None or aead not in AEADS:
        raise unknown_suite()
    if len(public) != known.public:
        raise bad_key()
    try:
        encapsulated, shared = _encapsulate(kem, public, ephemeral)
    except ValueError as error:
        raise bad_key() from error
    return encapsulated, Context(_suite(kem, aead), AEADS[aead], shared, info)


def setup_receiver(key: PrivateKey, encapsulated: bytes, aead: int, info: bytes) -> Context:
    """The context of who opens. Raises VerificationFailed `sealed_for_another`, InvalidInput
    `unknown_suite`.
    """
    if aead not in AEADS:
        raise unknown_suite()
    if len(encapsulated) != key.kem.encapsulated:
        raise sealed_for_another()
    try:
        shared = key.decapsulate(encapsulated)
    except ValueError as error:
        raise sealed_for_another() from error
    return Context(_suite(key.kem.id, aead), AEADS[aead], shared, info)


class HPKEPrivateKey:
    """An X25519 key that opens single messages sealed to it by `seal`."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 random bytes."""
        self._key = X25519Key(secret)

    @property
    def public(self) -> bytes:
        """The public key; 32 bytes."""
        return self._key.public

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The message. Raises VerificationFailed `sealed_for_another` unless key and `info` are the same."""
        context = setup_receiver(self._key, sealed[:X25519_SIZE], AEAD_CHACHA20, info)
        return context.open(sealed[X25519_SIZE:])


def seal(message: bytes, public: bytes, info: bytes) -> bytes:
    """Seal one message to an X25519 key (32 bytes) with ChaCha20-Poly1305. Raises InvalidInput
    `bad_hpke_key`.
    """
    encapsulated, context = setup_sender(KEM_X25519, public, AEAD_CHACHA20, info)
    return encapsulated + context.seal(message)


def hkdf_extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869); 32 bytes."""
    return hmac.digest(salt or bytes(32), material, "sha256")


def hkdf_expand(secret: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869); `size` bytes, at most 8,160."""
    out, block = b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(secret, block + info + bytes((counter,)), "sha256")
        out += block
    return out[:size]


def too_many() -> InvalidInput:
    """A key has sealed or opened all that it may."""
    return InvalidInput("too_many_messages", "No more messages can be sealed under this key.")


def bad_key() -> InvalidInput:
    """Nothing can be sealed to this."""
    return InvalidInput("bad_hpke_key", "This is not a key that can be sealed to.")


def unknown_suite() -> InvalidInput:
    """Algorithms that are not in the table."""
    return InvalidInput("unknown_suite", "These HPKE algorithms are not known here.")


def sealed_for_another() -> VerificationFailed:
    """What does not open says no more than this."""
    return VerificationFailed(
        "sealed_for_another", "The message was sealed to another key or for another purpose."
    )


def _encapsulate(kem: int, public: bytes, ephemeral: bytes) -> tuple[bytes, bytes]:
    key = X25519PrivateKey.from_private_bytes(ephemeral) if ephemeral else X25519PrivateKey.generate()
    own, static = key.public_key().public_bytes_raw(), public[-X25519_SIZE:]
    exchanged = key.exchange(X25519PublicKey.from_public_bytes(static))
    if kem == KEM_X25519:
        return own, _dh_secret(exchanged, own + static)
    shared, ciphertext = MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC]).encapsulate()
    return ciphertext + own, _combine(shared, exchanged, own, static)


def _combine(shared: bytes, exchanged: bytes, ephemeral: bytes, public: bytes) -> bytes:
    """X-Wing's combiner: SHA3-256 over both secrets, the X25519 ciphertext and public key, and the label."""
    return hashlib.sha3_256(shared + exchanged + ephemeral + public + XWING_LABEL).digest()


def _suite(kem: int, aead: int) -> bytes:
    return b"HPKE" + kem.to_bytes(2, "big") + KDF_SHA256.to_bytes(2, "big") + aead.to_bytes(2, "big")


def _dh_secret(exchanged: bytes, context: bytes) -> bytes:
    suite = b"KEM" + KEM_X25519.to_bytes(2, "big")
    return _expand(suite, _extract(suite, b"", b"eae_prk", exchanged), b"shared_secret", context, 32)


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hkdf_extract(salt, b"HPKE-v1" + suite + label + material)


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return hkdf_expand(secret, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)
