"""A sealed response as it leaves: an inner application's messages in, sealed chunks out.

In the padded coding the head is filled up to a size class, the body leaves in frames of size classes, one a
chunk, and what comes within 20 ms of a frame is gathered into the next: neither the lengths of tokens nor
their times show. Keep-alives of a stream are part of it and go the same way. The final chunk leaves only when
the application ended its response: one that was cut has none.

Without chunks (RFC 9458) the whole response is gathered and sealed at its end.
"""

from __future__ import annotations

import asyncio
from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.http.asgi import Message, Send
from hallmark.privacy.binary_http import END, Response, content_piece, encode_response, start_response
from hallmark.privacy.ohttp import CHUNKED_RESPONSE_TYPE, RESPONSE_TYPE, ResponseWriter
from hallmark.privacy.padding import CODING, LARGEST_FRAME, LENGTH, frame

GAP_S: Final = 0.02
"""From one frame of a stream to the next, at least."""
MOST_GATHERED: Final = 65_536
MOST_WHOLE: Final = 64 << 20
"""A response without chunks has at most so many bytes."""
SMALLEST_HEAD: Final = 512
FILLER: Final = b"hallmark-padding"
LEAST_FILLED: Final = 64
"""A field value of at least this length has a length of two bytes before it, up to 16,383."""
FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive"))

Fields = tuple[tuple[bytes, bytes], ...]


class SealedSend:
    """`send` for the inner application; `send` is the outer one, `writer` seals."""

    def __init__(
        self, send: Send, writer: ResponseWriter, *, chunked: bool, padded: bool, bodiless: bool
    ) -> None:
        self._send, self._writer = send, writer
        self._chunked, self._padded, self._bodiless = chunked, padded, bodiless
        self._loop = asyncio.get_running_loop()
        self._status, self._fields = 0, Fields()
        self._head_left = self._outer_started = False
        self._gathered: list[bytes] = []
        self._size = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.ended = False

    @property
    def begun(self) -> bool:
        """Whether the application has begun its response."""
        return bool(self._status)

    async def __call__(self, message: Message) -> None:
        """One message of the inner application."""
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body" and not self.ended:
            await self._body(message.get("body", b""), more=message.get("more_body", False))

    async def close(self) -> None:
        """The application has returned. A response that it did not end is left without its final chunk, and
        the outer one without its end.
        """
        self._drop_timer()
        if self._leaving is not None:
            await self._leaving
        if self._status and not self._outer_started:
            await self._out(b"")

    def _begin(self, message: Message) -> None:
        fields = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
        self._status = message["status"]
        self._bodiless = self._bodiless or self._status in (204, 304)
        if self._padded:
            fields = [each for each in fields if each[0] not in FRAMING]
            fields.append((b"content-encoding", CODING.encode()))
        self._fields = tuple(fields)

    async def _body(self, data: bytes, *, more: bool) -> None:
        if data and not self._bodiless:
            self._gathered.append(bytes(data))
            self._size += len(data)
        if not more:
            self.ended = True
            await self._end()
        elif not self._chunked:
            if self._size > MOST_WHOLE:
                raise InvalidInput("response_too_large", "An answer without chunks cannot be so long.")
        elif not self._padded or self._size > MOST_GATHERED:
            await self._leave()
        else:
            await self._group()

    async def _group(self) -> None:
        """Leave now, or when the gap is over."""
        wait = self._last + GAP_S - self._loop.time()
        if wait <= 0 and self._leaving is None:
            await self._leave()
        elif self._timer is None:
            self._timer = self._loop.call_later(max(wait, 0.0), self._due)

    def _due(self) -> None:
        self._timer = None
        if self._leaving is None:
            self._leaving = self._loop.create_task(self._left())
        else:
            self._timer = self._loop.call_later(GAP_S, self._due)

    async def _left(self) -> None:
        try:
            await self._write()
        finally:
            self._leaving = None

    async def _leave(self) -> None:
        """Send what was gathered, after what is being sent."""
        self._drop_timer()
        if self._leaving is not None:
            await asyncio.shield(self._leaving)
        await self._write()

    async def _write(self) -> None:
        if self._size:
            self._last = self._loop.time()
            await self._out(self._head() + self._pieces())

    async def _end(self) -> None:
        self._drop_timer()
        if self._leaving is not None:
            await asyncio.shield(self._leaving)
        if self._chunked:
            last = self._head() + self._pieces() + self._writer.seal(END, final=True)
        else:
            last = self._writer.seal(self._whole(), final=True)
        await self._out(last, more=False)

    def _head(self) -> bytes:
        """The head as a chunk of its own, once."""
        if self._head_left:
            return b""
        self._head_left = True
        fields = filled(self._status, self._fields) if self._padded else self._fields
        return self._writer.seal(start_response(self._status, fields))

    def _pieces(self) -> bytes:
        """What was gathered, as chunks."""
        data, self._gathered, self._size = b"".join(self._gathered), [], 0
        if not data:
            return b""
        most = LARGEST_FRAME - LENGTH
        pieces = [data[at : at + most] for at in range(0, len(data), most)]
        if self._padded:
            pieces = [frame(piece) for piece in pieces]
        return b"".join(self._writer.seal(content_piece(piece)) for piece in pieces)

    def _whole(self) -> bytes:
        data = b"".join(self._gathered)
        if self._padded:
            data, fields = frame(data) if data else b"", filled(self._status, self._fields)
        else:
            fields = self._fields
        return encode_response(Response(self._status, fields, data))

    async def _out(self, data: bytes, *, more: bool = True) -> None:
        if not self._outer_started:
            self._outer_started = True
            kind = CHUNKED_RESPONSE_TYPE if self._chunked else RESPONSE_TYPE
            headers = [
                (b"content-type", kind.encode()),
                (b"cache-control", b"no-store, no-transform"),
                (b"incremental", b"?1"),
                (b"x-accel-buffering", b"no"),
            ]
            data = self._writer.header + data
            if not more:
                headers.append((b"content-length", b"%d" % len(data)))
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def filled(status: int, fields: Fields) -> Fields:
    """The fields with one more, whose length brings the head to a power of two of bytes, 512 at least."""
    least = len(start_response(status, (*fields, (FILLER, b"0" * LEAST_FILLED))))
    size = max(SMALLEST_HEAD, 1 << (least - 1).bit_length())
    return (*fields, (FILLER, b"0" * (LEAST_FILLED + size - least)))
