"""The sealed way of a client: `Client(privacy="sealed", relay=...)`. See `sealing.client`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.model_names import read_model_name
from hallmark.http.client import Pool, Timeouts
from hallmark.services.sdk.network import Place, error_of
from hallmark.services.sdk.paid_request import PaidRequest, Reply
from hallmark.services.sdk.receipts import AsyncReceipt
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.way import PAUSE_S, Pairs, headers_of
from hallmark.services.sealing.client import Passage, SealedPath, question_request
from hallmark.services.sealing.exchange import SealedExchange, SealedReply, chosen
from hallmark.services.sealing.known_bundles import KnownBundles
from hallmark.services.sealing.node_check import CheckedNode
from hallmark.services.sealing.refusals import AnswerBroken, NotReached
from hallmark.services.sealing.relay_link import RelayLink, Stale, Undelivered
from hallmark.services.sealing.relay_tokens import RelayPurse
from hallmark.services.sealing.route_compare import Sealed, compare
from hallmark.services.sealing.ticket_check import CheckedTicket

NOT_BEGUN: Final = frozenset(("node_busy", "clock_skew", "ticket_expired", "ticket_early"))
"""Reasons with which an enclave says, under its seal, that it did not begin."""


class _Named(msgspec.Struct, frozen=True):
    model: str


class SealedWay:
    """Through a relay, which sees an address and a size class, to an enclave, which sees the question."""

    sealed = True

    def __init__(
        self, place: Place, verifier: Verifier, timeout: float, *, unsafe_insecure: bool = False
    ) -> None:
        if not place.relay:
            raise InvalidInput(
                "no_relay",
                "A sealed question goes through a relay, and none is named.",
                "Give relay=, or --relay: its address. A network of `hallmark up` names its own.",
            )
        self._pool = Pool(timeouts=Timeouts(head=timeout, idle=timeout))
        trust = verifier.trust
        kept = Path(place.home) / "sealed" / f"{trust.network_id.hex()[:16]}.json" if place.home else None
        purse = RelayPurse(place.relay_issuer, self._pool, _now) if place.relay_issuer else None
        self.path = SealedPath(
            RelayLink(place.relay, self._pool, purse),
            trust,
            verifier.judge,
            known=KnownBundles(kept),
            told=error_of,
            clock=_now,
            timeouts=Timeouts(head=timeout, idle=timeout),
            unsafe_insecure=unsafe_insecure,
        )

    @property
    def relay(self) -> str:
        """The relay's address."""
        return self.path.link.url

    @property
    def tickets(self) -> tuple[CheckedTicket, ...]:
        """See `Way`."""
        return tuple(self.path.tickets)

    def question(self, path: str, body: bytes, headers: Pairs = ()) -> SealedQuestion:
        """See `Way`."""
        return SealedQuestion(self.path, path, body, headers)

    async def get(self, path: str) -> tuple[int, bytes]:
        """See `Way`; the gateway is asked through the relay, sealed."""
        return await self.path.ask_gateway("GET", path)

    async def submit(self, entry: bytes) -> tuple[int, bytes]:
        """See `Way`. An entry is what the log shows to everybody; that somebody behind the relay has it is
        what asking for its proof says as well.
        """
        headers = ((b"content-type", b"application/octet-stream"),)
        return await self.path.ask_gateway("POST", "/v1/hallmark/receipts", entry, headers)

    async def aclose(self) -> None:
        """See `Way`."""
        await self._pool.aclose()


