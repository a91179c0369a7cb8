"""A stream on its way through: every byte kept for the check at its end, the receipt's event held back."""

from __future__ import annotations

from hallmark.core.answer import DONE, MEMBER
from hallmark.core.errors import TooLarge
from hallmark.http.sse import Splitter


class Tap:
    """Feed it what comes; it gives what may go on at once.

    The event that carries the receipt and everything from [DONE] on stay here, so that a stream without a
    receipt never looks complete.
    """

    def __init__(self, limit: int) -> None:
        self._splitter = Splitter(limit)
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._held = b""
        self._done = False

    def feed(self, chunk: bytes) -> bytes:
        """Bytes to pass on now, may be none. Raises TooLarge `answer_too_large`."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise TooLarge("answer_too_large", f"An answer has at most {self._limit} bytes here.")
        passed = []
        for event in self._splitter.feed(chunk):
            self._parts.append(event)
            if self._done or event == DONE:
                self._done = True
                continue
            if self._held:
                passed.append(self._held)
                self._held = b""
            if MEMBER in event:
                self._held = event
            else:
                passed.append(event)
        return b"".join(passed)

    def whole(self) -> bytes:
        """Every byte that came."""
        return b"".join(self._parts) + self._splitter.rest
