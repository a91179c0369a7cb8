"""Wires a gateway together: everything that it needs is passed in, so tests pass what they like."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import KIND_AT, Kind
from hallmark.core.evidence import VerifyEvidence
from hallmark.crypto.secp256k1 import Signer
from hallmark.http.client import Pool, Timeouts
from hallmark.http.limits import Limits as HTTPLimits
from hallmark.http.serve import Service
from hallmark.ledger.policy import Policy
from hallmark.routing.capacity import present
from hallmark.routing.load import LoadTable
from hallmark.services.chain.rpc import RPC
from hallmark.services.following.anchors import Anchors
from hallmark.services.following.fold_store import FoldIndex, FoldKeeper
from hallmark.services.following.follower import REST_S, Follower
from hallmark.services.following.log_client import LogClient
from hallmark.services.following.proofs import FollowedProofs
from hallmark.services.gateway.answer_marks import Marker
from hallmark.services.gateway.api import API
from hallmark.services.gateway.failures import Failures
from hallmark.services.gateway.health import Bounds, judge
from hallmark.services.gateway.logged_parts import LoggedParts
from hallmark.services.gateway.model_history import ModelHistory
from hallmark.services.gateway.node_probe import NodeProbe
from hallmark.services.gateway.nodes import NodeDirectory
from hallmark.services.gateway.offers import Offers
from hallmark.services.gateway.outbox import Outbox, where
from hallmark.services.gateway.overview import Overview
from hallmark.services.gateway.page_proxy import PageProxy
from hallmark.services.gateway.proxy import Limits, Proxy
from hallmark.services.gateway.receipt_status import ReceiptStatus
from hallmark.services.gateway.receipt_store import ReceiptStore
from hallmark.services.gateway.response_headers import ResponseHeaders
from hallmark.services.gateway.route_planner import RoutePlanner
from hallmark.services.gateway.sealed import GatewayKeys
from hallmark.services.gateway.settings import Settings
from hallmark.services.gateway.traffic import Traffic
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.metrics import Metrics
from hallmark.verification.fold import Replica
from hallmark.verification.trust import Trust


def _bounds(settings: Settings) -> Bounds:
    return Bounds(settings.skew_ms, int(settings.answer_s * 1000), int(settings.idle_s * 1000))


class World(msgspec.Struct, frozen=True):
    """What a gateway takes from outside: clock (unix ms), random bytes, a uniform draw below n, and how
    evidence is judged.
    """

    clock: Callable[[], int]
    random: Callable[[int], bytes]
    draw: Callable[[int], int]
    verify_evidence: VerifyEvidence


def _follower(log: LogClient, trust: Trust, world: World, database: RawDatabase) -> Follower:
    replica = Replica(trust.genesis(), world.verify_evidence)
    keeper = FoldKeeper(replica, FoldIndex(database))
    return Follower(log, Policy.parse(trust.tlog_policy), replica, keeper, rest_s=REST_S)


class Gateway:
    """A gateway's parts. `service` is the ASGI app; `tasks` must run beside it; then `aclose`."""

    def __init__(
        self,
        settings: Settings,
        trust: Trust,
        signer: Signer,
        database: RawDatabase,
        world: World,
    ) -> None:
        self._pool, self.metrics = Pool(per_origin=256), Metrics()
        self._rpc = RPC(settings.rpc_url) if settings.rpc_url else None
        self.loads = LoadTable()
        log = LogClient(self._pool, settings.log_url)
        self.follower = _follower(log, trust, world, database)
        self.outbox = self._outbox(settings, database, log, clock=world.clock)
        planner = RoutePlanner(
            self.follower, self.loads, signer, clock=world.clock, random=world.random, draw=world.draw
        )
        traffic = Traffic(database, world.clock, lambda: overview.standing())
        self.failures = Failures(world.clock, traffic)
        desk, self.marker = self._desk(settings, trust, log, signer=signer, world=world)
        overview = Overview(
            self.follower,
            planner,
            self.loads,
            failures=self.failures,
            traffic=traffic,
            health=lambda: self.service.health(),
            outbox=lambda: self.outbox.underway,
            clock=world.clock,
            names=settings.names,
        )
        nodes = NodeDirectory(self.follower, self.proofs, self._pool, world.clock)
        self.looking = self._looks(settings, world, nodes)
        self._beside = (self.looking.run, traffic.run)
        parts = LoggedParts(self.proofs)
        api = API(
            self._relay(settings, planner, desk, world=world),
            desk,
            self.outbox,
            overview=overview,
            offers=Offers(self.follower, parts, self.loads, world.clock),
            history=ModelHistory(self.follower, parts),
            nodes=nodes,
            keys=GatewayKeys(world.random, world.clock),
            random=world.random,
            sealed_quota=settings.sealed_by_address,
            planner=planner,
            pages=PageProxy(self._pool, settings.web_url),
            trust=trust,
            clock=world.clock,
            prefix=settings.prefix,
        )
        self.metrics.gauge("gateway_log_size", "Leaves folded.", lambda: self.follower.replica.size)
        self.service = Service(
            api,
            health=lambda: judge(overview.facts(database.problem), world.clock(), _bounds(settings)),
            registry=self.metrics.registry,
            limits=HTTPLimits(body=settings.body),
            around=lambda app: ResponseHeaders(app, world.random, settings.cors_origins),
        )

    def _outbox(
        self, settings: Settings, database: RawDatabase, log: LogClient, *, clock: Callable[[], int]
    ) -> Outbox:
        outbox = Outbox(
            ReceiptStore(database),
            log,
            self.metrics,
            clock,
            retention_ms=settings.retention_ms,
            folded=functools.partial(where, self.follower.replica),
            patience_s=settings.submit_ms / 1000,
        )
        self.follower.taps.append(outbox.noticed)
        return outbox

    def _looks(self, settings: Settings, world: World, nodes: NodeDirectory) -> NodeProbe:
        registry = self.follower.replica.registry
        looking = NodeProbe(
            self._pool,
            self.loads,
            lambda: present(registry),
            clock=world.clock,
            look_s=settings.look_s,
            beside=nodes.look,
        )
        self.follower.resumed.append(lambda _: looking.soon())
        self.follower.taps.append(
            lambda _, leaf: looking.soon() if leaf[KIND_AT] == Kind.REGISTRATION else None
        )
        return looking

    def _desk(
        self, settings: Settings, trust: Trust, log: LogClient, *, signer: Signer, world: World
    ) -> tuple[ReceiptStatus, Marker]:
        self.proofs = FollowedProofs(self.follower, log)
        by = f"gateway {hex0x(signer.address)[:10]}"
        marker = Marker(trust, self.follower, world.verify_evidence, by=by, clock=world.clock)
        anchors = Anchors(
            self._pool,
            trust,
            anchor_url=settings.anchor_url,
            rpc=self._rpc,
            confirmations=settings.confirmations,
        )
        desk = ReceiptStatus(
            self.follower,
            self.proofs,
            self.outbox,
            marker=marker,
            anchors=anchors,
            clock=world.clock,
            hold_ms=settings.hold_ms,
        )
        return desk, marker

    def _relay(
        self, settings: Settings, planner: RoutePlanner, desk: ReceiptStatus, *, world: World
    ) -> Proxy:
        return Proxy(
            self._pool,
            planner,
            self.loads,
            marker=self.marker,
            outbox=self.outbox,
            desk=desk,
            failures=self.failures,
            metrics=self.metrics,
            limits=Limits(settings.body, settings.answer, settings.queue_s),
            timeouts=Timeouts(connect=2.0, head=settings.answer_s, idle=settings.idle_s, pool=2.0),
            clock=world.clock,
        )

    @property
    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run while the service is served."""
        return (
            self.follower.run(),
            self.follower.kept(),
            self.outbox.run(),
            *(run() for run in self._beside),
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()
        if self._rpc is not None:
            await self._rpc.aclose()
