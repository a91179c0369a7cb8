"""Stopping an answer on its owner's word, so that it ends with a receipt over exactly what left.

A client that closes its connection stops the work as well, but reads no receipt any more, and cannot know how
much had left. `POST /v1/hallmark/stop` with the request's own `Hallmark-Nonce` stops the work and lets the
stream end: the nonce is 32 bytes that its owner drew, and nobody else has it before the receipt is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.hashing import ZERO32
from hallmark.http.asgi import Message, Send


class Stopped(Exception):
    """The answer's owner wants no more of it."""


class Stoppable:
    """One stream under way. It is stopped between sends, never within one: what was counted has left."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._task: asyncio.Task[None] | None = None
        self._sending = False
        self._stopping = False
        self._cancelled = False

    async def send(self, message: Message) -> None:
        """Send, and stop then if that was asked for meanwhile."""
        self._sending = True
        try:
            await self._send(message)
        finally:
            self._sending = False
        if self._stopping and self._task is not None:
            if asyncio.current_task() is self._task:
                raise Stopped
            self._cancel()

    def stop(self) -> None:
        """Stop now, or after the send that is under way."""
        self._stopping = True
        if not self._sending:
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    async def run(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do `work` to its end or until it is stopped; whether it was stopped."""
        self._task = here = asyncio.current_task()
        assert here is not None, "coroutines run in tasks"
        cancels = here.cancelling()
        try:
            await work
        except Stopped:
            return True
        except asyncio.CancelledError:
            if not self._cancelled or here.cancelling() > cancels + 1:  # somebody else cancels this
                raise
            return True
        finally:
            self._task = None
            if self._cancelled:
                here.uncancel()
        return False


class Stops:
    """Streams under way by the nonces of their requests."""

    def __init__(self) -> None:
        self._running: dict[bytes, list[Stoppable]] = {}

    @contextmanager
    def watched(self, nonce: bytes, stream: Stoppable) -> Iterator[None]:
        """While it is under way, `stream` can be stopped by `nonce`; one without a nonce cannot."""
        if nonce == ZERO32:
            yield
            return
        self._running.setdefault(nonce, []).append(stream)
        try:
            yield
        finally:
            self._running[nonce].remove(stream)
            if not self._running[nonce]:
                del self._running[nonce]

    def stop(self, nonce: bytes) -> int:
        """Stop what carries this nonce; how many streams that were. Raises NotFound `nothing_to_stop`."""
        found = self._running.get(nonce, [])
        if not found:
            raise nothing_to_stop()
        for stream in found:
            stream.stop()
        return len(found)


def nothing_to_stop() -> NotFound:
    """The error where no stream under way carries the nonce."""
    return NotFound(
        "nothing_to_stop",
        "No stream with this nonce is under way here.",
        "It may have ended already: read it to its end.",
    )


def stopped_early() -> InvalidInput:
    """The error of an answer that was stopped before anything of it had left."""
    return InvalidInput("stopped", "The answer was stopped before anything of it had left.")
