"""The gateway behind a relay: it takes sealed requests for what is public anyway, and never a question.

    GET  /v1/hallmark/keys     application/ohttp-keys (RFC 9458): the gateway's own, the same for everybody
    POST /v1/hallmark/sealed   a sealed request for one of the paths below

Who asks for a route through a relay shows the gateway neither address nor prompt. The keys are not attested:
whoever runs the gateway can open what is sealed to them. So what is asked this way is what a gateway may
know: that somebody wants a route, a node's keys, a receipt. They stand in memory alone, are made anew at each
start and every TURN_MS after it, and are gone no later than what is remembered of the requests to them: so no
request is taken twice, across a restart neither.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import NotFound, RateLimited
from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import KEM_X25519, KEM_XWING, make_key
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.privacy.key_configurations import SYMMETRIC
from hallmark.privacy.ohttp import KeyConfiguration, encode_list
from hallmark.services.log.quotas import Buckets, source_of, whole_seconds
from hallmark.services.log.settings import Quota
from hallmark.services.sealing.keys import Window
from hallmark.services.sealing.server import SealedApp

TURN_MS: Final = 3 * 3_600_000
"""So often new keys are made. Those before open what is sealed to them until the next turn."""
BODY: Final = 256 * 1024
PATHS: Final = {
    "POST": re.compile(r"/v1/hallmark/(route|receipts)"),
    "GET": re.compile(
        r"/v1/hallmark/(network|offers(/0x[0-9a-f]{40})?|nodes(/0x[0-9a-f]{40})?|receipts/[A-Za-z0-9._:-]{1,200}"
        r"|trust|trust\.json)|/v1/models(/.{1,256})?"
    ),
}
"""What may be asked sealed. A path that carries a prompt is none of them. Who was answered sealed hands in
the receipt's log entry, as no gateway saw the answer: it is what the log shows to everybody.
"""


class GatewayKeys:
    """The gateway's key configurations; see the module docstring. `clock` gives unix ms."""

    def __init__(self, random: Callable[[int], bytes], clock: Callable[[], int]) -> None:
        self._random, self._clock = random, clock
        self._since, self._first = clock(), random(1)[0] & 0xFE
        self._published, newest = self._make(0)
        self._windows: tuple[Window, ...] = (newest,)

    @property
    def published(self) -> bytes:
        """What everybody seals to now (`application/ohttp-keys`)."""
        self.in_force()
        return self._published

    def in_force(self) -> tuple[Window, ...]:
        """See `KeyHolder`. Newest first. A clock that is set back brings nothing back."""
        newest, turn = self._windows[0], (self._clock() - self._since) // TURN_MS
        if turn > newest.number:
            self._published, made = self._make(turn)
            self._windows = (made, newest) if turn == newest.number + 1 else (made,)
        return self._windows

    def _make(self, turn: int) -> tuple[bytes, Window]:
        # Other ids than the keys before have, so who seals to older ones is told that they are stale.
        first = (self._first + 2 * turn) % 256
        made = [make_key(kem, self._random(32)) for kem in (KEM_X25519, KEM_XWING)]
        keys = {first + at: key for at, key in enumerate(made)}
        named = [KeyConfiguration(at, key.kem.id, key.public, SYMMETRIC) for at, key in keys.items()]
        blob = encode_list(tuple(named))
        return blob, Window(turn, sha256(blob), keys)


def counted(app: ASGIApp, quota: Quota) -> ASGIApp:
    """The application, within a quota for each address (IPv6: each /64). Raises RateLimited `sealed_rate`,
    before a byte of the body is read or opened.
    """
    buckets = Buckets(quota)

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        source, now = source_of((scope.get("client") or ("",))[0]), time.monotonic()
        wait = buckets.wait(source, now)
        if wait > 0:
            raise RateLimited(
                "sealed_rate",
                "This address sends more sealed requests than the gateway's quota allows.",
                whole_seconds(wait),
            )
        buckets.take(source, now)
        await app(scope, receive, send)

    return door


def sealed_app(api: ASGIApp, keys: GatewayKeys, random: Callable[[int], bytes]) -> SealedApp:
    """What answers sealed requests for `PATHS` out of the gateway's own interface."""

    async def public(scope: Scope, receive: Receive, send: Send) -> None:
        asked = PATHS.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if asked is None or not asked.fullmatch(scope["path"]):
            raise NotFound(
                "not_on_this_path",
                "A gateway answers no such request that is sealed to it.",
                "Seal a question to a node's own key: POST /v1/hallmark/route names nodes, "
                "GET /v1/hallmark/nodes/{node} has their keys.",
            )
        await api(scope, receive, send)

    return SealedApp(public, keys, body=BODY, random=random)
