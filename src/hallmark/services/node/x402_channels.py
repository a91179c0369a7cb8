"""x402's channels: deposits into them, what the chain holds of them, and claiming what they were charged.

A voucher is money only until its payer has withdrawn what it covers, which takes the channel's delay. So
claims go out at an interval that is far shorter than the delay, whether somebody withdraws or not, and begin
anew with what the chain holds: one that was lost, or came twice, changes nothing. What was claimed is paid
out by a sweep, once it is enough.

What was claimed lately is kept on disk. When the chain went back, and after each start, the enclave is told
what the chain has of it now, less than before too, and claims the rest again.

A claim that the chain refuses would hold up all others, because the enclave signs for them together: channels
that cannot cover what they were charged are named to the enclave, which leaves them out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.x402_payment import Authorization, Channel
from hallmark.payments.x402.actions import Claims, Sweep, read_action
from hallmark.services.chain.heads import REMEMBERED, Head, HeadWatch
from hallmark.services.chain.rpc import Reverted
from hallmark.services.chain.sender import Mined
from hallmark.services.chain.x402_settlement import (
    channel_state,
    claimable,
    claims_call,
    deposit_call,
    error_name,
    payer_state,
    sweep_call,
)
from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.x402_chain import X402Chain, deposit_payment
from hallmark.services.node.x402_store import X402Store
from hallmark.telemetry.logs import get_logger

INCLUDED_S: Final = 50.0
"""A deposit that is in no block by then is told as failed: the enclave waits for a minute."""
SIGNED_S: Final = 10.0
SOON_S: Final = 60
"""A first round, and one after a failure, comes after so long at most: what a crash left waits no epoch."""
MOST_BATCHES: Final = 64
"""Batches of claims of one round."""


class DepositRefused(VerificationFailed):
    """The chain does not take a payer's deposit."""


OnDeposit = Callable[[bytes, bytes, Mined], Awaitable[None]]
"""Hears of a deposit in a block: its digest, the payment that it came with (its bytes), where it is."""


class Claiming(msgspec.Struct, frozen=True):
    """How often channels are claimed, and from how much on (atomic units) which receiver is paid."""

    every_s: int
    collect_from: int
    sweep: Sweep


