"""How requests are paid for: the offer in force, what a request may cost, and from whose account it comes.

    Hallmark-Payment    a signed ceiling and a signed spend (`payments.spending`)

Free is only what the owner's offer calls so. Everything about money that can fail does before the engine is
asked: what costs nothing more is refused without being drawn.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.money import Offer
from hallmark.core.prices import Use, cost, is_free, price_of
from hallmark.core.spending import SpendingAuthorization
from hallmark.payments.accounts import AlreadyUsed, PaymentRequired
from hallmark.payments.spending import HEADER, Vault, verify_spending
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.leases import Leases
from hallmark.services.enclave.metering import AccountMeter, FreeMeter, Meter, Paid
from hallmark.services.enclave.offers import OfferInForce, Offers

PAYMENT: Final = HEADER.encode()
MAX_HEADER: Final = 4_096


class Asked(msgspec.Struct, frozen=True):
    """A request to be paid for: path and exact body, the payment header (empty: none), the model's label, the
    most that it can use, and when it began (unix ms).
    """

    path: str
    body: bytes
    header: bytes
    label: str
    most: Use
    now: int


class Billing:
    """See the module docstring. Without `leases` this enclave draws on no accounts: there is nothing that its
    settlement key could be sealed with, and only what is free is served.
    """

    def __init__(
        self,
        configuration: EnclaveConfiguration,
        journal: AccountJournal | None = None,
        leases: Leases | None = None,
    ) -> None:
        self._configuration = configuration
        self._journal, self._leases = journal, leases
        self.offers = Offers(configuration)

    async def open(self, asked: Asked) -> Meter:
        """The meter of a request.

        Raises PaymentRequired (402) `payment_required`, `payment_short` and what `verify_spending` and
        `Leases.room` raise; AlreadyUsed (409) `payment_reused`; InvalidInput `no_price`, `payment_not_taken`,
        `bad_payment_header`.
        """
        known = self.offers.at(asked.now)
        if known is None:
            return Meter()
        if is_free(known.offer, asked.most, asked.label):
            return FreeMeter(known, self._configuration.network)
        price = price_of(known.offer, asked.label)
        most = cost(price, asked.most)
        if not asked.header:
            raise self._required(known, most)
        return await self._from_account(asked, known, most)

    async def _from_account(self, asked: Asked, known: OfferInForce, most: int) -> Meter:
        vault = vault_of(known.offer)
        if self._leases is None or self._journal is None or vault is None:
            raise InvalidInput(
                "payment_not_taken", "This node takes no payment from the vault.", "See its offer."
            )
        if len(asked.header) > MAX_HEADER:
            raise InvalidInput("bad_payment_header", "The payment header is too long.")
        spending = verify_spending(
            asked.header,
            vault,
            unhex(known.offer.payee),
            self._leases.key.address,
            path=asked.path,
            body=asked.body,
            now=asked.now,
        )
        authorization = spending.authorization
        self._refuse_used(spending.digest)
        if most > min(authorization.spend.maximum, authorization.ceiling.max_claimable):
            raise PaymentRequired(
                "payment_short",
                f"This request can cost {most} atomic units, and the payment allows "
                f"{min(authorization.spend.maximum, authorization.ceiling.max_claimable)}.",
                "Sign for more, or ask for fewer tokens.",
            )
        number = await self._leases.room(authorization, vault, most)
        return self._reserve(asked, known, authorization, spending.digest, (number, most))

    def _reserve(
        self,
        asked: Asked,
        known: OfferInForce,
        authorization: SpendingAuthorization,
        digest: bytes,
        room: tuple[int, int],
    ) -> Meter:
        assert self._journal is not None
        (number, most), journal = room, self._journal
        try:
            reserved = journal.accounts.reserve(
                number, digest, digest, most=most, expires=authorization.spend.expires
            )
        except AlreadyUsed as error:
            raise self._used(error) from error
        paid = Paid(
            known,
            price_of(known.offer, asked.label),
            authorization.ceiling.payer,
            number,
            authorization.encode(),
            digest,
            most,
        )
        at = journal.write(reserved, durable=True)
        return AccountMeter(journal, paid, name=digest, network=self._configuration.network, reserved=at)

    def _refuse_used(self, digest: bytes) -> None:
        assert self._journal is not None
        use = self._journal.accounts.use_of(digest)
        if use is not None:
            raise self._used(
                AlreadyUsed(
                    "payment_reused", "This payment belongs to a request that was made before.", "", use
                )
            )

    def _used(self, error: AlreadyUsed) -> AlreadyUsed:
        """The same error, with the receipt of the request that was paid for."""
        assert self._journal is not None
        receipt = self._journal.receipt_of(error.use.request)
        hint = "Sign a new payment for a new request."
        if receipt is not None:
            hint = f"Its receipt is {hex0x(receipt)}. {hint}"
        elif error.use.charged is None:
            hint = f"It is being answered. {hint}"
        return AlreadyUsed(error.reason, error.message, hint, error.use)

    def _required(self, known: OfferInForce, most: int) -> PaymentRequired:
        error = PaymentRequired(
            "payment_required",
            f"This request is not free here: it can cost {most} atomic units.",
            "Pay from the vault (hallmark wallet), or ask for less than the offer serves for nothing.",
        )
        offer = known.offer
        error.__dict__["detail"] = {
            "payment": {
                "offer": hex0x(known.digest),
                "payee": offer.payee,
                "vault": offer.vault,
                "enclave": hex0x(self._leases.key.address) if self._leases else None,
                "asset": msgspec.to_builtins(offer.asset),
                "most": str(most),
            }
        }
        return error

    def on_message(self, message: control.ToEnclave) -> control.FromEnclave | None:
        """Act on one message from the host about money; what to answer."""
        match message:
            case control.Terms(entry):
                return self._terms(entry)
            case control.FramesKept(position) if self._journal is not None:
                self._journal.on_kept(position)
            case control.AccountState() if self._leases is not None:
                self._leases.on_state(message)
            case control.Settle() if self._leases is not None:
                return self._leases.settle(message, self._newest_vault())
        return None

    def _terms(self, entry: bytes) -> control.TermsTaken:
        try:
            return control.TermsTaken(self.offers.take(entry))
        except HallmarkError as error:
            return control.TermsTaken(b"", error.hint or error.reason)

    def _newest_vault(self) -> Vault | None:
        newest = self.offers.newest
        return vault_of(newest.offer) if newest is not None else None


def vault_of(offer: Offer) -> Vault | None:
    """The vault that an offer's accounts are in."""
    if offer.vault is None or offer.asset is None:
        return None
    return Vault(offer.asset.chain_id, unhex(offer.vault))


def text_of(data: bytes) -> str | None:
    """Base64 of what a payer signed, for the owner's object; None when there is nothing."""
    return base64.b64encode(data).decode() if data else None
