"""ASGI apps joined without sockets: a stand-in for `hallmark.http.client.Pool` that calls them in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import ASGIApp, Message
from hallmark.http.errors import Errors

T = TypeVar("T")


class MemoryResponse:
    """As much of `http.connection.Response` as callers use."""

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = tuple(headers)
        self.body = body

    def header(self, name: bytes) -> bytes | None:
        """The first header called `name`, or None."""
        return next((value for key, value in self.headers if key == name), None)

    async def read(self, limit: int = 1 << 24) -> bytes:
        """The whole body."""
        return self.body[: limit + 1]

    async def json(self, kind: type[T], limit: int = 1 << 24) -> T:
        """The body decoded from JSON."""
        return msgspec.json.decode(self.body[:limit], type=kind)


class MemoryPool:
    """Requests by host name to the app of that name; a host that is not there cannot be connected to."""

    def __init__(self) -> None:
        self.apps: dict[str, ASGIApp] = {}
        self.requests: list[tuple[str, str]] = []

    def mount(self, host: str, app: ASGIApp) -> str:
        """Make `app` reachable; returns its URL."""
        self.apps[host] = Errors(app)
        return f"http://{host}"

    def unmount(self, host: str) -> None:
        """Take a host off the network."""
        del self.apps[host]

    async def aclose(self) -> None:
        """Nothing to close."""

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        **_options: Any,
    ) -> AsyncIterator[MemoryResponse]:
        """One request; see `Pool.request`."""
        parts = urlsplit(url)
        self.requests.append((method, url))
        app = self.apps.get(parts.netloc)
        if app is None:
            raise Unavailable("connect_failed", "The peer cannot be reached.")
        scope = {
            "type": "http",
            "method": method,
            "path": parts.path or "/",
            "query_string": parts.query.encode(),
            "headers": list(headers),
        }
        status, answered, chunks = 500, (), []
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], tuple(message.get("headers", ()))
            else:
                chunks.append(message.get("body", b""))

        await app(scope, receive, send)
        yield MemoryResponse(status, answered, b"".join(chunks))
