"""Price offers as lines and as pages, from the fold over the log alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import NotFound
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.services.explorer import links
from hallmark.services.explorer.filters import ID
from hallmark.services.explorer.network_views import ModelPrice
from hallmark.services.explorer.payment_views import OfferPage, OfferRow, PaidRow, PriceRow
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.payment_wording import DEVELOPMENT, amount

IN_FORCE: Final = "in force"
Known = tuple[bytes, int, Offer]
"""Digest, log position, terms."""


def known(watch: FollowedLog) -> list[Known]:
    """Every offer that the log holds, newest first."""
    found = [(digest, at, offer) for digest, (at, offer) in watch.replica.registry.offers.items()]
    return sorted(found, key=lambda one: -one[1])


def listed(watch: FollowedLog, found: Iterable[Known], now: int) -> tuple[OfferRow, ...]:
    """Offers as lines."""
    return tuple(_row(watch, one, now) for one in found)


def find(watch: FollowedLog, digest: str) -> Known:
    """The offer of a digest (0x-hex). Raises NotFound `unknown_offer`."""
    found = watch.replica.registry.offers.get(unhex(digest)) if ID.fullmatch(digest) else None
    if found is None:
        raise NotFound("unknown_offer", "The log holds no offer with this digest.")
    return unhex(digest), *found


def page(watch: FollowedLog, one: Known, receipts: tuple[PaidRow, ...], now: int) -> OfferPage:
    """An offer as a page."""
    _, at, offer = one
    row = _row(watch, one, now)
    facts = [
        Fact("Log position", f"{at:,}", links.entry(at)),
        Fact("Owner, who signed it", offer.owner, "", offer.owner),
        Fact("Payee", offer.payee, links.account(offer.payee), offer.payee),
    ]
    asset = offer.asset
    if asset is not None:
        facts.append(Fact("Asset", f"{asset.name}, chain {asset.chain_id}", "", asset.address))
        facts += [Fact("What the money is", DEVELOPMENT)] * asset.development
    if offer.vault is not None:
        facts.append(Fact("Vault", offer.vault, "", offer.vault))
    facts.append(Fact("For nothing", free_words(offer.free)))
    sentence = (
        "What one owner of nodes asks for answers, signed and in the log. A request keeps the offer that it "
        f"began under. This one is {row.standing}."
    )
    prices = tuple(price_row(price, asset, offer.free) for price in offer.prices)
    return OfferPage(now, row, sentence, tuple(facts), prices, receipts)


def free_words(free: FreeUse) -> str:
    """What an offer serves for nothing."""
    if free.everything:
        return "everything"
    parts = []
    if free.tokens_in or free.tokens_out:
        parts.append(f"requests of at most {free.tokens_in:,} tokens in and {free.tokens_out:,} out")
    if free.models:
        parts.append(f"every request to {', '.join(free.models)}")
    return "; ".join(parts) or "nothing"


def price_row(price: Price, asset: Asset | None, free: FreeUse) -> PriceRow:
    """A price, each way of counting as people read it."""

    def told(units: int) -> str:
        return amount(units, asset) if units else ""

    return PriceRow(
        price.label,
        told(price.million_tokens_in),
        told(price.million_tokens_out),
        told(price.image),
        told(price.second),
        told(price.call),
        "for nothing" if free.everything or price.label in free.models else "",
    )


def prices_now(watch: FollowedLog, now: int) -> tuple[ModelPrice, ...]:
    """What each model costs under each offer in force, by label."""
    rows = []
    for one in known(watch):
        digest, at, offer = one
        if _standing(watch, at, offer, now) != IN_FORCE:
            continue
        link, free = hex0x(digest), free_words(offer.free)
        if not offer.prices:
            rows.append(ModelPrice("", "", free, link))
        rows += [ModelPrice(p.label, _in_words(p, offer.asset), free, link) for p in offer.prices]
    return tuple(sorted(rows, key=lambda row: row.label))


def in_force(watch: FollowedLog, now: int) -> dict[bytes, tuple[Offer, ...]]:
    """The offers in force, by their owners (20 bytes)."""
    found: dict[bytes, tuple[Offer, ...]] = {}
    for _, at, offer in known(watch):
        if _standing(watch, at, offer, now) == IN_FORCE:
            owner = unhex(offer.owner)
            found[owner] = (*found.get(owner, ()), offer)
    return found


def _in_words(price: Price, asset: Asset | None) -> str:
    counted = (
        (price.million_tokens_in, "a million tokens in"),
        (price.million_tokens_out, "a million tokens out"),
        (price.image, "an image"),
        (price.second, "a second begun"),
        (price.call, "a call"),
    )
    money = " (development money)" if asset is not None and asset.development else ""
    return ", ".join(f"{amount(units, asset)} for {what}" for units, what in counted if units) + money


def _row(watch: FollowedLog, one: Known, now: int) -> OfferRow:
    digest, at, offer = one
    return OfferRow(
        hex0x(digest),
        offer.owner,
        offer.payee,
        offer.since,
        offer.until,
        at,
        _standing(watch, at, offer, now),
        len(offer.prices),
        free_words(offer.free),
    )


def _standing(watch: FollowedLog, at: int, offer: Offer, now: int) -> str:
    if watch.replica.failures(at) or watch.replica.standing(at).state is not None:
        return "rejected"
    if now < offer.since:
        return "not yet in force"
    if now >= offer.until:
        return "ended"
    newer = (other for _, position, other in known(watch) if position > at and other.owner == offer.owner)
    replaced = any(other.payee == offer.payee and other.since <= now < other.until for other in newer)
    return "replaced by a newer one" if replaced else IN_FORCE
