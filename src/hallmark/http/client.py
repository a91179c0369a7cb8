"""A pooled HTTP/1.1 client: `async with pool.request("GET", url) as response: ...`.

Rules it keeps:

- at most `per_origin` connections to one (scheme, host, port, pin); who comes later waits in line;
- a pinned peer has shown its pinned TLS key before the first request byte leaves;
- a request goes out twice only when a *reused* connection turns out closed before any response byte, and
  one that is not idempotent (POST, RFC 9110 section 9.2.2) only when not a byte of it had been written;
- leaving the `async with` block early drops the connection, so the peer sees the disconnect;
- a request body may be an async iterable, which is never repeated and is sent chunked, or as it is where the
  headers name its length; once an answer has begun, no more of it is sent.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.http.connection import Connection, Response
from hallmark.http.tls import check_pin, pinned_context, public_context

HeaderList = Iterable[tuple[bytes, bytes]]
Body = bytes | AsyncIterable[bytes]


class Timeouts(msgspec.Struct, frozen=True):
    """Limits in seconds: to connect (TLS included), to a response head, between body chunks, in line."""

    connect: float = 5.0
    head: float = 60.0
    idle: float = 60.0
    pool: float = 5.0


class Origin(NamedTuple):
    """What connections are shared by."""

    scheme: str
    host: str
    port: int
    pin: bytes | None


@functools.lru_cache(maxsize=4096)
def _target(url: str) -> tuple[str, str, int, bytes, bytes]:
    try:
        # Whoever registers writes addresses, and the parser raises of itself (`https://[`).
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "\r" in url or "\n" in url:
            raise InvalidInput("bad_url", "The address is not an http or https URL.")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return parts.scheme, parts.hostname, port, path.encode("ascii"), parts.netloc.encode("idna")
    except ValueError as error:
        raise InvalidInput("bad_url", "The address is not an http or https URL.") from error


class _Lane:
    """The connections to one origin: how many are in use, which are idle, who waits."""

    def __init__(self) -> None:
        self.in_use = 0
        self.idle: list[Connection] = []
        self.waiters: deque[asyncio.Future[None]] = deque()

    def release(self) -> None:
        """Pass the place to the next in line, or free it."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.in_use -= 1


class Pool:
    """Connections to any number of origins. Make one per process and close it at the end."""

    def __init__(
        self, *, per_origin: int = 128, keep_s: float = 20.0, timeouts: Timeouts | None = None
    ) -> None:
        self._per_origin = per_origin
        self._keep_s = keep_s
        self._timeouts = timeouts or Timeouts()
        self._lanes: dict[Origin, _Lane] = {}

    def request(
        self,
        method: str,
        url: str,
        headers: HeaderList = (),
        body: Body = b"",
        *,
        pin: bytes | None = None,
        timeouts: Timeouts | None = None,
    ) -> Exchange:
        """One request, as an async context manager that gives the `Response`.

        `pin` is the SHA-256 of the peer's SubjectPublicKeyInfo: https with it needs no authority. Raises
        Unavailable (`connect_failed`, `connection_lost`, `timed_out`, `bad_http`, `pool_exhausted`),
        VerificationFailed `pin_mismatch`, InvalidInput `bad_url`.
        """
        scheme, host, port, path, authority = _target(url)
        if pin is not None and scheme != "https":
            raise InvalidInput("bad_url", "A pinned peer is reached over https.")
        head = _head(method, path, authority, headers, body)
        origin = Origin(scheme, host, port, pin)
        return Exchange(self, origin, head, body, timeouts or self._timeouts)

    async def aclose(self) -> None:
        """Close every idle connection."""
        for lane in self._lanes.values():
            for connection in lane.idle:
                connection.abort()
            lane.idle.clear()

    async def acquire(self, origin: Origin, timeouts: Timeouts, *, fresh: bool = False) -> Connection:
        """A connection to `origin`, idle or new (`fresh`: new). The caller must `release` it."""
        lane = self._lanes.setdefault(origin, _Lane())
        await self._take_place(lane, timeouts)
        now = asyncio.get_running_loop().time()
        while lane.idle:
            connection = lane.idle.pop()
            if not fresh and connection.usable and now - connection.idle_since < self._keep_s:
                return connection
            connection.abort()
        try:
            return await _connect(origin, timeouts)
        except BaseException:
            lane.release()
            raise

    def release(self, origin: Origin, connection: Connection) -> None:
        """Give a connection back, to be kept when it can carry another request."""
        lane = self._lanes[origin]
        if connection.finish():
            connection.idle_since = asyncio.get_running_loop().time()
            lane.idle.append(connection)
        lane.release()

    async def _take_place(self, lane: _Lane, timeouts: Timeouts) -> None:
        if lane.in_use < self._per_origin:
            lane.in_use += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        lane.waiters.append(waiter)
        try:
            async with asyncio.timeout(timeouts.pool):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                lane.release()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    "pool_exhausted", "Every connection to the peer is in use.", "Try again in a moment."
                ) from None
            raise


