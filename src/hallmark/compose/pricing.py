"""What the owners of a development network ask for answers: a signed price offer of each, in its log.

A start says an offer only where there is none yet, where what it must cover has changed, or where it ends
soon. What an owner has priced stays as it is (`hallmark offer set`); what is new gets the prices below. They
are in development money, which is worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from hallmark.compose.founding import Founding
from hallmark.compose.genesis import Author
from hallmark.compose.home import Home
from hallmark.compose.keys import Keys
from hallmark.compose.models import Shipped
from hallmark.compose.plan import NodePlan, Plan, Pricing
from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest
from hallmark.core.entries import Entry
from hallmark.core.modes import INTEGER_FORMATS
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.core.prices import check_offer
from hallmark.core.statements import PriceOffer
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.token import DEV_MONEY_NAME, DEV_MONEY_VERSION

DAY: Final = 86_400_000
YEAR: Final = 365 * DAY
LAST: Final = 30 * DAY
"""An offer that ends within so many ms is replaced at a start."""
LANGUAGE: Final = frozenset(("onnxruntime-genai", "gguf"))
"""Formats of models that are priced by tokens; others are priced by the call, or by the image."""
TEXT_TASKS: Final = frozenset(("chat", "completion", "text-generation"))
"""What models of integers do that are priced by tokens: their format is that of tensor models, too."""
IMAGES: Final = frozenset(("shapes",))
"""Formats of models that are priced by the image."""

TOKENS_IN: Final = 150_000
TOKENS_OUT: Final = 600_000
"""For a million tokens: 0.15 and 0.60."""
CALL: Final = 1_000
IMAGE: Final = 1_000

SMALL: Final = 65_536
"""A small request: at most so many bytes, and at most so many tokens that its answer can have.

Before a run an enclave knows of what is read only that a token is a byte at least, and of what is written
what was asked for, or else the engine's most (32,768 for an upstream). Two answers of that are small still.
"""

EXAMPLE: Final = "breast-cancer"
"""The one tensor model that is not free at first, so that a first start has something to pay for."""

WORDS: Final[Mapping[Pricing, str]] = MappingProxyType(
    {
        "small-free": f"small requests and tensor models but {EXAMPLE} are free",
        "paid": "every request costs development money",
        "free": "everything is free",
    }
)


class Money(msgspec.Struct, frozen=True):
    """What prices are in: the token's and the vault's 20-byte addresses on the network's chain."""

    token: bytes
    vault: bytes

    def asset(self, chain_id: int) -> Asset:
        """The development token as offers name it."""
        name, version = DEV_MONEY_NAME, DEV_MONEY_VERSION
        return Asset(chain_id, hex0x(self.token), 6, "DEV", name, version, development=True)


class Served(msgspec.Struct, frozen=True):
    """A label that a node serves: a tensor model, a language model, one that draws, or an upstream's."""

    label: str
    tensor: bool = False
    upstream: bool = False
    draws: bool = False

    @property
    def price(self) -> Price:
        """What it costs where its owner has not said otherwise."""
        if self.tensor:
            return Price(self.label, call=CALL)
        if self.draws:
            return Price(self.label, image=IMAGE)
        images = IMAGE if self.upstream else 0
        return Price(self.label, million_tokens_in=TOKENS_IN, million_tokens_out=TOKENS_OUT, image=images)


def served_by(node: NodePlan, models: Mapping[str, Shipped]) -> tuple[Served, ...]:
    """Everything that a node answers with."""
    own = (_own(label, models[label].manifest) for label in node.models)
    return (*own, *(Served(label, upstream=True) for label in node.upstreams if label not in node.models))


def _own(label: str, manifest: Manifest) -> Served:
    form, integers = manifest.format, manifest.format in INTEGER_FORMATS
    text = form in LANGUAGE or (integers and manifest.task in TEXT_TASKS)
    return Served(label, tensor=not text and form not in IMAGES, draws=form in IMAGES)


def free_use(pricing: Pricing, served: Iterable[Served]) -> FreeUse:
    """What costs nothing."""
    if pricing == "free":
        return FreeUse(everything=True)
    if pricing == "paid":
        return FreeUse()
    free = (one.label for one in served if (one.tensor and one.label != EXAMPLE) or one.draws)
    return FreeUse(SMALL, SMALL, models=tuple(free))


def say_offers(
    founding: Founding,
    author: Author,
    plan: Plan,
    keys: Keys,
    *,
    models: Mapping[str, Shipped],
    money: Money,
    chosen: Pricing | None,
) -> tuple[str, ...]:
    """Say every owner's offer that is not said yet; the nodes whose offer is new. `chosen` is what this start
    asks for.
    """
    changed = []
    for node, owner in zip(plan.nodes, keys.owners, strict=True):
        known = founding.offer(owner.address)
        served = served_by(node, models)
        wanted = _wanted(known[1] if known else None, author, plan, owner=owner, served=served, money=money)
        if chosen is not None:
            wanted = msgspec.structs.replace(wanted, free=free_use(chosen, served))
        if known is not None and _still_good(known[1], wanted):
            continue
        founding.say((offer_entry(author, owner, wanted),))
        changed.append(node.name)
    return tuple(changed)


def _wanted(
    known: Offer | None,
    author: Author,
    plan: Plan,
    *,
    owner: Key,
    served: tuple[Served, ...],
    money: Money,
) -> Offer:
    """The offer as it should be now: what the owner said before, and what is new."""
    prices = known.prices if known else ()
    new = [one for one in served if one.label not in {price.label for price in prices}]
    free = known.free if known else free_use(plan.pricing, served)
    if known is not None and plan.pricing == "small-free" and not free.everything:
        more = free_use("small-free", new).models
        free = msgspec.structs.replace(free, models=tuple(dict.fromkeys((*free.models, *more))))
    return Offer(
        network=hex0x(author.network),
        owner=hex0x(owner.address),
        payee=hex0x(owner.address),
        asset=money.asset(plan.chain_id),
        vault=hex0x(money.vault),
        prices=(*prices, *(one.price for one in new)),
        free=free,
        since=author.at,
        until=author.at + YEAR,
    )


def _still_good(known: Offer, wanted: Offer) -> bool:
    same = msgspec.structs.replace(known, since=wanted.since, until=wanted.until) == wanted
    return same and known.since <= wanted.since < known.until - LAST


def offer_entry(author: Author, owner: Key, offer: Offer) -> Entry:
    """The offer as its owner says it. Raises what `check_offer` raises."""
    check_offer(offer)
    statement = PriceOffer(author.network, owner.address, offer.digest(), author.at)
    return author.entry(statement, (owner,), (offer.encode(),))


def write_offers(home: Home, plan: Plan, keys: Keys, founding: Founding) -> None:
    """Put each owner's newest offer where its node reads it. Only what the log has, or will have before the
    node starts, may stand there.
    """
    for node, owner in zip(plan.nodes, keys.owners, strict=True):
        known = founding.offer(owner.address)
        path = home.file("services", node.name, "offer.entry")
        if known is not None and not (path.exists() and path.read_bytes() == known[0].encode()):
            home.write(known[0].encode(), "services", node.name, "offer.entry")
