"""What a use costs under an offer, and the most that a request can cost. Whole numbers, rounded up once."""

from __future__ import annotations

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.money import MAX_AMOUNT, MILLION, Offer, Price

COUNTED = ("million_tokens_in", "million_tokens_out", "image", "second", "call")


class Use(msgspec.Struct, frozen=True):
    """What an answer used, or the most that it can use. `milliseconds` are of work, charged by the started
    second.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    images: int = 0
    milliseconds: int = 0
    calls: int = 1


def cost(price: Price, use: Use) -> int:
    """Atomic units for this use. It never falls as a use grows, so a draw on the way is never too much.

    Raises InvalidInput `amount_too_large`.
    """
    tokens = price.million_tokens_in * use.tokens_in + price.million_tokens_out * use.tokens_out
    rest = price.image * use.images + price.second * -(-use.milliseconds // 1000) + price.call * use.calls
    units = -(-tokens // MILLION) + rest
    if units > MAX_AMOUNT:
        raise InvalidInput(
            "amount_too_large",
            "This request could cost more than an account can hold.",
            "Ask for fewer tokens, or give max_tokens.",
        )
    return units


def is_free(offer: Offer, most: Use, label: str) -> bool:
    """Whether a request to the model `label` that can use this much costs nothing by the offer's own terms.

    Images, and work that is charged by the second or call, are never part of a small free use.
    """
    free = offer.free
    if free.everything or label in free.models:
        return True
    if (free.tokens_in, free.tokens_out) == (0, 0) or most.images:
        return False
    return 0 < most.tokens_in <= free.tokens_in and most.tokens_out <= free.tokens_out


def price_of(offer: Offer, label: str) -> Price:
    """The offer's price for a model. Raises InvalidInput `no_price`."""
    for price in offer.prices:
        if price.label == label:
            return price
    raise InvalidInput(
        "no_price", "The node's offer has no price for this model.", "See GET /v1/hallmark/offers."
    )


def check_offer(offer: Offer) -> None:
    """Raises InvalidInput with the first thing that is wrong with an offer before it is signed.

    `offer_range` (ends before it begins), `price_missing` (a price that counts nothing, or a priced offer
    without prices), `price_repeated`, `offer_without_asset`, `bad_asset`.
    """
    if offer.until <= offer.since:
        raise InvalidInput("offer_range", "An offer must end after it begins.", "Give a later end.")
    labels = [price.label for price in offer.prices]
    if len(set(labels)) != len(labels):
        raise InvalidInput(
            "price_repeated", "An offer has two prices for one model.", "Name each model once."
        )
    if any(not any(getattr(price, name) for name in COUNTED) for price in offer.prices):
        raise InvalidInput(
            "price_missing",
            "A price counts nothing, so everything would be served for nothing.",
            "Say so instead: free = everything.",
        )
    if offer.free.everything:
        return
    if not offer.prices:
        raise InvalidInput(
            "price_missing",
            "An offer that is not free needs at least one price.",
            "Price a model, or serve everything for nothing.",
        )
    if offer.asset is None:
        raise InvalidInput(
            "offer_without_asset",
            "Prices need the asset that they are in.",
            "Name the token: chain, address, decimals, symbol.",
        )
    if not (0 <= offer.asset.decimals <= 18 and offer.asset.chain_id > 0 and offer.asset.symbol):
        raise InvalidInput(
            "bad_asset",
            "The asset's chain, decimals or symbol cannot be right.",
            "A chain id is 1 or more, decimals are 0 to 18, a symbol has 1 to 11 letters.",
        )
