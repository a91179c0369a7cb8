"""x402 payments of one amount (`exact`, `upto`): what stands against them, and settling them once.

A payment is on disk before the enclave hears that it may be taken. What is due of it then reaches the chain
whatever happens to host and enclave: it is submitted anew after each start, followed until it is deep, and
over only when a block has it or the chain will not take it. The payer's nonce lets it move money once,
however often it is sent.

The money is locked nowhere, so the payer can move it away while it is being answered, or take its signature
back. What its other open payments may take is not counted as available; more cannot be known in time.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.hashing import keccak256
from hallmark.core.x402_payment import Authorization, read_payment
from hallmark.services.chain.rpc import RPC, Reverted, data, quantity
from hallmark.services.chain.sender import Mined, Sender, Underway
from hallmark.services.chain.x402_settlement import error_name, payer_state, payment_call
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.x402_store import Kept, Presented, State, X402Store
from hallmark.telemetry.logs import get_logger

UNREACHABLE: Final = "chain_unreachable"
RETRY_S: Final = 2.0
BLOCKS_BACK: Final = 5_000
"""How far back a payment is looked for that somebody else submitted."""
LATEST: Final = 2**62
"""No time beyond this one is kept: a store's numbers end."""
AUTHORIZATION_USED: Final = keccak256(b"AuthorizationUsed(address,bytes32)")
MOVED: Final = keccak256(b"Transfer(address,address,uint256)")


class X402Chain(msgspec.Struct, frozen=True):
    """One chain: the endpoint that is asked, who sends there, its number, after how many blocks a transaction
    counts.
    """

    rpc: RPC
    sender: Sender
    chain_id: int
    confirmations: int


