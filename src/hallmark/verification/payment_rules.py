"""What must hold of the money of one receipt, from values alone: one list for full nodes, for the offline
verifier, and, in web/src/verify/payment.ts, for browsers.

Each rule gives OK or a reason code. What only the log can say (that offer and issuer's keys stand in it, that
no receipt before this one used the authorization, a token or the place of the journal) is `payment_checks`'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.money import Offer, Payment, Rail
from hallmark.core.prices import Use, cost, is_free
from hallmark.core.receipt import Receipt
from hallmark.core.spending import SpendingAuthorization
from hallmark.core.tokens import TokenSpend
from hallmark.core.vault import Vault
from hallmark.core.x402_payment import name_of, read_payment, signed_by
from hallmark.crypto.secp256k1 import is_signed_by
from hallmark.crypto.token_keys import KeySet
from hallmark.verification.outcome import OK


class Bill(msgspec.Struct, frozen=True):
    """A receipt, its payment record, the offer that the record names, and what they are held against.

    `bundle` is the attested key bundle, `label` the manifest's ("" for a provider's answer), `authorization`
    the payer's (empty where nobody pays), `keys` the issuer's where tokens paid; each None when it is not
    shown, and then not compared.
    """

    receipt: Receipt
    record: Payment
    offer: Offer
    bundle: KeyBundle | None
    label: str | None
    authorization: bytes | None
    keys: KeySet | None = None


def check_bill(bill: Bill) -> str:
    """Every rule of a bill but `check_record`, in order; the first that does not hold."""
    for check in (_terms, _amount, _key, _authorization):
        if (found := check(bill)) != OK:
            return found
    return OK


def check_record(receipt: Receipt, record: Payment) -> str:
    """The record speaks of this receipt: network, request, tokens, amount."""
    told = (record.network, record.request, record.tokens_in, record.tokens_out, record.charged)
    held = (hex0x(receipt.network), hex0x(receipt.request), receipt.tokens_in, receipt.tokens_out)
    return OK if told == (*held, str(receipt.charged)) else "payment_other_receipt"


def _terms(bill: Bill) -> str:
    """The offer is of the node's owner, for this payee and asset, and was in force as the answer began."""
    record, offer, bundle = bill.record, bill.offer, bill.bundle
    if bundle is not None and offer.owner != bundle.owner:
        return "offer_of_another"
    if record.payee != offer.payee or (bundle is not None and record.payee != bundle.payment):
        return "payee_other"
    if record.asset != offer.asset:
        return "asset_other"
    return OK if offer.since <= bill.receipt.started < offer.until else "offer_not_in_force"


def _amount(bill: Bill) -> str:
    """What is charged follows from price and use, and is at most what was reserved; or nobody pays."""
    record, offer = bill.record, bill.offer
    use = Use(record.tokens_in, record.tokens_out, record.images, record.milliseconds)
    if record.rail == "free":
        nobody = (record.payer, record.account, record.price, record.reserved, record.charged)
        if nobody != (None, 0, None, "0", "0") or record.authorization != hex0x(ZERO32):
            return "free_but_charged"
        undecided = bill.label is None and bool(offer.free.models)
        return OK if undecided or is_free(offer, use, bill.label or "") else "not_free"
    price = record.price
    if price is None or price not in offer.prices:
        return "price_other"
    if bill.label and price.label != bill.label:
        return "price_of_another_model"
    try:
        due = cost(price, use)
    except HallmarkError:
        return "charged_wrongly"
    charged, reserved = int(record.charged), int(record.reserved)
    if charged > reserved:
        return "charged_over_reserved"
    if record.rail == "exact":  # the payer signed for one sum, whatever the use comes to
        return OK if charged == reserved else "charged_wrongly"
    return OK if charged == min(due, reserved) else "charged_wrongly"


def _key(bill: Bill) -> str:
    """Only a key that evidence binds draws on accounts."""
    if bill.record.rail == "free" or bill.bundle is None:
        return OK
    return "settlement_key_absent" if bill.bundle.settlement is msgspec.UNSET else OK


