"""A receipt in plain lines: a few for the evaluator's own decisions, all of them for people's screens."""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.hashing import ZERO32
from hallmark.core.modes import NAMES
from hallmark.core.receipt import Receipt
from hallmark.review.items import Item
from hallmark.services.explorer.receipt_story import ReceiptContext, facts
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.review.notices import moment


def facts_of_receipt(item: Item, receipt: Receipt) -> tuple[tuple[str, str], ...]:
    """Lines of name and value. Nothing in them is a judgement."""
    artifact = hex0x(receipt.artifact) if receipt.artifact != ZERO32 else "none: a provider answered"
    lines = (
        ("Receipt", item.id),
        ("Node", hex0x(receipt.node)),
        ("Model", item.model),
        ("Artifact", artifact),
        ("Mode", NAMES.get(receipt.mode, "unknown")),
        ("Answered", moment(receipt.finished)),
        ("Tokens", f"{receipt.tokens_in} in, {receipt.tokens_out} out"),
        ("Log position", str(item.index) if item.index >= 0 else "no quorum covers it yet"),
    )
    declared = ((fact.name, fact.value) for fact in _declared(item))
    return (*((name, value) for name, value in lines if value), *declared)


def shown_facts(watch: FollowedLog, told: ReceiptContext, item: Item) -> tuple[Fact, ...]:
    """Every line of the receipt, as the explorer tells it, and what was declared of the item."""
    return (*facts(watch, told), *_declared(item))


def _named(item: Item, requester: str) -> str:
    """A requester is what somebody declared, and stands with who did; the first one counts for reviews."""
    by = item.requester_by if requester == item.requester else "somebody later"
    return f"Requester, declared by {by}" if by else "Requester, as born with the item"


def _declared(item: Item) -> list[Fact]:
    classes = ", ".join(klass for klass in item.classes if klass)
    found = [
        Fact("Class", classes),
        Fact("Value at risk", f"{item.value:,} atomic units" if item.value else ""),
        *(Fact(_named(item, requester), requester, "", requester) for requester in item.requesters),
    ]
    return [fact for fact in found if fact.value]
