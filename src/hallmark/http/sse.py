"""Server-sent events (WHATWG HTML section 9.2), split without changing a byte."""

from __future__ import annotations

import re

from hallmark.core.errors import TooLarge

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class Splitter:
    """Cuts a byte stream into events. The concatenation of all that comes out is what went in."""

    def __init__(self, limit: int = 4 * 1024 * 1024) -> None:
        self._rest = b""
        self._limit = limit

    @property
    def rest(self) -> bytes:
        """Bytes of an event that is not complete yet."""
        return self._rest

    def feed(self, data: bytes) -> list[bytes]:
        """Complete events, each with its closing blank line.

        Raises TooLarge `event_too_large` when an event is over the limit.
        """
        data = self._rest + data if self._rest else data
        events = []
        at = 0
        for match in _END.finditer(data):
            events.append(data[at : match.end()])
            at = match.end()
        self._rest = data[at:]
        if len(self._rest) > self._limit:
            raise TooLarge("event_too_large", f"An event has at most {self._limit} bytes.")
        return events


def data_of(event: bytes) -> bytes | None:
    """The event's `data` lines joined by line feeds; None when it has none."""
    lines = []
    for line in event.splitlines():
        if line.startswith(b"data:"):
            value = line[5:]
            lines.append(value[1:] if value.startswith(b" ") else value)
    return b"\n".join(lines) if lines else None


def event_of(data: bytes) -> bytes:
    """An event with one data line."""
    return b"data: " + data + b"\n\n"
