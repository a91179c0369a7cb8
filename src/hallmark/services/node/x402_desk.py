"""The host's part in x402: what the enclave asks about payments is answered here, and what is due is settled.

PaymentWanted    `exact`, `upto`: `x402_payments`; a channel: `x402_channels`
PaymentDue       `x402_payments`
ClaimsSigned     `x402_channels`, which asked for them
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.x402_payment import read_payment
from hallmark.payments.x402.actions import Sweep
from hallmark.services.chain.heads import HeadWatch
from hallmark.services.chain.x402_contracts import missing
from hallmark.services.enclave import control
from hallmark.services.node.desk_work import DeskWork
from hallmark.services.node.enclave_link import Say
from hallmark.services.node.offer_file import NOTHING, Taken
from hallmark.services.node.settings import Payments
from hallmark.services.node.x402_chain import X402Chain
from hallmark.services.node.x402_channels import Claiming, DepositRefused, X402Channels
from hallmark.services.node.x402_payments import RETRY_S, UNREACHABLE, X402Payments
from hallmark.services.node.x402_store import X402Store
from hallmark.telemetry.logs import get_logger

MOST_ASKED: Final = 1024
LOOK_S: Final = 30.0
SOON_S: Final = 1.0
"""While something is missing, the chain is looked at so often."""
CLAIMS_IN_DELAY: Final = 4
"""So many times at least claims go out while a payer waits for its money."""
PERMIT2: Final = frozenset(("DevPermit2", "DevExactProxy", "DevUptoProxy"))
CHANNELS: Final = frozenset(("DevBatchSettlement", "DevERC3009Collector", "DevPermit2Collector"))


def check_delays(settings: Payments) -> None:
    """Refuse settings under which vouchers can die unclaimed. Raises InvalidInput `bad_settings`."""
    if settings.settle_seconds * CLAIMS_IN_DELAY > settings.withdraw_seconds:
        raise InvalidInput(
            "bad_settings",
            f"Channels are claimed every payments.settle_seconds ({settings.settle_seconds}), and their "
            f"payers can withdraw after payments.withdraw_seconds ({settings.withdraw_seconds}).",
            f"Let the delay be {CLAIMS_IN_DELAY} times the interval at least.",
        )
    if not 900 <= settings.withdraw_seconds <= 30 * 86_400:
        raise InvalidInput("bad_settings", "payments.withdraw_seconds is from 900 to 2,592,000.")


class X402Desk:
    """See the module docstring. `start` once, `begin` for each enclave, `close` at the end. `sender` is the
    gas key's address, and `changed` is called when `taken` is something else than before.
    """

    def __init__(
        self,
        settings: Payments,
        chain: X402Chain,
        store: X402Store,
        *,
        sender: bytes,
        sweep: Sweep,
        changed: Callable[[], None],
    ) -> None:
        self._settings, self._chain, self._sender, self._changed = settings, chain, sender, changed
        self._heads = HeadWatch(chain.rpc, poll_s=chain.poll_s)
        self.payments = X402Payments(chain, store, self._heads)
        claiming = Claiming(settings.settle_seconds, settings.collect_from, sweep)
        self.channels = X402Channels(
            chain, claiming, store=store, watch=self._heads, deposited=self.payments.deposited
        )
        self.payments.deposited_again = self.channels.claim_soon
        self._work = DeskWork()
        self.taken = NOTHING
        """What the chain's contracts and the gas key's balance let be taken now."""

    def start(self) -> None:
        """Go on with what is due, and keep an eye on the chain."""
        self._work.run(self._resume(), self._watch(), self.channels.run(), self._heads.run())

    def begin(self, say: Say) -> None:
        """An enclave serves."""
        self._work.say = say
        self.payments.begin(say)
        self.channels.begin(say)

    def end(self) -> None:
        """The enclave is gone: nobody waits for an answer."""
        self._work.say = None
        self.payments.end()
        self.channels.end()

    async def close(self, limit_s: float) -> None:
        """Let what is due get into a block, for a bounded time, and let go of the chain. What is left is on
        disk.
        """
        self.end()
        await self._work.wait(limit_s)
        await self.payments.close(limit_s)
        await self._work.cancel()
        await self.channels.close()

    def take(self, message: control.PaymentWanted | control.PaymentDue | control.ClaimsSigned) -> None:
        """One message of the enclave's."""
        if isinstance(message, control.ClaimsSigned):
            self.channels.signed(message)
        elif isinstance(message, control.PaymentDue):
            self._work.begin(self._due(message))
        elif len(self._work.tasks) >= MOST_ASKED:
            self._work.tell(control.PaymentState(message.id, UNREACHABLE))
        else:
            self._work.begin(self._wanted(message))

    def status(self) -> dict[str, object]:
        """As /healthz shows it."""
        return {
            "taken": bool(self.taken.sender),
            "permit2": self.taken.permit2,
            "channels": bool(self.taken.withdraw_delay),
            "waiting": self.payments.waiting,
            "settled": self.payments.settled,
            "refused": self.payments.refused,
            "claims": self.channels.claims,
            "channels_lost": self.channels.lost,
            "problem": self.channels.problem,
        }

    async def _wanted(self, message: control.PaymentWanted) -> None:
        reason = UNREACHABLE
        try:
            payment = read_payment(message.payment)
            answer = self.payments.wanted if payment.channel is None else self.channels.wanted
            self._work.tell(await answer(message, payment))
            return
        except (DepositRefused, InvalidInput) as error:
            reason = error.reason
        except HallmarkError as error:
            get_logger().warning("payment_unread", reason=error.reason)
        self._work.tell(control.PaymentState(message.id, reason))

    async def _due(self, message: control.PaymentDue) -> None:
        """What is due must get to the disk, however long that takes."""
        while True:
            try:
                await self.payments.due(message)
                return
            except HallmarkError as error:
                get_logger().error("payment_not_kept", reason=error.reason)
            await asyncio.sleep(RETRY_S)

    async def _resume(self) -> None:
        while True:
            try:
                await self.payments.resume()
                return
            except HallmarkError as error:
                get_logger().error("payments_unread", reason=error.reason)
            await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        """See what can be taken, now and then."""
        while True:
            pause = LOOK_S
            try:
                found = await self._look()
                if not (found.sender and found.withdraw_delay and found.permit2):
                    pause = SOON_S
            except HallmarkError:
                found, pause = self.taken, RETRY_S
            if found != self.taken:
                self.taken = found
                self._changed()
            await asyncio.sleep(pause)

    async def _look(self) -> Taken:
        """What the chain has. Who cannot pay for gas takes no payment that needs some."""
        if self._chain.sender.problem == "gas_unfunded" or not await self._chain.rpc.balance(self._sender):
            return NOTHING
        absent = set(await missing(self._chain.rpc))
        delay = 0 if absent & CHANNELS else self._settings.withdraw_seconds
        return Taken(self._sender, delay, not absent & PERMIT2)
