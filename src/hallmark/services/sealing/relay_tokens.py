"""Tokens for a relay that wants one with every capsule: Privacy Pass (RFC 9577), type 2 of RFC 9578.

The issuer is one that the client's owner names. It learns this address and how many tokens it wanted, not
what for; the relay learns that somebody has a token, not whose. So that a relay cannot know its clients by
the challenges it gives them, nor by keys:

1. the challenge is one of RFC 9577 for type 2, and its context is empty, or the one that every client
   computes for this epoch or the one before (`services.relay.tokens`);
2. the key is one that the issuer itself shows to everybody, in its directory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.hashing import sha256
from hallmark.core.tokens import token_input
from hallmark.crypto.blind_rsa import BlindPublicKey, blind, finalize
from hallmark.http.client import Pool
from hallmark.services.relay.info import RelayTokens
from hallmark.services.relay.tokens import CONTEXT
from hallmark.services.sealing.refusals import NotReached

DIRECTORY: Final = "/.well-known/private-token-issuer-directory"
ASKS: Final = ((b"content-type", b"application/private-token-request"),)
TYPE: Final = 2
SIZE: Final = 256
BATCH: Final = 6
"""About what one question needs: a route, three nodes, the question, a proof."""
CHALLENGE: Final = re.compile(
    rb'privatetoken\s+challenge="?([\w=-]{1,2000})"?\s*,\s*token-key="?([\w=-]{1,2000})"?', re.I
)


class _Key(msgspec.Struct, frozen=True):
    kind: int = msgspec.field(name="token-type")
    key: str = msgspec.field(name="token-key")


class _Directory(msgspec.Struct, frozen=True):
    uri: str = msgspec.field(name="issuer-request-uri")
    keys: tuple[_Key, ...] = msgspec.field(name="token-keys")


def challenge_in(header: bytes | None) -> RelayTokens | None:
    """What a WWW-Authenticate header asks for; None where it asks for no such token."""
    found = CHALLENGE.search(header or b"")
    return RelayTokens(found[1].decode(), found[2].decode()) if found else None


class RelayPurse:
    """Tokens of the issuer at `url`, made when they are wanted and used once. `clock` gives unix ms."""

    def __init__(self, url: str, pool: Pool, clock: Callable[[], int]) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInput(
                "bad_relay_issuer", "An issuer of a relay's tokens is an http or https address."
            )
        self._url, self._pool, self._clock = url.rstrip("/"), pool, clock
        self._ready: dict[tuple[bytes, bytes], list[bytes]] = {}
        self._one = asyncio.Lock()

    async def authorization(self, wanted: RelayTokens, epoch_s: int) -> bytes:
        """The Authorization header for one capsule; `epoch_s` is how long the relay's epochs last (0: it has
        none). Raises NotReached `relay_challenge_other`, `relay_issuer_other`, `relay_issuer_away`.
        """
        challenge, spki = _bytes(wanted.challenge), _bytes(wanted.token_key)
        if not self.is_everybodys(wanted, epoch_s):
            raise NotReached(
                "relay_challenge_other",
                "The relay asks for a token that it may know this client by.",
                "Use another relay; or this machine's clock is wrong.",
            )
        wanted_for = sha256(challenge), spki
        async with self._one:
            ready = self._ready.get(wanted_for)
            if not ready:
                ready = await self._made(*wanted_for)
                self._ready = {wanted_for: ready}  # those of an epoch that is over are of no more use
            token = ready.pop()
        return b'PrivateToken token="' + base64.urlsafe_b64encode(token) + b'"'

    def is_everybodys(self, wanted: RelayTokens, epoch_s: int) -> bool:
        """Whether a relay whose epochs last so long asks everybody for this one now."""
        context = _context_of(_bytes(wanted.challenge))
        if not context or epoch_s <= 0:
            return context == b""
        newest = self._clock() // 1000 // epoch_s
        near = (max(epoch, 0) for epoch in (newest - 1, newest, newest + 1))
        return context in {sha256(CONTEXT, epoch.to_bytes(8, "big")) for epoch in near}

    async def _made(self, digest: bytes, spki: bytes) -> list[bytes]:
        try:
            async with self._pool.request("GET", self._url + DIRECTORY) as response:
                told = await response.json(_Directory, 1 << 16)
                if response.status != 200:
                    raise _away()
            shown = {_bytes(one.key) for one in told.keys if one.kind == TYPE}
            if spki not in shown:
                raise NotReached(
                    "relay_issuer_other",
                    "The relay takes tokens of a key that the named issuer does not show to everybody.",
                    "Name the relay's own issuer with --relay-issuer, or use another relay.",
                )
            uri, key = urljoin(self._url + DIRECTORY, told.uri), _key(spki)
            made = (
                self._one_more(uri, key, token_input(_chance(32), digest, sha256(spki))) for _ in range(BATCH)
            )
            return list(await asyncio.gather(*made))
        except NotReached:
            raise
        except HallmarkError as error:
            raise _away() from error

    async def _one_more(self, uri: str, key: BlindPublicKey, signed: bytes) -> bytes:
        """RFC 9578 section 6.1 to 6.3: blinded, signed by the issuer, and verified here."""
        blinded = blind(key, signed, _chance)
        body = TYPE.to_bytes(2, "big") + signed[-1:] + blinded.message
        async with self._pool.request("POST", uri, ASKS, body) as response:
            answer = await response.read(4096)
            if response.status != 200 or len(answer) != SIZE:
                raise _away()
        return signed + finalize(key, signed, answer, blinded.inverse)


def no_issuer() -> NotReached:
    """A relay wants tokens, and its user named nobody who makes them."""
    return NotReached(
        "relay_wants_token",
        "This relay takes a question with a token alone, and no issuer of such tokens is named.",
        "Name the one that it believes with --relay-issuer (relay_issuer=), or use another relay.",
    )


def _away() -> NotReached:
    return NotReached(
        "relay_issuer_away",
        "The issuer of the relay's tokens gives none.",
        "Is the address right? Try again shortly, or use another relay.",
    )


def _context_of(challenge: bytes) -> bytes | None:
    """The redemption context of a challenge of type 2 (RFC 9577 section 2.1.1); None: it is none."""
    name_end = 4 + int.from_bytes(challenge[2:4], "big")
    size = challenge[name_end] if len(challenge) > name_end else 255
    end = name_end + 1 + size
    origin = int.from_bytes(challenge[end : end + 2], "big")
    whole = challenge[:2] == TYPE.to_bytes(2, "big") and len(challenge) == end + 2 + origin
    return challenge[name_end + 1 : end] if whole and size in (0, 32) else None


def _key(spki: bytes) -> BlindPublicKey:
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != 2048 or key.public_numbers().e != 65_537:
        raise NotReached("relay_issuer_other", "The issuer's key is no RSA key of 2,048 bits.")
    return BlindPublicKey(key.public_numbers().n)


def _bytes(text: str) -> bytes:
    """Bytes of base64url, with or without padding; none where it is not that."""
    bare = text.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), b"-_", validate=True)
    except binascii.Error:
        return b""


def _chance(count: int) -> bytes:
    return secrets.token_bytes(count)
