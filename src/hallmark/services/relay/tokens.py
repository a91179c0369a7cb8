"""Privacy Pass tokens at the relay: RFC 9577's challenge and token, type 2 of RFC 9578 (blind RSA, 2048
bits).

    challenge   u16 type || u16 length, issuer name || u8 length, redemption context || u16 length, origin
    token       u16 type || nonce 32 || SHA-256(challenge) 32 || SHA-256(public key) 32 || authenticator 256

The redemption context is a hash of the epoch's number: everybody gets the same challenge, so a token says
nothing of whom it was made for, and what was spent can be forgotten with its epoch.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hallmark.core.errors import InvalidInput, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.core.tokens import token_challenge
from hallmark.services.relay.settings import Tokens

TYPE: Final = b"\x00\x02"
SIGNED: Final = 98
SIZE: Final = SIGNED + 256
CONTEXT: Final = b"hallmark/relay/epoch/v1\0"
PSS: Final = padding.PSS(padding.MGF1(SHA384()), 48)
HEADER: Final = re.compile(rb"privatetoken\s+token=\"?([A-Za-z0-9_-]{1,800}={0,2})\"?\s*", re.I)


class TokenNeeded(Unauthorized):
    """A capsule came without a token that is good here; `headers` say which one is wanted."""

    headers: tuple[tuple[bytes, bytes], ...] = ()


class Spendable(msgspec.Struct, frozen=True):
    """A token that verifies: its epoch, and its nullifier (32 bytes)."""

    epoch: int
    nullifier: bytes


class TokenCheck:
    """Challenges and tokens of one issuer. Raises InvalidInput `relay_token_key` when its key is none."""

    def __init__(self, settings: Tokens) -> None:
        self._settings = settings
        try:
            spki = _decoded(settings.public_key)
            key = load_der_public_key(spki)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise _no_key() from error
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size != 2048:
            raise _no_key()
        self._key, self._key_id = key, sha256(spki)

    def epoch(self, now: float) -> int:
        """The epoch's number at `now` (unix seconds)."""
        return int(now) // self._settings.epoch_s

    def challenge(self, epoch: int) -> bytes:
        """The TokenChallenge of an epoch (RFC 9577 section 2.1.1)."""
        context = sha256(CONTEXT, epoch.to_bytes(8, "big"))
        return token_challenge(self._settings.issuer.encode(), context, self._settings.origin.encode())

    def shown(self, now: float) -> tuple[str, str]:
        """The challenge of now and the issuer's key, as base64url."""
        challenge = base64.urlsafe_b64encode(self.challenge(self.epoch(now))).decode()
        return challenge, self._settings.public_key

    def verify(self, header: bytes | None, now: float) -> Spendable:
        """The token of an Authorization header. Raises TokenNeeded: `relay_token_missing`,
        `relay_token_invalid`.
        """
        if header is None:
            raise self.needed("relay_token_missing", "This relay takes a capsule with a token alone.", now)
        found = HEADER.fullmatch(header)
        try:
            token = _decoded(found[1].decode()) if found else b""
        except ValueError:
            token = b""
        epoch = self._epoch_of(token, now)
        if epoch is None:
            raise self.needed("relay_token_invalid", "The token is not one of this issuer and epoch.", now)
        try:
            self._key.verify(token[SIGNED:], token[:SIGNED], PSS, SHA384())
        except InvalidSignature:
            raise self.needed("relay_token_invalid", "The token's signature does not hold.", now) from None
        return Spendable(epoch, sha256(token[:SIGNED]))

    def needed(self, reason: str, message: str, now: float) -> TokenNeeded:
        """The error that asks for a token, with the challenge (RFC 9577 section 2.1)."""
        error = TokenNeeded(reason, message, "Get one from the issuer that the challenge names.")
        challenge, key = self.shown(now)
        value = f'PrivateToken challenge="{challenge}", token-key="{key}"'
        error.headers = ((b"www-authenticate", value.encode()),)
        return error

    def _epoch_of(self, token: bytes, now: float) -> int | None:
        """Which epoch's challenge a token answers, of this one and the one before."""
        if len(token) != SIZE or token[:2] != TYPE or token[66:98] != self._key_id:
            return None
        newest = self.epoch(now)
        epochs = (epoch for epoch in (newest, newest - 1) if sha256(self.challenge(epoch)) == token[34:66])
        return next(epochs, None)


def _decoded(text: str) -> bytes:
    """Bytes of base64url, with or without padding. Raises ValueError."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


def _no_key() -> InvalidInput:
    return InvalidInput(
        "relay_token_key",
        "The issuer's public key is no RSA key of 2048 bits (DER SubjectPublicKeyInfo, base64url).",
        "Copy it from the issuer's directory (RFC 9578 section 4).",
    )
