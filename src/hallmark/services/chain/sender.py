"""One gas key's transactions on one chain: sent in order, followed until they are deep enough.

Rules it keeps:

- the chain is asked first, at every step; what an earlier step believed counts for nothing;
- transactions go out in the order in which they were submitted, each with the nonce after the one before;
- one that the chain forgot is sent again, the same bytes. Fees are raised once the base fee is above what it
  offers, or after long, and never by much: a spike is waited out;
- it is done when `confirmations` blocks hold it, its own counted. What is done is remembered for a while, and
  each new block is a reason to look: a chain that goes back behind it gets the same bytes again, so nothing
  happens twice. While nothing is remembered, nothing is asked;
- a nonce that something else used up makes it overtaken, once that is as deep. It is not sent again by
  itself: who submitted it asks the chain what is still to be done;
- what would revert is not sent.

Nothing is kept on disk: what is sent through it must be harmless when it comes twice and can be asked for
anew, as leases, settlements and collections can. One process sends for a key.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.heads import REMEMBERED, SLOWEST_S
from hallmark.services.chain.rpc import RPC, Reverted, quantity
from hallmark.services.chain.transactions import (
    Call,
    Fees,
    base_fee,
    estimated,
    fees_over,
    is_known,
    replacing,
    send_raw,
    sign_transaction,
)
from hallmark.telemetry.logs import get_logger

MOST_UNDER_WAY: Final = 16
MOST_WAITING: Final = 1024
PATIENCE: Final = 10
"""Times `resend_s` after which even a transaction that pays the base fee offers more."""
MOST_TIP: Final = 50 * 10**9
REFUSALS: Final = 8
"""Refused so often, a transaction waits like any other: what it replaces pays more than that is worth."""
LOOKED_BACK: Final = 8
GAS_ROOM: Final = 60_000
"""On top of the estimate: what comes in between may make a few fresh slots of what was estimated as warm."""
RETRY_S: Final = 2.0
SignedOne = Callable[[bytes], Awaitable[None]]
"""Hears the hash (32 bytes) of a transaction before it is sent."""


class Mined(msgspec.Struct, frozen=True):
    """Where a transaction got into the chain: its hash, the block's number, False when it reverted there."""

    transaction: bytes
    block: int
    ok: bool


