"""Payees get their money: a transfer of all that is owed, once it is enough or has waited for long enough.

Each is a transfer that the issuer authorizes (EIP-3009) under a nonce that belongs to the payout: the token
itself takes a nonce once, so whatever is sent how often after whichever kill, a payee is paid once. A payout
that the chain loses, for 64 blocks, is due once more.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from hallmark.core.document import unhex
from hallmark.core.eip3009 import TRANSFER, TokenDomain, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import HallmarkError
from hallmark.core.x402_payment import Authorization
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.heads import REMEMBERED, Heads
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.x402_settlement import payer_state, payment_call
from hallmark.services.facilitator.sender import Sender, TooDear
from hallmark.services.facilitator.store import Settlement, State
from hallmark.services.facilitator.store import Store as Ledger
from hallmark.services.issuer.settings import Settings
from hallmark.services.issuer.store import Payout, Store
from hallmark.telemetry.logs import get_logger

NEVER: Final = 2**40
"""An authorization to pay out does not expire; in unix seconds."""
LONGEST_S: Final = 60.0
SOON_S: Final = 2.0


class Payouts:
    """See the module docstring. `ledger` and `sender` are those of the facilitator's code: one row for each
    transfer, its bytes kept before they are sent.
    """

    def __init__(
        self, rpc: RPC, key: Key, settings: Settings, *, store: Store, ledger: Ledger, sender: Sender
    ) -> None:
        self._rpc, self._key, self._settings = rpc, key, settings
        self._store, self._ledger, self._sender = store, ledger, sender
        money = settings.asset
        self._token = unhex(money.address)
        self._domain = TokenDomain(money.name, money.version, settings.chain_id, self._token)
        self._heads, self._doubt, self._youngest = Heads(rpc), True, 0
        self.problem = ""

    async def run(self) -> None:
        """Pay, for ever."""
        often = min(LONGEST_S, max(0.05, self._settings.pay_after_ms / 4_000))
        while True:
            waits = 0
            try:
                self.problem, before = "", self.problem
                waits = await self.round(time.time_ns() // 1_000_000)
            except HallmarkError as error:
                if before != error.reason:
                    get_logger().warning("payout_problem", reason=error.reason)
                self.problem = error.reason
            await asyncio.sleep(min(often, SOON_S) if waits or self.problem else often)

    async def round(self, now: int) -> int:
        """Make and send what is due at `now` (unix ms); how many payouts are not over yet."""
        await self._look_again()
        before = now - self._settings.pay_after_ms
        due = await self._store.begin_payouts(self._settings.pay_from, before, now)
        return len(due) - sum([await self._pay(one) for one in due])

    async def _look_again(self) -> None:
        """Those of late that the chain has lost are due once more. Without any, nothing is asked."""
        if self._youngest < 0:
            return
        head = await self._heads.look()
        self._doubt = self._doubt or not head.kept
        young = await self._store.paid_since(head.number - REMEMBERED) if self._doubt else []
        for payout in young:
            if not (await payer_state(self._rpc, self._authorized(payout))).used:
                get_logger().warning("payout_lost", payout=payout.id)
                await self._store.unpaid(payout.id)
        self._youngest = max(self._youngest, head.number) if young else self._youngest
        self._doubt = False
        if self._youngest <= head.number - REMEMBERED:
            self._youngest = -1

    async def _pay(self, payout: Payout) -> bool:
        """Have one sent if it is not; whether the chain has it."""
        row = await self._ledger.find(payout.id)
        if row is not None and row.state is State.SENT:
            return False
        payment = self._authorized(payout)
        done = row is not None and row.state is State.SETTLED
        head = await self._rpc.head()
        if done or (await payer_state(self._rpc, payment)).used:
            await self._store.paid_out(payout.id, head)
            self._youngest, self._doubt = max(self._youngest, head), True
            get_logger().info("paid_out", payout=payout.id)
            return True
        call = payment_call(payment, payout.amount)
        asked = Settlement(
            id=payout.id,
            scheme="exact",
            kind="payout",
            payer=self._key.address,
            payee=payout.payee,
            token=self._token,
            amount=payout.amount,
            created=payout.at,
            expires=0,
            contract=call.contract,
            data=call.data,
            most_gas=self._settings.most_gas,
        )
        claimed = await self._ledger.claim(asked, "payout", "", b"", again=True)
        if claimed.new:
            await self._submit(asked)
        return False

    async def _submit(self, asked: Settlement) -> None:
        sent = False
        try:
            await self._sender.submit(asked)
            sent = True
        except TooDear:
            self.problem = "gas_too_dear"
        except Reverted:
            self.problem = "payout_refused"
            get_logger().error("payout_refused", payout=asked.id)
        finally:
            if not sent:
                await self._sender.drop(asked)

    def _authorized(self, payout: Payout) -> Authorization:
        one = Transfer(self._key.address, payout.payee, payout.amount, 0, NEVER, payout.id)
        digest = authorization_digest(TRANSFER, one, self._domain)
        return Authorization(
            scheme="exact",
            kind="transfer",
            payer=self._key.address,
            amount=payout.amount,
            digest=digest,
            expires=NEVER,
            signature=self._key.sign(digest),
            transfer=one,
            token=self._token,
        )