def _authorization(bill: Bill) -> str:
    judge = _RAILS[bill.record.rail]
    return OK if bill.authorization is None else judge(bill, bill.authorization)


def _free(_bill: Bill, authorization: bytes) -> str:
    return OK if not authorization else "authorization_other"


def _vault(bill: Bill, encoded: bytes) -> str:
    record, offer = bill.record, bill.offer
    if offer.vault is None or offer.asset is None:
        return "rail_not_offered"
    try:
        authorization = SpendingAuthorization.decode(encoded)
    except HallmarkError:
        return "authorization_other"
    ceiling, spend = authorization.ceiling, authorization.spend
    vault = Vault(offer.asset.chain_id, unhex(offer.vault))
    if record.authorization != hex0x(vault.digest(spend)):
        return "authorization_other"
    if not is_signed_by(vault.digest(ceiling), authorization.by_payer, ceiling.payer):
        return "authorization_unsigned"
    if not is_signed_by(vault.digest(spend), authorization.by_session, authorization.session):
        return "authorization_unsigned"
    if not spend.payer == ceiling.payer == unhex(record.payer or "0x"):
        return "payer_other"
    if not spend.payee == ceiling.payee == unhex(record.payee):
        return "payee_other"
    if bill.bundle is not None and spend.enclave != unhex(bill.bundle.settlement or "0x"):
        return "enclave_other"
    if bill.receipt.started >= min(spend.expires, 1000 * ceiling.valid_until):
        return "authorization_expired"
    if int(record.reserved) > min(spend.maximum, ceiling.max_claimable):
        return "reserved_over_signed"
    return OK


def _x402(bill: Bill, encoded: bytes) -> str:
    record, asset = bill.record, bill.offer.asset
    if asset is None:
        return "rail_not_offered"
    try:
        payment = read_payment(encoded)
        said = signed_by(payment, asset)
    except HallmarkError:
        return "authorization_other"
    named = hex0x(name_of(payment, unhex(record.request)))
    if (payment.scheme, payment.digest, named) != (record.rail, said.digest, record.authorization):
        return "authorization_other"
    if (payment.payer, hex0x(payment.token), payment.expires) != (said.payer, asset.address, said.expires):
        return "authorization_other"
    if not is_signed_by(said.digest, payment.signature, said.signer):
        return "authorization_unsigned"
    if said.payer != unhex(record.payer or "0x"):
        return "payer_other"
    if said.payee != unhex(record.payee):
        return "payee_other"
    if said.enclave and bill.bundle is not None and said.enclave != unhex(bill.bundle.settlement or "0x"):
        return "enclave_other"
    if said.expires and bill.receipt.started >= 1000 * said.expires:
        return "authorization_expired"
    reserved = int(record.reserved)
    if reserved > said.most:
        return "reserved_over_signed"
    return OK if payment.amount == reserved else "authorization_other"


def _token(bill: Bill, encoded: bytes) -> str:
    """Tokens of one key set, which was in force, each signed by its issuer, worth what was reserved."""
    record = bill.record
    if record.asset is None:
        return "rail_not_offered"
    if record.payer is not None or record.account:
        return "token_payer_named"
    try:
        spend = TokenSpend.decode(encoded)
    except HallmarkError:
        return "authorization_other"
    if record.authorization != hex0x(spend.digest()):
        return "authorization_other"
    return OK if bill.keys is None else _spend(bill, spend, bill.keys)


def _spend(bill: Bill, spend: TokenSpend, keys: KeySet) -> str:
    record, document = bill.record, keys.document
    if spend.keys != keys.digest or document.network != record.network:
        return "token_keys_other"
    if document.asset != record.asset:
        return "asset_other"
    if not document.since <= bill.receipt.started < document.until:
        return "token_keys_not_in_force"
    if spend.units * document.unit != int(record.reserved):
        return "token_sum_other"
    try:
        keys.verify_spend(spend)
    except HallmarkError:
        return "token_invalid"
    return OK


_RAILS: Final[dict[Rail, Callable[[Bill, bytes], str]]] = {
    "free": _free,
    "vault": _vault,
    "exact": _x402,
    "upto": _x402,
    "batch-settlement": _x402,
    "token": _token,
}
