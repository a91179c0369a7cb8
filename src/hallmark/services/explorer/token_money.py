"""What can be said of the money of a receipt that an issuer's tokens paid for: who owes what to whom.

The receipt shows tokens that the issuer signed. That it settled them the issuer signed too, but to the
enclave, which signs no receipt before: for that the node is believed. What the issuer then pays out is a
payee's whole sum, in transactions that name no receipt. So nothing here ever reads as settled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.money import Payment
from hallmark.core.tokens import TokenSpend
from hallmark.services.explorer import links
from hallmark.services.explorer.receipt_context import ReceiptContext
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.x402_money import SIGNED_AT, Standing
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.payment_wording import amount
from hallmark.verification.wording import short

CANNOT: Final = "What the issuer of the tokens owes for this cannot be said here"


def token_standing(watch: FollowedLog, told: ReceiptContext, record: Payment) -> Standing:
    """How the payment of a receipt stands that tokens paid for."""
    if not int(record.charged):
        return Standing("nothing", "Nothing was charged for this answer, so there is nothing to settle.")
    if told.index < 0:
        return Standing("unknown", f"{CANNOT} yet: no quorum of full nodes covers this receipt.")
    if watch.replica.failures(told.index) or watch.replica.standing(told.index).state is not None:
        return Standing("unknown", f"{CANNOT}: the receipt is objected to, so nobody is believed by it.")
    spend = _spend(told)
    issued = watch.replica.registry.issuer_keys.get(spend.keys) if spend is not None else None
    if issued is None:
        return Standing("unknown", f"{CANNOT}: its tokens, or their issuer's keys, are not known here.")
    keys, charged, reserved = issued.document, int(record.charged), int(record.reserved)
    owed = reserved - (reserved - charged) // keys.unit * keys.unit
    said = (
        f"Issuer {short(keys.issuer)} signed the tokens that paid for this. An enclave signs such a receipt "
        "only after the issuer has signed to it that they are settled; that word does not stand in the "
        f"receipt, so for it the node is believed. By it the issuer owes the payee "
        f"{amount(owed, record.asset)}{_rounded(owed, charged)}. It pays a payee all that it owes in one "
        "transaction, which names no receipt: the chain shows such payouts by payee and sum, and never that "
        "this one is in them."
    )
    return Standing("unknown", said)


def token_facts(watch: FollowedLog, told: ReceiptContext) -> Iterator[Fact]:
    """Which tokens paid: the issuer, and the names by which nobody can use them again."""
    spend = _spend(told)
    if spend is None:
        return
    yield Fact("Tokens", f"{len(spend.tokens)}, of the issuer's keys", "", hex0x(spend.keys))
    issued = watch.replica.registry.issuer_keys.get(spend.keys)
    if issued is None:
        return
    yield Fact("Issuer", issued.document.issuer, links.node(unhex(issued.document.issuer)))
    known = watch.replica.memory.key_set(spend.keys, issued)
    for token in spend.tokens:
        nullifier, worth = hex0x(known.nullifier(token)), issued.document.unit << token.value
        yield Fact(f"Spent token of {amount(worth, issued.document.asset)}", nullifier, "", nullifier)


def _rounded(owed: int, charged: int) -> str:
    return ": what was charged, rounded up to a whole number of its smallest token" if owed > charged else ""


def _spend(told: ReceiptContext) -> TokenSpend | None:
    try:
        return TokenSpend.decode(told.entry.attachments[SIGNED_AT])
    except (HallmarkError, IndexError):
        return None
