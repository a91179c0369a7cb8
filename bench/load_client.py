"""A client that costs little: HTTP/1.1 over kept connections, answers timed to their first and last byte.

Who measures a server on the same two cores must not measure himself. Any answer that is not a whole one
raises: figures of failures are not figures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

PATIENCE_S = 120.0


class Timing(NamedTuple):
    """Seconds from when an answer was due: to its first byte of text, and to its last byte."""

    first: float
    total: float


class Load(NamedTuple):
    """`streams` at once, or (`rate` > 0) so many a second, streamed or whole; `pause_s` after each answer."""

    name: str
    answers: int
    streams: int = 1
    rate: float = 0.0
    stream: bool = True
    pause_s: float = 0.0


class _Answer(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.closed = transport, False  # type: ignore[assignment]

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed = True
        if self.done is not None and not self.done.done():
            self.done.set_exception(RuntimeError("the connection ended within an answer"))

    done: asyncio.Future[None] | None = None

    async def ask(self, head: bytes, body: bytes, due: float) -> tuple[Timing, int, bytes]:
        """Send one request and read its answer."""
        assert self.transport is not None
        self.parser = httptools.HttpResponseParser(self)
        self.parts, self.first, self.due = [], 0.0, due
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(head + body)
        async with asyncio.timeout(PATIENCE_S):
            await self.done
        total = time.perf_counter() - due
        return Timing(self.first or total, total), self.parser.get_status_code(), b"".join(self.parts)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        if not self.first and b'"content":"' in data.replace(b'": "', b'":"').replace(b'"content":""', b""):
            self.first = time.perf_counter() - self.due
        self.parts.append(data)

    def on_message_complete(self) -> None:
        assert self.done is not None
        if not self.parser.should_keep_alive():
            self.closed = True
        self.done.set_result(None)


class Client:
    """Asks one chat endpoint; connections are kept and used again. `said` is the newest answer's body."""

    def __init__(
        self, base_url: str, model: str, question: str, *, headers: dict[str, str] | None = None
    ) -> None:
        at = urlsplit(base_url)
        self._host, self._port = at.hostname or "127.0.0.1", at.port or 80
        self._path = at.path.rstrip("/") + "/chat/completions"
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._free: list[_Answer] = []
        self.said = b""
        asked = {"model": model, "messages": [{"role": "user", "content": question}]}
        self._bodies = {stream: json.dumps({**asked, "stream": stream}).encode() for stream in (True, False)}

    async def ask(self, stream: bool, due: float) -> Timing:
        """One answer. Raises RuntimeError when it is not a whole one."""
        body = self._bodies[stream]
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\n{self._headers}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        connection = await self._connection()
        timing, status, said = await connection.ask(head, body, due)
        self.said = said
        whole = said.rstrip().endswith(b"data: [DONE]") if stream else b'"choices"' in said
        if status != 200 or not whole:
            raise RuntimeError(f"{self._host}:{self._port} answered {status}: {said[-300:]!r}")
        if connection.closed:
            connection.transport.close()
        else:
            self._free.append(connection)
        return timing

    async def _connection(self) -> _Answer:
        while self._free:
            kept = self._free.pop()
            if not kept.closed:
                return kept
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Answer, self._host, self._port))[1]

    def close(self) -> None:
        """End the kept connections."""
        for connection in self._free:
            connection.transport.close()
        self._free.clear()


Ask = Callable[[bool, float], Awaitable[Timing]]


async def run_load(ask: Ask, load: Load) -> list[Timing]:
    """Every answer of a load."""
    if load.rate:
        start = time.perf_counter() + 0.05

        async def one(number: int) -> Timing:
            due = start + number / load.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            return await ask(load.stream, due)

        return list(await asyncio.gather(*(one(number) for number in range(load.answers))))
    left, timings = [None] * load.answers, []

    async def stream() -> None:
        while left:
            left.pop()
            timings.append(await ask(load.stream, time.perf_counter()))
            if load.pause_s:
                await asyncio.sleep(load.pause_s)

    await asyncio.gather(*(stream() for _ in range(load.streams)))
    return timings
