"""The server helper: health, metrics, errors, limits, graceful stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import pytest
from prometheus_client import CollectorRegistry, Counter

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.http.health import Health
from hallmark.http.limits import Limits
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.testing.ports import free_port

FLOODS = asyncio.Event()
STUCK = asyncio.Event()
SMALL = Limits(body=1000, head=2000, head_s=0.05, body_s=0.05, stuck_s=0.05)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes a body; `/bug` and `/down` raise; `/flood` sends without end; `/slow` never answers."""
    if scope["path"] == "/bug":
        raise RuntimeError("secret detail")
    if scope["path"] == "/down":
        raise Unavailable("no_node", "No node.", "Wait.")
    if scope["path"] == "/slow":
        STUCK.set()
        await asyncio.Event().wait()
    if scope["path"] == "/flood":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await read_body(receive, 0)
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        FLOODS.set()
    await respond(send, 200, await read_body(receive, 10_000))


@asynccontextmanager
async def running(limits: Limits | None = None, **options: object) -> AsyncIterator[str]:
    """The echo service on a free port; gives its base URL."""
    service = Service(app, limits=limits, **options)  # type: ignore[arg-type]
    async with serving(service, bind(Listen(free_port())), grace_s=1) as url:
        yield url


async def fetch(url: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of one request."""
    async with Pool().request(method, url, body=body) as response:
        return response.status, await response.read()


async def raw(url: str, data: bytes) -> bytes:
    """What the server answers to raw bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(data)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


async def test_health_and_metrics() -> None:
    """Health follows the service's own word, with 503 while it starts; metrics come from its registry."""
    registry = CollectorRegistry()
    Counter("hallmark_x", "x", registry=registry).inc()
    health = Health("starting", "replay")
    async with running(health=lambda: health, registry=registry) as url:
        status, body = await fetch(f"{url}/healthz")
        said = json.loads(body)
        assert (status, said["state"], said["reason"], said["told"]) == (503, "starting", "replay", "")
        assert said["since"] > 0
        assert said["next"]
        assert b'hallmark_health{reason="replay",state="starting"} 1.0' in (await fetch(f"{url}/metrics"))[1]
        health = Health("ready")
        assert (await fetch(f"{url}/healthz"))[0] == 200
        assert await fetch(f"{url}/health") == await fetch(f"{url}/healthz")
        assert b"hallmark_x_total 1.0" in (await fetch(f"{url}/metrics"))[1]


async def test_errors_have_the_openai_shape_and_no_detail_of_bugs() -> None:
    """A HallmarkError shows its reason; any other exception shows nothing of its cause."""
    async with running() as url:
        status, body = await fetch(f"{url}/down")
        assert status == 503
        assert json.loads(body)["error"] == {
            "message": "No node. Wait.",
            "type": "service_unavailable_error",
            "param": None,
            "code": "no_node",
            "hint": "Wait.",
        }
        status, body = await fetch(f"{url}/bug")
        assert (status, json.loads(body)["error"]["code"]) == (500, "internal_error")
        assert b"secret" not in body


async def test_bodies_are_bounded_whether_announced_or_not() -> None:
    """413 by content-length, and 413 when chunks add up to more than the limit."""
    async with running(SMALL) as url:
        assert (await fetch(url, "POST", b"x" * 1000)) == (200, b"x" * 1000)
        assert (await fetch(url, "POST", b"x" * 1001))[0] == 413
        chunks = (
            b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"1f4\r\n"
            + b"x" * 500
        )
        answer = await raw(url, chunks + b"\r\n1f5\r\n" + b"x" * 501 + b"\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413")


async def test_slow_and_long_requests_are_cut() -> None:
    """A head or body that does not arrive gets 408, an endless head 431."""
    async with running(SMALL) as url:
        slow_head = await raw(url, b"POST / HT")
        assert slow_head.startswith(b"HTTP/1.1 408")
        assert b'"head_too_slow"' in slow_head
        slow_body = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc"
        assert b"body_too_slow" in await raw(url, slow_body)
        long_head = await raw(url, b"GET / HTTP/1.1\r\nx: " + b"a" * 3000)
        assert long_head.startswith(b"HTTP/1.1 431")
        assert b'"head_too_long"' in long_head


@pytest.mark.parametrize(
    "sent",
    [
        b"FOO / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x00\xff" + bytes(64),
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
async def test_what_is_not_http_gets_a_reason_code(sent: bytes) -> None:
    """An unknown method, TLS, two lengths, a chunk without a size: 400 with code, sentence and hint."""
    async with running(SMALL) as url:
        head, _, body = (await raw(url, sent)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n")
    error = json.loads(body)["error"]
    assert error["code"] == "malformed_http"
    assert error["message"]
    assert error["hint"]


async def test_a_client_that_stops_reading_is_dropped() -> None:
    """A reader that takes nothing does not hold its connection for ever."""
    async with running(SMALL) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"), limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(60):
            await FLOODS.wait()
        writer.transport.abort()


PROGRAM = """
import asyncio, sys
from hallmark.http.asgi import respond
from hallmark.http.serve import Listen, Service, bind, serve, run
async def app(scope, receive, send):
    print("began", flush=True)
    await asyncio.sleep(0.3)
    await respond(send, 200, b"late but whole")
async def background():
    try:
        await asyncio.Event().wait()
    finally:
        print("task stopped", flush=True)
run(serve(Service(app), Listen(port=int(sys.argv[1])), tasks=[background()]))
"""


async def test_sigterm_lets_open_requests_finish() -> None:
    """After SIGTERM the open request is answered, tasks are stopped, and the process ends with 0."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdout is not None
    while True:
        try:
            answer = asyncio.ensure_future(fetch(f"http://127.0.0.1:{port}/"))
            began = asyncio.ensure_future(process.stdout.readline())
            await asyncio.wait({answer, began}, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                began.cancel()
                answer.result()
            break
        except Unavailable:
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert await answer == (200, b"late but whole")
    assert await process.stdout.read() == b"task stopped\n"
    assert await process.wait() == 0


async def test_a_request_that_the_end_cuts_off_gets_a_reason() -> None:
    """Who waits longer than a stopping server does is told so in the usual shape."""
    async with serving(Service(app), bind(Listen(free_port())), grace_s=0) as url:
        asking = asyncio.ensure_future(fetch(url + "/slow"))
        await STUCK.wait()
    status, body = await asking
    assert status == 503
    assert json.loads(body)["error"]["code"] == "server_stopping"


async def test_a_server_that_nobody_asks_never_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer runs in an idle server, and each response still says when it was made."""
    loop, timers = asyncio.get_running_loop(), []
    real = loop.call_later

    def call_later(delay: float, *arguments: object) -> asyncio.TimerHandle:
        timers.append(delay)
        return real(delay, *arguments)  # type: ignore[arg-type]  # passed on as it came

    async with running() as url:
        monkeypatch.setattr(loop, "call_later", call_later)
        for _ in range(20):
            await asyncio.sleep(0)
        assert timers == []
        monkeypatch.undo()
        async with Pool().request("GET", url) as response:
            await response.read()
        made = parsedate_to_datetime((response.header(b"date") or b"").decode())
        assert abs(made.timestamp() - time.time()) < 60
