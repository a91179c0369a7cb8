"""Run an ASGI app as a service: uvicorn with uvloop and httptools, /healthz, /metrics, graceful SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable
from email.utils import formatdate
from typing import Any, TypeVar

import msgspec
import uvicorn
import uvloop
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from uvicorn.server import ServerState

from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, respond, respond_json
from hallmark.http.errors import Errors
from hallmark.http.health import SERVING, Health, HealthMetric, Since, ready
from hallmark.http.limits import BodyLimits, Limits, limited_protocol
from hallmark.http.memory import SETTLED_S, give_back

# Longer than our client keeps idle connections, so that a server is rarely the first to close one.
KEEP_ALIVE_S = 75
GRACE_S = 10
FREE_PORTS = range(22_000, 32_768)
FREE_TRIES = 100

T = TypeVar("T")


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a service listens; port 0 takes a free one."""

    port: int
    host: str = "127.0.0.1"


class Service:
    """An ASGI app with what every service has: health, metrics, error rendering, limits.

    `around` wraps what serves requests, errors included.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        health: Callable[[], Health] = ready,
        registry: CollectorRegistry | None = None,
        limits: Limits | None = None,
        around: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        inner = Errors(BodyLimits(app, self.limits))
        self._app: ASGIApp = inner if around is None else around(inner)
        self._health, self._since = health, Since()
        self._registry = registry
        if registry is not None:
            registry.register(HealthMetric(self.health))

    def health(self) -> Health:
        """How the service is now, and since when."""
        return self._since.stamped(self._health())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if scope["path"] in ("/healthz", "/health"):
                health = self.health()
                await respond_json(send, health.to_json(), 200 if health.state in SERVING else 503)
                return
            if scope["path"] == "/metrics" and self._registry is not None:
                text = generate_latest(self._registry)
                await respond(send, 200, text, content_type=CONTENT_TYPE_LATEST.encode())
                return
        await self._app(scope, receive, send)


class _State(ServerState):
    """uvicorn's state, but the `Date` header is written when it is needed, at most once a second."""

    def __init__(self) -> None:
        self._second = 0
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of every response (RFC 9110 section 6.6.1)."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._headers = [(b"date", formatdate(now, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers


class _Server(uvicorn.Server):
    """uvicorn without its signal handling (the process ends with 0 after a graceful stop) and without its
    clock, which wakes ten times a second to write a header and to see whether to stop.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _State()
        self._stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def stop(self) -> None:
        """Take no more connections; let open requests end."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        """Nothing to do until the end."""
        await self._stopped.wait()


def bind(listen: Listen) -> socket.socket:
    """A listening TCP socket; connections queue up from now on. Raises OSError.

    Port 0 takes a free one below those that the system hands out to clients, where nothing else grabs it.
    """
    if listen.port:
        return _bound(listen.host, listen.port)
    for _ in range(FREE_TRIES):
        try:
            return _bound(listen.host, FREE_PORTS.start + secrets.randbelow(len(FREE_PORTS)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no free port was found")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio turns Nagle off only for sockets that say that they are TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


@contextlib.asynccontextmanager
async def serving(
    app: Service, sock: socket.socket, *, tls: ssl.SSLContext | None = None, grace_s: int = GRACE_S
) -> AsyncIterator[str]:
    """Serve `app` on `sock` inside the block; gives the base URL. Leaving waits for open requests."""
    config = uvicorn.Config(
        app,
        http=limited_protocol(app.limits),
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )
    config.load()
    config.ssl = tls
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    host, port = sock.getsockname()[:2]
    try:
        yield f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.stop()
        await running


async def serve(
    app: Service,
    listen: Listen,
    *,
    tasks: Iterable[Coroutine[Any, Any, None]] = (),
    stopping: Callable[[], None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, beside `tasks`; open requests may finish first.

    A task that raises ends the service with its exception (the supervisor starts it again); the tasks
    are cancelled after the last request is done. `stopping` is called when the signal arrives.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    beside = tuple(tasks)
    try:
        sock = bind(listen)
    except OSError:
        for each in beside:
            each.close()
        raise
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(each) for each in beside]
        async with serving(app, sock, tls=tls):
            settled = loop.call_later(SETTLED_S, give_back)
            await stop.wait()
            settled.cancel()
            if stopping is not None:
                stopping()
        for task in running:
            task.cancel()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a service's coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
