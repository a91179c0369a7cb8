"""How the asyncio client sends a question, and reads an answer as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from hallmark.core.errors import Unavailable
from hallmark.http.client import Pool
from hallmark.http.connection import Response
from hallmark.http.sse import Splitter, data_of
from hallmark.services.sdk.answers import Draft
from hallmark.services.sdk.network import error_of
from hallmark.services.sdk.paid_request import LOST, UNSENT, PaidRequest
from hallmark.services.sdk.receipts import AsyncReceipt, open_answer
from hallmark.verification.dossier import Dossier

MAX_ANSWER: Final = 64 << 20
PAUSE_S: Final = 0.2

Handle = Callable[[Dossier], AsyncReceipt]


class Question:
    """One request to a gateway, with a nonce that its receipt must carry."""

    def __init__(self, pool: Pool, base_url: str, path: str, body: bytes) -> None:
        self._pool, self._base_url, self.path, self.body = pool, base_url, path, body
        self.nonce = secrets.token_bytes(32)

    @contextlib.asynccontextmanager
    async def sent(self, paid: PaidRequest) -> AsyncIterator[Response]:
        """The response. With a payment it is sent again, as it is, when the connection breaks before one."""
        headers, sent = (*headers_of(self.nonce), *paid.headers), False
        for left in reversed(range(paid.tries)):
            exchange = self._pool.request("POST", self._base_url + self.path, headers, self.body)
            try:
                response = await exchange.__aenter__()
                break
            except Unavailable as error:
                sent = sent or error.reason not in UNSENT
                if not left or error.reason not in LOST:
                    await paid.failed(sent=sent)
                    raise
                await asyncio.sleep(PAUSE_S)
        try:
            yield response
        finally:
            await exchange.__aexit__(None, None, None)


class AnswerStream:
    """A streamed answer: iterate over its text, then read `draft`. The receipt covers every byte of it."""

    def __init__(self, question: Question, paid: PaidRequest, handle: Handle) -> None:
        self._question, self._paid, self._handle = question, paid, handle
        self._draft: Draft[AsyncReceipt] | None = None

    @property
    def draft(self) -> Draft[AsyncReceipt]:
        """The whole answer with its receipt, once the stream has ended. Raises Unavailable
        `stream_not_ended`.
        """
        if self._draft is None:
            raise Unavailable("stream_not_ended", "The stream has not ended, so there is no receipt yet.")
        return self._draft

    async def __aiter__(self) -> AsyncIterator[str]:
        asked, splitter = self._question, Splitter()
        received: list[bytes] = []
        text: list[str] = []
        async with self._paid as paid:
            async with asked.sent(paid) as response:
                if response.status != 200:
                    raise await paid.refused(response, await response.read(MAX_ANSWER))
                async for chunk in response:
                    received.append(chunk)
                    for event in splitter.feed(chunk):
                        for piece in _pieces(event):
                            text.append(piece)
                            yield piece
            _, dossier = open_answer(asked.path, asked.body, b"".join(received), stream=True)
            receipt = self._handle(dossier)
            receipt.arrived(asked.nonce)
            await paid.delivered(receipt)
        self._draft = Draft("".join(text), {}, receipt, payment=receipt.payment)


def _pieces(event: bytes) -> list[str]:
    data = data_of(event)
    if data is None or data == b"[DONE]":
        return []
    value = msgspec.json.decode(data)
    if "error" in value:
        raise error_of(503, data)
    return [
        choice["delta"]["content"]
        for choice in value.get("choices", ())
        if choice.get("delta", {}).get("content")
    ]


def headers_of(nonce: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of a request whose receipt must carry `nonce` (32 bytes)."""
    return ((b"content-type", b"application/json"), (b"hallmark-nonce", nonce.hex().encode()))
