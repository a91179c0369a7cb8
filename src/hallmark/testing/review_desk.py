"""A desk over a little network, without sockets and without waiting: every loop is stepped by hand."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.entries import Entry
from hallmark.core.errors import Unavailable
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.statements import Judgement, Review, code
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.serve import Listen
from hallmark.services.following.log_client import Place, Refused
from hallmark.services.review.actions import ReviewRequest, comment_digest
from hallmark.services.review.service import ReviewService, World
from hallmark.services.review.settings import Settings, Webhooks
from hallmark.services.review.views import ItemPage, Person
from hallmark.store import Database
from hallmark.telemetry.metrics import Metrics
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import CHAIN_ID, LittleNetwork, Party, key

NEEDED = ("ran", "model", "route", "proved")
OPERATOR = key("operator")


def policy(name: str = "witnessed", version: int = 1, **changes: Any) -> ClearingPolicy:
    """Asks for four witnessed marks, waives the rest."""
    needs = tuple(Requirement(q, "witnessed", assurance=("hardware", "simulated")) for q in NEEDED)
    made = ClearingPolicy(name, version, needs, ("inputs", "paid", "reviewed"), resample=0)
    return msgspec.structs.replace(made, **changes)


def reviewed_policy(
    name: str = "reviewed", version: int = 1, count: int = 1, **changes: Any
) -> ClearingPolicy:
    """The same, and so many reviewers."""
    need = Requirement("reviewed", "witnessed", count=count)
    base = policy(name, version)
    changed = {"requires": (*base.requires, need), "not_required": ("inputs", "paid"), **changes}
    return msgspec.structs.replace(base, **changed)


class FakeLog:
    """The log as reviews are submitted to it; `down` and `refuses` make it fail."""

    def __init__(self, net: LittleNetwork) -> None:
        self.net, self.down, self.refuses = net, False, ""
        self.taken: dict[bytes, int] = {}
        self.calls = 0

    async def add(self, entry: bytes) -> Place:
        """Take an entry once."""
        self.calls += 1
        if self.down:
            raise Unavailable("log_standby", "Down.")
        if self.refuses:
            raise Refused(self.refuses, "No.")
        if entry not in self.taken:
            self.taken[entry] = self.net.add(entry)
        return Place(self.taken[entry], self.net.now)


class ReviewDesk:
    """A desk with everything around it. `settle` lets it do all that there is to do now."""

    def __init__(
        self,
        net: LittleNetwork | None = None,
        *,
        database: Database | None = None,
        policies: tuple[ClearingPolicy, ...] = (policy(),),
        **settings: Any,
    ) -> None:
        fresh = net is None
        self.net = net or LittleNetwork()
        if fresh:
            for reviewer in self.net.reviewers:
                self.net.register(reviewer)
            for each in policies:
                self.enact(each)
        self.database = database or Database("sqlite://")
        self.watching = FollowedLogFixture(self.net, database=self.database)
        self.log = FakeLog(self.net)
        counter = itertools.count()
        self.settings = Settings(
            Listen(0),
            "http://log.test",
            "http://gateway.test",
            "",
            "",
            "",
            operators=(hex0x(OPERATOR.address),),
            webhooks=settings.pop("webhooks", Webhooks(allow_loopback_webhooks=True)),
            **settings,
        )
        self.metrics = Metrics()
        self.desk = ReviewService(
            self.settings,
            self.watching.notary.trust(),
            self.database,
            watch=self.watching.watch,
            log=self.log,
            key=key("desk"),
            world=World(lambda: self.net.now, lambda n: sha256(b"r", next(counter).to_bytes(8, "big"))[:n]),
            metrics=self.metrics,
        )
        self.desk.intake.tail_ms = 0
        self.writer: asyncio.Task[None] | None = None

    def enact(self, document: ClearingPolicy) -> None:
        """The authority brings a policy into force."""
        self.net.add(self.net.policy_entry(f"clearing:{document.name}", document))

    async def start(self) -> None:
        """Begin to write, and follow what the quorum has cosigned."""
        self.writer = asyncio.create_task(self.desk.office.store.run())
        await self.witness()

    async def stop(self) -> None:
        """Die."""
        if self.writer is not None:
            self.writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.writer

    async def witness(self) -> None:
        """A quorum cosigns everything; the desk reads and judges it."""
        await self.watching.witness()
        await self.settle()

    async def settle(self) -> None:
        """Read the log and judge what is due, until nothing is."""
        await self.desk.intake.step()
        while await self.desk.office.evaluator.round():
            pass

    async def poll(self) -> None:
        """Look at the log's tail."""
        await self.watching.watch.tail.poll()
        await self.settle()

    async def answer(self, node: int = 0, **changes: Any) -> str:
        """A new receipt in the log, not yet witnessed; its id."""
        entry = self.net.receipt_entry(self.net.nodes[node], **changes)
        self.net.add(entry)
        return hex0x(entry.statement.struct_hash())

    async def item(self, item: str, person: Person | None = None) -> ItemPage:
        """The item's page."""
        return await self.desk.item(item, person)

    async def state(self, item: str) -> str:
        """Where it stands on disk."""
        record = await self.desk.office.store.record(unhex(item))
        return record.state if record is not None else ""

    def reviewer(self, number: int = 0) -> Person:
        """A registered reviewer, signed in."""
        return self.person(self.net.reviewers[number].key)

    def person(self, signer: Key) -> Person:
        """Whoever holds a key."""
        return self.desk.office.people.of(signer.address)

    @property
    def operator(self) -> Person:
        """An operator."""
        return self.person(OPERATOR)

    async def signed(
        self,
        item: str,
        by: Party | None = None,
        said: Judgement = Judgement.FIT,
        *,
        texts: tuple[str, str] = ("", ""),
        changes: Mapping[str, Any] | None = None,
    ) -> ReviewRequest:
        """A review signed from the item's page as a browser would; `changes` replace fields before that."""
        comment, internal = texts
        by = by or self.net.reviewers[0]
        page = await self.item(item)
        salt = sha256(b"salt", comment.encode()) if comment or internal else ZERO32
        statement = Review(
            self.net.genesis.network,
            by.address,
            unhex(item),
            max(page.row.index, 0),
            said,
            code("answers_the_question"),
            unhex(page.policy_digest),
            unhex(page.screen),
            comment_digest(comment, internal, salt) if comment or internal else ZERO32,
            self.net.now,
        )
        statement = msgspec.structs.replace(statement, **(changes or {}))
        entry = Entry(statement, (sign_statement(statement, CHAIN_ID, by.key),))
        return ReviewRequest(hex0x(entry.encode()), comment, internal, hex0x(salt))

    async def judge(self, item: str, number: int = 0, said: Judgement = Judgement.FIT) -> None:
        """A reviewer reviews; the log takes it, a quorum covers it."""
        by = self.net.reviewers[number]
        await self.desk.review(self.person(by.key), item, await self.signed(item, by, said))
        await self.desk.office.submitting.round()
        self.net.tick(10)
        await self.witness()
