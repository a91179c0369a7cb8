"""What the gateway tells about the network: models, members, reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest
from hallmark.core.model_names import read_model_name
from hallmark.core.modes import NAMES
from hallmark.core.receipt import Mode
from hallmark.core.registry import Member, Registry
from hallmark.core.statements import Role
from hallmark.http.health import Health
from hallmark.routing.capacity import Capacity, ModelSlots, capacity, present
from hallmark.routing.eligibility import NEEDS, UNASKED, Eligibility, Wanted, modes_of
from hallmark.routing.load import LoadTable, NodeLoad
from hallmark.services.following.follower import Follower
from hallmark.services.gateway.failures import Failures
from hallmark.services.gateway.health import Facts, NodeSeen
from hallmark.services.gateway.route_planner import RoutePlanner
from hallmark.services.gateway.traffic import HOURS, Standing, Traffic

SHARED: Final = "A node's slots are shared by its models: rows overlap, the total counts each slot once."


class Overview:
    """Reads the follower's registry and the planner's judgement; changes nothing."""

    def __init__(
        self,
        follower: Follower,
        planner: RoutePlanner,
        loads: LoadTable,
        *,
        failures: Failures,
        traffic: Traffic,
        health: Callable[[], Health],
        outbox: Callable[[], int],
        clock: Callable[[], int],
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._follower, self._planner, self._loads, self._clock = follower, planner, loads, clock
        self._failures, self._outbox = failures, outbox
        self._traffic, self._health = traffic, health
        self._names = names

    @property
    def _registry(self) -> Registry:
        return self._follower.replica.registry

    def _called(self, node: Member) -> str:
        """What the operator calls a node, by its owner: its registration has no name."""
        return self._names.get(hex0x(node.owner), "")

    def models(self) -> dict[str, object]:
        """GET /v1/models: every label that an eligible node can serve."""
        labels = set(self._registry.labels)
        for member in self._registry.members.values():
            labels |= set(member.bundle.upstreams) if member.bundle else set()
        listed = [self._model(label) for label in sorted(labels)]
        return {"object": "list", "data": [model for model in listed if model is not None]}

    def model(self, label: str) -> dict[str, object]:
        """GET /v1/models/{label}, pinned or not. Raises NotFound `model_not_found`, PinNotMet, Unavailable
        `no_node`.
        """
        name = read_model_name(label)
        label = name.label
        self._planner.judge(Wanted(label, artifact=name.artifact)).require()
        found = self._model(label)
        if found is None:
            raise self._planner.judge(Wanted(label)).refusal()
        return found

    def _model(self, label: str) -> dict[str, object] | None:
        found = self._planner.judge(Wanted(label))
        if not found.eligible:
            return None
        known = self._registry.labels.get(label)
        version = known.at(self._registry.size) if known else None
        manifest = version[1] if version else None
        modes = self._modes(found, manifest)
        facts: dict[str, object] = {
            "artifact": manifest.artifact if manifest else None,
            "manifest": hex0x(version[0]) if version else None,
            "sha256": manifest.sha256 if manifest else None,
            "version": manifest.version if manifest else None,
            "task": known.card.task if known else None,
            "description": known.card.description if known else None,
            "nodes": len(found.eligible),
            "capacity": sum(node.bundle.capacity for node in found.eligible),
            "modes": sorted(name for name, told in modes.items() if told["available"]),
            "by_mode": modes,
            "excluded": dict(Counter(exclusion.reason for exclusion in found.excluded)),
        }
        owner = hex0x(known.owner) if known else "upstream"
        return {"id": label, "object": "model", "created": 0, "owned_by": owner, "hallmark": facts}

    def _modes(self, found: Eligibility, manifest: Manifest | None) -> dict[str, dict[str, object]]:
        """Each mode: whether a node can be asked for it now, on how many free slots, and why not."""
        able: list[tuple[tuple[Mode, ...], int]] = []
        for node in found.eligible:
            busy = (self._loads.loads.get(node.node) or NodeLoad()).in_flight
            able.append((modes_of(node.bundle, manifest), max(0, node.bundle.capacity - busy)))
        told: dict[str, dict[str, object]] = {}
        for number, name in NAMES.items():
            free = [slots for modes, slots in able if number in modes]
            why = "" if free else UNASKED if name in found.modes else NEEDS[number]
            told[name] = {"available": bool(free), "free": sum(free), "reason": why}
        return told

    def _measurements(self) -> list[dict[str, object]]:
        """Every measurement that the authority ever accepted, and the positions at which it counts."""
        return [
            {
                "digest": hex0x(digest),
                "name": approved.measurement.name,
                "version": approved.measurement.version,
                "evidence": approved.measurement.evidence,
                "registers": dict(approved.measurement.registers),
                "since": approved.valid.since,
                "until": approved.valid.until,
                "reason": approved.valid.reason,
            }
            for digest, approved in self._registry.approved.items()
        ]

    def capacity(self) -> tuple[tuple[ModelSlots, ...], Capacity]:
        """Slots by model and mode, and in all."""
        failing = frozenset(streak.model for streak in self._traffic.streaks(1))
        return capacity(self._registry, self._planner.judge, self._loads.loads, failing=failing)

    def standing(self) -> Standing:
        """Nodes and slots as they stand now."""
        nodes, (_, total) = self.nodes(), self.capacity()
        return Standing(len(nodes), sum(node.answers for node in nodes), total.registered, total.idle)

    def nodes(self) -> tuple[NodeSeen, ...]:
        """Every present node as this gateway hears it."""
        now = self._clock()
        return tuple(
            NodeSeen(
                hex0x(key),
                bundle.endpoint,
                bundle.capacity,
                load.heard,
                load.heard > 0 and not load.silent(now),
                load.skew,
                load.request_ms,
                load.keep_alive_ms,
                self._called(self._registry.members[key]),
            )
            for key, bundle, load in (
                (key, bundle, self._loads.of(key)) for key, bundle in present(self._registry)
            )
        )

    def facts(self, problem: str) -> Facts:
        """What this gateway's health follows from; `problem` is the store's."""
        _, total = self.capacity()
        usable = total.idle + total.busy > 0 or "provider_failing" in total.reasons
        return Facts(self._follower.health, self.nodes(), usable, self._traffic.streaks(), problem)

    def _observed(self, hours: int) -> dict[str, object]:
        """Requests that this gateway finished: of the last minutes, and over the range."""
        answered, failed, minutes = self._traffic.lately()
        return {
            "by": "this gateway",
            "lately": {"minutes": minutes, "answered": answered, "failed": failed},
            "hours": hours,
            "points": self._traffic.history(hours),
        }

    def network(self, hours: int = HOURS[0]) -> dict[str, object]:
        """GET /v1/hallmark/network: members, slots by model and mode, requests that failed within the hour,
        receipts on their way to the log, what was finished over the last `hours`, and per model why a node
        is left out.
        """
        registry, head = self._registry, self._follower.head
        labels = sorted(registry.labels)
        judged = {label: self._planner.judge(Wanted(label)) for label in labels}
        reasons: dict[str, dict[str, str]] = {}
        for label, found in judged.items():
            for exclusion in found.excluded:
                reasons.setdefault(exclusion.node, {})[label] = exclusion.reason
        slots, total = self.capacity()
        return {
            "network": hex0x(self._follower.replica.genesis.network),
            "origin": self._follower.replica.genesis.origin,
            "chain_id": self._follower.replica.genesis.chain_id,
            "size": registry.size,
            "cosigned": {
                "size": head.checkpoint.size if head else 0,
                "root": hex0x(head.checkpoint.root) if head else None,
                "signers": list(head.signers) if head else [],
                "of": self._follower.size_of_quorum,
            },
            "models": labels,
            "measurements": self._measurements(),
            "slots": slots,
            "capacity": total,
            "capacity_note": SHARED,
            "health": self._health().to_json(),
            "now": self._clock(),
            "nodes": self.nodes(),
            "observed": self._observed(hours),
            "failures": self._failures.listed(),
            "outbox": self._outbox(),
            "members": [self._member(m, reasons.get(hex0x(m.key), {})) for m in registry.members.values()],
        }

    def _member(self, member: Member, excluded: dict[str, str]) -> dict[str, object]:
        told: dict[str, object] = {
            "key": hex0x(member.key),
            "role": member.role.name.lower(),
            "owner": hex0x(member.owner),
            "since": member.valid.since,
            "until": member.valid.until,
            "compromised_since": member.compromised_since,
            "faults": list(member.faults),
        }
        if member.profile is not None:
            told |= {"name": member.profile.name, "url": member.profile.url}
        if member.role is Role.NODE and member.bundle is not None:
            verdict, load = member.evidence_verdict, self._loads.of(member.key)
            told |= {
                "name": self._called(member),
                "endpoint": member.bundle.endpoint,
                "bundle": hex0x(member.document),
                "mode": NAMES.get(member.bundle.mode, "unknown"),
                "engine": member.bundle.engine,
                "capacity": member.bundle.capacity,
                "in_flight": load.in_flight,
                "latency_ms": round(load.latency, 3),
                "reachable": load.reachable(self._clock()),
                "heard": load.heard,
                "unheard": load.unheard,
                "skew_ms": load.skew,
                "assurance": verdict.assurance.value if verdict else "none",
                "measurement": verdict.measurement if verdict else "",
                "evidence_made": verdict.made_at if verdict else 0,
                "excluded": excluded,
            }
        return told
