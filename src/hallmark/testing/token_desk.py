"""An issuer's desk in memory, real but for its keys, and a host that carries an enclave's messages to it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.core.tokens import IssuerKeys
from hallmark.crypto.hpke import HPKEPrivateKey
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.issuing import HoldRequest, SealingKey, SettleRequest
from hallmark.services.enclave import control
from hallmark.services.enclave.billing import Billing
from hallmark.services.enclave.token_billing import TokenBilling
from hallmark.services.issuer.desk import Desk
from hallmark.services.issuer.key_sets import IssuerSet
from hallmark.services.issuer.store import KeptEpoch, Store
from hallmark.store.raw import RawDatabase
from hallmark.testing.billing import SETTLEMENT, MemoryHost
from hallmark.testing.tokens import SIGNING, issuer_keys

ISSUER = Key(sha256(b"issuer of tests"))


class OneSet:
    """The key sets of an issuer that has one."""

    def __init__(self, document: IssuerKeys) -> None:
        kept = KeptEpoch(document.epoch, document.digest(), document.encode(), b"", b"", logged=True)
        self.only = IssuerSet(kept, SIGNING)

    def find(self, digest: bytes) -> IssuerSet | None:
        """By its digest."""
        return self.only if digest == self.only.digest else None

    def of_epoch(self, _epoch: int) -> IssuerSet:
        """By its epoch."""
        return self.only


class MemoryIssuer:
    """`down` makes it unreachable; `now` is its clock (unix ms)."""

    def __init__(self, network: str, now: int, **changes: Any) -> None:
        fields: dict[str, Any] = {"network": network, "issuer": hex0x(ISSUER.address), "unit": 1}
        fields |= {"since": now - 1_000, "until": now + 60 * 86_400_000}
        self.document = issuer_keys(**fields | changes)
        self.store, self.now, self.down = Store(RawDatabase("sqlite://")), now, False
        sealing = HPKEPrivateKey(sha256(b"sealing of tests"))
        self.sealing = SealingKey.made(sealing.public, unhex(network), ISSUER)
        self.desk = Desk(OneSet(self.document), self.store, ISSUER, sealing)  # type: ignore[arg-type]  # a double

    def terms(self) -> control.TokenKeys:
        """Its key set as a host brings it."""
        return control.TokenKeys(self.document.encode(), self.sealing.public, self.sealing.signature)

    async def answer(self, message: control.HoldWanted | control.TokensDue) -> control.IssuerAnswer:
        """What comes of a message."""
        if self.down:
            return control.IssuerAnswer(message.id, "issuer_unreachable")
        try:
            if isinstance(message, control.HoldWanted):
                held = await self.desk.hold(msgspec.json.decode(message.body, type=HoldRequest), self.now)
                return control.IssuerAnswer(message.id, "", msgspec.json.encode(held))
            asked = msgspec.json.decode(message.body, type=SettleRequest)
            settled = await self.desk.settle(asked, self.now)
            return control.IssuerAnswer(message.id, "", msgspec.json.encode(settled))
        except HallmarkError as error:
            return control.IssuerAnswer(message.id, error.reason)


class TokenHost(MemoryHost):
    """A host that carries messages to an issuer. `change` is called with each answer before the enclave."""

    def __init__(self, issuer: MemoryIssuer) -> None:
        super().__init__()
        self.issuer = issuer
        self.carried: list[control.HoldWanted | control.TokensDue] = []
        self.change: Any = lambda answer: answer
        self._tasks: set[asyncio.Task[None]] = set()

    def bill_tokens(self, configuration: EnclaveConfiguration, clock: Any) -> Billing:
        """Start an enclave's billing that takes tokens."""
        self.bill(configuration, clock)
        assert self.journal is not None
        tokens = TokenBilling(SETTLEMENT, self.journal, self.send, clock, configuration)
        self.billing = Billing(configuration, self.journal, tokens=tokens)
        self.billing.on_message(self.issuer.terms())
        return self.billing

    def send(self, message: control.FromEnclave) -> None:
        """See `MemoryHost`."""
        if isinstance(message, control.HoldWanted | control.TokensDue):
            self.carried.append(message)
            task = asyncio.get_running_loop().create_task(self._carry(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            super().send(message)

    async def idle(self) -> None:
        """Until everything is answered."""
        await asyncio.gather(*self._tasks)

    async def _carry(self, message: control.HoldWanted | control.TokensDue) -> None:
        answer = self.change(await self.issuer.answer(message))
        if answer is not None:
            self._say(answer)
