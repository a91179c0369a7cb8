"""One HTTP/1.1 connection (RFC 9112) and the response that is being read from it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeVar

import httptools
import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge, Unavailable

MAX_HEAD = 64 * 1024
HIGH_WATER = 256 * 1024
LOW_WATER = 64 * 1024

T = TypeVar("T")


def lost(message: str = "The peer closed the connection before its answer was complete.") -> Unavailable:
    """The error for a connection that ended too early."""
    return Unavailable("connection_lost", message)


class Connection(asyncio.Protocol):
    """A connection that carries one exchange at a time.

    Reading pauses above HIGH_WATER unread bytes and goes on below LOW_WATER; writing waits while the
    peer does not read. Anything that arrives while no exchange is open ends the connection.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._closed = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self.rested = float("-inf")
        self._due = 0.0
        self._begin()
        self._open = False
        self.used = 0
        self.idle_since = 0.0

    def _begin(self) -> None:
        self._open = True
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._head_bytes = 0
        self._bodiless = False
        self._spoiled = False
        self._keep_alive = False
        self._until_close = True
        self._error: HallmarkError | None = None
        self.received = False
        self.written = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_done = False
        self.complete = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # create_connection gives a Transport

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head over MAX_HEAD or a malformed response ends the exchange."""
        if not self._open:
            self.abort()
            return
        self.received = True
        if not self.head_done:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(Unavailable("bad_http", "The peer's answer is not HTTP/1.1."))
            return
        if not self.head_done and self._head_bytes > MAX_HEAD:
            self._fail(Unavailable("bad_http", "The peer's response head is too long."))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: well when the body runs until close, badly otherwise."""
        self._closed = True
        self._writable.set()
        if self._open and not self.complete:
            if self.head_done and self._until_close and exc is None:
                self.complete = True
            elif self._error is None:
                self._error = lost()
        self._wake()

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._writable.set()

    # httptools callbacks

    def on_status(self, _reason: bytes) -> None:
        """A status line begins a head."""
        self.status = self._parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, name in lower case."""
        name = name.lower()
        if name == b"transfer-encoding" or name == b"content-length":
            self._until_close = False
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Skip informational heads (RFC 9110 section 15.2); wake whoever waits for the final one."""
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            return
        if self.status in (204, 304) or self._bodiless:
            self._until_close = False
        self.head_done = True
        # The answer to HEAD ends here, whatever length its head names (RFC 9110 section 9.3.2).
        self.complete = self._bodiless
        self._keep_alive = bool(self._parser.should_keep_alive())
        self._wake()

    def on_body(self, body: bytes) -> None:
        """Body bytes without framing; none belong to the answer to HEAD."""
        if self._bodiless:
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """The final response is complete."""
        if not self.head_done:
            self.headers = []
            self._until_close = True
            return
        self.complete = True
        self._wake()

    # the exchange

    async def send(self, head: bytes, body: bytes, *, bodiless: bool = False) -> None:
        """Begin an exchange: write head and body. Raises Unavailable `connection_lost`."""
        self._begin()
        self._bodiless = bodiless
        self.used += 1
        await self.write(head + body if len(body) < HIGH_WATER else head)
        if len(body) >= HIGH_WATER:
            await self.write(body)

    async def write(self, data: bytes) -> None:
        """Write and wait until the peer keeps up. Raises Unavailable `connection_lost`."""
        if self._closed or self._transport is None or self._transport.is_closing():
            raise lost("The connection was closed before the request was sent.")
        self.written = True
        try:
            self._transport.write(data)
        except RuntimeError as error:  # uvloop's word for a connection that has just gone
            raise lost() from error
        if not self._writable.is_set():
            await self._writable.wait()

    async def head(self) -> None:
        """Wait for the final response head. Raises Unavailable."""
        while not self.head_done:
            await self._wait()

    async def next_chunk(self, idle_s: float | None = None) -> bytes:
        """All body bytes that are there, at least one; empty at the end. Raises Unavailable, `timed_out` when
        nothing comes for `idle_s`.
        """
        while not self._chunks:
            if self.complete:
                return b""
            if idle_s is not None:
                self._expect(idle_s)
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._read_on()
        return data

    def rest(self, seconds: float) -> None:
        """Read nothing for so long, unless the answer is complete: what comes meanwhile is read in one piece,
        and wakes nobody before. `rested` is the loop's time when that ended.
        """
        if self._paused or self.complete or self._closed or self._transport is None:
            return
        self._paused = True
        self._transport.pause_reading()
        self._rest = asyncio.get_running_loop().call_later(seconds, self._read_on)

    def _read_on(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            self.rested = asyncio.get_running_loop().time()
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._closed:
                self._transport.resume_reading()

    def finish(self) -> bool:
        """Close the exchange; True when the connection can carry another one."""
        reusable = (
            self.complete
            and not self._closed
            and not self._bodiless
            and not self._spoiled
            and self._error is None
            and self._keep_alive
        )
        self._open = False
        self._chunks.clear()
        self._read_on()
        self._expect_nothing()
        if not reusable:
            self.abort()
        return reusable

    def spoil(self) -> None:
        """The request was not sent to its end: when the answer is, the connection closes."""
        self._spoiled = True

    @property
    def usable(self) -> bool:
        """True while nothing speaks against sending another request."""
        return not self._closed and self._transport is not None and not self._transport.is_closing()

    def info(self, name: str) -> Any:
        """Transport information, e.g. `ssl_object`."""
        return self._transport.get_extra_info(name) if self._transport is not None else None

    def abort(self) -> None:
        """Drop the connection at once, so that the peer notices."""
        self._expect_nothing()
        if self._transport is not None:
            self._transport.abort()
        self._closed = True
        self._read_on()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closed:
            raise lost()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None and not self._chunks:
            raise self._error

    def _expect(self, idle_s: float) -> None:
        """Something has to come within so many seconds. One timer serves a whole response: it looks, when it
        ends, whether the wait that is under way has lasted for so long.
        """
        loop = asyncio.get_running_loop()
        self._due = loop.time() + idle_s
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._look, idle_s)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, idle_s: float) -> None:
        self._timer, loop = None, asyncio.get_running_loop()
        if self._waiter is None or self._waiter.done():
            return
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._look, idle_s)
            return
        self._waiter.set_exception(Unavailable("timed_out", f"The peer sent nothing for {idle_s:g} s."))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: HallmarkError) -> None:
        self._error = error
        self.abort()
        self._wake()


class Response:
    """A response whose body is read as it comes: `async for chunk in response`."""

    def __init__(self, connection: Connection, idle_s: float) -> None:
        self._connection = connection
        self._idle_s = idle_s
        self.status = connection.status
        self.headers = connection.headers

    def header(self, name: bytes) -> bytes | None:
        """The first header called `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    def rest(self, seconds: float) -> None:
        """See `Connection.rest`."""
        self._connection.rest(seconds)

    @property
    def rested(self) -> float:
        """When the last rest ended, by the loop's clock."""
        return self._connection.rested

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._connection.next_chunk(self._idle_s)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def read(self, limit: int = 16 * 1024 * 1024) -> bytes:
        """The whole body. Raises TooLarge `response_too_large` over `limit` bytes, Unavailable."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit:
                raise TooLarge("response_too_large", f"The peer's answer has more than {limit} bytes.")
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def json(self, kind: type[T], limit: int = 16 * 1024 * 1024) -> T:
        """The body decoded from JSON as `kind`. Raises InvalidInput `bad_json`, Unavailable."""
        try:
            return msgspec.json.decode(await self.read(limit), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput("bad_json", f"The peer's answer is not a {kind.__name__}.") from error
