"""Compressed bodies (RFC 9110 section 8.4): gzip, both ways. What is signed or digested is not compressed."""

from __future__ import annotations

import zlib
from typing import Final

from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.http.asgi import Message, Scope, Send, header
from hallmark.http.errors import UnknownEncoding

GZIP: Final = 31
"""zlib's name for a gzip header and trailer around a window of 32 KiB."""
LEVEL: Final = 1
WORTH: Final = 1400
"""Bytes from which compressing pays: what does not fit into one packet."""


def decoded(scope: Scope, body: bytes, limit: int) -> bytes:
    """A request's body as it was before `Content-Encoding`.

    Raises UnknownEncoding `unsupported_encoding`, InvalidInput `bad_encoding`, TooLarge `body_too_large` as
    soon as more than `limit` bytes come out, however few went in.
    """
    encoding = (header(scope, b"content-encoding") or b"identity").strip().lower()
    if encoding == b"identity":
        return body
    if encoding not in (b"gzip", b"x-gzip"):
        raise UnknownEncoding("unsupported_encoding", "A body is sent as it is, or as gzip.")
    inflater = zlib.decompressobj(GZIP)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise _broken() from None
    if len(data) > limit:
        raise TooLarge("body_too_large", f"A request body has at most {limit} bytes.")
    if not inflater.eof or inflater.unused_data:
        raise _broken()
    return data


def _broken() -> InvalidInput:
    return InvalidInput("bad_encoding", "The request body is not what its Content-Encoding says.")


def accepts_gzip(scope: Scope) -> bool:
    """Whether the client takes gzip (RFC 9110 section 12.5.3)."""
    for item in (header(scope, b"accept-encoding") or b"").lower().split(b","):
        name, _, weight = item.partition(b";")
        if name.strip() in (b"gzip", b"*"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


class Compressing:
    """Sends a JSON answer of known length as gzip; streams and everything else pass as they are."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on, or keep the head until the whole body is there."""
        if message["type"] == "http.response.start" and _worth(message):
            self._start = message
            return
        start, self._start = self._start, None
        if start is None:
            await self._send(message)
            return
        if message.get("more_body", False):
            await self._send(start)
            await self._send(message)
            return
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
        body = packer.compress(message.get("body", b"")) + packer.flush()
        headers = [(key, value) for key, value in start["headers"] if key != b"content-length"]
        headers += [
            (b"content-length", str(len(body)).encode()),
            (b"content-encoding", b"gzip"),
            (b"vary", b"accept-encoding"),
        ]
        await self._send({**start, "headers": headers})
        await self._send({**message, "body": body})


def _worth(start: Message) -> bool:
    headers = dict(start.get("headers", ()))
    return (
        headers.get(b"content-type", b"").startswith(b"application/json")
        and int(headers.get(b"content-length", b"0")) >= WORTH
        and b"content-encoding" not in headers
    )
