"""The way that questions take: to the gateway in clear, or sealed to an enclave through a relay.

A client has one way, chosen when it is made, and never changes it: what is to be asked sealed is not asked
at all when the sealed way fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, Protocol

from hallmark.core.errors import NotFound, Unavailable
from hallmark.http.client import Pool
from hallmark.services.sdk.paid_request import LOST, UNSENT, PaidRequest, Reply
from hallmark.services.sdk.receipts import AsyncReceipt

if TYPE_CHECKING:
    from hallmark.services.sealing.ticket_check import CheckedTicket

MAX_ANSWER: Final = 64 << 20
PAUSE_S: Final = 0.2

Pairs = tuple[tuple[bytes, bytes], ...]


class Question(Protocol):
    """One request, with a nonce that its receipt must carry."""

    path: str
    body: bytes

    async def prepare(self) -> None:
        """What comes before anything is signed or sent: on the sealed way, who may answer, checked here."""
        ...

    @property
    def settlements(self) -> frozenset[str] | None:
        """Settlement keys of the nodes that may answer, 0x-hex; None: the gateway chooses among all."""
        ...

    def sent(self, paid: PaidRequest) -> AbstractAsyncContextManager[Reply]:
        """The response. With a payment it is sent again when the connection breaks before one."""
        ...

    def arrived(self, receipt: AsyncReceipt) -> None:
        """Hold the receipt against what was sent. Raises VerificationFailed."""
        ...


class Way(Protocol):
    """How a client reaches a network."""

    sealed: bool
    """Whether questions go sealed, through a relay."""

    @property
    def tickets(self) -> tuple[CheckedTicket, ...] | None:
        """The last route tickets that were given to this client; None where a gateway keeps them."""
        ...

    def question(self, path: str, body: bytes, headers: Pairs = ()) -> Question:
        """A request that is about to be made."""
        ...

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page of the gateway."""
        ...

    async def submit(self, entry: bytes) -> tuple[int, bytes]:
        """Hand a receipt's log entry in; status and body."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


class PlainWay:
    """To a gateway, which sees the question and the answer."""

    sealed = False
    tickets = None

    def __init__(self, base_url: str, pool: Pool) -> None:
        self.base_url, self._pool = base_url, pool

    def question(self, path: str, body: bytes, headers: Pairs = ()) -> PlainQuestion:
        """See `Way`."""
        return PlainQuestion(self._pool, self.base_url, path, body, headers=headers)

    async def get(self, path: str) -> tuple[int, bytes]:
        """See `Way`."""
        async with self._pool.request("GET", self.base_url + path) as response:
            return response.status, await response.read(MAX_ANSWER)

    async def submit(self, entry: bytes) -> tuple[int, bytes]:
        """See `Way`."""
        headers = ((b"content-type", b"application/octet-stream"),)
        url = f"{self.base_url}/v1/hallmark/receipts"
        async with self._pool.request("POST", url, headers, entry) as response:
            return response.status, await response.read()

    async def aclose(self) -> None:
        """See `Way`."""
        await self._pool.aclose()


class PlainQuestion:
    """One request to a gateway."""

    settlements: frozenset[str] | None = None

    def __init__(self, pool: Pool, base_url: str, path: str, body: bytes, *, headers: Pairs = ()) -> None:
        self._pool, self._base_url, self.path, self.body = pool, base_url, path, body
        self._headers = headers
        self.nonce = secrets.token_bytes(32)

    async def prepare(self) -> None:
        """Nothing: the gateway chooses who answers."""

    @contextlib.asynccontextmanager
    async def sent(self, paid: PaidRequest) -> AsyncIterator[Reply]:
        """See `Question`."""
        headers, sent = (*headers_of(self.nonce), *self._headers, *paid.headers), False
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

    def arrived(self, receipt: AsyncReceipt) -> None:
        """Raises as `AsyncReceipt.arrived` does."""
        receipt.arrived(self.nonce, self._headers)


def headers_of(nonce: bytes) -> Pairs:
    """Headers of a request whose receipt must carry `nonce` (32 bytes)."""
    return ((b"content-type", b"application/json"), (b"hallmark-nonce", nonce.hex().encode()))


def not_known_yet(error: NotFound) -> bool:
    """Whether the gateway merely has not heard of a receipt."""
    return error.reason == "no_such_receipt"
