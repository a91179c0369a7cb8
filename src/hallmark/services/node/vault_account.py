"""What an enclave asks of the vault before it answers: what a payer has there, and a lease on part of it.

Each question is answered by itself, some at a time, with what one block held. A lease goes out in the order
in which it was signed, because the vault takes no older one after a newer; the payer's ceiling goes with it
in one transaction where it is newer than the chain's. The enclave draws only on what it reads here, so a
lease that the vault refused, or that did not get into a block in time, is told as refused.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.hashing import keccak256
from hallmark.core.vault import Lease, SpendingCeiling, unpack_rows
from hallmark.services.chain.contract import load_abi
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.sender import Sender, Underway
from hallmark.services.chain.vault import (
    Delays,
    VaultContract,
    ceiling_call,
    lease_call,
    multicall,
    vault_reason,
)
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.telemetry.logs import get_logger

AT_ONCE: Final = 16
MOST_ASKED: Final = 1024
TRIES: Final = 3
RETRY_S: Final = 0.3
INCLUDED_S: Final = 50.0
"""A lease that is in no block by then is told as failed: the enclave waits for a minute."""
TERM_ROOM_S: Final = 60
"""A lease ends so much sooner than the vault allows, or a tenth of that: clocks differ, and blocks wait."""
UNREACHABLE: Final = "chain_unreachable"


class VaultChain(msgspec.Struct):
    """One vault, the endpoint that is asked about it, who sends to it, and for which payee."""

    rpc: RPC
    vault: VaultContract
    sender: Sender
    payee: bytes
    delays_known: Delays | None = None

    async def delays(self) -> Delays:
        """The vault's, asked once, before anything else is. Raises as `VaultContract.parameters`."""
        if self.delays_known is None:
            await asyncio.to_thread(load_abi)
            self.delays_known = (await self.vault.parameters()).delays
        return self.delays_known


class _Asked(msgspec.Struct, frozen=True):
    """The ceiling of an `AccountWanted`, and whether it must go to the chain with the lease."""

    ceiling: SpendingCeiling
    signature: bytes
    newer: bool


