"""What a full node checks on the money of a receipt: from its own bytes and the offers in the log, nothing
else.

What it can't know: whether the vault held the money (the contract says that when it is settled), and for
which request bytes the payer signed (their name is salted).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.money import Payment
from hallmark.core.prices import Use, cost, is_free
from hallmark.core.spending import SpendingAuthorization
from hallmark.core.typed import TypedStruct
from hallmark.core.vault import vault_digest
from hallmark.crypto.secp256k1 import is_signed_by
from hallmark.verification.judged_receipt import JudgedReceipt
from hallmark.verification.outcome import NO_SUBJECT, OK


def check_payment(case: JudgedReceipt) -> str:
    """Charged is what the offer says for this use, no more than was reserved, under a payer's own signature.

    1. Without a payment record nothing is charged.
    2. The record is the receipt's: network, request, tokens, amount.
    3. It names an offer of the node's owner that was in force when the answer began, and its payee is paid.
    4. The price is the offer's for this model, and what is charged follows from it and the use, or is all
       that was reserved, where that is less.
    5. The payer signed for as much, to this payee and this enclave, and for no receipt before this one.
    6. It ended at a place of the enclave's journal at which no receipt before this one ended.
    """
    receipt = case.receipt
    if receipt.payment == ZERO32:
        return OK if receipt.charged == 0 else "payment_record_absent"
    if not case.payment_committed:
        return "payment_record_other"
    record = case.payment
    if record is None:
        return "payment_unreadable"
    for check in (_record, _offer, _amount, _key, _authorization, _journal):
        if (found := check(case, record)) != OK:
            return found
    return OK


def _record(case: JudgedReceipt, record: Payment) -> str:
    receipt = case.receipt
    told = (record.network, record.request, record.tokens_in, record.tokens_out, record.charged)
    held = (hex0x(receipt.network), hex0x(receipt.request), receipt.tokens_in, receipt.tokens_out)
    return OK if told == (*held, str(receipt.charged)) else "payment_other_receipt"


def _offer(case: JudgedReceipt, record: Payment) -> str:
    known = case.registry.offers.get(unhex(record.offer))
    if known is None:
        return "offer_unknown"
    position, offer = known
    if case.objected(position):
        return "offer_rejected"
    if case.node is None or case.attested is None:
        return NO_SUBJECT
    if offer.owner != hex0x(case.node.owner):
        return "offer_of_another"
    if not record.payee == offer.payee == case.attested.bundle.payment:
        return "payee_other"
    if record.asset != offer.asset:
        return "asset_other"
    return OK if offer.since <= case.receipt.started < offer.until else "offer_not_in_force"


def _amount(case: JudgedReceipt, record: Payment) -> str:
    offer = case.registry.offers[unhex(record.offer)][1]
    use = Use(record.tokens_in, record.tokens_out, record.images, record.milliseconds)
    if record.rail == "free":
        nobody = (record.payer, record.account, record.price, record.reserved, record.charged)
        if nobody != (None, 0, None, "0", "0") or record.authorization != hex0x(ZERO32):
            return "free_but_charged"
        label = case.manifest.label if case.manifest is not None else ""
        return OK if is_free(offer, use, label) else "not_free"
    price = record.price
    if price is None or price not in offer.prices:
        return "price_other"
    if case.manifest is not None and price.label != case.manifest.label:
        return "price_of_another_model"
    try:
        due = cost(price, use)
    except HallmarkError:
        return "charged_wrongly"
    charged, reserved = int(record.charged), int(record.reserved)
    if charged > reserved:
        return "charged_over_reserved"
    return OK if charged == min(due, reserved) else "charged_wrongly"


def _key(case: JudgedReceipt, record: Payment) -> str:
    return OK if record.rail == "free" or case.journal_place else "settlement_key_absent"


def _authorization(case: JudgedReceipt, record: Payment) -> str:
    judge = _RAILS.get(record.rail)
    return judge(case, record) if judge else "rail_not_supported"


def _free(case: JudgedReceipt, _record: Payment) -> str:
    return OK if not case.attachment(4) else "authorization_other"


def _vault(case: JudgedReceipt, record: Payment) -> str:
    offer = case.registry.offers[unhex(record.offer)][1]
    if offer.vault is None or offer.asset is None:
        return "rail_not_offered"
    try:
        authorization = SpendingAuthorization.decode(case.attachment(4))
    except HallmarkError:
        return "authorization_other"
    ceiling, spend = authorization.ceiling, authorization.spend
    domain = _Vault(offer.asset.chain_id, unhex(offer.vault))
    if record.authorization != hex0x(domain.digest(spend)):
        return "authorization_other"
    if not domain.signed(ceiling, authorization.by_payer, ceiling.payer):
        return "authorization_unsigned"
    if not domain.signed(spend, authorization.by_session, authorization.session):
        return "authorization_unsigned"
    if not spend.payer == ceiling.payer == unhex(record.payer or "0x"):
        return "payer_other"
    if not spend.payee == ceiling.payee == unhex(record.payee):
        return "payee_other"
    if case.attested is None or spend.enclave != unhex(case.attested.bundle.settlement or "0x"):
        return "enclave_other"
    if case.receipt.started >= min(spend.expires, 1000 * ceiling.valid_until):
        return "authorization_expired"
    if int(record.reserved) > min(spend.maximum, ceiling.max_claimable):
        return "reserved_over_signed"
    return "authorization_reused" if domain.digest(spend) in case.registry.spent else OK


def _journal(case: JudgedReceipt, _record: Payment) -> str:
    """A host that puts its enclave's journal of accounts back to an older state makes it write a place of it
    twice: one settlement key's events are counted once and for all.
    """
    return "journal_position_reused" if case.journal_place in case.registry.spent else OK


class _Vault:
    """The EIP-712 domain of one vault."""

    def __init__(self, chain_id: int, address: bytes) -> None:
        self._chain_id, self._address = chain_id, address

    def digest(self, statement: TypedStruct) -> bytes:
        """What is signed; 32 bytes."""
        return vault_digest(statement, self._chain_id, self._address)

    def signed(self, statement: TypedStruct, signature: bytes, by: bytes) -> bool:
        """Whether it is signed by this key, in the low-s form (EIP-2)."""
        return is_signed_by(self.digest(statement), signature, by)


_RAILS: Final[dict[str, Callable[[JudgedReceipt, Payment], str]]] = {"free": _free, "vault": _vault}
