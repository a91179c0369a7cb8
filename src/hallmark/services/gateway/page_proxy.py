"""The pages behind the gateway: one origin for people and programs, another process for what people read.

A request for a page goes to the web process as it came, without headers that speak of one connection, and
with the address that the client used. Nothing is kept here, and the answer API never waits for it.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import HallmarkError, NotFound, Unavailable
from hallmark.http.asgi import Receive, Scope, Send, read_body
from hallmark.http.client import Pool, Timeouts
from hallmark.services.gateway.disconnect import until_disconnect

PREFIXES: Final = ("/v1/hallmark/review", "/v1/hallmark/policies", "/v1/hallmark/explore")
# RFC 9110 section 7.6.1, and what this gateway says itself.
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"host",
        b"content-length",
        b"expect",
        b"date",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-for",
        b"forwarded",
    )
)
BODY: Final = 2 * 1024 * 1024
TIMEOUTS: Final = Timeouts(connect=2.0, head=70.0, idle=70.0, pool=5.0)


def is_page(path: str) -> bool:
    """True for a path that the web process answers."""
    return not path.startswith("/v1/") or path.startswith(PREFIXES)


class PageProxy:
    """Passes requests on to the web process at `url`; an empty one means that there are no pages here."""

    def __init__(self, pool: Pool, url: str) -> None:
        self._pool = pool
        self._url = url.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises NotFound `unknown_path`, Unavailable `pages_unavailable`."""
        if not self._url:
            raise NotFound("unknown_path", "There is nothing at this path.", "See docs/gateway.md.")
        body = await read_body(receive, BODY)
        await until_disconnect(receive, self._pass(scope, body, send))

    async def _pass(self, scope: Scope, body: bytes, send: Send) -> None:
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        url = f"{self._url}{path}{'?' + query if query else ''}"
        host = next((value for key, value in scope["headers"] if key == b"host"), b"")
        headers = [(key, value) for key, value in scope["headers"] if key not in HOP_BY_HOP]
        headers += [(b"x-forwarded-host", host), (b"x-forwarded-proto", scope["scheme"].encode())]
        started = False
        try:
            async with self._pool.request(scope["method"], url, headers, body, timeouts=TIMEOUTS) as response:
                kept = [(key, value) for key, value in response.headers if key not in HOP_BY_HOP]
                length = response.header(b"content-length")
                if length is not None:
                    kept.append((b"content-length", length))
                started = True
                await send({"type": "http.response.start", "status": response.status, "headers": kept})
                async for chunk in response:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except HallmarkError as error:
            if started:
                raise
            raise Unavailable(
                "pages_unavailable",
                "The pages cannot be reached just now.",
                "The answer API under /v1 works without them. Try again in a few seconds.",
            ) from error