class VaultAccounts:
    """Answers `AccountWanted` and `LeaseSigned`; `begin` for each enclave. `lease_s` is how long a lease
    should be. `known` are the payers on whose accounts leases were asked.
    """

    def __init__(self, chain: VaultChain, *, lease_s: int) -> None:
        self._chain, self._lease_s = chain, lease_s
        self._say: Say = _unheard
        self._key = b""
        self._asked: OrderedDict[int, _Asked] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.known: set[bytes] = set()

    def begin(self, say: Say, key: bytes) -> None:
        """An enclave with this settlement key (20-byte address) takes the place of the one before."""
        self.end()
        self._say, self._key = say, key

    def end(self) -> None:
        """The enclave is gone: nobody waits for an answer."""
        for task in self._tasks:
            task.cancel()
        self._asked.clear()
        self._say, self._key = _unheard, b""

    def wanted(self, message: control.AccountWanted) -> None:
        """A payer has come."""
        self._start(message.id, self._account(message))

    def signed(self, message: control.LeaseSigned) -> None:
        """A lease is to go out: it stands in the sender's queue before any later message is read."""
        asked = self._asked.pop(message.id, None)
        if asked is None:
            self._say(control.AccountState(message.id, "lease_refused"))
            return
        lease = Lease(self._key, message.sequence, message.until, keccak256(message.rows))
        taken = lease_call(lease, message.rows, message.signature)
        both = multicall((ceiling_call(asked.ceiling, asked.signature), taken))
        try:
            rows = unpack_rows(message.rows)
            # Another request of this payer's may have brought the ceiling meanwhile: then the lease alone.
            forms = (both, taken) if asked.newer else (taken,)
            underway = self._chain.sender.submit(self._chain.vault.address, *forms)
        except HallmarkError:
            self._say(control.AccountState(message.id, "lease_refused"))
            return
        self.known.update(row.payer for row in rows)
        self._start(message.id, self._lease(message, asked, underway))

    def _start(self, number: int, work: Coroutine[Any, Any, control.AccountState]) -> None:
        if len(self._tasks) >= MOST_ASKED:
            work.close()
            self._say(control.AccountState(number, UNREACHABLE))
            return
        task = asyncio.get_running_loop().create_task(self._answer(number, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, work: Coroutine[Any, Any, control.AccountState]) -> None:
        say = self._say
        try:
            state = await work
        except HallmarkError as error:
            get_logger().warning("account_unread", reason=error.reason)
            state = control.AccountState(number, UNREACHABLE)
        say(state)

    async def _account(self, message: control.AccountWanted) -> control.AccountState:
        """What the chain holds, and whether this ceiling could be put there."""
        ceiling = SpendingCeiling.unpack(message.ceiling)
        if ceiling.payee != self._chain.payee:
            return control.AccountState(message.id, "ceiling_refused")
        async with self._places:
            state, nonce = await self._read(message.id, ceiling)
            if state.reason:
                return state
            if ceiling.nonce > nonce:
                try:
                    call = ceiling_call(ceiling, message.signature)
                    await self._chain.rpc.read(self._chain.vault.address, call)
                except Reverted as revert:
                    get_logger().warning("ceiling_refused", error=vault_reason(revert))
                    return control.AccountState(message.id, "ceiling_refused")
        self._asked[message.id] = _Asked(ceiling, message.signature, ceiling.nonce > nonce)
        if len(self._asked) > MOST_ASKED:
            self._asked.popitem(last=False)
        return state

    async def _lease(
        self, message: control.LeaseSigned, asked: _Asked, underway: Underway
    ) -> control.AccountState:
        """Follow a lease into its block; what the chain holds there."""
        block, refused = None, ""
        try:
            async with asyncio.timeout(INCLUDED_S):
                mined = await asyncio.shield(underway.included)
            block, refused = mined.block, "" if mined.ok else "reverted"
        except TimeoutError:
            underway.cancel()
            return control.AccountState(message.id, UNREACHABLE)
        except Reverted as revert:
            refused = vault_reason(revert)
        except HallmarkError as error:
            refused = error.reason
        state, _ = await self._read(message.id, asked.ceiling, block=block)
        row = next((row for row in unpack_rows(message.rows) if row.payer == asked.ceiling.payer), None)
        held = row is not None and state.allowance >= row.amount and state.until >= message.until
        if held or state.reason:
            return state
        get_logger().warning("lease_refused", error=refused or "account")
        return msgspec.structs.replace(state, reason="lease_refused")

    async def _read(
        self, number: int, ceiling: SpendingCeiling, *, block: int | None = None
    ) -> tuple[control.AccountState, int]:
        """The payer's account, and the nonce of the ceiling in force. An endpoint with several nodes behind
        it may not have a block that it named a moment ago: it is asked again. Raises Unavailable.
        """
        for attempt in range(TRIES):
            try:
                return await self._read_at(
                    number, ceiling, await self._chain.rpc.head() if block is None else block
                )
            except Unavailable:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(RETRY_S)
        raise AssertionError

    async def _read_at(
        self, number: int, ceiling: SpendingCeiling, block: int
    ) -> tuple[control.AccountState, int]:
        chain, vault = self._chain, self._chain.vault.at(block)
        delays = await chain.delays()
        kept, known, lease, at = await asyncio.gather(
            vault.account(ceiling.payer),
            vault.ceiling(ceiling.payer, chain.payee),
            vault.lease(self._key, ceiling.payer),
            chain.rpc.block_time(block),
        )
        if kept.empty and not lease.allowance:
            return control.AccountState(number, "account_absent"), known.nonce
        if ceiling.nonce < known.nonce:  # its payer signed a newer one since
            return control.AccountState(number, "ceiling_refused"), known.nonce
        limit, ends = known.max_claimable, known.valid_until
        if ceiling.nonce > known.nonce:
            limit, ends = ceiling.max_claimable, ceiling.valid_until
        state = control.AccountState(
            number,
            free=control.Units.at_most(kept.free - kept.withdrawing),
            most=control.Units.at_most(limit - known.committed + lease.allowance),
            allowance=control.Units(lease.allowance),
            until=lease.until,
            term=lease_term(self._lease_s, delays.lease, at, ends),
        )
        return state, known.nonce


def lease_term(wanted: int, longest: int, block_time: int | None, ceiling_ends: int) -> int:
    """For how many seconds from now a lease should be: as wanted, but within what the vault allows from its
    newest block's time on, and not beyond the ceiling.
    """
    now = time.time_ns() // 1_000_000_000
    behind = max(0, now - (block_time if block_time is not None else now))
    allowed = longest - behind - min(TERM_ROOM_S, longest // 10)
    return max(0, min(wanted, allowed, ceiling_ends - now))


def _unheard(_message: control.ToEnclave) -> None:
    """There is no enclave."""
