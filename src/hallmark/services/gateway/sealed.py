"""The gateway behind a relay: it takes sealed requests for what is public anyway, and never a question.

    GET  /v1/hallmark/keys     application/ohttp-keys (RFC 9458): the gateway's own, the same for everybody
    POST /v1/hallmark/sealed   a sealed request for one of the paths below

Who asks for a route through a relay shows the gateway neither address nor prompt. The key is no attested one:
it is made once and kept in the gateway's home, and whoever runs the gateway can open what is sealed to it. So
what is asked this way is what a gateway may know: that somebody wants a route, a node's keys, a receipt.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import NotFound
from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import KEM_X25519, KEM_XWING, make_key
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.privacy.key_configurations import SYMMETRIC
from hallmark.privacy.ohttp import KeyConfiguration, encode_list
from hallmark.services.sealing.keys import Window
from hallmark.services.sealing.server import SealedApp

TAG: Final = b"hallmark/gateway-sealing-key/v1\0"
REPLAYS_MS: Final = 3 * 3_600_000
"""For so long, and at most twice as long, a request that was taken is known again."""
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
    """The gateway's key configurations: from 32 secret bytes, for as long as those are kept."""

    def __init__(self, secret: bytes, clock: Callable[[], int]) -> None:
        self._clock = clock
        made = [make_key(kem, sha256(TAG, kem.to_bytes(2, "big"), secret)) for kem in (KEM_X25519, KEM_XWING)]
        # Another key has other ids, so who still has the old one is told that it is stale.
        first = sha256(*(key.public for key in made))[0] & 0xFE
        self._keys = {first + at: key for at, key in enumerate(made)}
        named = [KeyConfiguration(at, key.kem.id, key.public, SYMMETRIC) for at, key in self._keys.items()]
        self.published = encode_list(tuple(named))
        self._digest = sha256(self.published)

    def in_force(self) -> tuple[Window, ...]:
        """See `KeyHolder`. Windows here bound only what is remembered of requests: the keys stay, and the
        window before is there to be remembered.
        """
        now = self._clock() // REPLAYS_MS
        return (Window(now, self._digest, self._keys), Window(now - 1, self._digest, {}))


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