class X402Channels:
    """See the module docstring. `run` must be running, `begin` for each enclave."""

    def __init__(
        self,
        chain: X402Chain,
        claiming: Claiming,
        *,
        store: X402Store,
        watch: HeadWatch,
        deposited: OnDeposit,
    ) -> None:
        self._chain, self._every_s = chain, claiming.every_s
        self._collect_from, self._sweep_of = claiming.collect_from, claiming.sweep
        self._store, self._watch, self._deposited_in = store, watch, deposited
        watch.listeners.append(self._on_head)
        self._doubt, self._youngest = True, -1
        self._again = asyncio.Event()
        self._say: Say | None = None
        self._deposits: dict[bytes, asyncio.Task[None]] = {}
        self._asked: dict[int, asyncio.Future[control.ClaimsSigned]] = {}
        self._number = 0
        self._lost: dict[bytes, int] = {}
        """With what they held when they were seen to hold too little."""
        self._began = asyncio.Event()
        self._turn = asyncio.Lock()
        self.problem = ""
        """Why the last round did not come to its end, a reason code."""
        self.claims = 0
        """Vouchers that were claimed since this process began."""

    @property
    def lost(self) -> int:
        """Channels that cannot cover what they were charged."""
        return len(self._lost)

    def begin(self, say: Say) -> None:
        """Another enclave serves."""
        self._say, self._doubt = say, True
        self._began.set()

    def end(self) -> None:
        """The enclave is gone."""
        self._say = None
        self._began.clear()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(Unavailable("enclave_gone", "The enclave has ended."))

    async def close(self) -> None:
        """Wait for nothing more."""
        tasks = tuple(self._deposits.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wanted(self, message: control.PaymentWanted, payment: Authorization) -> control.PaymentState:
        """What the chain holds of a channel, after the deposit that comes with it. Raises DepositRefused, and
        what `RPC` raises.
        """
        channel = payment.channel
        assert channel is not None
        if channel.deposit is not None:
            await self._deposited(channel, message.payment)
        state = await channel_state(self._chain.rpc, channel.id)
        return control.PaymentState(
            message.id,
            balance=control.Units.at_most(state.balance),
            claimed=control.Units.at_most(state.total_claimed),
            withdraw_at=state.withdraw_at,
            refund_nonce=state.refund_nonce,
        )

    def signed(self, message: control.ClaimsSigned) -> None:
        """The enclave's answer."""
        asked = self._asked.get(message.id)
        if asked is not None and not asked.done():
            asked.set_result(message)

    def claim_soon(self) -> None:
        """Let the next round come now."""
        self._again.set()

    async def run(self) -> None:
        """A round at each interval while there is an enclave, until cancelled."""
        while True:
            await self._began.wait()
            soon = min(SOON_S, self._every_s)
            self._again.clear()
            good = await self.round()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s if good else soon):
                    await self._again.wait()

    async def round(self) -> bool:
        """Claim and sweep; False when something stood in the way, which is said in `problem`."""
        async with self._turn:
            try:
                await self._look_again()
                await self._claim_all()
                await self._sweep()
            except HallmarkError as error:
                if error.reason != self.problem:
                    get_logger().warning("claims_problem", reason=error.reason)
                self.problem = error.reason
                return False
            self.problem = ""
            return True

    async def _on_head(self, head: Head) -> bool:
        """A chain that went back may have lost claims and sweeps: a round sees to that."""
        if self._youngest < 0:
            return False
        self._doubt = self._doubt or not head.kept
        if self._doubt:
            self._again.set()
        elif self._youngest <= head.number - REMEMBERED:
            await self._store.aged(head.number - REMEMBERED)
            self._youngest = -1
        return self._doubt and self._say is not None

    async def _look_again(self) -> None:
        """Compare what was claimed lately with the chain, if it may have gone back. Raises Unavailable
        `sent_again`.
        """
        rpc = self._chain.rpc
        for name, held in list(self._lost.items()):
            if (await channel_state(rpc, name)).balance != held:
                del self._lost[name]
        if not self._doubt:
            return
        head, claims = await rpc.head(), await self._store.claims()
        if claims:
            if await self._chain.sender.sends_again():
                raise Unavailable("sent_again", "The chain lost transactions, which go in again.")
            now = {one.channel: (await channel_state(rpc, one.channel)).total_claimed for one in claims}
            less = {one.channel for one in claims if now[one.channel] < one.amount}
            if less:
                get_logger().warning("claims_lost", channels=len(less), block=head)
            await self._claimed(now, head if less else max(one.block for one in claims))
        self._doubt = False

    async def _claimed(self, claimed: dict[bytes, int], block: int) -> None:
        """The chain has so much in all, as of this block."""
        await self._store.claimed(claimed, block, self._sweep_of.token)
        self._young(block)
        if self._say is not None:
            self._say(
                control.ChannelsClaimed({name: control.Units.at_most(a) for name, a in claimed.items()})
            )

    def _young(self, block: int) -> None:
        self._youngest = max(self._youngest, block)
        self._watch.young(block)

    async def _deposited(self, channel: Channel, payment: bytes) -> None:
        """One transaction for a deposit, however often it comes."""
        deposit = channel.deposit
        assert deposit is not None
        running = self._deposits.get(deposit.digest)
        if running is None:
            running = asyncio.get_running_loop().create_task(self._put(channel, payment))
            self._deposits[deposit.digest] = running
            running.add_done_callback(lambda _: self._deposits.pop(deposit.digest, None))
        try:
            async with asyncio.timeout(INCLUDED_S):
                await asyncio.shield(running)
        except TimeoutError:
            raise Unavailable("chain_unreachable", "The deposit is in no block yet.") from None

    async def _put(self, channel: Channel, payment: bytes) -> None:
        deposit = channel.deposit
        assert deposit is not None
        if await self._is_in(channel):
            return
        call, why = deposit_call(channel.config, deposit), ""
        try:
            mined = await asyncio.shield(self._chain.sender.submit(call.contract, call.data).included)
            if mined.ok:
                get_logger().info("deposited", channel=hex0x(channel.id), block=mined.block)
                await self._deposited_in(deposit.digest, payment, mined)
                return
        except Reverted as revert:
            why = error_name(revert)
        if not await self._is_in(channel):  # else somebody else was faster
            get_logger().warning("deposit_refused", channel=hex0x(channel.id), why=why or "reverted")
            raise DepositRefused("deposit_refused", "The chain does not take this deposit.")

    async def _is_in(self, channel: Channel) -> bool:
        """Whether the payer's signature for a deposit was used."""
        return (await payer_state(self._chain.rpc, deposit_payment(channel))).used

    async def _claim_all(self) -> None:
        done = b""
        for _ in range(MOST_BATCHES):
            signed = await self._ask()
            # The same claims again would be the enclave's answer to nothing that it can be told.
            if signed is None or not signed.claims or sha256(signed.claims) == done:
                return
            done = sha256(signed.claims)
            claims = read_action(msgspec.Raw(signed.claims))
            if not isinstance(claims, Claims):
                raise VerificationFailed("bad_claims", "The enclave signed something else than claims.")
            await self._claim(claims)

    async def _ask(self) -> control.ClaimsSigned | None:
        """Have the enclave sign for what is not claimed. Raises Unavailable `enclave_silent`."""
        if self._say is None:
            return None
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._say(control.ClaimsWanted(number, tuple(sorted(self._lost))))
            async with asyncio.timeout(SIGNED_S):
                signed: control.ClaimsSigned = await answer
                return signed
        except TimeoutError:
            raise Unavailable("enclave_silent", "The enclave does not sign claims.") from None
        finally:
            del self._asked[number]

    async def _claim(self, claims: Claims) -> None:
        """Send claims, if each brings something; else say what the chain has, so that the next ones do."""
        chain, call = self._chain, claims_call(claims)
        rows = {digests.channel_id(one.config, chain.chain_id): one.total_claimed for one in claims.claims}
        found = await asyncio.gather(*(channel_state(chain.rpc, name) for name in rows))
        states = dict(zip(rows, found, strict=True))
        behind = [name for name, state in states.items() if state.total_claimed >= rows[name]]
        lost = {name for name, state in states.items() if state.balance < rows[name]}
        if lost:
            get_logger().error("channels_lost", channels=len(lost - self._lost.keys()))
            self._lost |= {name: states[name].balance for name in lost}
        if behind:
            found_at = await chain.rpc.head()
            await self._claimed({name: states[name].total_claimed for name in behind}, found_at)
        if behind or lost:
            return
        try:
            mined = await asyncio.shield(chain.sender.submit(call.contract, call.data).confirmed)
        except Reverted as revert:
            why = error_name(revert) or "reverted"
            raise VerificationFailed("claims_refused", f"The chain refuses claims ({why}).") from revert
        if not mined.ok:
            raise VerificationFailed("claims_refused", "A block has the claims, and they reverted.")
        self.claims += len(rows)
        get_logger().info("claimed", channels=len(rows), block=mined.block)
        await self._claimed(rows, mined.block)

    async def _sweep(self) -> None:
        """Have the receiver paid what was claimed, if it is enough; anybody else may be faster."""
        sweep, chain = self._sweep_of, self._chain
        if await claimable(chain.rpc, sweep.receiver, sweep.token) < max(1, self._collect_from):
            return
        call = sweep_call(sweep)
        mined = await asyncio.shield(chain.sender.submit(call.contract, call.data).confirmed)
        self._young(mined.block)
        get_logger().info("swept", block=mined.block, transaction=hex0x(mined.transaction))
