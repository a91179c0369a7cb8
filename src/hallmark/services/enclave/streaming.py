"""Sending an answer such that every byte of it is in the digest, and stopping when nobody reads any more."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

import msgspec

from hallmark.core.answer import COMMENT
from hallmark.core.errors import HallmarkError
from hallmark.http.asgi import Receive, Send
from hallmark.http.errors import render
from hallmark.services.enclave.limits import KEEP_ALIVE_MS

KEEP_ALIVE_S: Final = KEEP_ALIVE_MS / 1000
"""A stream that is silent for longer gets a comment, so that nobody on the way takes it for dead."""
GAP_S: Final = 0.02
"""A stream is written to at most every so many seconds."""
LATE_S: Final = 0.001
"""What was gathered leaves with what comes next when GAP_S are over, and so much later if nothing comes."""
SMALL_S: Final = 0.0001
"""Less than this is no time: clocks are sums of floats."""
MOST_GATHERED: Final = 16_384

T = TypeVar("T")

STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Gone(Exception):
    """The client went away before its answer was complete."""


class Emitter:
    """Sends a stream. What goes through `emit` is covered by the receipt, byte for byte, before it leaves.

    The first event leaves at once, and so does one that comes GAP_S after the last that left. What comes
    sooner is gathered until then and leaves in one piece: nobody reads faster, and everybody on the way (TLS,
    pipe, gateway, client) is woken once for it. What is gathered is not covered yet.
    """

    def __init__(
        self,
        send: Send,
        start: bytes,
        headers: Iterable[tuple[bytes, bytes]] = (),
        draw: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`start` is what the rolling digest starts from (`response_prefix`); `headers` go into the head;
        `draw` is awaited before bytes leave, and keeps them by raising.
        """
        self._send = send
        self._draw = draw
        self._headers = [*STREAM_HEADERS, *headers]
        self._state = hashlib.sha256(start)
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None
        self._gathered: list[bytes] = []
        self._size = 0
        self._left: asyncio.TimerHandle | None = None
        self._sending = False
        self.started = False

    @property
    def digest(self) -> bytes:
        """SHA-256 over `start` and every byte emitted so far; 32 bytes."""
        return self._state.digest()

    async def emit(self, data: bytes) -> None:
        """Send covered bytes, now or in a moment; the first call opens the response."""
        if self._beat is not None:
            await asyncio.shield(self._beat)
        wait = self.busy_s()
        if wait > 0 and self._size + len(data) <= MOST_GATHERED:
            self._gathered.append(data)
            self._size += len(data)
            if self._left is None:
                self._left = self._loop.call_later(wait + LATE_S, self._leave)
            return
        await self._flush(data)

    def busy_s(self) -> float:
        """For how many seconds what is emitted would only be gathered."""
        wait = self._last + GAP_S - self._loop.time() if self.started else 0.0
        return wait if wait > SMALL_S else 0.0

    def _leave(self) -> None:
        """The gap is over: what was gathered leaves."""
        self._left = None
        if self._sending or self._beat is not None:
            self._left = self._loop.call_later(GAP_S, self._leave)
        elif self._gathered:
            self._beat = self._loop.create_task(self._leaving())

    async def _leaving(self) -> None:
        await self._flush(b"")
        self._beat = None

    async def _flush(self, data: bytes) -> None:
        """Send what was gathered, and `data` after it."""
        gathered = self._gathered
        self.drop()
        if not gathered and not data:
            return
        self._sending = True
        try:
            await self._emit(b"".join(gathered) + data)
        finally:
            self._sending = False

    def drop(self) -> None:
        """Forget what was gathered: it has not left, and is not covered."""
        self._gathered, self._size = [], 0
        if self._left is not None:
            self._left.cancel()
            self._left = None

    async def _emit(self, data: bytes) -> None:
        if self._draw is not None:
            await self._draw()
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
        """No comments any more; one that is under way has left, and is counted. So has what was emitted."""
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None:
            await asyncio.shield(self._beat)
        await self._flush(b"")

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
    here = asyncio.current_task()
    assert here is not None, "coroutines run in tasks"
    cancels, over, gone = here.cancelling(), False, False

    def left(watch: asyncio.Task[None]) -> None:
        nonlocal gone
        if not over and not watch.cancelled():
            gone = True
            here.cancel()

    watch = asyncio.ensure_future(_disconnected(receive))
    watch.add_done_callback(left)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and here.cancelling() == cancels + 1:  # nobody else cancels this
            raise Gone from None
        raise
    finally:
        over = True
        watch.cancel()
        if gone:
            here.uncancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def json_of(value: object) -> bytes:
    """Compact JSON, as answers are written."""
    return msgspec.json.encode(value)
