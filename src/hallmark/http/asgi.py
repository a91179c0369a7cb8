"""ASGI 3.0 types and the few helpers that bare ASGI code needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from hallmark.core.errors import InvalidInput, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class Disconnected(Exception):
    """The client went away before its request was complete."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first request header called `name` (lower case), or None."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises TooLarge `body_too_large` over `limit` bytes, Disconnected."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge("body_too_large", f"A request body has at most {limit} bytes.")
        if part:
            parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def respond(
    send: Send,
    status: int,
    body: bytes,
    headers: Headers = (),
    *,
    content_type: bytes = b"application/json",
) -> None:
    """Send a complete response."""
    start = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, value: object, status: int = 200, headers: Headers = ()) -> None:
    """Send `value` as JSON."""
    await respond(send, status, msgspec.json.encode(value), headers)


def query_int(value: str | None, default: int, *, low: int, high: int) -> int:
    """A whole number from a query string, or `default` when absent.

    Raises InvalidInput `bad_query` unless it is between `low` and `high`.
    """
    if value is None or value == "":
        return default
    if not value.isascii() or not value.isdigit() or not low <= int(value[:18]) <= high:
        raise InvalidInput("bad_query", f"A query value must be a whole number from {low} to {high}.")
    return int(value[:18])
