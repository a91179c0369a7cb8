"""What a full node checks on the money of a receipt: from its own bytes and the offers in the log, nothing
else.

What it can't know: whether the vault held the money (the contract says that when it is settled), and for
which request bytes the payer signed (their name is salted).
"""

from __future__ import annotations

from hallmark.core.document import unhex
from hallmark.core.hashing import ZERO32
from hallmark.core.money import Payment
from hallmark.core.statements import Role
from hallmark.verification.judged_receipt import JudgedReceipt
from hallmark.verification.outcome import NO_SUBJECT, OK
from hallmark.verification.payment_rules import Bill, check_bill, check_record


def check_payment(case: JudgedReceipt) -> str:
    """Charged is what the offer says for this use, no more than was reserved, under a payer's own signature.

    1. Without a payment record nothing is charged.
    2. The record is the receipt's: network, request, tokens, amount.
    3. It names an offer in the log, of the node's owner, in force when the answer began, and its payee is
       paid.
    4. The price is the offer's for this model, and what is charged follows from it and the use, or is all
       that was reserved, where that is less.
    5. The payer signed for as much, to this payee and this enclave, and for no receipt before this one. Or
       tokens paid for it: each is signed by an issuer whose keys stand in the log and were in force, they are
       worth what was reserved, and none paid for a receipt before this one.
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
    for check in (_record, _issuer, _bill, _once):
        if (found := check(case, record)) != OK:
            return found
    return OK


def _record(case: JudgedReceipt, record: Payment) -> str:
    return check_record(case.receipt, record)


def _issuer(case: JudgedReceipt, record: Payment) -> str:
    """The key set of the tokens is known here, and nobody speaks against it or its issuer's key."""
    if record.rail != "token" or case.tokens is None:
        return OK
    issued = case.issued
    if issued is None:
        return "token_keys_unknown"
    if case.objected(issued.position):
        return "token_keys_rejected"
    issuer = case.registry.members.get(unhex(issued.document.issuer))
    if issuer is None or issuer.role is not Role.ISSUER:
        return "issuer_not_registered"
    since = issuer.compromised_since
    return OK if since is None or case.index < since else "issuer_not_registered"


def _bill(case: JudgedReceipt, record: Payment) -> str:
    known = case.registry.offers.get(unhex(record.offer))
    if known is None:
        return "offer_unknown"
    position, offer = known
    if case.objected(position):
        return "offer_rejected"
    if case.node is None or case.attested is None:
        return NO_SUBJECT
    label = case.manifest.label if case.manifest is not None else ""
    bundle, paid, keys = case.attested.bundle, case.attachment(4), case.key_set
    return check_bill(Bill(case.receipt, record, offer, bundle, label, paid, keys))


def _once(case: JudgedReceipt, record: Payment) -> str:
    """An authorization is used once. And a host that puts its enclave's journal of accounts back to an older
    state makes it write a place of it twice: one settlement key's events are counted once and for all.
    """
    if record.rail == "free":
        return OK
    spent = case.registry.spent
    if unhex(record.authorization) in spent:
        return "authorization_reused"
    if any(token in case.registry.nullifiers for token in case.nullifiers):
        return "token_reused"
    return "journal_position_reused" if case.journal_place in spent else OK
