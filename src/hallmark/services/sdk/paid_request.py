"""One request with the payment that goes with it, from signing to the receipt that says what was charged.

    async with PaidRequest(spending, path, body, find) as paid:
        ... send it with `paid.headers`, again and again if need be ...
        raise await paid.refused(response, text)        # when the network answers with an error
        await paid.delivered(receipt)                   # when the answer is there and holds

Left without either, nobody knows what became of the payment: it counts with its maximum, and the same request
is sent with the same payment as long as that can be presented. Without a `spending` nothing is paid.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.receipt import Receipt
from hallmark.services.sdk.answers import PaidFor
from hallmark.services.sdk.network import error_of
from hallmark.services.sdk.receipts import AsyncReceipt
from hallmark.services.sdk.spending import SignedPayment, Spending, read_payment

TRIES: Final = 3
"""How often a request with a payment is sent when its connection breaks."""
LOST: Final = frozenset(("connect_failed", "connection_lost", "timed_out", "bad_http", "pool_exhausted"))
UNSENT: Final = frozenset(("connect_failed", "pool_exhausted"))
"""Of these, those before which no byte has left."""
UNDONE: Final = frozenset(
    ("no_node", "gateway_starting", "log_distrusted", "node_busy", "clock_skew", "lease_unavailable")
)
"""Reasons of 5xx answers that say by themselves that nothing was charged."""
RECEIPT: Final = re.compile(r"0x[0-9a-f]{64}")

Find = Callable[[str], Awaitable[AsyncReceipt]]


class Reply(Protocol):
    """A response whose body is read as it comes, by whatever way."""

    status: int

    def header(self, name: bytes) -> bytes | None:
        """The first header called `name` (lower case), or None."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Its body, piece by piece."""
        ...

    async def read(self, limit: int = ...) -> bytes:
        """Its whole body."""
        ...


class PaidRequest:
    """See the module docstring. `find` looks a receipt up by its id; `among` are the settlement keys of the
    nodes that may be paid (None: any).
    """

    def __init__(
        self,
        spending: Spending | None,
        path: str,
        body: bytes,
        find: Find,
        *,
        among: frozenset[str] | None = None,
    ) -> None:
        self._spending, self._find = spending, find
        self._path, self._body, self._among = path, body, among
        self._signed: SignedPayment | None = None

    async def __aenter__(self) -> PaidRequest:
        if self._spending is not None:
            self._signed = await self._spending.pay(self._path, self._body, self._among)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signed, self._signed = self._signed, None
        if signed is None or self._spending is None:
            return
        self._spending.unknown(self._path, self._body, signed)
        if isinstance(error, HallmarkError) and error.reason in LOST:
            raise Unavailable(
                "payment_fate_unknown",
                "The connection broke, and nobody knows yet whether the request was answered and charged.",
                "Ask the very same again within five minutes: the same payment goes with it, once.",
            ) from error

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What goes with the request."""
        return ((b"hallmark-payment", self._signed.header.encode()),) if self._signed is not None else ()

    @property
    def settlement(self) -> str:
        """Settlement key of the node that the payment is for, 0x-hex; empty without a payment."""
        return self._signed.chosen.settlement if self._signed is not None else ""

    @property
    def tries(self) -> int:
        """How often the request may be sent: paid ones again, because one payment is charged once."""
        return TRIES if self._signed is not None else 1

    async def failed(self, *, sent: bool) -> None:
        """No answer came; `sent`: something of the request may have arrived."""
        if not sent and self._signed is not None and self._spending is not None:
            signed, self._signed = self._signed, None
            await self._spending.refused(signed)

    async def refused(self, response: Reply, text: bytes) -> HallmarkError:
        """The error that the network answered with; what it says of the payment is written down."""
        error = error_of(response.status, text)
        signed = self._signed
        if signed is None or self._spending is None:
            return error
        told = response.header(b"hallmark-charged")
        if error.reason == "payment_reused":
            await self._used(signed, error)
        elif told is not None and told.isdigit():
            await self._spending.refused(signed, int(told[:30]))
        elif response.status < 500 or error.reason in UNDONE:
            await self._spending.refused(signed, anew=error.reason == "ceiling_refused")
        else:
            return error
        self._signed = None
        return error

    async def delivered(
        self,
        receipt: AsyncReceipt,
        answer: bytes = b"",  # noqa: ARG002 - change comes with it
        *,
        stream: bool = False,  # noqa: ARG002
    ) -> None:
        """The answer holds (`answer`: every byte of it). Raises as `Spending.delivered` does."""
        opened = Receipt.from_json(receipt.dossier.receipt)
        record = receipt.dossier.documents.payment
        if record is not None:
            receipt.payment = PaidFor.of(read_payment(record, opened))
        signed, self._signed = self._signed, None
        if signed is not None and self._spending is not None:
            await self._spending.delivered(signed, record, opened, receipt.id)

    async def _used(self, signed: SignedPayment, error: HallmarkError) -> None:
        """The payment was used before: its receipt says for what, where the network names it."""
        assert self._spending is not None
        named = RECEIPT.search(f"{error.message} {error.hint}")
        charged = None
        if named is not None:
            try:
                charged = Receipt.from_json((await self._find(named[0])).dossier.receipt).charged
            except HallmarkError:
                charged = None
        await self._spending.refused(signed, charged, named[0] if named else "")
