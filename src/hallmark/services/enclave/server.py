"""Serves the application over TLS on sockets that the host passes in. It listens nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.http.errors import Errors
from hallmark.http.limits import BodyLimits, LimitedProtocol, Limits, limited_protocol
from hallmark.services.enclave.limits import ANSWER_MS, BODY_BYTES
from hallmark.services.sealing.inner import PATH

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

DEFAULTS: Final = {
    "body_bytes": BODY_BYTES,
    "head_bytes": 256 << 10,
    "head_ms": 10_000,
    "body_ms": 30_000,
    "stuck_ms": 30_000,
    "request_ms": ANSWER_MS,
    "handshake_ms": 10_000,
    "connections": 1024,
}
"""What `EnclaveConfiguration.limits` may set: bytes, milliseconds, a count."""

KEEP_ALIVE_S: Final = 75


class Server:
    """One application on many passed sockets."""

    def __init__(
        self,
        app: ASGIApp,
        tls: ssl.SSLContext | None,
        limits: Mapping[str, int],
        seal: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        """`seal` puts an application behind the seal: what comes sealed is asked of the same one."""
        from uvicorn.config import Config
        from uvicorn.server import ServerState

        self._limits = DEFAULTS | dict(limits)
        http = Limits(
            body=self._limits["body_bytes"],
            head=self._limits["head_bytes"],
            head_s=self._limits["head_ms"] / 1000,
            body_s=self._limits["body_ms"] / 1000,
            stuck_s=self._limits["stuck_ms"] / 1000,
        )
        timed = TimeLimit(app, self._limits["request_ms"] / 1000)
        inside: ASGIApp = BodyLimits(timed, http)
        bounded = Errors(inside if seal is None else Doors(inside, seal(timed)))
        protocol = type("JoiningProtocol", (JoiningProtocol, limited_protocol(http)), {})
        config = Config(
            bounded,
            http=protocol,
            ws="none",
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.load()
        self._tls = tls
        self._state = ServerState()
        self._protocol = functools.partial(protocol, config=config, server_state=self._state, app_state={})
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """Open connections, handshakes included."""
        return len(self._state.connections) + len(self._tasks)

    def accept(self, connection: socket.socket) -> None:
        """Serve one passed socket; beyond the limit it is closed at once."""
        if self.connections >= self._limits["connections"]:
            connection.close()
            return
        task = asyncio.get_running_loop().create_task(self._handshake(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handshake(self, connection: socket.socket) -> None:
        """TLS until the handshake is done; what clients do wrong here is nobody's error."""
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        arguments: dict[str, Any] = {}
        if self._tls is not None:
            arguments = {"ssl": self._tls, "ssl_handshake_timeout": self._limits["handshake_ms"] / 1000}
        try:
            with contextlib.suppress(OSError, EOFError):
                await loop.connect_accepted_socket(self._protocol, connection, **arguments)
        except BaseException:
            connection.close()
            raise


class Doors:
    """ASGI: what comes sealed goes to one application, everything else to another."""

    def __init__(self, plain: ASGIApp, sealed: ASGIApp) -> None:
        self._plain, self._sealed = plain, sealed

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        return (self._sealed if scope.get("path") == PATH else self._plain)(scope, receive, send)


class Joined:
    """What one response is written to: its head leaves with the first bytes of its body.

    That is one TLS record, one system call and one wake of everybody on the way, not two.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle, self._transport = cycle, cycle.transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Keep a head, write anything else."""
        if self._head is None and self._cycle.response_started:
            self._head = data
            return
        head, self._head = self._head, self._head and b""
        self._transport.write(head + data if head else data)

    def is_closing(self) -> bool:
        """See asyncio.BaseTransport."""
        return bool(self._transport.is_closing())

    def close(self) -> None:
        """Close, after a head that has no body."""
        if self._head:
            self.write(b"")
        self._transport.close()


class JoiningProtocol(LimitedProtocol):
    """uvicorn's protocol, whose responses begin with one write."""

    def on_headers_complete(self) -> None:
        """A response will begin. The answer to HEAD has no body that its head could wait for."""
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not None and self.cycle is not before and self.scope["method"] != "HEAD":
            self.cycle.transport = Joined(self.cycle)  # type: ignore[assignment]  # what a cycle uses of one


class TimeLimit:
    """ASGI middleware: a request that takes longer than `seconds` ends with Unavailable `request_timeout`."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            late = Unavailable(
                "request_timeout",
                f"The answer took longer than the {self._seconds:g} s that this node allows.",
            )
            late.retry = False  # it was being made, and would take as long again
            raise late from None
