"""How requests are paid for: the offer in force, what a request may cost, and from whose account it comes.

    Hallmark-Payment    a signed ceiling and a signed spend (`payments.spending`)
    PAYMENT-SIGNATURE   what x402's clients send (`payments.x402`)
    Hallmark-Tokens     an issuer's tokens (`payments.tokens`), inside a sealed request alone

Free is only what the owner's offer calls so. Everything about money that can fail does before the engine is
asked: what costs nothing more is refused without being drawn.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.money import Offer
from hallmark.core.prices import Use, cost, is_free, price_of
from hallmark.core.vault import Vault
from hallmark.payments.accounts import AlreadyUsed, PaymentRequired
from hallmark.payments.spending import HEADER, verify_spending
from hallmark.payments.x402.messages import REQUIRED_HEADER, SIGNATURE_HEADER, Requirements
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.leases import Leases
from hallmark.services.enclave.metering import AccountMeter, FreeMeter, Meter, Paid, Reservation
from hallmark.services.enclave.offers import OfferInForce, Offers
from hallmark.services.enclave.token_billing import TokenBilling
from hallmark.services.enclave.x402_billing import X402Billing

PAYMENT: Final = HEADER.encode()
X402: Final = SIGNATURE_HEADER.encode()
TOKENS: Final = b"hallmark-tokens"
SEALED: Final = "hallmark.sealed"
"""The extension of a request's scope that says that it came sealed, so that nobody else read its headers."""
REQUIRED: Final = REQUIRED_HEADER.encode()
NO_STORE: Final = (b"cache-control", b"no-store")
MAX_HEADER: Final = 4_096


class Asked(msgspec.Struct, frozen=True):
    """A request to be paid for: path and exact body, the headers Hallmark-Payment and PAYMENT-SIGNATURE
    (empty: none), the model's label, the most that it can use, when it began (unix ms), and the receipt's
    32-byte digest of it; the header Hallmark-Tokens, and whether the request came sealed.
    """

    path: str
    body: bytes
    header: bytes
    x402: bytes
    label: str
    most: Use
    now: int
    request: bytes
    tokens: bytes = b""
    sealed: bool = False


