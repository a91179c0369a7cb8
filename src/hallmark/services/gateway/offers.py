"""`GET /v1/hallmark/offers`: what answers cost now, by the offers that stand in the log.

An offer is in force for a node when the node's owner signed it, its payee is that of the node's key bundle,
it covers this moment, and neither this gateway's own checks nor full nodes speak against it; of several the
newest in the log. With `?proofs=true` each offer and each node comes with its log entry and its proof, so
that a client need not believe this gateway whom it pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import NotFound
from hallmark.core.marks import State
from hallmark.core.money import Offer
from hallmark.core.registry import Member, Registry
from hallmark.core.statements import Role
from hallmark.routing.capacity import present
from hallmark.routing.load import LoadTable
from hallmark.services.following.follower import Follower
from hallmark.services.gateway.logged_parts import LoggedParts


class InForce(msgspec.Struct, frozen=True):
    """An offer that holds now, where it stands in the log, and the nodes that answer under it."""

    position: int
    offer: Offer
    nodes: tuple[Member, ...]


class Offers:
    """See the module docstring."""

    def __init__(
        self, follower: Follower, parts: LoggedParts, loads: LoadTable, clock: Callable[[], int]
    ) -> None:
        self._follower, self._parts, self._loads, self._clock = follower, parts, loads, clock

    def in_force(self) -> tuple[InForce, ...]:
        """Every offer that holds now, in the order of the log."""
        registry, now = self._follower.replica.registry, self._clock()
        standing = [
            (position, offer)
            for position, offer in sorted(registry.offers.values(), key=lambda found: found[0])
            if offer.since <= now < offer.until and self._holds(position)
        ]
        chosen: dict[int, list[Member]] = {}
        for key, bundle in present(registry):
            member = registry.members[key]
            theirs = [at for at, offer in standing if _is_of(offer, member, bundle)]
            if theirs:
                chosen.setdefault(theirs[-1], []).append(member)
        return tuple(InForce(at, offer, tuple(chosen[at])) for at, offer in standing if at in chosen)

    async def listed(self, *, proofs: bool = False) -> dict[str, object]:
        """GET /v1/hallmark/offers."""
        shown = [await self._shown(found, proofs=proofs) for found in self.in_force()]
        value: dict[str, object] = {"at": self._clock(), "size": self._follower.replica.size, "offers": shown}
        return value | {"issuers": await self._issuers()} if proofs else value

    async def _issuers(self) -> list[dict[str, object]]:
        """Every issuer's key sets whose tokens can be spent now or later, with their proofs."""
        now, found = self._clock(), self._follower.replica.registry.issuer_keys
        held = sorted((one.position, digest, one.document) for digest, one in found.items())
        return [
            {"digest": hex0x(digest), "issuer": document.issuer, "entry": await self._parts.at(position)}
            for position, digest, document in held
            if now < document.until
        ]

    async def of_node(self, node: bytes, *, proofs: bool = False) -> dict[str, object]:
        """GET /v1/hallmark/offers/{node}. Raises NotFound `no_such_node`, `no_offer`."""
        member = self._follower.replica.registry.members.get(node)
        if member is None or member.role is not Role.NODE:
            raise NotFound("no_such_node", "No node with this address is registered.")
        for found in self.in_force():
            if member in found.nodes:
                only = msgspec.structs.replace(found, nodes=(member,))
                return await self._shown(only, proofs=proofs)
        raise NotFound("no_offer", "No offer of this node's owner is in force.", "It serves without payment.")

    def _holds(self, position: int) -> bool:
        replica = self._follower.replica
        return not replica.failures(position) and replica.standing(position).state is not State.FAILED

    async def _shown(self, found: InForce, *, proofs: bool) -> dict[str, object]:
        offer, registry = found.offer, self._follower.replica.registry
        value: dict[str, Any] = {"digest": hex0x(offer.digest()), "position": found.position}
        value |= {name: getattr(offer, name) for name in offer.__struct_fields__}
        value["nodes"] = [await self._node(registry, member, proofs=proofs) for member in found.nodes]
        if proofs:
            value["entry"] = await self._parts.at(found.position)
        return value

    async def _node(self, registry: Registry, member: Member, *, proofs: bool) -> dict[str, object]:
        bundle, load = member.bundle, self._loads.of(member.key)
        assert bundle is not None
        value: dict[str, object] = {
            "node": hex0x(member.key),
            "endpoint": bundle.endpoint,
            "settlement": bundle.settlement if isinstance(bundle.settlement, str) else None,
            "capacity": bundle.capacity,
            "models": list(_models(registry, bundle)),
            "answers": bool(load.heard) and load.reachable(self._clock()),
        }
        logged = self._follower.registration(member.key, b"", member.document) if proofs else None
        if logged is not None:
            value["registration"] = await self._parts.at(logged.index, logged.leaf)
        return value


def _is_of(offer: Offer, member: Member, bundle: KeyBundle) -> bool:
    return offer.owner == hex0x(member.owner) and offer.payee == bundle.payment


def _models(registry: Registry, bundle: KeyBundle) -> Iterator[str]:
    yield from bundle.upstreams
    for label, known in registry.labels.items():
        version = known.at(registry.size)
        if version is not None and version[1].artifact in bundle.artifacts:
            yield label
