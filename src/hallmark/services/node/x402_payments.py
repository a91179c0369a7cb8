"""x402 payments of one amount (`exact`, `upto`): what stands against them, and settling them once.

A payment is on disk before the enclave hears that it may be taken. What is due of it then reaches the chain
whatever happens to host and enclave: it is submitted anew after each start, followed until it is deep, and
over only when a block has it or the chain will not take it. The payer's nonce lets it move money once,
however often it is sent.

Deep is not for ever. What is over is looked for again while its block is young, whenever the chain went back
and after each start, and is due once more when the chain has it no longer. Deposits into channels, which
`x402_channels` submits, are looked after in the same way.

The money is locked nowhere, so the payer can move it away while it is being answered, or take its signature
back. What its other open payments may take is not counted as available; more cannot be known in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.x402_payment import Authorization, read_payment
from hallmark.services.chain.heads import REMEMBERED, Head, HeadWatch
from hallmark.services.chain.rpc import Reverted
from hallmark.services.chain.sender import Mined, Underway
from hallmark.services.chain.x402_lookup import in_block
from hallmark.services.chain.x402_settlement import error_name, payer_state
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.x402_chain import Ended, X402Chain, deposit_payment, judge, sent_for
from hallmark.services.node.x402_store import Kept, Presented, State, X402Store
from hallmark.telemetry.logs import get_logger

UNREACHABLE: Final = "chain_unreachable"
RETRY_S: Final = 2.0
LATEST: Final = 2**62
"""No time beyond this one is kept: a store's numbers end."""


