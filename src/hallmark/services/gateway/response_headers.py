"""What stands in the head of every response of the API: a name for the request, and who may read it.

`x-request-id` is drawn here, not taken from the client, so that it can name nobody else's answer. Pages of
other sites may call the API only when the settings name their origin; never with cookies, which this API has
none of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hallmark.http.asgi import ASGIApp, Message, Receive, Scope, Send, header
from hallmark.services.gateway.page_proxy import is_page

REQUEST_ID: Final = "hallmark.request_id"
EXPOSED: Final = (
    b"x-request-id, hallmark-receipt, hallmark-receipt-at, hallmark-salts, retry-after, x-should-retry, "
    b"payment-required, payment-response, hallmark-charged"
)
ANY: Final = "*"
AGE: Final = b"600"
OPEN: Final = re.compile(r"/v1/hallmark/(receipts/.*|trust(\.json)?)")
"""What a component on any site reads. It has to see refusals too, or it could not say what happened."""
HEADER_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~ ,-]{1,2000}")

Pair = tuple[bytes, bytes]


def request_id(scope: Scope) -> str:
    """The name of this request: `req-` and 32 hexadecimal digits; empty where none was drawn."""
    found = scope.get(REQUEST_ID, "")
    return found if isinstance(found, str) else ""


class ResponseHeaders:
    """ASGI middleware, outermost, so that errors carry it too. See the module docstring.

    `origins` are those of pages that may call the API (`https://app.example`), or `*` for every page.
    """

    def __init__(self, app: ASGIApp, random: Callable[[int], bytes], origins: tuple[str, ...] = ()) -> None:
        self._app, self._random, self._origins = app, random, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or is_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        name = scope[REQUEST_ID] = f"req-{self._random(16).hex()}"
        added = [(b"x-request-id", name.encode()), *self._sharing(scope)]
        if (
            scope["method"] == "OPTIONS"
            and len(added) > 2
            and header(scope, b"access-control-request-method")
        ):
            await send({"type": "http.response.start", "status": 204, "headers": [*added, *_allowed(scope)]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                has = {key for key, _ in headers}
                headers += [pair for pair in added if pair[0] not in has]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, named)

    def _sharing(self, scope: Scope) -> list[Pair]:
        """The headers of the Fetch standard's CORS protocol: none unless origins are set."""
        if scope["method"] in ("GET", "HEAD") and OPEN.fullmatch(scope["path"]):
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
        if not self._origins:
            return []
        vary = (b"vary", b"Origin")
        origin = header(scope, b"origin")
        if origin is None or not self._origins & {ANY, origin.decode("latin-1")}:
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", b"*" if ANY in self._origins else origin),
            (b"access-control-expose-headers", EXPOSED),
        ]


def _allowed(scope: Scope) -> list[Pair]:
    """The answer to a preflight: the API's methods, and the headers asked for; credentials never."""
    asked = header(scope, b"access-control-request-headers") or b""
    allowed = [(b"access-control-allow-methods", b"GET, POST"), (b"access-control-max-age", AGE)]
    return [*allowed, (b"access-control-allow-headers", asked)] if HEADER_NAMES.fullmatch(asked) else allowed
