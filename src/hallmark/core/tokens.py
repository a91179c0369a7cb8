"""Unlinkable tokens as bytes: an issuer's keys, a token, what one answer was paid with (RFC 9577, 9578).

A token, type 0x0002 (RFC 9578 section 6), is 354 bytes:

    token_type         u16 = 2
    nonce              32    random, of whoever made the token; the issuer never saw it
    challenge_digest   32    the same for all tokens of an issuer and epoch, so that it tells nobody apart
    token_key_id       32    SHA-256 of the key's SubjectPublicKeyInfo
    authenticator     256    RSASSA-PSS over what stands before it, made blind (RFC 9474)

What an answer was paid with leaves out what the key set says already:

    key set            32    digest of the IssuerKeys document
    tokens                   289 each: u8 value || nonce 32 || authenticator 256

A token's value is a place in a ladder: 2^value times the key set's unit. Each value has a key of its own.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Final

import msgspec

from hallmark.core.document import Document, Hex20, Hex32, Uint63, unhex
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.core.money import Asset

TOKEN_TYPE: Final = 2
VALUES: Final = 16
"""Steps of the ladder."""
MAX_UNITS: Final = (1 << VALUES) - 1
"""The most that one answer's tokens are worth together, in units: any change of it is at most one token of
each value.
"""
MAX_TOKENS: Final = 64
NONCE: Final = 32
AUTHENTICATOR: Final = 256
SPENT_SIZE: Final = 1 + NONCE + AUTHENTICATOR
DIGEST: Final = 32
GRACE_MS: Final = 7 * 86_400_000
"""For so long after a key set's end the log may still get a receipt that was paid with it; then what was
spent of it is forgotten.
"""
MAX_EPOCH_MS: Final = 92 * 86_400_000
"""The longest time for which one key set's tokens are good."""
CHALLENGE_TAG: Final = b"hallmark/token-challenge/v1\0"
SPEND_TAG: Final = b"hallmark/token-spend/v1\0"

SPKI_HEAD: Final = bytes.fromhex(
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d0101"
    "08300b0609608648016503040202a2030201300382010f003082010a0282010100"
)
"""What stands before the modulus: RSASSA-PSS with SHA-384, MGF1 with SHA-384, 48 bytes of salt (RFC 9578
section 6.5, RFC 4055).
"""
SPKI_TAIL: Final = bytes.fromhex("0203010001")
SPKI_SIZE: Final = len(SPKI_HEAD) + 256 + len(SPKI_TAIL)
_HEAD, _TAIL = SPKI_HEAD.hex(), SPKI_TAIL.hex()
TokenKey = Annotated[str, msgspec.Meta(pattern=rf"^0x{_HEAD}[89a-f][0-9a-f]{{510}}[13579bdf]{_TAIL}$(?!\n)")]
"""A public key of 2,048 bits with exponent 65,537, as 0x-hex of its SubjectPublicKeyInfo."""


class IssuerKeys(Document, frozen=True):
    """The public keys of one issuer for one epoch, the smallest value first: `VALUES` of them, all different.

    `unit` is what the smallest token is worth, in atomic units of `asset`. Answers that begin at `since` or
    later and before `until` (unix ms) can be paid with them. There is one set for an issuer and epoch, in the
    log: so all who buy get signatures by the same keys, and no key tells who bought.
    """

    TAG = "hallmark/issuer-keys/v1"

    network: Hex32
    issuer: Hex20
    asset: Asset
    unit: Uint63
    epoch: Uint63
    since: Uint63
    until: Uint63
    keys: tuple[TokenKey, ...]


class Token(msgspec.Struct, frozen=True):
    """A token of a key set that is known from elsewhere. Nothing is verified yet."""

    value: int
    nonce: bytes
    authenticator: bytes

    def encode(self) -> bytes:
        """u8 value || nonce || authenticator; 289 bytes."""
        return bytes((self.value,)) + self.nonce + self.authenticator

    @classmethod
    def decode(cls, data: bytes) -> Token:
        """Read exactly these bytes. Raises InvalidInput `bad_tokens`."""
        if len(data) != SPENT_SIZE or data[0] >= VALUES:
            raise _bad()
        return cls(data[0], data[1 : 1 + NONCE], data[1 + NONCE :])


