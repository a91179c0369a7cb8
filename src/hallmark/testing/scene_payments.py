"""The money of a scene: an account, an offer, a settlement, a receipt's own part, without log or chain."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import NotFound
from hallmark.services.explorer.payment_views import (
    AccountPage,
    Balance,
    Money,
    OfferPage,
    OfferRow,
    Offers,
    PaidRow,
    PriceRow,
    SettledRow,
    SettlementPage,
    SettlementRow,
    Settlements,
)
from hallmark.services.explorer.shared_views import Fact
from hallmark.testing import scene_parts as parts
from hallmark.testing.scene import Scene, address, digest, marks_of

PAYER, PAYEE, ENCLAVE, VAULT = (address(name) for name in ("payer", "payee", "settlement key", "vault"))
OTHER = address("another payer")
OFFER, TRANSACTION = digest("offer"), digest("settlement")
CHAIN: Final = "The chain was read up to block 1,204, at 12:00:00 UTC on 01 Jan 2026."
DEVELOPMENT: Final = Fact("What the money is", "development money, worth nothing")


def money(scene: Scene) -> Money | None:
    """A receipt's money; None where its mark is absent."""
    state = scene.marks.get("paid", "absent")
    if state == "absent":
        return None
    learned = (
        Fact("Payer", "the price before asking, and from its receipts what each answer cost"),
        Fact("Facilitator", "none takes part: the enclave checks the payment itself"),
        Fact("The chain", "payer, payee, deposits, ceilings and leases; single answers do not stand there"),
    )
    if state == "not_required":
        said = "Nobody is charged for this answer, so there is nothing for a vault to settle."
        return Money(said, "nothing", "", (Fact("Rail", "free"),), learned[1:])
    facts = (
        Fact("Rail", "vault"),
        Fact("Payer", PAYER, f"/explore/accounts/{PAYER}", PAYER),
        Fact("Charged", "0.0012 DEV"),
        DEVELOPMENT,
        Fact("What it buys", "an attempt at this answer; no proof, and no good answer"),
    )
    if state in ("witnessed", "anchored"):
        said = "The vault settled this charge in block 1,204: its books then stood at 1,200 units, and the "
        return Money(
            f"{said}log's charges up to this answer come to 1,200.", "yes", TRANSACTION, facts, learned
        )
    said = "Not settled by the vault yet. It will be by 13:00:00 UTC on 01 Jan 2026 at the latest, when the "
    said += (
        "window of its lease closes; after that it is charged only if its payer comes to this enclave again."
    )
    return Money(
        said,
        "no",
        "",
        facts,
        learned,
    )


class ScenePayments:
    """A `PaymentViews`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def _offer(self) -> OfferRow:
        scene = self.scene
        since, until = scene.answered - 3_600_000, scene.answered + 86_400_000
        free = "requests of at most 4,000 tokens in and 512 out"
        row = OfferRow(OFFER, address("owner"), PAYEE, since, until, 31, "in force", 1, free)
        return msgspec.structs.replace(scene.poisoned(row), digest=OFFER, payee=PAYEE)

    def _paid(self) -> tuple[PaidRow, ...]:
        scene = self.scene
        mark = next(mark for mark in marks_of(scene) if mark.question == "paid")
        row = PaidRow(parts.item_id(), 1_042, scene.answered, PAYER, PAYEE, "0.0012 DEV", parts.LABEL, mark)
        row = msgspec.structs.replace(row, asserted_by=scene.asserted_by)
        kept = {"id": row.id, "payer": PAYER, "payee": PAYEE, "mark": mark}
        return (msgspec.structs.replace(scene.poisoned(row), **kept),)

    def _settlement(self) -> SettlementRow:
        at = self.scene.answered + 60_000
        row = SettlementRow(ENCLAVE, 4, PAYEE, "0.0012 DEV", 1, TRANSACTION, 1_204, at)
        kept = {"enclave": ENCLAVE, "payee": PAYEE, "transaction": TRANSACTION}
        return msgspec.structs.replace(self.scene.poisoned(row), **kept)

    async def offers(self) -> Offers:
        """One."""
        return Offers(self.scene.now, (self._offer(),))

    async def offer(self, digest: str) -> OfferPage:
        """That one. Raises NotFound `unknown_offer`."""
        if digest != OFFER:
            raise NotFound("unknown_offer", "The log holds no offer with this digest.")
        prices = (PriceRow(parts.LABEL, "0.15 DEV", "0.60 DEV", "", "", ""),)
        facts = (Fact("Payee", PAYEE, f"/explore/accounts/{PAYEE}", PAYEE), DEVELOPMENT)
        sentence = "What one owner of nodes asks for answers, signed and in the log."
        page = OfferPage(self.scene.now, self._offer(), sentence, facts, prices, self._paid())
        poisoned = self.scene.poisoned(page)
        return msgspec.structs.replace(poisoned, row=page.row, receipts=page.receipts)

    async def account(self, address: str) -> AccountPage:
        """The payer's or the payee's. Raises NotFound `unknown_account`."""
        if address not in (PAYER, PAYEE):
            raise NotFound("unknown_account", "There is no such account here.")
        pays = address == PAYER
        balance = Balance(VAULT, "4998800", "4.9988 DEV", 1, "", 0, development=True)
        page = AccountPage(
            self.scene.now,
            address,
            f"An address that {'pays for' if pays else 'is paid for'} answers.",
            CHAIN,
            (Fact("Charged, by the log", "0.0012 DEV for 1 answer"), DEVELOPMENT),
            (balance,) if pays else (),
            () if pays else (self._offer(),),
            self._paid() if pays else (),
            () if pays else (self._settlement(),),
        )
        poisoned = self.scene.poisoned(page)
        kept = ("address", "balances", "offers", "receipts", "settlements")
        return msgspec.structs.replace(poisoned, **{name: getattr(page, name) for name in kept})

    async def settlements(self) -> Settlements:
        """One."""
        return Settlements(self.scene.now, CHAIN, (self._settlement(),))

    async def settlement(self, name: str, sequence: int = -1) -> SettlementPage:
        """That one. Raises NotFound `unknown_settlement`."""
        if (name, sequence) not in ((TRANSACTION, -1), (ENCLAVE, 4)):
            raise NotFound("unknown_settlement", "No such settlement was seen.")
        accounts = (SettledRow(PAYER, "0.0012 DEV", late=False), SettledRow(OTHER, "0.01 DEV", late=True))
        facts = (Fact("Receipts root", digest("receipts"), "", digest("receipts")), DEVELOPMENT)
        return SettlementPage(self.scene.now, CHAIN, (self._settlement(),), facts, accounts)