class Billing:
    """See the module docstring. Without `leases` this enclave draws on no accounts: there is nothing that its
    settlement key could be sealed with, and only what is free is served.
    """

    def __init__(
        self,
        configuration: EnclaveConfiguration,
        journal: AccountJournal | None = None,
        leases: Leases | None = None,
        x402: X402Billing | None = None,
        tokens: TokenBilling | None = None,
    ) -> None:
        self._configuration = configuration
        self._journal, self._leases, self._x402, self._tokens = journal, leases, x402, tokens
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
        paid = Paid(
            known, price_of(known.offer, asked.label), cost(price_of(known.offer, asked.label), asked.most)
        )
        url = self._configuration.endpoint.rstrip("/") + asked.path
        try:
            if asked.tokens:
                return await self._by_tokens(asked, paid)
            if asked.header:
                return await self._from_account(asked, paid)
            if asked.x402:
                return await self._by_x402(asked, paid, self._ways(paid), url)
            raise self._required(known, paid.most)
        except HallmarkError as error:
            offered = self._ways(paid) if error.status == PaymentRequired.status else ()
            if self._x402 is not None and offered:
                told = self._x402.challenge(offered, url, error)
                error.__dict__["headers"] = ((REQUIRED, told.encode()), NO_STORE)
            raise

    def _ways(self, paid: Paid) -> tuple[Requirements, ...]:
        """The ways of x402 that this is offered by."""
        return self._x402.offered(paid.offer.offer, paid.most) if self._x402 is not None else ()

    async def _by_x402(self, asked: Asked, paid: Paid, offered: tuple[Requirements, ...], url: str) -> Meter:
        if self._x402 is None or not offered:
            raise InvalidInput("payment_not_taken", "This node takes no x402 payment.", "See its offer.")
        try:
            return await self._x402.open(paid, asked.x402, offered, asked.request, url)
        except AlreadyUsed as error:
            raise self._used(error) from error

    async def _by_tokens(self, asked: Asked, paid: Paid) -> Meter:
        if not asked.sealed:
            raise InvalidInput(
                "tokens_need_sealing",
                "Tokens are taken inside a sealed request alone: whoever else reads them could spend them.",
                "Ask through a relay, sealed; or pay in another way. Do not use these tokens again.",
            )
        if self._tokens is None:
            raise InvalidInput("payment_not_taken", "This node takes no tokens.", "See its offer.")
        await self._tokens.require_keys()
        if not self._tokens.keys_for(paid.offer.offer):
            raise InvalidInput("payment_not_taken", "This node takes no tokens for this.", "See its offer.")
        return await self._tokens.open(paid, asked.tokens, asked.request)

    async def _from_account(self, asked: Asked, paid: Paid) -> Meter:
        known, most = paid.offer, paid.most
        vault = vault_of(known.offer)
        if self._leases is None or self._journal is None or vault is None:
            raise InvalidInput(
                "payment_not_taken", "This node takes no payment from the vault.", "See its offer."
            )
        if len(asked.header) > MAX_HEADER:
            raise InvalidInput(
                "bad_payment_header",
                "The payment header is too long.",
                "Hallmark-Payment is base64 of a signed ceiling and a signed spend, 394 bytes.",
            )
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
        try:
            self._journal.accounts.refuse_used(spending.digest)
        except AlreadyUsed as error:
            raise self._used(error) from error
        if most > min(authorization.spend.maximum, authorization.ceiling.max_claimable):
            raise PaymentRequired(
                "payment_short",
                f"This request can cost {most} atomic units, and the payment allows "
                f"{min(authorization.spend.maximum, authorization.ceiling.max_claimable)}.",
                "Sign for more, or ask for fewer tokens.",
            )
        number = await self._leases.room(authorization, vault, most)
        paid = msgspec.structs.replace(
            paid,
            payer=authorization.ceiling.payer,
            account=number,
            authorization=authorization.encode(),
            digest=spending.digest,
        )
        return self._reserve(paid, authorization.spend.expires)

    def _reserve(self, paid: Paid, expires: int) -> Meter:
        assert self._journal is not None
        journal, name = self._journal, paid.digest
        try:
            reserved = journal.accounts.reserve(paid.account, name, name, most=paid.most, expires=expires)
        except AlreadyUsed as error:
            raise self._used(error) from error
        at = journal.write(reserved)
        return AccountMeter(journal, paid, Reservation(name, self._configuration.network, at))

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
                "tokens": [hex0x(one) for one in self._tokens.keys_for(offer)] if self._tokens else [],
            }
        }
        return error

    def on_message(self, message: control.ToEnclave) -> tuple[control.FromEnclave, ...]:
        """Act on one message from the host about money; what to answer."""
        match message:
            case control.Terms():
                return self._terms(message)
            case control.FramesKept(position) if self._journal is not None:
                self._journal.on_kept(position)
            case control.AccountState() if self._leases is not None:
                self._leases.on_state(message)
            case control.Settle() if self._leases is not None:
                newest = self.offers.newest
                vault = vault_of(newest.offer) if newest is not None else None
                return (self._leases.settle(message, vault),)
            case control.ClaimsWanted() if self._x402 is not None:
                return (self._x402.claims(message, self.offers.newest),)
            case control.PaymentState() | control.PaymentSettled() | control.ChannelsClaimed():
                if self._x402 is not None:
                    self._x402.on_message(message)
            case control.TokenKeys() | control.IssuerAnswer() if self._tokens is not None:
                self._tokens.on_message(message)
        return ()

    def _terms(self, terms: control.Terms) -> tuple[control.TermsTaken]:
        try:
            taken = control.TermsTaken(self.offers.take(terms.entry))
        except HallmarkError as error:
            return (control.TermsTaken(b"", error.hint or error.reason),)
        if self._x402 is not None:
            self._x402.terms(terms)
        return (taken,)


def vault_of(offer: Offer) -> Vault | None:
    """The vault that an offer's accounts are in."""
    if offer.vault is None or offer.asset is None:
        return None
    return Vault(offer.asset.chain_id, unhex(offer.vault))