class X402Payments:
    """See the module docstring. `resume` once, `begin` for each enclave, `close` at the end."""

    def __init__(self, chain: X402Chain, store: X402Store, watch: HeadWatch) -> None:
        self._chain, self._store, self._watch = chain, store, watch
        self._young: dict[bytes, Kept] = {}
        self._doubted: set[bytes] = set()
        watch.listeners.append(self._on_head)
        self.deposited_again: Callable[[], None] = lambda: None
        """Called when a deposit that the chain had lost is in a block once more."""
        self._say: Say = _unheard
        self._settling: dict[bytes, asyncio.Task[None]] = {}
        self._underway: dict[bytes, Underway] = {}
        self._included: dict[bytes, bytes] = {}
        self.settled = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Payments that are due and not over."""
        return len(self._settling)

    async def resume(self) -> None:
        """Go on with what is due. Raises Unavailable `store_unavailable`."""
        await self._store.prune(_now())
        for row in await self._store.waiting():
            self._go_on(row)
        for row in await self._store.young():
            self._remember(row)
            self._doubted.add(row.name)

    def begin(self, say: Say) -> None:
        """Another enclave is told from now on."""
        self._say = say

    def end(self) -> None:
        """The enclave is gone; what is due is settled all the same."""
        self._say = _unheard

    async def close(self, limit_s: float) -> None:
        """Wait for what is under way, for a bounded time, and let go of it: it is on disk."""
        tasks = tuple(self._settling.values())
        if tasks and limit_s:
            await asyncio.wait(tasks, timeout=limit_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wanted(self, message: control.PaymentWanted, payment: Authorization) -> control.PaymentState:
        """What stands against a payment, which is kept from now on. Raises what store and chain raise."""
        one = Presented(
            message.name,
            payment.payer,
            payment.token,
            payment.amount,
            min(payment.expires, LATEST),
            message.payment,
            payment.scheme,
        )
        promised, state = await asyncio.gather(
            self._store.keep(one, _now()), payer_state(self._chain.rpc, payment)
        )
        has = state.balance if payment.transfer is not None else min(state.balance, state.allowance)
        available = control.Units.at_most(has - promised)
        return control.PaymentState(message.id, used=state.used, available=available)

    async def due(self, message: control.PaymentDue) -> None:
        """Settle so much of a payment, or forget it. Raises what the store raises."""
        name = message.name
        if not message.amount:
            await self._forget(name)
            return
        row = await self._store.due(name, message.amount)
        if row is not None and row.state is State.DUE:
            self._go_on(row)
            if name in self._included:
                self._say(control.PaymentSettled(name, self._included[name]))
            return
        if row is None:
            self._say(control.PaymentSettled(name))
        else:
            await self._tell(row)

    async def deposited(self, digest: bytes, payment: bytes, mined: Mined) -> None:
        """A block has the deposit that came with a channel's payment (its bytes). Raises what the store
        raises.
        """
        signed = _signed(read_payment(payment))
        expires = min(signed.expires, LATEST)
        one = Presented(digest, signed.payer, signed.token, signed.amount, expires, payment, "deposit")
        await self._store.deposited(one, mined.transaction, mined.block)
        row = await self._store.find(digest)
        if row is not None and row.block:
            self._remember(row)

    async def _forget(self, name: bytes) -> None:
        row = await self._store.find(name)
        underway = self._underway.get(name)
        if row is not None and row.state is State.DUE:
            if row.hashes or underway is None or not underway.cancel():
                get_logger().warning("payment_settled_undelivered", payment=hex0x(name))
                return
            self._settling[name].cancel()
            await self._store.forget(name, due=True)
        elif row is not None and row.state is State.KEPT:
            await self._store.forget(name)
        elif row is not None:
            await self._tell(row)
            return
        self._say(control.PaymentSettled(name))

    async def _tell(self, row: Kept) -> None:
        """Say what became of it, if the chain still shows that; else it is settled anew, and said then."""
        if row.block:
            with contextlib.suppress(HallmarkError):
                await self._look_again(row)
                row = await self._store.find(row.name) or row
        if row.state is not State.DUE:
            self._say(control.PaymentSettled(row.name, row.transaction, row.reason))

    def _go_on(self, row: Kept) -> None:
        if row.name not in self._settling:
            task = asyncio.get_running_loop().create_task(self._settle(row))
            self._settling[row.name] = task
            task.add_done_callback(lambda _: self._drop(row.name))

    def _drop(self, name: bytes) -> None:
        for known in (self._settling, self._underway, self._included):
            known.pop(name, None)

    async def _settle(self, row: Kept) -> None:
        """Until it is over."""
        said = ""
        while True:
            try:
                ended = await self._try(row, read_payment(row.payment))
                await self._over(row.name, ended)
                break
            except HallmarkError as error:
                if error.reason != said:
                    get_logger().warning("payment_waits", payment=hex0x(row.name), reason=error.reason)
                said = error.reason
            except Exception as error:
                # A bug of ours loses no payment: it is said, and tried again.
                get_logger().error("internal_error", exc_info=error)
            await asyncio.sleep(RETRY_S)
            row = await self._again(row)
        self.settled += not ended.reason
        self.refused += bool(ended.reason)
        if ended.reason:
            get_logger().warning("payment_refused", payment=hex0x(row.name), reason=ended.reason)
        if ended.reason or self._included.get(row.name) != ended.transaction:
            self._say(control.PaymentSettled(row.name, ended.transaction, ended.reason))

        if not ended.reason and read_payment(row.payment).channel is not None:
            self.deposited_again()

    async def _over(self, name: bytes, ended: Ended) -> None:
        await self._store.over(name, ended.transaction, ended.reason, block=ended.block)
        row = await self._store.find(name)
        if row is not None and row.block:
            self._remember(row)

    def _remember(self, row: Kept) -> None:
        """Look for its transaction once, and whenever the chain went back, while its block is young."""
        self._young[row.name] = row
        if row.state is State.SETTLED:
            self._doubted.add(row.name)
        self._watch.young(row.block)

    async def _on_head(self, head: Head) -> bool:
        """See to what is young. Raises what store and chain raise."""
        aged = head.number - REMEMBERED
        if not head.kept:
            self._doubted.update(self._young)
        for name in self._doubted - self._settling.keys():
            row = self._young.get(name)
            if row is not None:
                await self._look_again(row, aged=aged)
            self._doubted.discard(name)
        old = {name for name, row in self._young.items() if row.block <= aged} - self._doubted
        if old:
            await self._store.aged(aged)
        for name in old:
            del self._young[name]
        return bool(self._doubted)

    async def _look_again(self, row: Kept, *, aged: int = 0) -> None:
        """It is due once more when the chain does not show what became of it. Of what happened in block
        `aged` or before, a chain need not have kept receipts: there the payer's nonce is enough.
        """
        if row.state is State.SETTLED:
            found = await in_block(self._chain.rpc, (*row.hashes, row.transaction))
            if found is not None:
                if (found.transaction, found.block) != (row.transaction, row.block):
                    await self._over(row.name, Ended(found.transaction, "", found.block))
                return
        if row.block <= aged:
            signed = _signed(read_payment(row.payment))
            if row.state is State.REFUSED or (await payer_state(self._chain.rpc, signed)).used:
                return
        lost = await self._store.again(row.name)
        self._young.pop(row.name, None)
        if lost is not None and lost.state is State.DUE:
            if row.state is State.SETTLED:
                get_logger().warning("payment_lost", payment=hex0x(row.name), block=row.block)
            self._included.pop(row.name, None)
            self._go_on(lost)

    async def _again(self, row: Kept) -> Kept:
        try:
            return await self._store.find(row.name) or row
        except HallmarkError:
            return row

    async def _try(self, row: Kept, payment: Authorization) -> Ended:
        """What became of it, once that is deep. Raises HallmarkError where it must be tried again."""
        name, signed = row.name, _signed(payment)
        before = await self._found(row)
        if before is not None:
            return Ended(before.transaction, "", before.block)
        if row.hashes and await self._chain.sender.sends_again(row.hashes):
            raise Unavailable("sent_again", "The chain lost the payment's transaction, which goes in again.")
        try:
            call = sent_for(payment, row.amount)
        except InvalidInput as error:  # it is not what the payer signed for: no chain would take it
            return Ended(b"", error.reason, 0)

        async def note(transaction: bytes) -> None:
            await self._store.signed(name, transaction)

        underway = self._chain.sender.submit(call.contract, call.data, signed=note)
        self._underway[name] = underway
        why = ""
        try:
            mined = await asyncio.shield(underway.included)
            if mined.ok:
                self._in_block(name, mined.transaction)
                mined = await asyncio.shield(underway.confirmed)
                return Ended(mined.transaction, "", mined.block)
        except Reverted as revert:
            why = error_name(revert)
        finally:
            self._underway.pop(name, None)
        return await judge(self._chain, signed, (*row.hashes, *underway.hashes), why)

    def _in_block(self, name: bytes, transaction: bytes) -> None:
        self._included[name] = transaction
        self._say(control.PaymentSettled(name, transaction))

    async def _found(self, row: Kept) -> Mined | None:
        """The transaction of an earlier try that a block has, once that is deep enough."""
        rpc = self._chain.rpc
        mined = await in_block(rpc, row.hashes)
        if mined is None:
            return None
        if row.name not in self._included:
            self._in_block(row.name, mined.transaction)
        if await rpc.head() - mined.block + 1 < self._chain.confirmations:
            raise Unavailable("not_deep_yet", "Too few blocks hold the payment's transaction.")
        return mined


def _signed(payment: Authorization) -> Authorization:
    """What the payer signed that moves money: a channel's deposit, or the payment itself."""
    channel = payment.channel
    return payment if channel is None or channel.deposit is None else deposit_payment(channel)


def _now() -> int:
    return time.time_ns() // 1_000_000_000


def _unheard(_message: control.ToEnclave) -> None:
    """There is no enclave."""
