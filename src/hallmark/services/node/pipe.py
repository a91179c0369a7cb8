"""The blind pipe: bytes between a TCP socket and a socket that the enclave holds. Nothing is read or kept.

Each direction stops reading when the other side's buffer is full, so a slow client costs a bounded buffer;
an end of stream is passed on as such, so half-closed connections work.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Final, cast

from hallmark.core.errors import HallmarkError

BUFFER: Final = 128 * 1024
BACKLOG: Final = 1024

Hand = Callable[[socket.socket], None]
"""Gives one end of a socket pair to the enclave, which owns it from then on."""


class End(asyncio.Protocol):
    """One end of a pipe. Two of them that know each other pass everything on."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._ended = False
        self._closed = False
        self._early: list[bytes] = []
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound the buffer; read nothing until the other end is there."""
        # uvloop's transports do not inherit from asyncio's, so this is said, not checked.
        stream = cast(asyncio.Transport, transport)
        stream.set_write_buffer_limits(high=BUFFER)
        stream.pause_reading()
        self.transport = stream

    def join(self, other: End) -> None:
        """Begin to pass bytes between the two."""
        self.other, other.other = other, self
        for end in (self, other):
            end._pass_early()
            if end._closed:
                end._close_other()
            elif end.transport is not None:
                end.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on; what comes before the other end is there waits for it.

        uvloop begins to read after `connection_made` even if that paused it, so the first bytes may come
        early; pausing again bounds them to one read.
        """
        self._meter.moved(len(data))
        if self.other is None:
            self._early.append(data)
            if self.transport is not None:
                self.transport.pause_reading()
        elif self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass the end of stream on; close when both directions have ended."""
        self._ended = True
        other = self.other
        if other is None:
            return True
        if other.transport is None or other._ended:
            return False
        with contextlib.suppress(OSError, RuntimeError):
            other.transport.write_eof()
        return True

    def _pass_early(self) -> None:
        """Hand over what came before the other end was there, and an end of stream that came with it."""
        if self.other is None or self.other.transport is None:
            return
        for data in self._early:
            self.other.transport.write(data)
        self._early.clear()
        if self._ended and not self._closed:
            with contextlib.suppress(OSError, RuntimeError):
                self.other.transport.write_eof()

    def pause_writing(self) -> None:
        """Stop reading at the other end while this one takes no more."""
        if self.other is not None and self.other.transport is not None and not self.other._closed:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read at the other end again."""
        if self.other is not None and self.other.transport is not None and not self.other._closed:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end after what it still has to write."""
        del exc  # why one side went is not the other's to know
        self._closed = True
        self._close_other()

    def _close_other(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other._closed:
            self.other.transport.close()


class ClientEnd(End):
    """The end that faces a client; counts itself for as long as it lives."""

    def __init__(self, pipes: Pipes) -> None:
        super().__init__(pipes.meter)
        self._pipes = pipes
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place and an enclave end, or close at once."""
        super().connection_made(transport)
        self._counted = self._pipes.take()
        if not self._counted or not self._pipes.begin(self):
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        super().connection_lost(exc)
        if self._counted:
            self._pipes.give()


class Meter:
    """Counts bytes and remembers when the last one moved (loop time, seconds)."""

    def __init__(self) -> None:
        self.bytes = 0
        self.last = 0.0
        self._loop = asyncio.get_running_loop()

    def moved(self, count: int) -> None:
        """`count` bytes were passed on."""
        self.bytes += count
        self.last = self._loop.time()


class Pipes:
    """All pipes of one node: from clients to the enclave, and from the enclave to upstreams.

    `hand` may raise a HallmarkError when there is no enclave; the client is then disconnected.
    """

    def __init__(self, hand: Hand, limit: int) -> None:
        self.meter = Meter()
        self.open = 0
        self.accepting = True
        self._hand = hand
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, sock: socket.socket) -> asyncio.Server:
        """Accept clients on a bound socket."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: ClientEnd(self), sock=sock, backlog=BACKLOG)

    def take(self) -> bool:
        """Take one of the places; False when none is free or the node is stopping."""
        if not self.accepting or self.open >= self._limit:
            return False
        self.open += 1
        return True

    def give(self) -> None:
        """Give a place back."""
        self.open -= 1

    def begin(self, client: End) -> bool:
        """Make the client's other end and give its peer to the enclave; False when there is no enclave."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:  # no more open files: this client, like one without a place, is let go
            return False
        ours.setblocking(False)
        try:
            self._hand(theirs)
        except HallmarkError:
            ours.close()
            return False
        self._run(self._join(client, ours))
        return True

    async def dial(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Connect to an upstream; the returned socket is for the enclave. Raises OSError, TimeoutError."""
        far = End(self.meter)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().create_connection(lambda: far, host, port)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        await self._join(far, ours)
        return theirs

    async def _join(self, end: End, ours: socket.socket) -> None:
        near = End(self.meter)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: near, sock=ours)
        except (OSError, RuntimeError):
            ours.close()
            if end.transport is not None:
                end.transport.close()
            return
        near.join(end)

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def quiet(self, still_s: float, limit_s: float) -> None:
        """Wait until nothing has moved for `still_s` seconds, at most `limit_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while self.open and loop.time() < deadline and loop.time() - self.meter.last < still_s:  # noqa: ASYNC110
            await asyncio.sleep(min(still_s / 4, 0.1))
