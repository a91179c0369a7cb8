"""One sealed request that tokens pay for, as `PaidRequest` is one that an account pays for.

refused      the enclave says that nothing was charged: the tokens are good again
delivered    the receipt says what was charged, and the change is there and holds: it is kept
neither      nobody knows; the tokens stay away until the issuer is asked (`Tokens.recover`)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

import msgspec

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.receipt import Receipt
from hallmark.services.sdk.answers import PaidFor
from hallmark.services.sdk.network import error_of
from hallmark.services.sdk.paid_request import UNDONE, Find, PaidRequest, Reply
from hallmark.services.sdk.receipts import AsyncReceipt
from hallmark.services.sdk.spending import read_payment
from hallmark.services.sdk.tokens import Leaving, Tokens

HEADER: Final = b"hallmark-tokens"


class _Change(msgspec.Struct):
    change: bytes = b""


Take = Callable[[], Awaitable[Leaving | None]]


class TokenRequest(PaidRequest):
    """See the module docstring. `take` takes the tokens that go with it, None where it is free."""

    def __init__(self, tokens: Tokens, take: Take, question: tuple[str, bytes], find: Find) -> None:
        super().__init__(None, *question, find)
        self._tokens, self._take = tokens, take
        self._leaving: Leaving | None = None

    async def __aenter__(self) -> TokenRequest:
        self._leaving = await self._take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = None

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What goes with the request, under its seal."""
        return ((HEADER, self._leaving.header.encode()),) if self._leaving is not None else ()

    async def failed(self, *, sent: bool) -> None:
        """No answer came; `sent`: something of the request may have arrived."""
        if not sent:
            await self._back()

    async def refused(self, response: Reply, text: bytes) -> HallmarkError:
        """The error that the enclave answered with; what it says of the tokens is written down."""
        error = error_of(response.status, text)
        told = response.header(b"hallmark-charged")
        if error.reason == "token_spent" and self._leaving is not None:
            await self._tokens.gone(self._leaving)
        elif told == b"0" or error.reason in UNDONE:
            await self._back()
        return error

    async def delivered(self, receipt: AsyncReceipt, answer: bytes = b"", *, stream: bool = False) -> None:
        """The answer holds. Raises VerificationFailed `change_short`, `payment_record_other`: the receipt is
        the evidence.
        """
        opened = Receipt.from_json(receipt.dossier.receipt)
        record = receipt.dossier.documents.payment
        if record is None:
            await self._back_unless(opened.charged)
            return
        payment = read_payment(record, opened)
        receipt.payment = PaidFor.of(payment)
        leaving = self._leaving
        if leaving is None:
            return
        if payment.rail == "free":
            await self._back_unless(opened.charged)
            return
        if payment.rail != "token":
            raise VerificationFailed("payment_record_other", "The payment record is of another payment.")
        change = change_of(answer, stream=stream)
        await self._tokens.change(leaving, int(payment.reserved), int(payment.charged), change)

    async def _back_unless(self, charged: int) -> None:
        if charged:
            raise VerificationFailed("payment_record_other", "The receipt charges without a payment record.")
        await self._back()

    async def _back(self) -> None:
        if self._leaving is not None:
            await self._tokens.came_back(self._leaving)


def change_of(answer: bytes, *, stream: bool) -> bytes:
    """The change that an answer (every byte of it) brings; empty for none."""
    _, raw = split_hallmark_stream(answer) if stream else split_hallmark(answer)
    try:
        return msgspec.json.decode(raw, type=_Change).change
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VerificationFailed("change_short", "The answer's change cannot be read.") from error
