"""Usable capacity in slots: by model and mode, and of the network as a whole.

A slot is one request that a node takes at a time; its bundle says how many. What is registered is the sum
over nodes that have not left and that no newer key at the same address has replaced: whoever left offers
nothing, and a replaced enclave's slots are its successor's.

    idle + busy + ineligible + offline = registered

- idle: the node answered this gateway lately, and has so many slots by its own word
- busy: requests of this gateway under way there; what other gateways send is not seen here
- offline: this gateway has not heard from the node lately, or never
- ineligible: everything else for which the node is of no use now, with the reason; `provider_failing` where
  a model comes from a provider of which only failures came lately

A node's slots are shared by its models, so the same slot stands in the row of each of them; the total
is made from nodes, where each slot counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import KeyBundle, Manifest
from hallmark.core.modes import NAMES
from hallmark.core.registry import Member, Registry
from hallmark.core.statements import Role
from hallmark.routing.eligibility import BUSY, Eligibility, Wanted, modes_of
from hallmark.routing.load import NodeLoad

UNREACHABLE: Final = "not_reachable"
UNUSED: Final = "model_not_offered"
FAILING: Final = "provider_failing"
Judge = Callable[[Wanted], Eligibility]


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Slots of nodes, each counted once; `reasons` splits `ineligible`."""

    registered: int
    idle: int
    busy: int
    ineligible: int
    offline: int
    reasons: dict[str, int]


class ModelSlots(Capacity, frozen=True, kw_only=True):
    """Slots of the nodes that offer a model in a mode."""

    model: str
    mode: str


class _Place(msgspec.Struct, frozen=True):
    """A node in one row: its slots, how many are taken, and why it may not be asked ("": it may)."""

    slots: int
    taken: int
    reason: str


def capacity(
    registry: Registry,
    judge: Judge,
    loads: Mapping[bytes, NodeLoad],
    *,
    failing: frozenset[str] = frozenset(),
) -> tuple[tuple[ModelSlots, ...], Capacity]:
    """Rows by model and mode, and the total; `failing` are models of which only failures came lately."""
    nodes = present(registry)
    rows: dict[tuple[str, str], list[_Place]] = {}
    best: dict[bytes, _Place] = {}
    for label in _offered(registry, nodes):
        excluded = {exclusion.node: exclusion.reason for exclusion in judge(Wanted(label)).excluded}
        for key, bundle in nodes:
            if not _offers(registry, bundle, label):
                continue
            place = _place(bundle, excluded.get(hex0x(key), ""), loads.get(key) or NodeLoad())
            if label in failing and label in bundle.upstreams and not place.reason:
                place = _Place(place.slots, 0, FAILING)
            for mode in modes_of(bundle, newest(registry, label)) or (bundle.mode,):
                rows.setdefault((label, NAMES.get(mode, "unknown")), []).append(place)
            # Eligible for one of its models is eligible.
            best[key] = place if not place.reason else best.get(key, place)
    every = [best.get(key) or _Place(bundle.capacity, 0, UNUSED) for key, bundle in nodes]
    slots = tuple(
        ModelSlots(model=model, mode=mode, **msgspec.structs.asdict(_split(places)))
        for (model, mode), places in sorted(rows.items())
    )
    return slots, _split(every)


def newest(registry: Registry, label: str) -> Manifest | None:
    """The manifest that a label points to; None for a provider's name."""
    known = registry.labels.get(label)
    return known.versions[-1][2] if known and known.versions else None


def _offered(registry: Registry, nodes: Sequence[tuple[bytes, KeyBundle]]) -> list[str]:
    """Labels that a node may offer: judging each label that there is would take long where there are many."""
    artifacts = {artifact for _, bundle in nodes for artifact in bundle.artifacts}
    newest = ((name, label.versions[-1][2]) for name, label in registry.labels.items() if label.versions)
    published = {name for name, manifest in newest if manifest.artifact in artifacts}
    return sorted(published.union(*(bundle.upstreams for _, bundle in nodes)))


def present(registry: Registry) -> list[tuple[bytes, KeyBundle]]:
    """Nodes that neither left nor were replaced by a newer key of the same owner at the same address."""
    newest: dict[tuple[bytes, str], Member] = {}
    for member in registry.members.values():
        if member.role is Role.NODE and member.bundle is not None:
            place = (member.owner, member.bundle.endpoint)
            known = newest.get(place)
            if known is None or member.valid.since >= known.valid.since:
                newest[place] = member
    kept = [m for m in newest.values() if m.valid.covers(registry.size)]
    return sorted((m.key, m.bundle) for m in kept if m.bundle is not None)


def _offers(registry: Registry, bundle: KeyBundle, label: str) -> bool:
    known = registry.labels.get(label)
    version = known.at(registry.size) if known else None
    return label in bundle.upstreams or (version is not None and version[1].artifact in bundle.artifacts)


def _place(bundle: KeyBundle, reason: str, load: NodeLoad) -> _Place:
    taken = min(load.in_flight, bundle.capacity)
    reason = "" if reason in BUSY else reason
    # An answer under way is a word too.
    if not reason and not load.heard and not load.in_flight:
        reason = UNREACHABLE
    return _Place(bundle.capacity, taken, reason)


def _split(places: Sequence[_Place]) -> Capacity:
    idle = busy = offline = 0
    reasons: Counter[str] = Counter()
    for place in places:
        if not place.reason:
            idle, busy = idle + place.slots - place.taken, busy + place.taken
        elif place.reason == UNREACHABLE:
            offline += place.slots
        else:
            reasons[place.reason] += place.slots
    return Capacity(
        registered=sum(place.slots for place in places),
        idle=idle,
        busy=busy,
        ineligible=reasons.total(),
        offline=offline,
        reasons=dict(sorted(reasons.items())),
    )
