"""The log as a process: takes the lease, then runs sequencer, publisher and links until it loses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path

from hallmark.core.beacon import network_id
from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.http import serve as http
from hallmark.http.client import Pool
from hallmark.http.health import Health
from hallmark.http.limits import Limits
from hallmark.ledger.note import ED25519, SigningKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.services.log.admission import Admission
from hallmark.services.log.app import MAX_MANY, Leader, LogApp
from hallmark.services.log.followers import Followers, Source
from hallmark.services.log.health import Facts, judge
from hallmark.services.log.lease import Lease, LeaseKeeper, fence
from hallmark.services.log.membership import Membership
from hallmark.services.log.publisher import Publisher, Round, check_policy
from hallmark.services.log.quotas import source_of
from hallmark.services.log.sequencer import Batch, Sequencer
from hallmark.services.log.settings import Settings
from hallmark.services.log.submissions import Submissions
from hallmark.services.log.submitters import Authority
from hallmark.services.log.witness_client import WitnessClient
from hallmark.services.log.witness_requests import WitnessRequests
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics

KEEP_S = 2.0
SIZES = (1, 3, 10, 30, 100, 300, 1_000, 3_000)


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class LogService:
    """One process of a log, leading or standing by. `app` is its ASGI application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = SigningKey(settings.origin, ED25519, _seed(settings.key_file))
        self._policy = Policy.parse(settings.policy)
        check_policy(self._policy, self._key)
        self._owners = _addresses(settings.owners)
        self._authority = Authority(_addresses(settings.authority), settings.threshold, settings.chain_id)
        if not 0 < settings.threshold <= len(self._authority.keys):
            raise InvalidInput("bad_authority", "The threshold cannot be met by the authority's keys.")
        self._database = RawDatabase(settings.database)
        self._keeper = LeaseKeeper(self._database, settings.holder, settings.lease_ms)
        self._log = get_logger()
        self._links: list[WitnessClient] = []
        self._newer = asyncio.Event()
        """There is a newer cosigned checkpoint than the store remembers."""
        shared = (source_of(host) for host in settings.quotas.shared_addresses)
        self.app = LogApp(Followers(settings.limits, tuple(shared)))
        self.metrics = Metrics()
        self._entries = self.metrics.counter("log_entries", "Entries made durable")
        self._batches = self.metrics.histogram("log_batch_entries", "Entries in a batch", buckets=SIZES)
        self._commits = self.metrics.histogram("log_commit_seconds", "Time to make a batch durable")
        self._rounds = self.metrics.histogram("log_quorum_seconds", "Time from signing to the quorum")
        self._failures = self.metrics.counter("log_witness_failures", "Refusals", ("witness", "reason"))
        self.metrics.gauge("log_size", "Durable entries", lambda: self._number("size"))
        self.metrics.gauge(
            "log_cosigned_size", "Entries that the quorum cosigned", lambda: self._number("cosigned")
        )
        followers = self.app.followers
        self.metrics.gauge("log_followers", "Streams to followers", lambda: len(followers))
        self.metrics.gauge("log_pending", "Entries waiting for a place", lambda: self._number("pending"))

    def health(self) -> Health:
        """Whether it takes entries and a quorum covers them; see `services.log.health`."""
        leader, facts = self.app.leader, None
        if leader is not None:
            publisher = leader.publisher
            facts = Facts(
                publisher.alarm,
                publisher.confirmed,
                leader.store.size,
                publisher.cosigned_size,
                publisher.waited_ms,
                [link.standing for link in self._links],
                self._database.problem,
            )
        return judge(facts, now_ms(), self._settings.limits.quorum_wait_ms)

    async def run(self) -> None:
        """Wait for the lease, then be the log until cancelled.

        Raises Conflict `lease_lost` when another process took over; the supervisor starts this one again.
        """
        lease = await self._take()
        self._log.info("log_leads", epoch=lease.epoch)
        pool = Pool()
        try:
            leader = await self._prepare(lease)
            requests = WitnessRequests(leader.store)
            self._links = [
                WitnessClient(leader.publisher, pool, party, self._refused, requests=requests)
                for party in self._policy.witnesses
            ]
            self.app.leader = leader
            await _together(
                leader.sequencer.run(),
                self._renew(lease),
                self._keep(leader.publisher),
                *(link.run() for link in self._links),
            )
        finally:
            self.app.leader = None
            self.app.followers.close()
            await pool.aclose()
            await self._keeper.release(lease)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    async def _take(self) -> Lease:
        while True:
            lease = await self._keeper.take(now_ms())
            if lease is not None:
                return lease
            await asyncio.sleep(self._settings.lease_ms / 5_000)

    async def _prepare(self, lease: Lease) -> Leader:
        store = SQLLogStore(self._database)
        publisher = Publisher(
            store,
            self._key,
            self._policy,
            clock=asyncio.get_running_loop().time,
            round_ms=self._settings.limits.round_ms,
            spacing_ms=self._settings.limits.spacing_ms,
            spacing_most_ms=self._settings.limits.spacing_most_ms,
        )
        publisher.on_done = self._cosigned

        def grown(batch: Batch) -> None:
            publisher.advance()
            self.app.grown()
            self._entries.add(n=batch.entries)
            self._batches.observe(batch.entries)
            self._commits.observe(batch.seconds)

        settings, clock = self._settings, asyncio.get_running_loop().time
        known = Membership(
            self._database,
            self._owners,
            cosigned=lambda: publisher.cosigned_size,
            clock=clock,
            new_s=settings.quotas.new_s,
            slowed_s=settings.quotas.slowed_s,
        )
        sequencer = Sequencer(store, self._database, known, now=now_ms, grown=grown, limits=settings.limits)
        sequencer.fence = fence(lease)
        admission = Admission(
            network_id(settings.origin),
            known,
            authority=self._authority,
            quotas=settings.quotas,
            clock=clock,
            highest=sequencer.highest,
        )
        await publisher.start()
        entrance = Submissions(admission, known, sequencer)
        return Leader(store, entrance, sequencer, publisher, Source(store, publisher))

    async def _renew(self, lease: Lease) -> None:
        """Extend the lease when half of it is over; when that failed, soon again."""
        pause = self._settings.lease_ms / 2_000
        while True:
            await asyncio.sleep(pause)
            try:
                await self._keeper.renew(lease, now_ms())
                pause = self._settings.lease_ms / 2_000
            except HallmarkError as error:
                if error.reason == "lease_lost":
                    raise
                self._log.warning("lease_not_renewed", reason=error.reason)
                pause = self._settings.lease_ms / 10_000

    async def _keep(self, publisher: Publisher) -> None:
        try:
            while True:
                await self._newer.wait()
                await asyncio.sleep(KEEP_S)
                self._newer.clear()
                try:
                    await publisher.keep()
                except HallmarkError as error:
                    self._log.warning("checkpoint_not_kept", reason=error.reason)
                    self._newer.set()
        finally:
            await publisher.keep()

    def _cosigned(self, round_: Round) -> None:
        self._newer.set()
        leader = self.app.leader
        left = leader is not None and leader.store.size > round_.checkpoint.size
        self.app.followers.cosigned(leaves_left=left)
        self._rounds.observe(asyncio.get_running_loop().time() - round_.started)

    def _refused(self, witness: str, reason: str) -> None:
        self._failures.add(witness, reason)

    def _number(self, what: str) -> int:
        leader = self.app.leader
        if leader is None:
            return 0
        numbers = {
            "size": leader.store.size,
            "cosigned": leader.publisher.cosigned_size,
            "pending": leader.sequencer.pending,
        }
        return numbers[what]


async def main(settings: Settings) -> None:
    """Serve a log until SIGTERM."""
    service = LogService(settings)
    front = http.Service(
        service.app,
        health=service.health,
        registry=service.metrics.registry,
        limits=Limits(body=MAX_MANY),
    )
    try:
        stopping = service.app.followers.close
        await http.serve(front, settings.listen, tasks=[service.run()], stopping=stopping)
    finally:
        service.close()


async def _together(*work: Coroutine[object, object, None]) -> None:
    """Run coroutines until one ends; its exception ends them all, alone and not in a group."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _addresses(texts: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(unhex(text) for text in texts)


def _seed(path: str) -> bytes:
    """The seed in a key file: 64 hex digits. Raises InvalidInput `bad_key_file`."""
    try:
        seed = bytes.fromhex(Path(path).read_text().strip())
    except (OSError, ValueError) as error:
        raise InvalidInput("bad_key_file", "The log's key file cannot be read.") from error
    if len(seed) != 32:
        raise InvalidInput("bad_key_file", "The log's key file does not hold 64 hex digits.")
    return seed
