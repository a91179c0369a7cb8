"""What an owner changes in its price offer, after the first start said one.

The new offer is signed with the owner's key, goes into the log, and only then replaces the file that its node
reads: a full node refuses receipts under an offer that is not in the log.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.compose.authority import Office
from hallmark.compose.home import Home
from hallmark.compose.plan import NodePlan
from hallmark.compose.pricing import YEAR, offer_entry, write_offers
from hallmark.compose.supervisor import snapshot
from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, InvalidInput, NotFound
from hallmark.core.money import FreeUse, Offer, Price
from hallmark.crypto.secp256k1 import Key

MOST: Final = 2**63 - 1
"""What a price in an offer can be."""


class Change(msgspec.Struct, frozen=True):
    """What is to be different: one model's whole price; the small requests that are free, as most bytes read
    and most tokens written; models that become free, and models that cease to be.
    """

    price: Price | None = None
    small: tuple[int, int] | None = None
    free_models: tuple[str, ...] = ()
    paid_models: tuple[str, ...] = ()


class Said(msgspec.Struct, frozen=True):
    """An owner's newest offer, of which node; `running` when nodes read it already."""

    node: str
    offer: Offer
    running: bool


def said_offers(home: Home) -> tuple[Said, ...]:
    """Every node's newest offer as this home has said it. Raises NotFound `no_network`."""
    office, running = Office(home), snapshot(home) is not None
    found = ((node.name, office.founding.offer(owner.address)) for node, owner in _owners(office))
    return tuple(Said(name, known[1], running) for name, known in found if known is not None)


def change_offer(home: Home, name: str, change: Change) -> Said:
    """Say a node's offer anew, changed, from now on for a year.

    Raises NotFound `no_network`, `node_unknown`, `no_offer`, `model_not_offered`; Conflict `nothing_changes`;
    InvalidInput `amount_too_large`, and what `check_offer` raises; Unavailable `founding_not_logged`.
    """
    office = Office(home)
    node, owner = _of(office, name)
    known = office.founding.offer(owner.address)
    if known is None:
        raise NotFound("no_offer", f"{name} has no offer yet.", "The next `hallmark up` makes one.")
    wanted = changed(known[1], change, node)
    if wanted == known[1]:
        raise Conflict("nothing_changes", "The offer says that already.")
    at = max(office.author.at, known[1].since + 1)
    wanted = msgspec.structs.replace(wanted, since=at, until=at + YEAR)
    entry = offer_entry(office.author, owner, wanted)
    running = snapshot(home) is not None
    if running:
        office.declare(entry)
    else:
        office.founding.say((entry,))
    write_offers(home, office.plan, office.keys, office.founding)
    return Said(name, wanted, running)


def changed(offer: Offer, change: Change, node: NodePlan) -> Offer:
    """The offer with the change applied, not yet checked. Raises as `change_offer` does."""
    named = (change.price.label,) if change.price else ()
    for label in (*named, *change.free_models, *change.paid_models):
        if label not in node.models and label not in node.upstreams:
            there = ", ".join((*node.models, *node.upstreams))
            raise NotFound("model_not_offered", f"{node.name} does not serve {label!r}.", f"It has: {there}.")
    prices = offer.prices
    if change.price is not None:
        new = change.price
        if max(new.million_tokens_in, new.million_tokens_out, new.image, new.second, new.call) > MOST:
            raise InvalidInput("amount_too_large", "This amount is more than an account can hold.")
        known = any(price.label == new.label for price in prices)
        prices = tuple(new if price.label == new.label else price for price in prices)
        prices = prices if known else (*prices, new)
    free = offer.free
    if change.small is not None:
        free = FreeUse(*change.small, models=free.models)
    models = (*free.models, *change.free_models)
    kept = tuple(label for label in dict.fromkeys(models) if label not in change.paid_models)
    return msgspec.structs.replace(offer, prices=prices, free=msgspec.structs.replace(free, models=kept))


def _owners(office: Office) -> zip[tuple[NodePlan, Key]]:
    return zip(office.plan.nodes, office.keys.owners, strict=True)


def _of(office: Office, name: str) -> tuple[NodePlan, Key]:
    for node, owner in _owners(office):
        if node.name == name:
            return node, owner
    known = ", ".join(node.name for node in office.plan.nodes)
    raise NotFound("node_unknown", f"There is no node {name!r}.", f"There are: {known}.")


def names_by_owner(home: Home) -> dict[str, str]:
    """What each node is called, by its owner's address (0x-hex)."""
    office = Office(home)
    return {hex0x(owner.address): node.name for node, owner in _owners(office)}
