"""`POST /v1/hallmark/stop`: passes the owner's word to the node that answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hallmark.core.errors import NotFound, Unavailable
from hallmark.http.asgi import Receive, Scope, Send, header, read_body, respond_json
from hallmark.http.client import Pool, Timeouts
from hallmark.routing.eligibility import Eligible
from hallmark.services.gateway.route_planner import pin_of

NONCE: Final = b"hallmark-nonce"
STOP_PATH: Final = "/v1/hallmark/stop"
TIMEOUTS: Final = Timeouts(connect=2.0, head=5.0, idle=5.0, pool=2.0)


class StopRequests:
    """Which node answers which nonce now."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._under: dict[bytes, list[Eligible]] = {}

    @contextmanager
    def under(self, headers: list[tuple[bytes, bytes]], node: Eligible) -> Iterator[None]:
        """While it lasts, the request with these headers is at `node`."""
        nonce = dict(headers).get(NONCE, b"").lower()
        if not nonce:
            yield
            return
        self._under.setdefault(nonce, []).append(node)
        try:
            yield
        finally:
            self._under[nonce].remove(node)
            if not self._under[nonce]:
                del self._under[nonce]

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stop what carries the request's `Hallmark-Nonce`. Raises NotFound `nothing_to_stop`, Unavailable
        `stop_failed`.
        """
        await read_body(receive, 1024)
        nonce = (header(scope, NONCE) or b"").lower()
        nodes = list(self._under.get(nonce, ()))
        if not nodes:
            raise NotFound(
                "nothing_to_stop",
                "No stream with this nonce is under way here.",
                "It may have ended already: read it to its end.",
            )
        stopped = 0
        for node in nodes:
            url = node.bundle.endpoint + STOP_PATH
            asked = self._pool.request(
                "POST", url, [(NONCE, nonce)], b"", pin=pin_of(node), timeouts=TIMEOUTS
            )
            async with asked as response:
                await response.read(65_536)
                stopped += response.status == 200
        if not stopped:
            raise Unavailable(
                "stop_failed",
                "The node did not stop the answer.",
                "Close the connection: that stops it too, without a receipt.",
            )
        await respond_json(send, {"stopped": stopped})