class TokenSpend(msgspec.Struct, frozen=True):
    """What one answer was paid with. Nothing is verified yet."""

    keys: bytes
    tokens: tuple[Token, ...]

    @property
    def units(self) -> int:
        """What the tokens are worth together, in units of their key set."""
        return sum(1 << token.value for token in self.tokens)

    def encode(self) -> bytes:
        """The bytes; see the module docstring."""
        return self.keys + b"".join(token.encode() for token in self.tokens)

    def digest(self) -> bytes:
        """What a payment record calls it: SHA-256(tag || bytes); 32 bytes."""
        return sha256(SPEND_TAG, self.encode())

    @classmethod
    def decode(cls, data: bytes) -> TokenSpend:
        """Read the bytes, all of them. Raises InvalidInput `bad_tokens`: 1 to 64 tokens, worth at most 65,535
        units, by value and within a value by nonce, so that the same tokens have one form.
        """
        count, rest = divmod(len(data) - DIGEST, SPENT_SIZE)
        if rest or not 1 <= count <= MAX_TOKENS:
            raise _bad()
        starts = range(DIGEST, len(data), SPENT_SIZE)
        found = cls(data[:DIGEST], tuple(Token.decode(data[at : at + SPENT_SIZE]) for at in starts))
        order = [(token.value, token.nonce) for token in found.tokens]
        if found.units > MAX_UNITS or any(a >= b for a, b in itertools.pairwise(order)):
            raise _bad()
        return found

    @classmethod
    def of(cls, keys: bytes, tokens: tuple[Token, ...]) -> TokenSpend:
        """These tokens in their one order."""
        return cls(keys, tuple(sorted(tokens, key=lambda token: (token.value, token.nonce))))


def challenge(keys: IssuerKeys) -> bytes:
    """The TokenChallenge of an issuer and epoch (RFC 9577 section 2.1).

        token_type u16 || u16 length || issuer_name || u8 32 || redemption_context || u16 0

    The issuer's name is its address as text. The context is SHA-256(tag || network || issuer || u64be epoch);
    there is no origin, because a token is good at every node.
    """
    bound = (unhex(keys.network), unhex(keys.issuer), keys.epoch.to_bytes(8, "big"))
    return token_challenge(keys.issuer.encode(), sha256(CHALLENGE_TAG, *bound))


def token_challenge(name: bytes, context: bytes, origin: bytes = b"") -> bytes:
    """A TokenChallenge of an issuer's name, a redemption context and an origin (RFC 9577 section 2.1)."""
    head = TOKEN_TYPE.to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
    return head + bytes((len(context),)) + context + len(origin).to_bytes(2, "big") + origin


def token_input(nonce: bytes, challenge_digest: bytes, key_id: bytes) -> bytes:
    """What an authenticator is a signature of; 98 bytes."""
    return TOKEN_TYPE.to_bytes(2, "big") + nonce + challenge_digest + key_id


def check_issuer_keys(keys: IssuerKeys) -> None:
    """Raises InvalidInput `issuer_keys_unsound`: not one key for each value, one twice, a time that ends
    before it begins or lasts longer than a quarter, no unit, or an asset that cannot be meant.
    """
    asset = keys.asset
    sound = (
        len(set(keys.keys)) == len(keys.keys) == VALUES
        and keys.since < keys.until <= keys.since + MAX_EPOCH_MS
        and keys.unit > 0
        and 0 <= asset.decimals <= 18
        and asset.chain_id > 0
        and asset.symbol != ""
    )
    if not sound:
        raise InvalidInput(
            "issuer_keys_unsound", "An issuer's keys cannot be meant: their number, time, unit or asset."
        )


def _bad() -> InvalidInput:
    return InvalidInput(
        "bad_tokens",
        "These bytes are no tokens of one key set.",
        "A key set's digest, then 1 to 64 tokens of 289 bytes in order, worth at most 65,535 units.",
    )
