"""The money side of an enclave in memory: an owner who makes offers, a host that keeps frames and knows a
vault, payers who sign.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.entries import Entry
from hallmark.core.hashing import sha256
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.core.spending import Spend
from hallmark.core.statements import PriceOffer
from hallmark.core.vault import SpendingCeiling, Vault, unpack_rows
from hallmark.core.x402_payment import read_payment
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.payments.spending import HEADER, request_name, sign_spending
from hallmark.services.chain.vault import Account, CeilingInForce
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.billing import Billing
from hallmark.services.enclave.leases import Leases
from hallmark.services.enclave.x402_billing import X402Billing
from hallmark.testing.runtime import OWNER

PAYER, SESSION, SETTLEMENT = (Key(sha256(name)) for name in (b"payer", b"session", b"settle"))
VAULT = Vault(31_337, b"\x12" * 20)
ASSET = Asset(31_337, hex0x(b"\x11" * 20), 6, "DEV", "Hallmark Development Money", "1", development=True)
SEALING = b"\x13" * 32
TERM = 21_600
NUMBER = 1
"""The payer's account in the enclave's books."""


def offer_entry(configuration: EnclaveConfiguration, now: int, owner: Key = OWNER, **changes: Any) -> bytes:
    """The log entry of an offer of this node's owner at `now` (unix ms): 1 unit a token in, 2 a token out."""
    offer = Offer(
        network=configuration.network,
        owner=configuration.owner,
        payee=configuration.payment,
        asset=ASSET,
        vault=hex0x(VAULT.address),
        prices=(Price("tiny", 1_000_000, 2_000_000), Price("scores", call=5)),
        free=FreeUse(),
        since=now - 1_000,
        until=now + 3_600_000_000,
    )
    offer = msgspec.structs.replace(offer, **changes)
    statement = PriceOffer(unhex(configuration.network), owner.address, offer.digest(), now)
    return Entry(
        statement, (sign_statement(statement, configuration.chain_id, owner),), (offer.encode(),)
    ).encode()


class MemoryHost:
    """Keeps an enclave's frames as a host's file does, and plays the vault. `frames` is what it has, by
    position; `silent` holds back the word that it has them, `waits` what became of payments; `reason` is what
    it answers about accounts.
    """

    def __init__(self, kept: bytes = b"", *, free: int = 1_000_000) -> None:
        self.kept = kept
        self.frames: list[bytes] = []
        self.free = free
        self.most = 2**90
        self.allowance = self.until = 0
        self.silent = False
        self.reason = ""
        self.asked: list[control.FromEnclave] = []
        self.due: dict[bytes, int] = {}
        self.payments: dict[bytes, bytes] = {}
        self.used = False
        self.available = 10**6
        self.balance = self.claimed = self.withdraw_at = 0
        self.not_settled = ""
        self.waits = False
        self.billing: Billing | None = None
        self.journal: AccountJournal | None = None

    def bill(
        self, configuration: EnclaveConfiguration, clock: Any, longest_s: int = 60, key: Key = SETTLEMENT
    ) -> Billing:
        """Start an enclave's billing over what is kept."""
        chance = iter(range(1, 1 << 30))
        self.frames = []
        self.journal, _ = AccountJournal.begin(
            self.kept, SEALING, self.send, lambda size: next(chance).to_bytes(size, "big"), now=clock()
        )
        leases = Leases(key, self.journal, self.send, clock, longest_s)
        x402 = X402Billing(key, self.journal, self.send, clock, configuration.network)
        x402.begin()
        self.billing = Billing(configuration, self.journal, leases, x402)
        return self.billing

    @property
    def file(self) -> bytes:
        """The journal as it is on disk."""
        return b"".join(self.frames)

    def send(self, message: control.FromEnclave) -> None:
        """What the enclave hands over."""
        if isinstance(message, control.Frame):
            self.frames.append(message.frame)
            if not self.silent:
                self.acknowledge(message.position)
            return
        self.asked.append(message)
        if isinstance(message, control.AccountWanted):
            self._tell(message.id)
        elif isinstance(message, control.LeaseSigned):
            (row,) = unpack_rows(message.rows)
            self.free -= row.amount - self.allowance
            self.allowance, self.until = row.amount, message.until
            self._tell(message.id)
        elif isinstance(message, control.PaymentWanted):
            self._look_up(message)
        elif isinstance(message, control.PaymentDue):
            self.due[message.name] = message.amount
            if self.waits:
                return
            transaction = b"" if self.not_settled else sha256(message.name)
            self._say(control.PaymentSettled(message.name, transaction, self.not_settled))

    def _look_up(self, asked: control.PaymentWanted) -> None:
        self.payments[asked.name] = asked.payment
        payment = read_payment(asked.payment)
        if payment.channel is not None and payment.channel.deposit is not None:
            self.balance += payment.channel.deposit.amount
        state = control.PaymentState(
            asked.id,
            self.reason,
            self.used,
            control.Units(self.available),
            control.Units(self.balance),
            control.Units(self.claimed),
            self.withdraw_at,
        )
        self._say(state)

    def _say(self, message: control.ToEnclave) -> None:
        """Tell the enclave in a moment, if it serves then."""

        def say() -> None:
            if self.billing is not None:
                self.billing.on_message(message)

        try:
            asyncio.get_running_loop().call_soon(say)
        except RuntimeError:  # nobody waits yet
            return

    def acknowledge(self, position: int) -> None:
        """Say that everything up to a position is kept; a moment later, as a message comes."""
        self._say(control.FramesKept(position))

    def _tell(self, number: int) -> None:
        free, most, allowance = map(control.Units, (self.free, self.most, self.allowance))
        held = control.AccountState(number, "", free, most, allowance, self.until, TERM)
        state = control.AccountState(number, self.reason) if self.reason else held
        self._say(state)


class MemoryVault:
    """What a payer's client reads of the chain: what is free in its account, and the ceiling in force."""

    def __init__(self, free: int = 10**9) -> None:
        self.free = free
        self.known = CeilingInForce(0, 0, 0, 0)
        self.read = 0

    async def account(self, _payer: bytes) -> Account:
        """The account."""
        self.read += 1
        return Account(self.free, 0, 0, 0)

    async def ceiling(self, _payer: bytes, _payee: bytes) -> CeilingInForce:
        """The ceiling in force."""
        return self.known


def pay(
    configuration: EnclaveConfiguration, path: str, body: bytes, now: int, **changes: Any
) -> dict[str, str]:
    """The header that pays for a request. Changes are the spend's; `ceiling` changes the ceiling."""
    payee = unhex(configuration.payment)
    ceiling = SpendingCeiling(PAYER.address, payee, SESSION.address, 10**9, 1, now // 1000 + 3_600)
    ceiling = msgspec.structs.replace(ceiling, **changes.pop("ceiling", {}))
    salt = changes.pop("salt", b"\x07" * 32)
    nonce = changes.pop("nonce", sha256(b"nonce"))
    name = request_name(salt, path, body)
    spend = Spend(PAYER.address, payee, SETTLEMENT.address, name, 10**6, nonce, now + 60_000)
    spend = msgspec.structs.replace(spend, **changes)
    signature = PAYER.sign(VAULT.digest(ceiling))
    return {HEADER: sign_spending(ceiling, signature, spend, salt, session=SESSION, vault=VAULT)}