class Underway:
    """A transaction that was submitted. `included` and `confirmed` give a `Mined`, or raise Reverted (it
    would revert, and was not sent) or Conflict `transaction_overtaken`. What is included may be lost again;
    that is seen to.
    """

    def __init__(self, to: bytes, alternatives: tuple[bytes, ...], signed: SignedOne | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.to, self.alternatives, self.signed = to, alternatives, signed
        self.included: asyncio.Future[Mined] = loop.create_future()
        self.confirmed: asyncio.Future[Mined] = loop.create_future()
        for future in (self.included, self.confirmed):
            future.add_done_callback(_heard)
        self.cancelled = False
        self.nonce = -1
        self.call = Call(to, b"", 0)
        self.fees = Fees(0, 0)
        self.raw = b""
        self.hashes: list[bytes] = []
        self.sent_at = 0.0
        self.refusals = 0
        self.taken = False
        """Whether the chain took it once, in any form."""
        self.block = -1
        self.passed_at = -1
        """Head when the chain was first seen past its nonce without it; -1: not."""

    def cancel(self) -> bool:
        """Do not send it, if nothing of it was sent yet; whether that is so."""
        self.cancelled = self.nonce < 0
        return self.cancelled

    @property
    def done(self) -> bool:
        """Whether nobody waits for anything more of it."""
        return self.confirmed.done()

    def fail(self, error: HallmarkError) -> None:
        """It has come to nothing."""
        for future in (self.included, self.confirmed):
            if not future.done():
                future.set_exception(error)

    def found(self, mined: Mined, *, deep: bool) -> None:
        """It is in the chain."""
        self.block, self.passed_at = mined.block, -1
        if not self.included.done():
            self.included.set_result(mined)
        if deep and not self.confirmed.done():
            self.confirmed.set_result(mined)


class Sender:
    """See the module docstring. `run` must be running. `resend_s` is how long a transaction may wait before
    its fees are looked at; the chain is asked every `poll_s` while something is under way.
    """

    def __init__(
        self,
        rpc: RPC,
        key: Key,
        chain_id: int,
        *,
        confirmations: int,
        poll_s: float = 1.0,
        resend_s: float = 30.0,
    ) -> None:
        self._rpc, self._key, self._chain_id = rpc, key, chain_id
        self._confirmations, self._poll_s, self._resend_s = confirmations, poll_s, resend_s
        self._queue: deque[Underway] = deque()
        self._sent: dict[int, Underway] = {}
        self._gap_at = self._head = -1
        self._unfunded = False
        self._wake = asyncio.Event()
        self.problem = ""
        """Why nothing goes on, a reason code: `chain_unreachable`, `gas_unfunded`; empty when it does."""

    def submit(self, to: bytes, *alternatives: bytes, signed: SignedOne | None = None) -> Underway:
        """Send a call to `to` behind all others: the first of `alternatives` that would not revert then.
        `signed` hears the hash of each form of it before that is sent.

        Raises Unavailable `sender_full`.
        """
        if len(self._queue) >= MOST_WAITING:
            raise Unavailable("sender_full", "Too many transactions wait for the chain.")
        submitted = Underway(to, alternatives, signed)
        self._queue.append(submitted)
        self._wake.set()
        return submitted

    @property
    def waiting(self) -> int:
        """Transactions that are not confirmed."""
        return len(self._queue) + len(self._unfinished())

    async def sends_again(self, transactions: Collection[bytes] | None = None) -> bool:
        """Whether one of these (by its hash; None: any) got lost by the chain and goes out again from here.
        Raises Unavailable `chain_unreachable`.
        """
        known = [
            sent.nonce
            for sent in self._sent.values()
            if transactions is None or not set(transactions).isdisjoint(sent.hashes)
        ]
        if not known or max(known) < await self._rpc.nonce(self._key.address):
            return False
        self._head = -1
        self._wake.set()
        return True

    async def run(self) -> None:
        """Send and follow until cancelled."""
        loop = asyncio.get_running_loop()
        quiet = self._poll_s
        while True:
            self._wake.clear()
            pause: float | None = self._poll_s
            head = self._head
            try:
                await self.step(loop.time())
                quiet = min(2 * quiet, SLOWEST_S) if self._head == head else self._poll_s
                if not self.waiting and not self._lost():
                    pause = quiet if self._sent else None
            except HallmarkError as error:
                self._problem(error.reason)
                pause = min(RETRY_S, 4 * self._poll_s)
            except Exception as error:
                # A bug of ours ends no service: it is said, and tried again.
                get_logger().error("internal_error", exc_info=error)
                pause = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def step(self, now: float) -> None:
        """Do whatever can be done at `now` (seconds of any clock). Raises Unavailable `chain_unreachable`."""
        if not self._queue and not self._sent:
            return
        head, due = await self._rpc.head(), bool(self.waiting or self._lost())
        if not due and head == self._head:
            return
        self._head, mined = head, await self._rpc.nonce(self._key.address)
        await self._follow(head, mined)
        if (due or mined <= max(self._sent, default=-1)) and await self._no_gap(head, mined):
            base, self._unfunded = await base_fee(self._rpc), False
            await self._send_again(mined, base, now)
            await self._send_new(mined, base, now)
            self._problem("gas_unfunded" if self._unfunded else "")
        for nonce, sent in list(self._sent.items()):
            if sent.done and 0 <= sent.block < head - REMEMBERED:
                del self._sent[nonce]

    def _lost(self) -> bool:
        """Whether the chain went back behind something that was done."""
        return any(sent.block < 0 for sent in self._sent.values() if sent.done)

    def _unfinished(self) -> list[Underway]:
        return [sent for sent in self._sent.values() if not sent.done]

    async def _follow(self, head: int, mined: int) -> None:
        """See which transactions the chain holds, of those whose nonces it is past."""
        for sent in [sent for sent in self._sent.values() if not sent.done or sent.block < 0]:
            if sent.nonce >= mined:
                sent.passed_at = -1
                continue
            found = await self._receipt(sent)
            if found is None and not sent.taken:  # something else had its nonce already: the next one, then
                del self._sent[sent.nonce]
                sent.nonce, sent.hashes = -1, []
                self._queue.appendleft(sent)
            elif found is not None:
                sent.found(found, deep=head - found.block + 1 >= self._confirmations)
            elif sent.passed_at < 0:
                sent.passed_at = head
            elif head - sent.passed_at >= self._confirmations:
                del self._sent[sent.nonce]
                sent.fail(Conflict("transaction_overtaken", "Another transaction used up this one's nonce."))

    async def _receipt(self, sent: Underway) -> Mined | None:
        """Where one of the forms in which it was sent got into the chain."""
        for transaction in sent.hashes[: -LOOKED_BACK - 1 : -1]:
            receipt = await self._rpc.call("eth_getTransactionReceipt", hex0x(transaction))
            if isinstance(receipt, dict) and receipt.get("blockNumber") is not None:
                ok = quantity(receipt.get("status", "0x1")) == 1
                return Mined(transaction, quantity(receipt["blockNumber"]), ok)
        return None

    async def _no_gap(self, head: int, mined: int) -> bool:
        """Whether the next nonce is one of ours, or nothing of ours waits behind it. One that a chain lost
        and nobody here knows would hold up the others for ever: after some blocks they take its place.
        """
        if mined in self._sent or not any(nonce > mined for nonce in self._sent):
            self._gap_at = -1
            return True
        if self._gap_at < 0:
            self._gap_at = head
        if head - self._gap_at < self._confirmations:
            return False
        get_logger().warning("nonces_lost", first=mined)
        later = [self._sent.pop(nonce) for nonce in sorted(self._sent) if nonce > mined]
        for nonce, sent in enumerate(later, mined):
            sent.block = -1
            await self._sign(sent, nonce, sent.fees)
        self._gap_at = -1
        return True

    async def _send_again(self, mined: int, base: int, now: float) -> None:
        """Hand over what the chain does not have; raise the fees of what has waited too long."""
        for sent in [self._sent[nonce] for nonce in sorted(self._sent) if nonce >= mined]:
            if sent.block >= 0:  # the chain went back behind it
                sent.block, sent.sent_at = -1, now
            if not await is_known(self._rpc, sent.hashes[-1]):
                await self._hand_over(sent, base)
            elif self._due(sent, base, now, first=sent.nonce == mined):
                await self._sign(sent, sent.nonce, replacing(fees_over(base), sent.fees))
                sent.sent_at = now
                await self._hand_over(sent, base)

    def _due(self, sent: Underway, base: int, now: float, *, first: bool) -> bool:
        """Whether it should offer more: the base fee has risen above it, or it is first and waited long."""
        waited = now - sent.sent_at
        if sent.fees.limit < base + sent.fees.tip:
            raised = replacing(fees_over(base), sent.fees)
            return waited > self._resend_s and raised.limit > sent.fees.limit
        return first and waited > PATIENCE * self._resend_s and sent.fees.tip < MOST_TIP

    async def _send_new(self, mined: int, base: int, now: float) -> None:
        """Sign and send what was submitted, in order."""
        while self._queue and len(self._unfinished()) < MOST_UNDER_WAY:
            first = self._queue[0]
            if not first.cancelled:
                try:
                    first.call = await self._estimated(first)
                except Reverted as revert:
                    first.fail(revert)
            if not first.cancelled and not first.done:
                # From here on it cannot be cancelled: its nonce is taken, with nothing awaited in between.
                nonce = max(mined, 1 + max(self._sent, default=-1))
                self._sent[nonce], first.nonce = first, nonce
                self._queue.popleft()
                await self._sign(first, nonce, fees_over(base))
                first.sent_at = now
                await self._hand_over(first, base)
            else:
                self._queue.popleft()

    async def _estimated(self, submitted: Underway) -> Call:
        """The first form that would not revert. Raises Reverted as the last of them does."""
        *others, last = submitted.alternatives
        for data in others:
            with contextlib.suppress(Reverted):
                return await self._with_room(submitted.to, data)
        return await self._with_room(submitted.to, last)

    async def _with_room(self, to: bytes, data: bytes) -> Call:
        call = await estimated(self._rpc, self._key.address, to, data)
        return Call(to, data, call.gas + GAS_ROOM)

    async def _sign(self, sent: Underway, nonce: int, fees: Fees) -> None:
        # In a thread: what it imports at first takes a second.
        signed = await asyncio.to_thread(
            sign_transaction, sent.call, self._key, chain_id=self._chain_id, nonce=nonce, fees=fees
        )
        self._sent[nonce] = sent
        sent.nonce, sent.fees, sent.raw = nonce, fees, signed.raw
        sent.hashes.append(signed.hash)
        if sent.signed is not None:
            await sent.signed(signed.hash)

    async def _hand_over(self, sent: Underway, base: int) -> None:
        """Send it. What is refused though it is paid for may have to replace something: it offers more."""
        if await send_raw(self._rpc, sent.raw):
            sent.taken = True
            return
        balance = await self._rpc.balance(self._key.address)
        raised = replacing(fees_over(base), sent.fees)
        if balance < sent.call.gas * sent.fees.limit:
            self._unfunded = True
            return
        may = sent.refusals < REFUSALS and raised.limit > sent.fees.limit
        if may and not await is_known(self._rpc, sent.hashes[-1]):
            sent.refusals += 1
            await self._sign(sent, sent.nonce, raised)

    def _problem(self, reason: str) -> None:
        if reason and reason != self.problem:
            get_logger().warning("sender_problem", reason=reason, pending=self.waiting)
        self.problem = reason


def _heard(future: asyncio.Future[Mined]) -> None:
    """Nobody may be waiting: an exception that nobody asks for is no accident."""
    if not future.cancelled():
        future.exception()
