"""One process of pages: a follower of the log, an explorer and a desk on top of it, and the app in front."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hallmark.apps.web.app import create_app
from hallmark.apps.web.surfaces import Surfaces
from hallmark.attestation.evidence_cache import EvidenceCache
from hallmark.core.document import hex0x, unhex
from hallmark.core.evidence import VerifyEvidence
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.http.limits import Limits
from hallmark.http.serve import Service
from hallmark.ledger.policy import Policy
from hallmark.services.chain.rpc import RPC
from hallmark.services.explorer.explorer import Explorer
from hallmark.services.following.anchors import Anchors
from hallmark.services.following.fold_store import FoldIndex, FoldKeeper
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.following.follower import REST_S, Follower
from hallmark.services.following.log_client import LogClient
from hallmark.services.review import api
from hallmark.services.review.service import ReviewService, World
from hallmark.services.review.settings import Settings
from hallmark.store import Database
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.metrics import Metrics
from hallmark.verification.fold import Replica
from hallmark.verification.trust import Trust


class WebProcess:
    """The parts of the web process. `service` is the ASGI app; `tasks` must run beside it; then `aclose`."""

    def __init__(
        self,
        settings: Settings,
        trust: Trust,
        key: Key,
        database: Database,
        world: World,
        *,
        folded: RawDatabase,
        verify_evidence: VerifyEvidence,
    ) -> None:
        self._pool = Pool()
        self._rpc = RPC(settings.rpc_url) if settings.rpc_url else None
        log, policy = LogClient(self._pool, settings.log_url), Policy.parse(trust.tlog_policy)
        replica = Replica(trust.genesis(), EvidenceCache(verify_evidence))
        keeper = FoldKeeper(replica, FoldIndex(folded))
        follower = Follower(log, policy, replica, keeper, rest_s=REST_S)
        self.watch = FollowedLog(
            follower,
            log,
            database,
            pool=self._pool,
            gateway_url=settings.gateway_url,
            anchors=self._anchors(settings, trust),
            clock=world.clock,
            names={unhex(owner): name for owner, name in settings.names.items()},
        )
        metrics = Metrics()
        self.explorer = Explorer(
            self.watch,
            database,
            policy=policy,
            pool=self._pool,
            gateway_url=settings.gateway_url,
            urls={"log": settings.log_url, "anchoring": settings.anchor_url},
            health=lambda: self.service.health(),
            rpc=self._rpc,
            hub_url=settings.hub_url,
        )
        self.desk = ReviewService(
            settings, trust, database, watch=self.watch, log=log, key=key, world=world, metrics=metrics
        )
        app = create_app(self._surfaces(settings, trust, world))
        self.service = Service(
            app,
            health=lambda: self.desk.health,
            registry=metrics.registry,
            limits=Limits(body=settings.body),
        )

    @property
    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run while the service is served."""
        return (self.watch.run(), self.explorer.run(), self.desk.run())

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()
        if self._rpc is not None:
            await self._rpc.aclose()

    def _anchors(self, settings: Settings, trust: Trust) -> Anchors | None:
        if not settings.anchor_url or self._rpc is None:
            return None
        return Anchors(
            self._pool,
            trust,
            anchor_url=settings.anchor_url,
            rpc=self._rpc,
            confirmations=settings.confirmations,
        )

    def _surfaces(self, settings: Settings, trust: Trust, world: World) -> Surfaces:
        return Surfaces(
            desk=self.desk,
            actions=self.desk,
            explorer=self.explorer,
            sessions=self.desk.sessions,
            clock=world.clock,
            assets=Path(settings.assets),
            public_url=settings.public_url,
            network=hex0x(trust.network_id),
            chain_id=trust.chain_id,
            relay=settings.relay_url,
            api=api.routes(self.desk),
        )
