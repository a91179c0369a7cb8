"""How the asyncio client reads an answer as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from hallmark.core.errors import Unavailable
from hallmark.http.sse import Splitter, data_of
from hallmark.services.sdk.answers import Draft
from hallmark.services.sdk.network import error_of
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.receipts import AsyncReceipt, open_answer
from hallmark.services.sdk.seen_models import ModelMove
from hallmark.services.sdk.way import MAX_ANSWER, Question
from hallmark.verification.dossier import Dossier

Handle = Callable[[Dossier], AsyncReceipt]
Arrived = Callable[[AsyncReceipt], ModelMove | None]
Paid = Callable[[Question], PaidRequest]


class AnswerStream:
    """A streamed answer: iterate over its text, then read `draft`. The receipt covers every byte of it."""

    def __init__(self, question: Question, paid: Paid, handle: Handle, arrived: Arrived) -> None:
        self._question, self._paid, self._handle, self._arrived = question, paid, handle, arrived
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
        await asked.prepare()
        async with self._paid(asked) as paid:
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
            asked.arrived(receipt)
            await paid.delivered(receipt, b"".join(received), stream=True)
        self._draft = Draft("".join(text), {}, receipt, payment=receipt.payment, moved=self._arrived(receipt))


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
