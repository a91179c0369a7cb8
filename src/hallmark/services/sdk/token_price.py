"""How much a request that tokens pay for may have to cost: by the offers of every node that may answer."""

from __future__ import annotations

from collections.abc import Iterable

from hallmark.core.amounts import parse_amount, show_amount
from hallmark.core.errors import InvalidInput
from hallmark.core.money import Asset
from hallmark.core.prices import price_of
from hallmark.services.sdk.offers import NodeOffer
from hallmark.services.sdk.spending import is_free_for, most_cost, read_asked
from hallmark.services.sdk.spending_store import SpendingRefused


def most_for(
    offers: Iterable[NodeOffer], body: bytes, cap: str, among: frozenset[str] | None
) -> tuple[int, Asset] | None:
    """The most that this request can cost at any of the nodes with these settlement keys (None: any), in
    atomic units of the asset; None where it is free at all of them. What nothing bounds costs `cap` at most.

    Raises SpendingRefused `over_max_per_request`; InvalidInput `no_price`, `several_assets`.
    """
    asked = read_asked(body)
    found = [one for one in offers if asked.model in one.models]
    if among is not None:
        found = [one for one in found if one.settlement in among]
    priced = [one for one in found if not is_free_for(one.offer, body, asked)]
    assets = {one.offer.asset for one in priced if one.offer.asset is not None}
    if not priced:
        return None
    if len(assets) != 1:
        raise InvalidInput(
            "several_assets", "The nodes that may answer want different tokens.", "Ask another model."
        )
    (asset,) = assets
    limit = parse_amount(cap, asset.decimals)
    costs = [most_cost(price_of(one.offer, asked.model), body, asked) for one in priced]
    most = max(limit if cost is None else cost for cost in costs)
    if most > limit:
        raise SpendingRefused(
            "over_max_per_request",
            f"This request can cost {show_amount(most, asset)}, more than max_per_request.",
            "Raise max_per_request, set max_tokens lower, or ask another model.",
        )
    return most, asset
