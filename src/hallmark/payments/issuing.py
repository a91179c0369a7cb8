"""What an enclave and an issuer of tokens say to each other, through a host that cannot read or change it.

    hold     the tokens of a request, sealed to the issuer: nobody else may spend them until it is settled
    settle   what of them was charged, and the blinded messages for what is left, signed by the enclave's
             settlement key; the issuer answers with blind signatures
    exchange whoever has tokens that end gets as many of the key set on sale for them

Tokens are bearer money, so a host that saw them could take them: they are sealed (`crypto.hpke`) to a key
that the issuer signs, bound to request, payee and settlement key. The issuer signs that it holds and that it
settled; without that word an enclave neither works nor signs a receipt. So no receipt ever names tokens that
can still be spent elsewhere.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import Hex20, Hex32, hex0x, unhex
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.money import Amount
from hallmark.core.tokens import AUTHENTICATOR, VALUES
from hallmark.crypto.hpke import HPKEPrivateKey, seal
from hallmark.crypto.secp256k1 import Signer, is_signed_by

SEALING_TAG: Final = b"hallmark/issuer-sealing-key/v1\0"
HOLD_TAG: Final = b"hallmark/issuer-hold/v1\0"
HELD_TAG: Final = b"hallmark/issuer-held/v1\0"
SETTLE_TAG: Final = b"hallmark/issuer-settle/v1\0"
EXCHANGE_TAG: Final = b"hallmark/issuer-exchange/v1\0"
SETTLED_TAG: Final = b"hallmark/issuer-settled/v1\0"
HOLD_MS: Final = 900_000
"""So long the tokens of a request that is not settled are nobody else's."""
MAX_MESSAGE: Final = 64 * 1024
CHANGE_SIZE: Final = 1 + AUTHENTICATOR


class SealingKey(msgspec.Struct, frozen=True):
    """The X25519 key (32 bytes) that tokens are sealed to on their way, signed by the issuer."""

    public: bytes
    signature: bytes

    @classmethod
    def made(cls, public: bytes, network: bytes, issuer: Signer) -> SealingKey:
        """Signed for one network (its 32-byte id)."""
        return cls(public, issuer.sign(sha256(SEALING_TAG, network, public)))

    def require(self, network: bytes, issuer: bytes) -> None:
        """Raises VerificationFailed `sealing_key_unsigned` unless the issuer (20-byte address) signed it."""
        if not is_signed_by(sha256(SEALING_TAG, network, self.public), self.signature, issuer):
            raise VerificationFailed("sealing_key_unsigned", "The issuer did not sign this sealing key.")


class HoldRequest(msgspec.Struct, frozen=True):
    """`keys` is the digest of the key set that the tokens are of, `request` the receipt's digest of the
    request, `payee` who is paid what is charged, `key` the address that will sign for that.
    """

    keys: Hex32
    request: Hex32
    payee: Hex20
    key: Hex20
    sealed: bytes

    @classmethod
    def made(
        cls, spend: bytes, keys: bytes, request: bytes, *, payee: bytes, key: bytes, to: bytes
    ) -> HoldRequest:
        """With the compact spend sealed `to` the issuer's key."""
        sealed = seal(spend, to, _hold_info(keys, request, payee, key))
        return cls(hex0x(keys), hex0x(request), hex0x(payee), hex0x(key), sealed)

    def opened(self, key: HPKEPrivateKey) -> bytes:
        """The compact spend. Raises VerificationFailed `sealed_for_another`."""
        parts = (unhex(one) for one in (self.keys, self.request, self.payee, self.key))
        return key.open(self.sealed, _hold_info(*parts))


class Held(msgspec.Struct, frozen=True):
    """The issuer's word that a spend (by its 32-byte digest) is held for a request until then (unix ms)."""

    request: Hex32
    spend: Hex32
    until: int
    signature: bytes = b""

    def signed(self, issuer: Signer) -> Held:
        """With the issuer's signature."""
        return msgspec.structs.replace(self, signature=issuer.sign(self._digest()))

    def require(self, request: bytes, spend: bytes, issuer: bytes) -> None:
        """Raises VerificationFailed `issuer_word` unless the issuer said this of this request and spend."""
        if (self.request, self.spend) != (hex0x(request), hex0x(spend)) or not is_signed_by(
            self._digest(), self.signature, issuer
        ):
            raise _not_its_word()

    def _digest(self) -> bytes:
        return sha256(HELD_TAG, unhex(self.request), unhex(self.spend), self.until.to_bytes(8, "big"))


