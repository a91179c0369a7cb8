"""The review desk: what pages and the JSON API ask of it (`DeskView`) and what people do there
(`DeskActions`).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

import msgspec

from hallmark.core.errors import Conflict
from hallmark.crypto.secp256k1 import Key
from hallmark.http.health import Health, lasted, unless
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.review.acts import Acts
from hallmark.services.review.context import DeskContext
from hallmark.services.review.deliveries import DeliveryStore
from hallmark.services.review.evaluator import Evaluator
from hallmark.services.review.figures import figures
from hallmark.services.review.http_post import HTTPPost
from hallmark.services.review.intake import Intake
from hallmark.services.review.item_repository import ItemRepository
from hallmark.services.review.item_views import ItemViews
from hallmark.services.review.people import People
from hallmark.services.review.policies_in_force import PoliciesInForce
from hallmark.services.review.proposals import Proposals
from hallmark.services.review.queue import Queue
from hallmark.services.review.receipt_source import ReceiptSource
from hallmark.services.review.review_submitter import Log, ReviewSubmitter
from hallmark.services.review.reviewing import Reviewing
from hallmark.services.review.saved_views import SavedViews
from hallmark.services.review.session_store import SessionStore
from hallmark.services.review.sessions import Sessions
from hallmark.services.review.settings import Settings
from hallmark.services.review.store import DeskStore
from hallmark.services.review.views import Figures, ItemPage, Person, QueuePage
from hallmark.services.review.webhooks import Webhooks
from hallmark.store import Database
from hallmark.telemetry.metrics import Metrics
from hallmark.verification.trust import Trust

NETWORK = "network"
BEHIND_MS = 5_000


class World(msgspec.Struct, frozen=True):
    """What the desk takes from outside: clock (unix ms) and random bytes."""

    clock: Callable[[], int]
    random: Callable[[int], bytes]


class ReviewService(ItemViews, Acts, Reviewing, Proposals, SavedViews):
    """See the module docstring. Made before the watch runs; `run` must run beside `watch.run`."""

    def __init__(
        self,
        settings: Settings,
        trust: Trust,
        database: Database,
        *,
        watch: FollowedLog,
        log: Log,
        key: Key,
        world: World,
        metrics: Metrics,
    ) -> None:
        secret = hmac.digest(key.secret, b"hallmark/review/desk/v1", "sha256")
        parts = _Parts(log, secret, world, metrics)
        office = _office(settings, trust, database, watch=watch, parts=parts)
        super().__init__(office)
        self._database, self._watch = database, watch
        self.intake = Intake(
            watch, office.store, office.policies, arrived=office.items.arrived, judged=office.items.reviewed
        )
        office.evaluator.ready = self._ready
        self.sessions = Sessions(
            settings,
            SessionStore(database),
            secret,
            network=trust.network_id,
            chain_id=trust.chain_id,
            name_of=office.people.of,
            clock=world.clock,
            random=world.random,
        )
        _measure(metrics, self.intake, office)

    @property
    def office(self) -> DeskContext:
        """The desk's parts."""
        return self._office

    @property
    def health(self) -> Health:
        """As the follower is; starting until this process has folded as much as the desk ever read."""
        health = self._watch.follower.health
        if health.state in ("ready", "degraded") and not self.intake.caught_up:
            return Health("starting", "desk_catching_up")
        now = self._watch.clock()
        behind = self._watch.tail.behind.lasts(now)
        if health.state == "ready" and behind >= BEHIND_MS:
            told = f"It has not read what a quorum covers for {lasted(behind)}."
            return Health("degraded", "behind_log", now - behind, told)
        return unless(self._database.problem, health)

    async def queue(self, query: str, cursor: str, limit: int, person: Person | None = None) -> QueuePage:
        """See `ItemViews.queue`; with what has come this moment."""
        await self.intake.catch_up()
        return await super().queue(query, cursor, limit, person)

    async def item(self, receipt: str, person: Person | None) -> ItemPage:
        """See `ItemViews.item`; with what has come this moment."""
        await self.intake.catch_up()
        return await super().item(receipt, person)

    async def figures(self) -> Figures:
        """Aggregates that anyone may see."""
        await self.intake.catch_up()
        return await figures(self._office.queue)

    def is_operator(self, person: Person) -> bool:
        """Whether a person may manage receivers and everybody's views."""
        return self._office.people.is_operator(person)

    async def run(self) -> None:
        """Work, for ever."""
        office = self._office
        async with asyncio.TaskGroup() as group:
            for part in (office.store, self.intake, office.evaluator, office.submitting, office.webhooks):
                group.create_task(part.run())

    def _ready(self) -> bool:
        return self.intake.caught_up and not self._watch.follower.distrust


class _Parts(msgspec.Struct, frozen=True):
    log: Log
    secret: bytes
    world: World
    metrics: Metrics


def _office(
    settings: Settings, trust: Trust, database: Database, *, watch: FollowedLog, parts: _Parts
) -> DeskContext:
    network, clock, metrics = trust.network_id, parts.world.clock, parts.metrics
    store = DeskStore(database)
    _same_network(store, network)
    webhooks = Webhooks(
        settings,
        DeliveryStore(database),
        HTTPPost(settings.webhooks),
        secret=parts.secret,
        clock=clock,
        random=parts.world.random,
        metrics=metrics,
    )
    store.writing.receivers = webhooks.receivers
    store.told.append(webhooks.wake)
    policies = PoliciesInForce(watch.replica, trust)
    evaluator = Evaluator(
        store, ReceiptSource(watch), policies, network=network, clock=clock, metrics=metrics
    )
    return DeskContext(
        settings,
        watch,
        store,
        ItemRepository(store, evaluator, network=network, clock=clock),
        evaluator,
        policies,
        People(settings, trust, watch.replica),
        Queue(store),
        ReviewSubmitter(store, parts.log, metrics),
        webhooks,
        network,
        trust.chain_id,
        clock,
    )


def _same_network(store: DeskStore, network: bytes) -> None:
    """The desk's database is of one network for good. Raises Conflict `store_other_network`."""
    name = int.from_bytes(network[:7], "big")
    known = store.meta(NETWORK)
    if known not in (-1, name):
        raise Conflict(
            "store_other_network", "The desk's database is of another network.", "Name another database."
        )
    store.put_meta(NETWORK, name)


def _measure(metrics: Metrics, intake: Intake, office: DeskContext) -> None:
    metrics.gauge("review_log_read", "Leaves that the desk has read.", lambda: intake.read)
    metrics.gauge("review_receivers", "Webhook receivers.", lambda: office.webhooks.count)