class Exchange:
    """One request on its way; see `Pool.request`."""

    def __init__(self, pool: Pool, origin: Origin, head: bytes, body: Body, timeouts: Timeouts) -> None:
        self._pool = pool
        self._origin = origin
        self._head = head
        self._body = body
        self._timeouts = timeouts
        self._connection: Connection | None = None

    async def __aenter__(self) -> Response:
        response = await self._attempt(fresh=False)
        return response if response is not None else await self._last_attempt()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._pool.release(self._origin, self._connection)
            self._connection = None

    async def _last_attempt(self) -> Response:
        response = await self._attempt(fresh=True)
        if response is None:
            raise Unavailable("connection_lost", "The peer closes every connection.")
        return response

    async def _attempt(self, *, fresh: bool) -> Response | None:
        """The response; None when a reused connection was closed before any response byte."""
        connection = await self._pool.acquire(self._origin, self._timeouts, fresh=fresh)
        reused = connection.used > 0
        try:
            async with asyncio.timeout(self._timeouts.head):
                await self._send(connection)
                await connection.head()
        except BaseException as error:
            harmless = not self._head.startswith((b"POST ", b"PATCH ")) or not connection.written
            repeat = reused and isinstance(self._body, bytes) and not connection.received and harmless
            connection.abort()
            self._pool.release(self._origin, connection)
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    "timed_out", f"The peer gave no answer within {self._timeouts.head:g} s."
                ) from None
            if repeat and isinstance(error, Unavailable) and error.reason == "connection_lost":
                return None
            raise
        self._connection = connection
        return Response(connection, self._timeouts.idle)

    async def _send(self, connection: Connection) -> None:
        if isinstance(self._body, bytes):
            await connection.send(self._head, self._body, bodiless=self._head.startswith(b"HEAD "))
            return
        await connection.send(self._head, b"")
        chunked = b"\r\ntransfer-encoding: chunked\r\n" in self._head
        async for part in self._body:
            if connection.head_done:
                connection.spoil()
                return
            if part:
                await connection.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        if chunked:
            await connection.write(b"0\r\n\r\n")


async def _connect(origin: Origin, timeouts: Timeouts) -> Connection:
    context = None
    if origin.scheme == "https":
        context = pinned_context() if origin.pin is not None else public_context()
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeouts.connect):
            _, connection = await loop.create_connection(Connection, origin.host, origin.port, ssl=context)
    except (OSError, TimeoutError, RuntimeError) as error:
        # A RuntimeError is uvloop's word for a peer that goes away between two steps of a handshake.
        raise Unavailable("connect_failed", "The peer cannot be reached.") from error
    try:
        if origin.pin is not None:
            check_pin(connection.info("ssl_object"), origin.pin)
    except BaseException:
        connection.abort()
        raise
    return connection


def _head(method: str, path: bytes, authority: bytes, headers: HeaderList, body: Body) -> bytes:
    parts = [method.encode("ascii"), b" ", path, b" HTTP/1.1\r\nhost: ", authority, b"\r\n"]
    sized = False
    for name, value in headers:
        sized = sized or name == b"content-length"
        if b"\n" in name or b"\n" in value or b"\r" in name or b"\r" in value or b"\0" in value:
            raise InvalidInput("bad_header", "A header holds a line break.")
        parts += (name, b": ", value, b"\r\n")
    if not isinstance(body, bytes):
        parts.append(b"" if sized else b"transfer-encoding: chunked\r\n")
    elif body or method in ("POST", "PUT", "PATCH"):
        parts.append(b"content-length: %d\r\n" % len(body))
    parts.append(b"\r\n")
    return b"".join(parts)