class SealedQuestion:
    """One request that only one enclave can read. `sealed` says to what it was sealed, once it was sent."""

    def __init__(self, way: SealedPath, path: str, body: bytes, headers: Pairs = ()) -> None:
        self._way, self.path, self.body, self._headers = way, path, body, headers
        self.nonce = secrets.token_bytes(32)
        self.sealed: Sealed | None = None
        self._passage: Passage | None = None
        self._left = False
        """Whether something of it may have left this machine."""

    async def prepare(self) -> None:
        """Have a route, and check every node that it names. Raises as `SealedPath.passage` does."""
        try:
            model = msgspec.json.decode(self.body, type=_Named).model
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput("bad_request", "The request needs a 'model' (text).") from error
        named = dict(self._headers)
        mode, assurance = named.get(b"hallmark-mode", b""), named.get(b"hallmark-assurance", b"")
        self._passage = await self._way.passage(model, mode.decode("latin-1"), assurance.decode("latin-1"))

    @property
    def settlements(self) -> frozenset[str] | None:
        """See `Question`."""
        assert self._passage is not None
        return frozenset(_settlement(node) for node in self._passage.nodes)

    @contextlib.asynccontextmanager
    async def sent(self, paid: PaidRequest) -> AsyncIterator[Reply]:
        """See `Question`. Another node is tried only where the one before cannot have begun."""
        assert self._passage is not None
        nodes = [n for n in self._passage.nodes if not paid.settlement or _settlement(n) == paid.settlement]
        exchange: SealedExchange | None = None
        try:
            for left in reversed(range(len(nodes))):
                found = await self._tried(nodes[-1 - left], paid, last=not left)
                if found is not None:
                    exchange, reply = found
                    break
            assert exchange is not None
        except HallmarkError:
            await paid.failed(sent=self._left)
            raise
        try:
            yield reply
        finally:
            await exchange.__aexit__(None, None, None)

    def arrived(self, receipt: AsyncReceipt) -> None:
        """The receipt is of this request, and its route is the one that was sealed. Raises
        VerificationFailed.
        """
        receipt.arrived(self.nonce, self._headers)
        assert self.sealed is not None
        compare(receipt.dossier, self.sealed)
        receipt.sealed = self.sealed

    async def _tried(
        self, node: CheckedNode, paid: PaidRequest, *, last: bool
    ) -> tuple[SealedExchange, SealedReply] | None:
        """The node's reply; None when it cannot have begun and another one may be asked."""
        for again in reversed(range(paid.tries)):
            try:
                exchange, reply = await self._exchanged(node, paid)
                break
            except Undelivered as error:
                # By the relay's word alone: a provider may have been asked, and somebody paid, already.
                if last or self._provider(node) or paid.headers:
                    raise error.error from error
                return None
            except NotReached as error:
                if not again or error.reason not in LOST:
                    raise
                await asyncio.sleep(PAUSE_S)
        if last or reply.status not in (429, 503):
            return exchange, reply
        try:
            body = await reply.read()
        except BaseException:
            await exchange.__aexit__(None, None, None)
            raise
        if error_of(reply.status, body).reason in NOT_BEGUN:
            await exchange.__aexit__(None, None, None)
            return None
        return exchange, reply.of(body)

    async def _exchanged(self, node: CheckedNode, paid: PaidRequest) -> tuple[SealedExchange, SealedReply]:
        assert self._passage is not None
        told = ((b"hallmark-relay", self._way.link.url.encode()),)
        headers = (*headers_of(self.nonce), *self._headers, *self._passage.headers, *told, *paid.headers)
        request = question_request(self.path, self.body, headers)
        for attempt in range(2):
            exchange = self._way.exchange(hex0x(node.node), chosen(node.keys), request)
            ticket = self._passage.ticket.digest
            self.sealed = Sealed(node, exchange.suite, exchange.size, self._way.link.url, ticket)
            before, self._left = self._left, True
            try:
                return exchange, await exchange.__aenter__()
            except Undelivered as error:
                self._left = before or error.error.reason != UNREACHED
                raise
            except Stale as error:
                fresh = await self._way.again(node) if not attempt else None
                if fresh is None or fresh.window == node.window:
                    raise NotReached(
                        "key_configuration_refused",
                        "The enclave is said not to take the keys that the log commits to.",
                        "The relay or the node's host says so; ask again, or through another relay.",
                    ) from error
                node = fresh
        raise AnswerBroken("sealed_unreadable", "The enclave could not read what reached it.")

    def _provider(self, node: CheckedNode) -> bool:
        model = msgspec.json.decode(self.body, type=_Named).model
        return read_model_name(model).label in node.bundle.upstreams


LOST: Final = frozenset(("answer_lost",))
UNREACHED: Final = "relay_unreachable"
"""The reason before which nothing has left this machine. What else a relay says of a capsule decides over no
money.
"""


def _now() -> int:
    return time.time_ns() // 1_000_000


def _settlement(node: CheckedNode) -> str:
    key = node.bundle.settlement
    return "" if isinstance(key, msgspec.UnsetType) else key
