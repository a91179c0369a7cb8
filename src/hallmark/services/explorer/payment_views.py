"""What the pages of accounts, offers and settlements show, and a receipt's money.

Amounts are texts as people read them, with the asset's symbol; what is in atomic units says so. Times are
unix ms, digests and addresses 0x-hex.
"""

from __future__ import annotations

from typing import Protocol

from hallmark.core.shown import ShownMark
from hallmark.services.explorer.shared_views import Fact, Shown


class PaidRow(Shown, frozen=True):
    """A receipt with money as a line. `state` is the mark's; `charged` "" where nobody pays."""

    id: str
    index: int
    finished: int
    payer: str
    payee: str
    charged: str
    model: str
    mark: ShownMark
    asserted_by: str = ""


class PriceRow(Shown, frozen=True):
    """What one model costs, by each way of counting; "" where that is not counted."""

    label: str
    million_tokens_in: str
    million_tokens_out: str
    image: str
    second: str
    call: str
    free: str = ""


class OfferRow(Shown, frozen=True):
    """An offer as a line. `standing`: in force, ended, not yet, or rejected."""

    digest: str
    owner: str
    payee: str
    since: int
    until: int
    index: int
    standing: str
    prices: int
    free: str


class Offers(Shown, frozen=True):
    """Offers, newest first."""

    now: int
    rows: tuple[OfferRow, ...]


class OfferPage(Shown, frozen=True):
    """One offer: what it asks for what, and the newest answers under it."""

    now: int
    row: OfferRow
    sentence: str
    facts: tuple[Fact, ...]
    prices: tuple[PriceRow, ...]
    receipts: tuple[PaidRow, ...]


class Balance(Shown, frozen=True):
    """An account in a vault: `free` is in no lease (atomic units, and as shown)."""

    vault: str
    free: str
    shown: str
    leases: int
    withdrawing: str
    ready_at: int
    development: bool


class SettlementRow(Shown, frozen=True):
    """A settlement of one enclave key as a line. `at` 0: the block's time is not known."""

    enclave: str
    sequence: int
    payee: str
    total: str
    accounts: int
    transaction: str
    block: int
    at: int


class Settlements(Shown, frozen=True):
    """Settlements, newest first; `chain` says how far and when the chain was read."""

    now: int
    chain: str
    rows: tuple[SettlementRow, ...]


class SettledRow(Shown, frozen=True):
    """What a settlement charged one account: in all so far, by this key."""

    payer: str
    cumulative: str
    late: bool


class SettlementPage(Shown, frozen=True):
    """The settlements of one transaction, or of one key under one number."""

    now: int
    chain: str
    rows: tuple[SettlementRow, ...]
    facts: tuple[Fact, ...]
    accounts: tuple[SettledRow, ...]


class AccountPage(Shown, frozen=True):
    """An address that pays or is paid."""

    now: int
    address: str
    sentence: str
    chain: str
    facts: tuple[Fact, ...]
    balances: tuple[Balance, ...]
    offers: tuple[OfferRow, ...]
    receipts: tuple[PaidRow, ...]
    settlements: tuple[SettlementRow, ...]


class Money(Shown, frozen=True):
    """A receipt's money: what it says in a sentence, whether the vault has moved it, and who learns what.

    `settled`: nothing (nobody pays), yes, no, lapsed, unknown.
    """

    sentence: str
    settled: str
    transaction: str
    facts: tuple[Fact, ...]
    learned: tuple[Fact, ...]


class PaymentViews(Protocol):
    """What pages ask about money. Raises NotFound `unknown_offer`, `unknown_account`,
    `unknown_settlement`.
    """

    async def offers(self) -> Offers:
        """Every offer."""
        ...

    async def offer(self, digest: str) -> OfferPage:
        """One offer."""
        ...

    async def account(self, address: str) -> AccountPage:
        """A payer's or payee's address."""
        ...

    async def settlements(self) -> Settlements:
        """The newest settlements."""
        ...

    async def settlement(self, name: str, sequence: int = -1) -> SettlementPage:
        """By transaction; or by the enclave's key and its number."""
        ...
