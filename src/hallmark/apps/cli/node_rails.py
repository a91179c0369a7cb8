"""`hallmark node earnings`: the words for what came by other rails than the vault, each by itself.

A figure that the chain did not give here says whose word it is: the node's host has it in its own books.
"""

from __future__ import annotations

from collections.abc import Iterable

from hallmark.core.amounts import show_amount
from hallmark.core.money import Asset
from hallmark.services.node.rail_earnings import RAILS, HostEarnings, Paid, RailSums, Sum

NOT_COMPARED = (
    "Nothing of exact and upto was compared with the chain here: what they moved are transfers to the payee "
    "like any other."
)
UNKNOWN = "What came by x402 is known to the node's host alone, which does not answer."


def rail_words(host: HostEarnings | None, paid: Paid, asset: Asset, where: str) -> Iterable[str]:
    """Sentences for each rail: x402's `exact`, `upto` and channels, and tokens. `where` names the blocks."""
    if host is None:
        yield UNKNOWN
    else:
        for rail in RAILS:
            sums = _sums(host.rails.get(rail, RailSums()), asset)
            yield f"x402 {rail}, by the host's own books: {sums}."
        yield NOT_COMPARED
        yield f"x402 channels: the host says that it claimed {_sum(host.claimed, asset, 'channels')}."
    if paid.channels_claimed is not None and paid.channels_swept is not None:
        waiting = max(0, paid.channels_claimed - paid.channels_swept)
        yield (
            "x402 channels of this payee on the chain, whoever claimed: "
            f"{show_amount(paid.channels_swept, asset)} was paid out, {show_amount(waiting, asset)} waits to "
            "be."
        )
    if host is not None and host.issuer and paid.payouts is not None:
        waits = f"; by the host's books {host.tokens_waiting} settlements wait for it"
        waits = waits if host.tokens_waiting else ""
        yield (
            f"Tokens: their issuer {host.issuer} paid out {_sum(paid.payouts, asset, 'transfers')} {where}"
            f"{waits}. What it owes beside that it alone knows."
        )


def _sums(sums: RailSums, asset: Asset) -> str:
    """Settled, due, refused."""
    return (
        f"{_sum(sums.settled, asset)} settled, {_sum(sums.due, asset)} due, "
        f"{_sum(sums.refused, asset)} refused by the chain"
    )


def _sum(found: Sum, asset: Asset, what: str = "payments") -> str:
    if not found.payments:
        return "nothing"
    many = what.removesuffix("s") if found.payments == 1 else what
    return f"{show_amount(int(found.amount), asset)} ({found.payments:,} {many})"
