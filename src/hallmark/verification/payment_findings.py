"""What a dossier establishes about money: who is charged what by whom, for exactly which request, or that
nobody has to pay by the offer of the node's owner.

Each thing is held against what commits to it, by the rules that full nodes apply (`payment_rules`). What a
file leaves out keeps the mark low; what does not hold makes it fail.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hallmark.core.document import digest_of, unhex
from hallmark.core.documents import Manifest
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Question, State
from hallmark.core.money import Offer, Payment
from hallmark.core.prices import check_offer
from hallmark.core.tokens import IssuerKeys, TokenSpend
from hallmark.crypto.token_keys import KeySet
from hallmark.verification import payment_wording, wording
from hallmark.verification.examination import Examination, committed, failure, require
from hallmark.verification.mark_ladder import claimed, ladder, registered
from hallmark.verification.outcome import OK
from hallmark.verification.payment_rules import Bill, check_bill, check_record


def paid(exam: Examination) -> Iterable[Finding]:
    """What was charged, for what.

    1. Without a payment record nothing is charged.
    2. The record is the one that the receipt commits to, and speaks of this receipt.
    3. The offer is the one that the record names, can be meant, and holds for this answer.
    4. What is charged follows from them, and the payer signed for it.
    5. Nobody pays: not required, by that offer.
    """
    receipt, documents = exam.receipt, exam.dossier.documents
    if receipt.payment == ZERO32:
        require(receipt.charged == 0, "payment_record_absent")
        beside = (documents.payment, documents.offer, documents.issuer_keys, exam.authorization_bytes())
        require(beside == (None, None, None, None), "payment_record_other")
        return []
    if documents.payment is None:
        what = f"{payment_wording.charged(receipt.charged)}; {wording.NOT_SHOWN['payment']}"
        return [claimed(exam, Question.PAID, receipt.payment, {"what": what})]
    record = _record(exam, documents.payment)
    hidden = _hidden(exam, record)
    spend = _spend(exam, record)
    keys = _issuer_keys(exam, spend)
    if documents.offer is not None:
        _held(check_bill(_bill(exam, record, documents.offer, keys)))
    spent = payment_wording.spent_of(spend, keys) if spend and keys else None
    detail = payment_wording.detail(record, spent)
    if hidden:
        told = detail | {"what": f"{detail['what']}; {wording.NOT_SHOWN[hidden]}"}
        return [claimed(exam, Question.PAID, receipt.payment, told)]
    unproven = f"; {wording.NOT_SHOWN[ISSUERS_PLACE]}" if record.rail == "token" else ""
    unsigned = detail | {"what": f"{detail['what']}; {wording.NOT_SHOWN[OFFER_SIGNATURE]}{unproven}"}
    rungs = ladder(
        exam,
        Question.PAID,
        receipt.payment,
        unsigned,
        rests_on=registered(exam),
        witnessed=detail["what"],
    )
    return [waived(rungs[-1])] if record.rail == "free" else rungs


OFFER_SIGNATURE = "offer's signature"
ISSUERS_PLACE = "issuer's place"


def waived(finding: Finding) -> Finding:
    """Nobody has to pay, by whoever says so best."""
    return msgspec.structs.replace(finding, state=State.NOT_REQUIRED)


def _record(exam: Examination, text: str) -> Payment:
    data = text.encode()
    require(digest_of(Payment, data) == exam.receipt.payment, "payment_record_other")
    try:
        record = Payment.decode(data)
    except HallmarkError as error:
        raise failure("payment_unreadable") from error
    _held(check_record(exam.receipt, record))
    return record


def _spend(exam: Examination, record: Payment) -> TokenSpend | None:
    """The tokens that paid, where they are shown; that they are the record's `check_bill` says."""
    encoded = exam.authorization_bytes()
    if record.rail != "token" or encoded is None:
        return None
    try:
        return TokenSpend.decode(encoded)
    except HallmarkError as error:
        raise failure("authorization_other") from error


def _issuer_keys(exam: Examination, spend: TokenSpend | None) -> KeySet | None:
    """The key set that the tokens name; None when either is not shown."""
    text = exam.dossier.documents.issuer_keys
    if text is None or spend is None:
        return None
    document = committed(IssuerKeys, text, spend.keys, "token_keys_mismatch")
    try:
        return KeySet(document)
    except HallmarkError as error:
        raise failure("issuer_keys_unsound") from error


def _bill(exam: Examination, record: Payment, text: str, keys: KeySet | None) -> Bill:
    offer = committed(Offer, text, unhex(record.offer), "offer_mismatch")
    require(offer.network == record.network, "offer_names_other")
    try:
        check_offer(offer)
    except HallmarkError as error:
        raise failure("offer_unsound") from error
    bundle = exam.bundle if exam.shows_bundle else None
    authorization = exam.authorization_bytes()
    if record.rail == "free":
        authorization = authorization or b""
    return Bill(exam.receipt, record, offer, bundle, _label(exam), authorization, keys)


def _label(exam: Examination) -> str | None:
    """The label of the model that answered, "" for a provider's; None when its manifest is not shown."""
    if exam.receipt.artifact == ZERO32:
        return ""
    text = exam.dossier.documents.manifest
    if text is None:
        return None
    return committed(Manifest, text, exam.receipt.manifest, "manifest_mismatch").label


def _hidden(exam: Examination, record: Payment) -> str:
    """The first part that would have to be shown for more than the node's word; empty when all are."""
    documents, charged = exam.dossier.documents, record.rail != "free"
    shown = {
        "offer": documents.offer is not None,
        "authorization": not charged or exam.authorization_bytes() is not None,
        "issuer_keys": record.rail != "token" or documents.issuer_keys is not None,
        "bundle": exam.shows_bundle,
        "manifest": exam.receipt.artifact == ZERO32 or documents.manifest is not None,
    }
    return next((name for name, there in shown.items() if not there), "")


def _held(found: str) -> None:
    require(found == OK, found)
