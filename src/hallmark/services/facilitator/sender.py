"""One account's queue of transactions: each settlement gets one nonce, its bytes are kept before they are
sent, and what the chain does not take is sent again until it is mined.

The rules that it keeps:

1. Nonces are given out one after another, never one twice while it is under way.
2. A transaction is written down before it is sent; after a kill at any point the same bytes go out again.
3. One that waits for long is replaced under its own nonce, with higher fees up to a cap.
4. A settlement is over when a block holds one of its transactions, deep enough. If the chain then loses it,
   for 64 blocks, it goes out again: an authorization moves money once, whatever is sent how often.
5. One whose nonce was used by another transaction goes out again with a new one, if the chain would still
   take it.

`services.chain.sender` keeps the same order without a disk, for calls that can be asked for anew. A payer's
authorization cannot: who was told of a hash must find it again after a kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.heads import REMEMBERED, Heads
from hallmark.services.chain.rpc import RPC, Reverted, data, quantity
from hallmark.services.chain.transactions import (
    Call,
    Fees,
    bumped,
    estimated,
    is_known,
    send_raw,
    sign_transaction,
    suggest_fees,
)
from hallmark.services.facilitator.settings import Settings
from hallmark.services.facilitator.store import Settlement, State, Store
from hallmark.telemetry.logs import get_logger

FIRST_LOOK_S: Final = 0.002
IDLE_POLLS: Final = 20
MISSED_MS: Final = 5_000
"""After so long without a receipt a nonce that is used was used by another transaction."""


class TooDear(Exception):
    """The chain asks for more gas, or a higher fee, than is paid here."""


class Sender:
    """See the module docstring. `run` must run."""

    def __init__(self, rpc: RPC, key: Key, store: Store, settings: Settings) -> None:
        self._rpc = rpc
        self._key = key
        self._store = store
        self._settings = settings
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._waiting: dict[bytes, asyncio.Event] = {}
        self._missed: dict[bytes, int] = {}
        self._heads, self._doubt = Heads(rpc), True
        self._pause = FIRST_LOOK_S
        self.problem = ""
        self.sent = 0

    @property
    def address(self) -> bytes:
        """The account that pays the gas."""
        return self._key.address

    async def submit(self, row: Settlement) -> None:
        """Give a settlement its nonce and send it.

        Raises Reverted when the chain would refuse it now, TooDear, Unavailable `chain_unreachable`; nothing
        was sent then.
        """
        gas = await self._estimate(row)
        fees = await suggest_fees(self._rpc)
        if gas > row.most_gas or fees.limit > self._settings.most_fee:
            raise TooDear
        async with self._turn:
            under_way = await self._store.under_way()
            mined = await self._rpc.nonce(self.address)
            nonce = max([mined, *(one.nonce + 1 for one in under_way)])
            await self._send(replace(row, nonce=nonce, gas=gas), fees)
        self._pause = FIRST_LOOK_S
        self._wake.set()

    async def wait(self, name: bytes, seconds: float) -> Settlement | None:
        """The settlement once it is over, or as it stands after this time."""
        event = self._waiting.setdefault(name, asyncio.Event())
        row = await self._store.find(name)
        if row is not None and row.state in (State.SETTLED, State.FAILED):
            self._done(name)
            return row
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        return await self._store.find(name)

    async def drop(self, row: Settlement) -> None:
        """Forget a settlement for which nothing was sent."""
        await self._store.drop(row.id)
        self._done(row.id)

    async def run(self) -> None:
        """Follow what is under way, for ever."""
        while True:
            busy = False
            self._wake.clear()
            try:
                busy = await self.look(_now())
                self.problem = ""
            except HallmarkError as error:
                if self.problem != error.reason:
                    get_logger().warning("facilitator_problem", reason=error.reason)
                self.problem = error.reason
            poll = self._settings.poll_ms / 1000
            # What was just sent is looked for at once, and then seldomer.
            self._pause = min(2 * self._pause, poll)
            seconds = self._pause if busy else poll * (1 if self.problem else IDLE_POLLS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def look(self, now: int) -> bool:
        """Compare everything under way with the chain once; True when something is.

        Raises Unavailable `chain_unreachable`.
        """
        newest = await self._heads.look()
        head, self._doubt = newest.number, self._doubt or not newest.kept
        for row in await self._store.lately(head - REMEMBERED) if self._doubt else ():
            if await self._receipt(row) is None:
                get_logger().warning("settlement_lost", settlement=row.id, block=row.block)
                await self._store.save(replace(row, state=State.SENT, block=0, since=now))
        self._doubt = False
        rows = await self._store.under_way()
        mined = await self._rpc.nonce(self.address) if rows else 0
        for row in rows:
            await self._follow(row, head, mined, now)
        return bool(rows)

    async def _follow(self, row: Settlement, head: int, mined: int, now: int) -> None:
        receipt = await self._receipt(row)
        if receipt is not None:
            block = quantity(receipt.get("blockNumber"))
            if head - block + 1 >= self._settings.confirmations:
                await self._over(row, receipt, block, now)
            return
        if row.nonce < mined:
            if now - self._missed.setdefault(row.id, now) > MISSED_MS:
                await self._replaced(row, now)
            return
        async with self._turn:
            if now - row.since > self._settings.resend_ms:
                raised, most = bumped(Fees(row.fee_limit, row.fee_tip)), self._settings.most_fee
                fees = Fees(min(raised.limit, most), min(raised.tip, most))
                if fees.limit > row.fee_limit:
                    await self._send(row, fees)
                    return
            if not await is_known(self._rpc, row.hashes[-1]):
                await send_raw(self._rpc, row.raw)

    async def _replaced(self, row: Settlement, now: int) -> None:
        """Its nonce went to a transaction that is none of its own."""
        self._missed.pop(row.id, None)
        try:
            await self._estimate(row)
        except Reverted:
            # Somebody else may have submitted what the payer signed: what became of it is on the chain.
            failed = replace(row, state=State.FAILED, since=now, reason="replaced")
            await self._store.save(failed)
            self._done(row.id)
            return
        async with self._turn:
            others = [one for one in await self._store.under_way() if one.id != row.id]
            mined = await self._rpc.nonce(self.address)
            nonce = max([mined, *(one.nonce + 1 for one in others)])
            await self._send(replace(row, nonce=nonce), await suggest_fees(self._rpc))

    async def _send(self, row: Settlement, fees: Fees) -> None:
        """Sign, write down, send. The caller has the turn."""
        call = Call(row.contract, row.data, row.gas)
        chain_id = self._settings.chain_id
        signed = sign_transaction(call, self._key, chain_id=chain_id, nonce=row.nonce, fees=fees)
        await self._store.save(
            replace(
                row,
                state=State.SENT,
                since=_now(),
                raw=signed.raw,
                hashes=(*row.hashes, signed.hash),
                fee_limit=fees.limit,
                fee_tip=fees.tip,
            )
        )
        self.sent += 1
        try:
            await send_raw(self._rpc, signed.raw)
        except Unavailable:
            # It may have arrived. What is written down is sent again.
            self._wake.set()

    async def _over(self, row: Settlement, receipt: dict[str, Any], block: int, now: int) -> None:
        worked = receipt.get("status") == "0x1"
        done = replace(
            row,
            state=State.SETTLED if worked else State.FAILED,
            since=now,
            block=block,
            # The one that was mined last, so that it is the settlement's transaction.
            hashes=_with_last(row.hashes, data(receipt.get("transactionHash"))),
            reason="" if worked else "reverted",
        )
        await self._store.save(done)
        self._missed.pop(row.id, None)
        self._done(row.id)
        get_logger().info("settled" if worked else "settlement_failed", settlement=row.id, block=block)

    async def _receipt(self, row: Settlement) -> dict[str, Any] | None:
        """Of whichever of its transactions was mined."""
        for name in reversed(row.hashes):
            receipt = await self._rpc.call("eth_getTransactionReceipt", hex0x(name))
            if isinstance(receipt, dict):
                return receipt
        return None

    async def _estimate(self, row: Settlement) -> int:
        """Gas with room. Raises Reverted, Unavailable `chain_unreachable`."""
        return (await estimated(self._rpc, self.address, row.contract, row.data)).gas

    def _done(self, name: bytes) -> None:
        """Wake who waits for it."""
        event = self._waiting.pop(name, None)
        if event is not None:
            event.set()


def _with_last(hashes: tuple[bytes, ...], last: bytes) -> tuple[bytes, ...]:
    return (*(one for one in hashes if one != last), last)


def _now() -> int:
    return time.time_ns() // 1_000_000
