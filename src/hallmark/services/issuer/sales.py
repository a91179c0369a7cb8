"""Selling tokens: blinded messages and an x402 payment for their sum; blind signatures once a block has it.

1. What is bought is written down before the payment goes out, so that a payment buys one thing.
2. The payment settles by the facilitator's own code: once, however often it is presented.
3. Blind signatures are what the keys make of the same messages every time, so whoever was cut off asks again.

The issuer knows who paid how much. What it signs it cannot see, nor recognise when it is spent.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import Hex32, hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.hashing import sha256
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.issuing import Blinded
from hallmark.payments.x402.messages import (
    REQUIRED_HEADER,
    Requirements,
    Resource,
    decode_payment,
    encode_header,
    network_of,
)
from hallmark.payments.x402.messages import (
    PaymentRequired as Challenge,
)
from hallmark.services.facilitator.asked import Asked
from hallmark.services.facilitator.reasons import PENDING, Refusal
from hallmark.services.facilitator.settings import Key as Caller
from hallmark.services.facilitator.settler import Settler
from hallmark.services.facilitator.verifier import Verifier, settlement_id
from hallmark.services.issuer.key_sets import IssuerSet, KeySets
from hallmark.services.issuer.settings import Settings
from hallmark.services.issuer.store import Purchase, Store

TIMEOUT_S: Final = 300
MOST: Final = 512
"""Tokens of one purchase."""
CALLER: Final = Caller("tokens", hex0x(bytes(32)), idempotent=True)


class Order(msgspec.Struct, frozen=True):
    """What somebody buys: blinded messages, each for the key of a value in the set of this digest."""

    keys: Hex32
    blinded: tuple[Blinded, ...]

    def fingerprint(self) -> bytes:
        """Of everything in it; 32 bytes."""
        rows = b"".join(one.value.to_bytes(1, "big") + sha256(one.message) for one in self.blinded)
        return sha256(unhex(self.keys), rows)


class Sold(msgspec.Struct, frozen=True):
    """Blind signatures in the order of the messages, and the payment's transaction (0x-hex)."""

    signed: tuple[Blinded, ...]
    transaction: str


class Sales:
    """See the module docstring."""

    def __init__(
        self,
        settings: Settings,
        keys: KeySets,
        store: Store,
        *,
        verifier: Verifier,
        settler: Settler,
        payee: bytes,
    ) -> None:
        self._settings, self._keys, self._store = settings, keys, store
        self._verifier, self._settler, self._payee = verifier, settler, payee
        self.sold = 0

    async def buy(self, order: Order, header: bytes, url: str, now: int) -> Sold:
        """Sell at `now` (unix ms); `header` is PAYMENT-SIGNATURE, empty for none.

        Raises PaymentRequired `payment_required` (with PAYMENT-REQUIRED), `payment_not_settled`; InvalidInput
        `bad_order`, `not_on_sale`, and what `decode_payment` raises; Conflict `purchase_differs`; Unavailable
        `payment_pending`.
        """
        known = self._keys.find(unhex(order.keys))
        amount = _amount(order, known)
        assert known is not None, "an amount is of a key set"
        wanted = self._requirements(amount)
        if not header:
            self._require_on_sale(known, now)
            raise _required(wanted, url)
        payment = decode_payment(header)
        fingerprint = order.fingerprint()
        asked = Asked(payment, wanted, "", sha256(payment.payload))
        try:
            authorized, _ = self._verifier.judge(asked, settling=True)
        except Refusal as refused:
            raise _not_settled(refused.code) from refused
        name = settlement_id(authorized)
        before = await self._store.purchase(name)
        if before is None:
            self._require_on_sale(known, now)
        bought = Purchase(name, fingerprint, known.epoch, authorized.payer, amount)
        bought = await self._store.ask(bought)
        asked = msgspec.structs.replace(asked, identifier=name.hex(), fingerprint=name)
        transaction = await self._paid(asked, bought)
        signed = await known.sign(order.blinded)
        return Sold(signed, transaction)

    async def _paid(self, asked: Asked, bought: Purchase) -> str:
        """The transaction of a purchase's payment, which is settled if it is not. Raises as `buy` does."""
        refused = ""
        try:
            answer = await self._settler.settle(asked, CALLER)
            refused = answer.error_reason
        except Refusal as error:
            refused = error.code
        if not refused:
            if not bought.paid:
                await self._store.paid(bought.id)
                self.sold += bought.amount
            return answer.transaction
        if refused == PENDING:
            raise Unavailable(
                "payment_pending", "No block has the payment yet.", "Send exactly the same once more."
            )
        if not bought.paid:
            await self._store.drop(bought.id)
        raise _not_settled(refused)

    def _requirements(self, amount: int) -> Requirements:
        money = self._settings.asset
        return Requirements(
            "exact",
            network_of(self._settings.chain_id),
            str(amount),
            money.address,
            hex0x(self._payee),
            TIMEOUT_S,
            {"name": money.name, "version": money.version},
        )

    def _require_on_sale(self, known: IssuerSet, now: int) -> None:
        newest = self._keys.on_sale(now)
        if newest is None or newest.digest != known.digest:
            raise InvalidInput(
                "not_on_sale", "Nothing is sold from this key set now.", "See GET /v1/issuer/keys."
            )


def _amount(order: Order, known: IssuerSet | None) -> int:
    """What an order costs. Raises InvalidInput `bad_order`, `not_on_sale`."""
    if known is None:
        raise InvalidInput("not_on_sale", "There is no such key set.", "See GET /v1/issuer/keys.")
    if not 0 < len(order.blinded) <= MOST:
        raise InvalidInput("bad_order", f"An order is for 1 to {MOST} tokens.")
    known.require_messages(order.blinded)
    return sum(known.keys.unit << one.value for one in order.blinded)


def _required(wanted: Requirements, url: str) -> HallmarkError:
    error = PaymentRequired(
        "payment_required",
        f"These tokens cost {wanted.amount} atomic units.",
        "Pay what PAYMENT-REQUIRED says (x402, `exact`), and send the same order with it.",
    )
    told = encode_header(Challenge((wanted,), error.reason, Resource(url, mime_type="application/json")))
    error.__dict__["headers"] = ((REQUIRED_HEADER.encode(), told.encode()),)
    return error


def _not_settled(code: str) -> PaymentRequired:
    return PaymentRequired(
        "payment_not_settled",
        f"The payment was not settled ({code[:80]}), so nothing was bought.",
        "Check balance and amount, and sign a new payment.",
    )
