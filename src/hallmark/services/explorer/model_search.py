"""`/models` as a search: what is asked for, what can be answered now, what it costs, and the lines.

What can be answered now is by two words: the log's, by which a node may be asked, and the gateway's, that a
slot is free. While the gateway is silent nothing is known of that, and nothing passes for available.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.modes import NAMES
from hallmark.core.money import Offer
from hallmark.core.prices import COUNTED
from hallmark.discovery.catalogue import Catalogue
from hallmark.routing.capacity import newest, present
from hallmark.routing.eligibility import Wanted as Asked
from hallmark.routing.eligibility import eligibility, modes_of
from hallmark.services.explorer import offers
from hallmark.services.explorer.model_filter import units
from hallmark.services.explorer.network import GatewayNetwork
from hallmark.services.following.followed_log import FollowedLog

Offered = dict[str, list[tuple[bytes, str]]]
"""Labels that present nodes offer, each with their keys and modes."""
DEEPEST: Final = 10_000
"""Places that can be paged to: who looks for something further down asks for it."""


def modes_now(
    watch: FollowedLog,
    standing: Offered,
    told: GatewayNetwork | None,
    now: int,
    only: Set[str] | None = None,
) -> dict[str, set[str]]:
    """Labels with the modes in which each can be answered now: a node that the log lets be asked, and a free
    slot by the gateway's word. Of these labels, or of all that `offered` found.
    """
    free: dict[str, set[str]] = {}
    for one in told.slots if told is not None else ():
        if one.idle > 0:
            free.setdefault(one.model, set()).add(one.mode)
    found: dict[str, set[str]] = {}
    for label, nodes in standing.items():
        modes = free.get(label)
        if not modes or (only is not None and label not in only):
            continue
        excluded = {
            one.node for one in eligibility(watch.replica.registry, Asked(label), {}, now=now).excluded
        }
        found[label] = {mode for key, mode in nodes if mode in modes and hex0x(key) not in excluded}
    return found


def offered(watch: FollowedLog, catalogue: Catalogue) -> Offered:
    """Labels that present nodes offer, each with their keys and modes."""
    found: Offered = {}
    for key, bundle in present(watch.replica.registry):
        labels = {name for one in bundle.artifacts for name in catalogue.labels_of(one)}
        for label in labels | set(bundle.upstreams):
            modes = modes_of(bundle, newest(watch.replica.registry, label)) or (bundle.mode,)
            found.setdefault(label, []).extend((key, NAMES.get(mode, "unknown")) for mode in modes)
    return found


def affordable(watch: FollowedLog, standing: Offered, most: str, now: int) -> frozenset[str]:
    """Labels that some present node answers for at most so much for whatever is counted: an owner without an
    offer in force asks nothing.
    """
    in_force = offers.in_force(watch, now)
    owners = watch.replica.registry.members
    found = set()
    for label, nodes in standing.items():
        terms = [in_force.get(owners[key].owner, ()) for key, _ in nodes]
        if any(not made or any(_fits(offer, label, most) for offer in made) for made in terms):
            found.add(label)
    return frozenset(found)


def _fits(offer: Offer, label: str, most: str) -> bool:
    if offer.free.everything or label in offer.free.models:
        return True
    price = next((one for one in offer.prices if one.label == label), None)
    if price is None or offer.asset is None:
        return False
    limit = units(most, offer.asset.decimals)
    return all(getattr(price, name) <= limit for name in COUNTED)
