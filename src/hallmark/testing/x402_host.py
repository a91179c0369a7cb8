"""The host of an enclave as far as x402 goes, on a real chain; its enclave is the test."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.x402_payment import Authorization, Channel, name_of, payment_bytes
from hallmark.payments.x402.actions import Claim, Sweep, claims_payload
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.sender import Sender
from hallmark.services.enclave import control
from hallmark.services.node.settings import Payments
from hallmark.services.node.x402_chain import X402Chain
from hallmark.services.node.x402_desk import X402Desk
from hallmark.services.node.x402_store import X402Store
from hallmark.store.raw import RawDatabase
from hallmark.testing.anvil import CHAIN_ID
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import PAYEE, PAYER, Chain, authorized

GAS: Final = named_key("x402 host")
SETTINGS: Final = Payments("offer", settle_seconds=200, withdraw_seconds=900)
POLL_S: Final = 0.05
Message = TypeVar("Message")


class Host:
    """A host whose enclave is a test. `claims` are what its channels came to, `believed` what of it the chain
    has (by channel id), as far as the enclave was told.
    """

    def __init__(
        self, chain: Chain, rpc: RPC, path: Path, *, confirmations: int = 1, resend_s: float = 30.0
    ) -> None:
        self.chain, self.rpc = chain, rpc
        self.database = RawDatabase(f"sqlite:///{path}")
        self.store = X402Store(self.database)
        self.sender = Sender(
            rpc, GAS, CHAIN_ID, confirmations=confirmations, poll_s=POLL_S, resend_s=resend_s
        )
        there = X402Chain(rpc, self.sender, CHAIN_ID, confirmations, poll_s=POLL_S)
        self.desk = X402Desk(
            SETTINGS,
            there,
            self.store,
            sender=GAS.address,
            sweep=Sweep(PAYEE.address, chain.token.address),
            changed=lambda: self.changed.set(),
        )
        self.changed = asyncio.Event()
        self.said: asyncio.Queue[control.ToEnclave] = asyncio.Queue()
        self.claims: list[Claim] = []
        self.believed: dict[bytes, int] = {}
        self._sending = asyncio.create_task(self.sender.run())
        self.desk.start()
        self.desk.begin(self._hear)

    def _hear(self, message: control.ToEnclave) -> None:
        message = control.decode_to_enclave(control.encode(message))
        if isinstance(message, control.ClaimsWanted):
            named = [(digests.channel_id(one.config, CHAIN_ID), one) for one in self.claims]
            left = [
                one
                for name, one in named
                if name not in message.lost and self.believed.get(name, 0) < one.total_claimed
            ]
            signed = claims_payload(authorized(*left)) if left else b""
            self.desk.take(control.ClaimsSigned(message.id, signed))
            return
        if isinstance(message, control.ChannelsClaimed):
            self.believed.update(message.claimed)
        self.said.put_nowait(message)

    async def heard(self, kind: type[Message]) -> Message:
        """The next message of a kind."""
        async with asyncio.timeout(180):
            while not isinstance(message := await self.said.get(), kind):
                pass
        return message

    async def wanted(self, payment: Authorization) -> control.PaymentState:
        """A payer comes with a payment."""
        self.desk.take(control.PaymentWanted(7, name_of(payment, b""), payment_bytes(payment)))
        return await self.heard(control.PaymentState)

    async def due(self, payment: Authorization, amount: int) -> control.PaymentSettled:
        """It came to so much."""
        self.desk.take(control.PaymentDue(name_of(payment, b""), control.Units(amount)))
        return await self.heard(control.PaymentSettled)

    async def settled(self) -> None:
        """Until nothing is due."""
        async with asyncio.timeout(180):
            while self.desk.payments.waiting:  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """As a crash: nothing is waited for. A second time nothing happens."""
        if self._sending.cancelled():
            return
        await self.desk.close(0)
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        self.database.close()

    async def sent(self) -> int:
        """Transactions of the gas key that blocks have."""
        return await self.chain.rpc.nonce(GAS.address)

    async def deposit(self, payment: Authorization) -> control.PaymentState:
        """A payer comes with a channel's voucher and a deposit."""
        self.desk.take(control.PaymentWanted(1, bytes(32), payment_bytes(payment)))
        return await self.heard(control.PaymentState)

    async def look(self, config: digests.Channel) -> control.PaymentState:
        """What it says of a channel."""
        asked = with_deposit(self.chain, config, 1)
        assert asked.channel is not None
        asked = msgspec.structs.replace(asked, channel=msgspec.structs.replace(asked.channel, deposit=None))
        return await self.deposit(asked)


def with_deposit(chain: Chain, config: digests.Channel, amount: int) -> Authorization:
    """A voucher of a channel with its deposit, as the enclave judged it."""
    name = digests.channel_id(config, CHAIN_ID)
    channel = Channel(config, name, 10, chain.deposit(config, amount))
    return Authorization(
        "batch-settlement",
        "voucher",
        PAYER.address,
        10,
        bytes(32),
        0,
        b"",
        channel=channel,
        token=config.token,
    )