class X402Payments:
    """See the module docstring. `resume` once, `begin` for each enclave, `close` at the end."""

    def __init__(self, chain: X402Chain, store: X402Store) -> None:
        self._chain, self._store = chain, store
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
        )
        promised, state = await asyncio.gather(
            self._store.keep(one, _now()), payer_state(self._chain.rpc, payment)
        )
        has = state.balance if payment.transfer is not None else min(state.balance, state.allowance)
        return control.PaymentState(message.id, used=state.used, available=max(0, has - promised))

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
        self._say(control.PaymentSettled(name) if row is None else _told(row))

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
            self._say(_told(row))
            return
        self._say(control.PaymentSettled(name))

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
                payment = read_payment(row.payment)
                transaction, reason = await self._try(row, payment)
                await self._store.over(row.name, transaction, reason)
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
        self.settled += not reason
        self.refused += bool(reason)
        if reason:
            get_logger().warning("payment_refused", payment=hex0x(row.name), reason=reason)
        if reason or self._included.get(row.name) != transaction:
            self._say(control.PaymentSettled(row.name, transaction, reason))

    async def _again(self, row: Kept) -> Kept:
        try:
            return await self._store.find(row.name) or row
        except HallmarkError:
            return row

    async def _try(self, row: Kept, payment: Authorization) -> tuple[bytes, str]:
        """Its transaction once it is deep, or the reason why there will be none. Raises HallmarkError where
        it must be tried again.
        """
        name = row.name
        before = await self._found(row)
        if before is not None:
            return before, ""
        try:
            call = payment_call(payment, row.amount)
        except InvalidInput as error:  # it is not what the payer signed for: no chain would take it
            return b"", error.reason

        async def note(transaction: bytes) -> None:
            await self._store.signed(name, transaction)

        underway = self._chain.sender.submit(call.contract, call.data, signed=note)
        self._underway[name] = underway
        try:
            mined = await asyncio.shield(underway.included)
            if mined.ok:
                self._in_block(name, mined.transaction)
                mined = await asyncio.shield(underway.confirmed)
        except Reverted as revert:
            return await self._judge(payment, error_name(revert))
        finally:
            self._underway.pop(name, None)
        if mined.ok:
            return mined.transaction, ""
        return await self._judge(payment, "")

    def _in_block(self, name: bytes, transaction: bytes) -> None:
        self._included[name] = transaction
        self._say(control.PaymentSettled(name, transaction))

    async def _found(self, row: Kept) -> bytes | None:
        """The transaction of an earlier try that a block has, once that is deep enough."""
        rpc = self._chain.rpc
        for transaction in reversed(row.hashes):
            mined = await _receipt(rpc, transaction)
            if mined is None or not mined.ok:
                continue
            if row.name not in self._included:
                self._in_block(row.name, transaction)
            if await rpc.head() - mined.block + 1 < self._chain.confirmations:
                raise Unavailable("not_deep_yet", "Too few blocks hold the payment's transaction.")
            return transaction
        return None

    async def _judge(self, payment: Authorization, why: str) -> tuple[bytes, str]:
        """Why the chain does not take it. Somebody else may have submitted it: then the money has come."""
        state = await payer_state(self._chain.rpc, payment)
        if state.used:
            transaction = await self._by_another(payment)
            return (transaction, "") if transaction else (b"", "payment_used")
        if payment.expires <= _now():
            return b"", "payment_expired"
        if state.balance < payment.amount or (payment.permit and state.allowance < payment.amount):
            return b"", "insufficient_balance"
        get_logger().warning("payment_reverts", error=why or "unknown")
        return b"", "payment_refused"

    async def _by_another(self, payment: Authorization) -> bytes:
        """The transaction in which somebody else submitted an EIP-3009 authorization: anybody may, and the
        payee has the money. That its nonce is used says less: it may have been cancelled, and its payer may
        have signed the same nonce for another payee.
        """
        if payment.transfer is None:
            return b""
        holder = hex0x(bytes(12) + payment.payer)
        asked = {
            "address": hex0x(payment.token),
            "topics": [hex0x(AUTHORIZATION_USED), holder, hex0x(payment.transfer.nonce)],
            "fromBlock": hex(max(0, await self._chain.rpc.head() - BLOCKS_BACK)),
            "toBlock": "latest",
        }
        found = await self._chain.rpc.call("eth_getLogs", asked)
        for event in found if isinstance(found, list) else ():
            if isinstance(event, dict) and event.get("topics") == asked["topics"]:
                transaction = bytes.fromhex(str(event.get("transactionHash", "0x"))[2:])
                if await self._paid_in(transaction, asked["topics"], payment):
                    return transaction
        return b""

    async def _paid_in(self, transaction: bytes, used: object, payment: Authorization) -> bool:
        """Whether the token's event after that of the used nonce moves this payment to its payee."""
        assert payment.transfer is not None, "an authorization was looked for"
        receipt = await self._chain.rpc.call("eth_getTransactionReceipt", hex0x(transaction))
        logs = receipt.get("logs") if isinstance(receipt, dict) else None
        token, transfer = hex0x(payment.token), payment.transfer
        events = [
            one
            for one in (logs if isinstance(logs, list) else ())
            if isinstance(one, dict) and str(one.get("address", "")).lower() == token
        ]
        parties = [hex0x(bytes(12) + party) for party in (transfer.holder, transfer.to)]
        moved = [hex0x(MOVED), *parties]
        return any(
            first.get("topics") == used
            and second.get("topics") == moved
            and data(second.get("data")) == transfer.value.to_bytes(32, "big")
            for first, second in itertools.pairwise(events)
        )


async def _receipt(rpc: RPC, transaction: bytes) -> Mined | None:
    receipt = await rpc.call("eth_getTransactionReceipt", hex0x(transaction))
    if not isinstance(receipt, dict) or receipt.get("blockNumber") is None:
        return None
    ok = quantity(receipt.get("status", "0x1")) == 1
    return Mined(transaction, quantity(receipt["blockNumber"]), ok)


def _told(row: Kept) -> control.PaymentSettled:
    return control.PaymentSettled(row.name, row.transaction, row.reason)


def _now() -> int:
    return time.time_ns() // 1_000_000_000


def _unheard(_message: control.ToEnclave) -> None:
    """There is no enclave."""