class Blinded(msgspec.Struct, frozen=True):
    """A blinded message to be signed by the key of one value of the ladder, or the blind signature of one."""

    value: int
    message: bytes


class SettleRequest(msgspec.Struct, frozen=True):
    """So much (atomic units) of a request's tokens was charged; `change` is for what is left. Nothing charged
    and no change: the tokens are as good as before.
    """

    request: Hex32
    charged: Amount
    change: tuple[Blinded, ...]
    signature: bytes = b""

    def signed(self, key: Signer) -> SettleRequest:
        """With the signature of the key that the hold named."""
        return msgspec.structs.replace(self, signature=key.sign(self.digest()))

    def require(self, key: bytes) -> None:
        """Raises VerificationFailed `settle_unsigned` unless `key` (20-byte address) signed it."""
        if not is_signed_by(self.digest(), self.signature, key):
            raise VerificationFailed("settle_unsigned", "The key that held these tokens did not sign this.")

    def digest(self) -> bytes:
        """What is signed; 32 bytes."""
        rows = b"".join(one.value.to_bytes(1, "big") + sha256(one.message) for one in self.change)
        return sha256(SETTLE_TAG, unhex(self.request), int(self.charged).to_bytes(16, "big"), rows)


class Settled(msgspec.Struct, frozen=True):
    """The issuer's word that a request is settled, with its change: blind signatures in the order in which
    they were asked for.
    """

    request: Hex32
    charged: Amount
    change: tuple[Blinded, ...]
    signature: bytes = b""

    def signed(self, issuer: Signer) -> Settled:
        """With the issuer's signature."""
        return msgspec.structs.replace(self, signature=issuer.sign(self._digest()))

    def require(self, asked: SettleRequest, issuer: bytes) -> None:
        """Raises VerificationFailed `issuer_word` unless the issuer settled what was asked."""
        same = (self.request, self.charged) == (asked.request, asked.charged)
        values = [one.value for one in self.change] == [one.value for one in asked.change]
        if not (same and values and is_signed_by(self._digest(), self.signature, issuer)):
            raise _not_its_word()

    def _digest(self) -> bytes:
        rows = b"".join(one.value.to_bytes(1, "big") + sha256(one.message) for one in self.change)
        return sha256(SETTLED_TAG, unhex(self.request), int(self.charged).to_bytes(16, "big"), rows)


class Exchange(msgspec.Struct, frozen=True):
    """Tokens, sealed to the issuer, for as much of the key set `keys` (its digest), which is on sale: blinded
    messages. Sent again exactly so, it gets the same signatures.
    """

    keys: Hex32
    blinded: tuple[Blinded, ...]
    sealed: bytes

    @classmethod
    def made(cls, spend: bytes, keys: bytes, blinded: tuple[Blinded, ...], *, to: bytes) -> Exchange:
        """With the compact spend sealed `to` the issuer's key."""
        bare = cls(hex0x(keys), blinded, b"")
        return msgspec.structs.replace(bare, sealed=seal(spend, to, bare.digest()))

    def opened(self, key: HPKEPrivateKey) -> bytes:
        """The compact spend. Raises VerificationFailed `sealed_for_another`."""
        return key.open(self.sealed, self.digest())

    def digest(self) -> bytes:
        """Of what is asked for; 32 bytes."""
        rows = b"".join(one.value.to_bytes(1, "big") + sha256(one.message) for one in self.blinded)
        return sha256(EXCHANGE_TAG, unhex(self.keys), rows)


class Exchanged(msgspec.Struct, frozen=True):
    """Blind signatures, in the order of the messages."""

    signed: tuple[Blinded, ...]


def encode_change(change: tuple[Blinded, ...]) -> bytes:
    """Change as an answer carries it, in base64: 257 bytes each, u8 value || blind signature 256."""
    return b"".join(bytes((one.value,)) + one.message for one in change)


def decode_change(data: bytes) -> tuple[Blinded, ...]:
    """Read what `encode_change` wrote. Raises InvalidInput `bad_change`."""
    parts = [data[at : at + CHANGE_SIZE] for at in range(0, len(data), CHANGE_SIZE)]
    if any(len(part) != CHANGE_SIZE or part[0] >= VALUES for part in parts):
        raise InvalidInput("bad_change", "The change cannot be read.")
    return tuple(Blinded(part[0], part[1:]) for part in parts)


def _hold_info(keys: bytes, request: bytes, payee: bytes, key: bytes) -> bytes:
    return HOLD_TAG + keys + request + payee + key


def _not_its_word() -> VerificationFailed:
    return VerificationFailed("issuer_word", "The issuer did not sign this answer to this question.")
