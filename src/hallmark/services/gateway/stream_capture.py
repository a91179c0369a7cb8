"""A stream on its way through: every byte kept for the check at its end, the receipt's event held back."""

from __future__ import annotations

from typing import Final

from hallmark.core.answer import DONE, MEMBER
from hallmark.core.errors import TooLarge
from hallmark.http.sse import Splitter

ERROR: Final = b'data: {"error":'


class StreamCapture:
    """Feed it what comes; it gives what may go on at once.

    The event that carries the receipt, the one that may follow it and everything from [DONE] on stay here, so
    that a stream without a receipt never looks complete. An error event, with which an enclave ends a stream
    that it cannot complete, stays here too: `failure`.
    """

    def __init__(self, limit: int) -> None:
        self._splitter = Splitter(limit)
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._held: list[bytes] = []
        self._done = False
        self.failure = b""

    def feed(self, chunk: bytes) -> bytes:
        """Bytes to pass on now, may be none. Raises TooLarge `answer_too_large`."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise TooLarge("answer_too_large", f"An answer has at most {self._limit} bytes here.")
        passed: list[bytes] = []
        for event in self._splitter.feed(chunk):
            self._parts.append(event)
            if self._done or event == DONE:
                self._done = True
            elif event.startswith(ERROR):
                self._done, self.failure = True, event
            elif MEMBER in event:
                passed += self._held
                self._held = [event]
            elif len(self._held) == 1:
                self._held.append(event)
            else:
                passed += [*self._held, event]
                self._held = []
        return b"".join(passed)

    def whole(self) -> bytes:
        """Every byte that came."""
        return b"".join(self._parts) + self._splitter.rest
