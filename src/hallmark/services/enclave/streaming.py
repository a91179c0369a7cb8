"""Sending an answer such that every byte of it is in the digest, and stopping when nobody reads any more."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.http.asgi import Receive, Send
from hallmark.http.errors import render
from hallmark.services.enclave.limits import KEEP_ALIVE_MS

KEEP_ALIVE_S: Final = KEEP_ALIVE_MS / 1000
"""A stream that is silent for longer gets a comment, so that nobody on the way takes it for dead."""
COMMENT: Final = b": waiting\n\n"

T = TypeVar("T")

STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Gone(Exception):
    """The client went away before its answer was complete."""


class Emitter:
    """Sends a stream. What goes through `emit` is covered by the receipt, byte for byte, before it leaves."""

    def __init__(self, send: Send, start: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """`start` is what the rolling digest starts from (`response_prefix`); `headers` go into the head."""
        self._send = send
        self._headers = [*STREAM_HEADERS, *headers]
        self._state = hashlib.sha256(start)
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None
        self._sending = False
        self.started = False

    @property
    def digest(self) -> bytes:
        """SHA-256 over `start` and every byte emitted so far; 32 bytes."""
        return self._state.digest()

    async def emit(self, data: bytes) -> None:
        """Send covered bytes; the first call opens the response."""
        if self._beat is not None:
            await self._beat
        self._sending = True
        try:
            await self._emit(data)
        finally:
            self._sending = False

    async def _emit(self, data: bytes) -> None:
        await self._open()
        self._last = self._loop.time()
        self._state.update(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _open(self) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})

    def keep_alive(self, seconds: float) -> None:
        """From now on, until `still`: emit a comment whenever nothing was emitted for `seconds`."""
        self._timer = self._loop.call_later(seconds, self._look, seconds)

    def _look(self, seconds: float) -> None:
        left = self._last + seconds - self._loop.time()
        if self._sending or left > 0:
            self._timer = self._loop.call_later(max(left, seconds / 10), self._look, seconds)
            return
        self._beat = self._loop.create_task(self._comment(seconds))

    async def _comment(self, seconds: float) -> None:
        await self._emit(COMMENT)
        self._beat = None
        self._timer = self._loop.call_later(seconds, self._look, seconds)

    async def still(self) -> None:
        """No comments any more; one that is under way has left, and is counted."""
        if self._beat is not None:
            await asyncio.shield(self._beat)
        if self._timer is not None:
            self._timer.cancel()

    def cover(self, data: bytes) -> None:
        """Count bytes as covered that `end` will send, after the receipt's event."""
        self._state.update(data)

    async def end(self, data: bytes) -> None:
        """Send the closing bytes and end the response."""
        await self._open()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def fail(self, error: HallmarkError) -> None:
        """End the stream with an error event and without [DONE]: what came before is no complete answer."""
        await self.end(b"data: " + render(error) + b"\n\n")


async def while_present(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client disconnects. Raises Gone."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise Gone
        return task.result()
    finally:
        watch.cancel()
        task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def json_of(value: object) -> bytes:
    """Compact JSON, as answers are written."""
    return msgspec.json.encode(value)
