"""Privacy Pass for tests: an issuer of type 2 (RFC 9578), and what makes any relay want its tokens.

    issuer = PrivateTokenIssuer()
    relay = WantsTokens(local.relay, issuer)
    async with listening(Service(issuer), sock) as url: ...

The relay's check is the product's (`services.relay.tokens`); what was spent is kept in memory.
"""

from __future__ import annotations

import base64
import secrets
import time
from typing import Any

import msgspec

from hallmark.core.errors import Conflict, InvalidInput
from hallmark.crypto.blind_rsa import BlindPublicKey
from hallmark.crypto.blind_signing import BlindSigningKey
from hallmark.http.asgi import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    respond,
    respond_json,
)
from hallmark.services.relay.info import INFO, RelayInfo, RelayTokens
from hallmark.services.relay.settings import Tokens
from hallmark.services.relay.tokens import TokenCheck
from hallmark.services.sealing.relay_tokens import DIRECTORY
from hallmark.testing.tokens import SIGNING

ASK = "/token-request"


class PrivateTokenIssuer:
    """An issuer with one key. `asked` are the blinded messages that it signed; `spki` is what it shows."""

    def __init__(self, key: BlindSigningKey = SIGNING[0]) -> None:
        self._key, self.asked = key, list[bytes]()
        self.public: BlindPublicKey = key.public
        self.spki, self.down = key.public.spki, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self.down:
            await respond(send, 503, b"")
        elif scope["path"] == DIRECTORY:
            key = base64.urlsafe_b64encode(self.spki).decode()
            keys = [{"token-type": 2, "token-key": key}]
            await respond_json(send, {"issuer-request-uri": ASK, "token-keys": keys})
        else:
            body = await read_body(receive, 1024)
            if scope["path"] != ASK or body[:2] != b"\0\2" or body[2] != self.public.key_id[-1]:
                raise InvalidInput("bad_token_request", "This is no request for a token.")
            self.asked.append(body[3:])
            signed = self._key.blind_sign(body[3:], secrets.token_bytes)
            await respond(send, 200, signed, content_type=b"application/private-token-response")


class WantsTokens:
    """A relay that takes capsules with a token of the issuer's alone. `spent` are the nullifiers."""

    def __init__(self, relay: ASGIApp, issuer: PrivateTokenIssuer, epoch_s: int = 86_400) -> None:
        self._relay, self._epoch_s = relay, epoch_s
        shown = base64.urlsafe_b64encode(issuer.public.spki).decode()
        self.check = TokenCheck(Tokens("issuer.test", shown, "relay.test", epoch_s))
        self.spent = set[bytes]()
        self.stale = self.silent = False
        """`stale`: it says of itself what it wanted two epochs ago; `silent`: that it wants nothing."""
        self.challenge = ""
        """Asked for in place of everybody's."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["path"] == INFO:
            await self._relay(scope, receive, self._telling(send))
            return
        found = self.check.verify(header(scope, b"authorization"), time.time())
        if found.nullifier in self.spent:
            raise Conflict("relay_token_spent", "The token was used before.")
        self.spent.add(found.nullifier)
        await self._relay(scope, receive, send)

    def _telling(self, send: Send) -> Send:
        started: list[Message] = []

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)
                return
            info = msgspec.json.decode(message["body"], type=RelayInfo)
            await respond_json(send, self._shown(info))

        return told

    def _shown(self, info: RelayInfo) -> Any:
        if self.silent:
            return info
        challenge, key = self.check.shown(time.time() - (2 * self._epoch_s if self.stale else 0))
        kept = msgspec.structs.replace(info.kept, nullifiers_s=2 * self._epoch_s)
        return msgspec.structs.replace(info, tokens=RelayTokens(self.challenge or challenge, key), kept=kept)
