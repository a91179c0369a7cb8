"""Limits that keep a server standing: body size, slow senders, slow readers, long heads."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.http.asgi import ASGIApp, Message, Receive, Scope, Send
from hallmark.http.errors import render


class Limits(msgspec.Struct, frozen=True):
    """Bytes of a request body and of a request head; seconds for a head, a body, and a stuck reader."""

    body: int = 16 * 1024 * 1024
    head: int = 64 * 1024
    head_s: float = 10.0
    body_s: float = 30.0
    stuck_s: float = 30.0


class SlowRequest(InvalidInput):
    """The client took too long to send its request."""

    status = 408


class LongHead(TooLarge):
    """The request's head is longer than a head needs to be."""

    status = 431


# Answers to requests that never got as far as an application.
LONG_HEAD: Final = (
    b"431 Request Header Fields Too Large",
    render(LongHead("head_too_long", "The request's head is too long.", "Send fewer or shorter headers.")),
)
SLOW_HEAD: Final = (
    b"408 Request Timeout",
    render(SlowRequest("head_too_slow", "The request's head took too long to arrive.", "Send it at once.")),
)

MALFORMED: Final = (
    b"400 Bad Request",
    render(
        InvalidInput(
            "malformed_http",
            "What came is not an HTTP request that can be read here.",
            "Send HTTP as RFC 9112 has it, in clear, with a registered method and one length.",
        )
    ),
)


class BodyLimits:
    """ASGI middleware that bounds a request body in size (also when announced) and in time.

    Raises TooLarge `body_too_large` and SlowRequest `body_too_slow` into the application's `receive`.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value[:18]) > self._limits.body:
                raise self._too_large()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.body_s
        size = 0
        complete = False

        async def bounded() -> Message:
            nonlocal size, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise SlowRequest("body_too_slow", "The request body took too long to arrive.") from None
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > self._limits.body:
                raise self._too_large()
            return message

        await self._app(scope, bounded, send)

    def _too_large(self) -> TooLarge:
        return TooLarge("body_too_large", f"A request body has at most {self._limits.body} bytes.")


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with limits on slow heads, long heads and readers that stop reading."""

    limits = Limits()
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _stuck_timer: asyncio.TimerHandle | None = None
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """Expect a head from now on."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every timer."""
        self._cancel("_head_timer")
        self._cancel("_stuck_timer")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._expect_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.head:
            self._refuse(LONG_HEAD)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are plain text
        """Refuse what the parser cannot read."""
        self._refuse(MALFORMED)

    def on_headers_complete(self) -> None:
        """The head is there.

        HTTP/1.0 knows no chunks (RFC 9112 section 6.1): what has no length ends with the connection.
        """
        self._in_head = False
        self._cancel("_head_timer")
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0" and self.cycle is not None:
            self.cycle.send = UntilClose(self.cycle).send  # type: ignore[method-assign]  # before it begins

    def on_message_complete(self) -> None:
        """The next head may come."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def pause_writing(self) -> None:
        """The client reads slowly: give it a while."""
        super().pause_writing()
        self._stuck_timer = self.loop.call_later(self.limits.stuck_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._cancel("_stuck_timer")
        super().resume_writing()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_s, self._refuse, SLOW_HEAD)

    def _cancel(self, name: str) -> None:
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)

    def _refuse(self, why: tuple[bytes, bytes]) -> None:
        status, body = why
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (status, len(body), body)
            )
            self.transport.close()


class UntilClose:
    """Sends a response to HTTP/1.0: uvicorn would frame one without a length in chunks."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._send = cycle.send

    async def send(self, message: Any) -> None:
        """Pass a message on, as one without chunks where its length is not known."""
        cycle = self._cycle
        if message["type"] == "http.response.start":
            if not any(name.lower() == b"content-length" for name, _ in message.get("headers", ())):
                cycle.chunked_encoding = False
                self._open = True
        elif self._open:
            cycle.expected_content_length = len(message.get("body", b""))
        await self._send(message)

    _open = False


def limited_protocol(limits: Limits) -> type[LimitedProtocol]:
    """The protocol class with these limits."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})
