"""One sealed exchange: a request that only its target can read, and the answer, opened chunk by chunk.

The response is read as it comes. Nothing of a chunk is handed out before its AEAD has held; a stream that
ends without its final chunk, or in which one is missing, repeated, changed or out of place, raises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Final

from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge
from hallmark.core.sealing import SUITES
from hallmark.crypto.hpke import AEAD_AES128, KDF_SHA256, KEM_XWING
from hallmark.http.client import Timeouts
from hallmark.http.connection import Response
from hallmark.privacy.binary_http import Request, ResponseParser, encode_request
from hallmark.privacy.ohttp import ClientRequest, KeyConfiguration, ResponseReader
from hallmark.privacy.padding import CODING, FrameReader, pad_request
from hallmark.services.sealing.refusals import AnswerBroken, Lost, NotReached
from hallmark.services.sealing.relay_link import Delivery, RelayLink

PADDED: Final = CODING.encode()


def chosen(keys: Iterable[KeyConfiguration]) -> KeyConfiguration:
    """The configuration to seal to: X-Wing where it is offered. Raises NotReached `no_common_suite`."""
    offered = tuple(keys)
    if not offered:
        raise NotReached("no_common_suite", "No key that can be sealed to is offered.")
    return next((one for one in offered if one.kem == KEM_XWING), offered[0])


class SealedExchange:
    """One request on its way, as an async context manager that gives a `SealedReply`.

    `size` is the size class of the request in bytes, `suite` how it is sealed, in words.
    """

    def __init__(
        self, link: RelayLink, target: str, key: KeyConfiguration, request: Request, *, timeouts: Timeouts
    ) -> None:
        padded = pad_request(encode_request(request))
        self.size, self.suite = len(padded), SUITES[key.kem, KDF_SHA256, AEAD_AES128]
        self._sealed = ClientRequest(key, AEAD_AES128)
        capsule = self._sealed.header + self._sealed.seal(padded, final=True)
        self._delivery: Delivery = link.post(target, capsule, timeouts)

    async def __aenter__(self) -> SealedReply:
        response = await self._delivery.__aenter__()
        try:
            reply = SealedReply(response, self._sealed.response())
            await reply.begin()
        except BaseException:
            await self._delivery.__aexit__(None, None, None)
            raise
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._delivery.__aexit__(kind, error, trace)


class SealedReply:
    """The opened response: status and headers, then its body as it comes."""

    def __init__(self, response: Response, reader: ResponseReader) -> None:
        self._response, self._reader = response, reader
        self._parser = ResponseParser()
        self._frames: FrameReader | None = None
        self._ready: list[bytes] = []
        self._ended = False
        self.status = 0
        self.headers: tuple[tuple[bytes, bytes], ...] = ()

    def header(self, name: bytes) -> bytes | None:
        """The first header called `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    async def begin(self) -> None:
        """Read as far as the head. Raises VerificationFailed, NotReached."""
        while not self._parser.status and not self._ended:
            await self._more()
        self.status, self.headers = self._parser.status, self._parser.headers

    def of(self, body: bytes) -> SealedReply:
        """The same with a body that was read already."""
        self._ready, self._ended = [body], True
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._ready:
                yield self._ready.pop(0)
            if self._ended:
                return
            await self._more()

    async def read(self, limit: int = 64 << 20) -> bytes:
        """The whole body. Raises TooLarge `response_too_large`, and as iterating does."""
        parts, size = [], 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                raise TooLarge("response_too_large", f"The peer's answer has more than {limit} bytes.")
            parts.append(piece)
        return b"".join(parts)

    async def _more(self) -> None:
        """Open what comes next. At its end everything must have been whole."""
        try:
            data = await anext(self._response, b"")
        except HallmarkError as error:
            raise Lost(
                "answer_lost",
                "The connection to the relay ended before the answer did.",
                "What came of it is no complete answer. Ask again.",
            ) from error
        for chunk in self._reader.feed(data) if data else self._reader.end():
            self._opened(chunk)
        if not data:
            self._end()

    def _opened(self, chunk: bytes) -> None:
        try:
            content = self._parser.feed(chunk)
            if self._frames is None and self._parser.status:
                coding = dict(self._parser.headers).get(b"content-encoding", b"")
                self._frames = FrameReader() if coding == PADDED else None
            piece = content if self._frames is None else self._frames.feed(content)
        except InvalidInput as error:
            raise _unreadable() from error
        if piece:
            self._ready.append(piece)

    def _end(self) -> None:
        self._ended = True
        try:
            self._parser.end()
            if self._frames is not None:
                self._frames.end()
        except InvalidInput as error:
            raise _unreadable() from error


def _unreadable() -> AnswerBroken:
    return AnswerBroken("sealed_answer_unreadable", "The opened answer is no HTTP response that can be read.")
