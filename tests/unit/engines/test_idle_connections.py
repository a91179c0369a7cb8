"""Connections to an upstream that wait for their next request: used again, never risked."""

from __future__ import annotations

import asyncio
import socket

import pytest

from hallmark.core.errors import HallmarkError
from hallmark.engines import idle_connections
from hallmark.engines.upstream import Target, Upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BODY = b'{"id": "a"}'


class Server:
    """Answers requests on any number of connections with `answers`, in order; b"" closes."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.opened = 0
        self.requests = 0
        self.ended = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    async def dial(self, _name: str) -> socket.socket:
        """A connected socket."""
        self.opened += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.tasks.add(asyncio.ensure_future(self._serve(theirs)))
        return ours

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        while self.answers and (await reader.read(65_536)):
            self.requests += 1
            answer = self.answers.pop(0)
            if not answer:
                break
            writer.write(answer)
        if not self.answers:
            await reader.read()
        writer.close()
        self.ended.set()


def upstream(server: Server) -> Upstream:
    """An upstream that dials the server."""
    return Upstream(Target("m", "http://server.invalid/v1"), server.dial)


def answer(body: bytes = BODY, more: bytes = b"") -> bytes:
    """A whole answer."""
    return HEAD + more + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def streamed(*payloads: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked event stream."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    events = [b"data: " + payload + b"\n\n" for payload in payloads]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + end


FINISHED = b'{"choices":[{"finish_reason":"stop"}]}'


async def ask(one: Upstream) -> bytes:
    """One whole answer's content."""
    async with one.open("/chat/completions", b"{}") as reply:
        return await reply.content()


async def test_a_hundred_answers_take_one_connection() -> None:
    """Whole answers and streams that came to their end leave a connection for the next."""
    server = Server(*[answer(), streamed(FINISHED, b"[DONE]")] * 50)
    one = upstream(server)
    for _ in range(50):
        assert await ask(one) == BODY
        async with one.open("/chat/completions", b"{}") as reply:
            assert len([chunk async for chunks in reply.events() for chunk in chunks]) == 1
        for _ in range(3):
            await asyncio.sleep(0)
    assert (server.opened, server.requests) == (1, 100)


@pytest.mark.parametrize("how", ["connection: close\r\n", "broken", "early", "raised"])
async def test_what_did_not_end_well_is_not_used_again(how: str) -> None:
    """A server that closes, a stream without its framing's end, a reader that leaves: a new connection."""
    first = {
        "broken": streamed(FINISHED, b"[DONE]", end=b"zz\r\n"),
        "early": streamed(b"[DONE]", end=b""),
    }.get(how, answer(more=how.encode() if ":" in how else b""))
    server = Server(first, answer())
    one = upstream(server)
    if how in ("broken", "early"):
        async with one.open("/chat/completions", b"{}") as reply:
            got = [chunk async for chunks in reply.events() for chunk in chunks]
            assert len(got) == (how == "broken")
    elif how == "raised":
        with pytest.raises(ZeroDivisionError):
            async with one.open("/chat/completions", b"{}"):
                raise ZeroDivisionError
    else:
        await ask(one)
    assert await ask(one) == BODY
    assert server.opened == 2


async def test_a_request_is_never_written_twice() -> None:
    """A kept connection that closes after the request was written fails the request; nothing is repeated."""
    server = Server(answer(), b"", answer())
    one = upstream(server)
    await ask(one)
    with pytest.raises(HallmarkError) as caught:
        await ask(one)
    assert caught.value.reason == "upstream_failed"
    assert (server.opened, server.requests) == (1, 2)
    assert await ask(one) == BODY


async def test_a_connection_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody uses is closed before the server would."""
    monkeypatch.setattr(idle_connections, "KEEP_S", 0.0)
    server = Server(answer())
    await ask(upstream(server))
    await asyncio.wait_for(server.ended.wait(), 60)
