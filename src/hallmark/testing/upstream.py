"""An OpenAI-compatible server at the other end of a socket pair, with answers that the test writes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import msgspec

from hallmark.core.errors import Unavailable


class SentRequest(msgspec.Struct, frozen=True):
    """A request as the server got it."""

    path: str
    headers: dict[str, str]
    body: bytes


LAST = b"connection: close\r\n\r\n"
"""The end of a head: this server takes one request on each connection, and says so."""

Answer = Callable[[SentRequest, asyncio.StreamWriter], Awaitable[None]]


class FakeUpstream:
    """`dial` gives a socket to a server that runs `answer` for the one request on it; `seen` keeps them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[SentRequest] = []
        self.closed = asyncio.Event()
        self.unreachable = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def dial(self, _name: str) -> socket.socket:
        """A connected socket. Raises Unavailable `upstream_unreachable` when `unreachable` is set."""
        if self.unreachable:
            raise Unavailable("upstream_unreachable", "The upstream cannot be reached.")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        task = asyncio.ensure_future(self._serve(theirs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ours

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            self.seen.append(SentRequest(head[0].split()[1], headers, body))
            await self.answer(self.seen[-1], writer)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()
            self.closed.set()


def json_answer(body: bytes, status: str = "200 OK") -> Answer:
    """Answers with a JSON body."""

    async def answer(_request: SentRequest, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + LAST + body)

    return answer


def stream_answer(*pieces: bytes) -> Answer:
    """Answers with a chunked event stream in the given pieces, cut as the test likes."""

    async def answer(_request: SentRequest, writer: asyncio.StreamWriter) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
        writer.write(head.encode() + b"transfer-encoding: chunked\r\n" + LAST)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    return answer
