"""What an answer costs while it is made: counted from what has been used, drawn before the bytes leave.

A request has a meter from its beginning to its end. Whoever makes the answer sets `used`; whoever sends it
calls `draw` before bytes leave; at the end `close` says what was charged, and gives the payment record that
the receipt commits to. One that never closes was charged nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.errors import Conflict
from hallmark.core.hashing import ZERO32
from hallmark.core.money import Asset, Payment, Price, Rail
from hallmark.core.prices import Use, cost
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.offers import OfferInForce

NOTHING: Final = Use()


class Bill(msgspec.Struct, frozen=True):
    """What an answer was charged, for its receipt: the payment record's exact bytes (empty: nothing is
    offered here), what the payer signed, the offer's exact bytes, and the use that was charged.
    """

    use: Use
    charged: int = 0
    record: bytes = b""
    authorization: bytes = b""
    offer: bytes = b""
    response: str = ""
    """x402's PAYMENT-RESPONSE, where it was paid that way."""
    issuer_keys: bytes = b""
    """The key set's exact document, where tokens paid."""

    @property
    def payment(self) -> bytes:
        """What the receipt commits to; 32 bytes."""
        return digest_of(Payment, self.record) if self.record else ZERO32

    @property
    def attachments(self) -> tuple[bytes, ...]:
        """What the log entry carries of it."""
        return (self.record, self.authorization) if self.record else ()


class Meter:
    """A meter that charges nothing, because nothing is offered here."""

    draws = False
    """Whether bytes must wait for `draw`."""

    def __init__(self) -> None:
        self.used = NOTHING

    async def draw(self) -> None:
        """Draw what has been used so far. Call it before the bytes that it was used for leave.

        Raises Conflict `over_reserved` (they must not leave), Unavailable `journal_not_kept`.
        """

    async def collect(self, use: Use) -> None:
        """A whole answer that used so much is about to leave: what must be in a block before it is.

        Raises PaymentRequired `payment_not_settled`: then nothing leaves, and nothing is charged.
        """

    def close(self, request: bytes, use: Use | None = None) -> Bill:  # noqa: ARG002 - others record it
        """The answer is complete and used so much; None: it broke off, and what was drawn counts.

        `request` is the receipt's digest of it. The bill must be `kept` before the answer's last byte leaves.
        """
        return Bill(use or self.used)

    async def change(self) -> bytes:
        """After `close`: what of the payment comes back with the answer, empty for nothing.

        Raises Unavailable `change_unavailable`, and what an issuer refuses: then no receipt is signed.
        """
        return b""

    async def kept(self) -> None:
        """Until the host has what `close` wrote. Raises Unavailable `journal_not_kept`."""

    def cancel(self) -> None:
        """Nothing was delivered, so nothing is charged. After `close` it does nothing."""

    def give_up(self) -> int:
        """The answer cannot be completed after all. What stays charged: what was drawn for bytes that left,
        or all of a bill that was closed, because its receipt may be in the log.
        """
        return 0

    def receipt(self, receipt: bytes) -> None:
        """The receipt's 32-byte id."""


class FreeMeter(Meter):
    """A meter of a use that the offer does not charge for."""

    def __init__(self, offer: OfferInForce, network: str) -> None:
        super().__init__()
        self._offer, self._network = offer, network

    def close(self, request: bytes, use: Use | None = None) -> Bill:
        """See `Meter`."""
        used = use or self.used
        terms = self._offer.offer
        record = Payment(
            network=self._network,
            offer=hex0x(self._offer.digest),
            rail="free",
            payer=None,
            payee=terms.payee,
            account=0,
            asset=terms.asset,
            price=None,
            request=hex0x(request),
            authorization=hex0x(ZERO32),
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
            images=used.images,
            milliseconds=used.milliseconds,
            reserved="0",
            charged="0",
            position=0,
        )
        return Bill(used, 0, record.encode(), b"", self._offer.document)


class Paid(msgspec.Struct, frozen=True):
    """What a request is paid from: the offer and its price for the model, the most that it can cost, the
    payer (empty: nobody is known), its account in the vault (0: none), and what the payer signed or spends
    (its bytes, and the 32 bytes that it is used once under).
    """

    offer: OfferInForce
    price: Price
    most: int
    rail: Rail = "vault"
    payer: bytes = b""
    account: int = 0
    authorization: bytes = b""
    digest: bytes = b""


class Reservation(msgspec.Struct, frozen=True):
    """What an account meter draws from: the request's 32-byte name in the accounts, our network (0x-hex), and
    where the reservation stands in the journal.
    """

    name: bytes
    network: str
    at: int


class AccountMeter(Meter):
    """A meter that draws on a payer's account."""

    draws = True

    def __init__(self, journal: AccountJournal, paid: Paid, reservation: Reservation) -> None:
        super().__init__()
        self._journal, self._paid, self._network = journal, paid, reservation.network
        self._name, self._at = reservation.name, reservation.at
        self._drawn, self._total = NOTHING, 0
        self._over, self._charged = False, 0

    async def draw(self) -> None:
        """See `Meter`. One draw may be on its way while its bytes leave; the next waits for it."""
        use = self.used
        await self._journal.kept(self._at)
        if cost(self._paid.price, use) > self._paid.most:
            raise Conflict("over_reserved", "The answer would cost more than was reserved for it.")
        self._draw(use, self._due(use))

    def close(self, request: bytes, use: Use | None = None) -> Bill:
        """See `Meter`."""
        paid, journal = self._paid, self._journal
        if use is None:
            use = self._drawn
            charged = self._due(use) if self._total else 0
        else:
            charged = self._due(use)
        self._draw(use, max(self._total, charged))
        self._over, self._charged = True, charged
        self._at = journal.write(journal.accounts.end(self._name, charged), durable=True)
        terms = paid.offer.offer
        record = Payment(
            network=self._network,
            offer=hex0x(paid.offer.digest),
            rail=paid.rail,
            payer=hex0x(paid.payer) if paid.payer else None,
            payee=terms.payee,
            account=paid.account,
            asset=terms.asset,
            price=paid.price,
            request=hex0x(request),
            authorization=hex0x(paid.digest),
            tokens_in=use.tokens_in,
            tokens_out=use.tokens_out,
            images=use.images,
            milliseconds=use.milliseconds,
            reserved=str(paid.most),
            charged=str(charged),
            position=journal.position,
        )
        return Bill(use, charged, record.encode(), paid.authorization, paid.offer.document)

    async def kept(self) -> None:
        """See `Meter`."""
        await self._journal.kept(self._at)

    def cancel(self) -> None:
        """See `Meter`."""
        if not self._over:
            self._over = True
            self._journal.write(self._journal.accounts.end(self._name, 0), durable=True)

    def give_up(self) -> int:
        """See `Meter`."""
        if not self._over:
            self._over, self._charged = True, self._total
            self._journal.write(self._journal.accounts.end(self._name, self._total), durable=True)
        return self._charged

    def receipt(self, receipt: bytes) -> None:
        """See `Meter`."""
        self._journal.note_receipt(self._name, receipt)

    def _due(self, use: Use) -> int:
        """What this much use costs its payer."""
        return min(cost(self._paid.price, use), self._paid.most)

    @property
    def _asset(self) -> Asset:
        asset = self._paid.offer.offer.asset
        assert asset is not None, "an offer with prices names its asset"
        return asset

    def _draw(self, use: Use, total: int) -> None:
        self._drawn = use
        if total > self._total:
            self._total = total
            self._at = self._journal.write(self._journal.accounts.draw(self._name, total))
