"""Items are judged by events alone: whatever judging everything again by a timer would find, an event has
found already. The oracle judges every item anew after each step and must have no news for any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.core.document import unhex
from hallmark.core.documents import AnchorRecord, Requirement
from hallmark.core.errors import HallmarkError
from hallmark.services.review.actions import AppealRequest, DeclareRequest
from hallmark.services.review.schema import ITEMS
from hallmark.testing.anchors import anchored
from hallmark.testing.review_desk import ReviewDesk, policy, reviewed_policy

ANCHORED = Requirement("proved", "anchored")
AGED = Requirement("ran", "witnessed", max_age=30_000, assurance=("simulated",))


def without(*names: str) -> tuple[Requirement, ...]:
    """What the usual policy asks for, without some questions."""
    return tuple(need for need in policy().requires if need.question not in names)


POLICIES = (
    policy(),
    policy(requires=(AGED, *without("ran"))),
    policy(requires=(ANCHORED, *without("proved"))),
    policy(dispute_window=20_000),
    policy("trial", requires=(ANCHORED,), enforcement="warn"),
    reviewed_policy("witnessed"),
)


class FakeChain:
    """A chain and its anchoring service: what was anchored stays; next comes nothing, the log's own root, or
    another one.
    """

    def __init__(self, office: ReviewDesk) -> None:
        self.net, self.says = office.net, "nothing"
        self.held: list[Any] = []

    async def covering(self, position: int) -> tuple[Any, Any]:
        """The record, and what the chain holds beyond a position."""
        known = next((pair for pair in self.held if pair[1].size > position), None)
        if known is not None or self.says == "nothing":
            return known or (None, None)
        size = self.net.tree.size
        root = self.net.tree.root() if self.says == "the same" else bytes(32)
        found = anchored(size, root, self.net.now)
        if self.says == "the same":
            self.held.append(found)
        return found

    async def confirm(self, record: AnchorRecord) -> Any:
        """What was anchored stays."""
        return next(anchor for held, anchor in self.held if held == record)


class History:
    """A network to which things happen at random, with a desk that follows it."""

    def __init__(self, seed: int, office: ReviewDesk | None = None) -> None:
        self.random = random.Random(seed)
        self.office = office or ReviewDesk(policies=(POLICIES[0],))
        self.version, self.items, self.verdicts = 1, list[str](), list[tuple[int, int]]()
        self.chain = FakeChain(self.office)
        self.chained()

    def chained(self) -> None:
        """Give the desk's watch a chain to read."""
        self.office.watching.watch.chain._anchors = self.chain  # type: ignore[assignment]

    async def answers(self) -> None:
        """Some receipts, witnessed or only in the tail."""
        for _ in range(self.random.randint(1, 4)):
            self.items.append(await self.office.answer(self.random.randrange(2)))
        if self.random.random() < 0.3:
            await self.office.poll()

    async def time(self) -> None:
        """Time alone."""
        self.office.net.tick(self.random.choice((1, 500, 10_000, 20_000, 30_000, 30_001)))

    async def objects(self) -> None:
        """A full node objects to an entry, or says that another one was wrong to."""
        net = self.office.net
        if self.verdicts and self.random.random() < 0.6:
            verdict, by = self.random.choice(self.verdicts)
            author = self.random.choice([n for n in range(4) if n != by])
            culprit = net.full_nodes[by].address
            net.add(net.fault(net.full_nodes[author], culprit, "refuted_verdict", verdict, verdict))
        elif self.items:
            at = self.office.watching.watch.replica.receipt_position(unhex(self.random.choice(self.items)))
            if at is not None:
                by = self.random.randrange(4)
                self.verdicts.append((net.add(net.verdict(net.full_nodes[by], at, "bad_signature")), by))

    async def ends(self) -> None:
        """A key or a measurement ends, now or from some earlier position on."""
        net = self.office.net
        since = self.random.randrange(net.tree.size)
        party = self.random.choice((*net.nodes, *net.full_nodes[3:]))
        made: list[Callable[[], Any]] = [
            lambda: net.revocation(net.measurement, since),
            lambda: net.compromise(party, since),
            lambda: net.retirement(party),
        ]
        net.add(self.random.choice(made)())

    async def registers(self) -> None:
        """A node refreshes its evidence."""
        self.office.net.register(self.random.choice(self.office.net.nodes))

    async def decrees(self) -> None:
        """Another policy comes into force."""
        self.version += 1
        chosen = self.random.choice(POLICIES)
        self.office.enact(
            policy(chosen.name, self.version) if chosen == POLICIES[0] else versioned(chosen, self.version)
        )

    async def anchors(self) -> None:
        """The chain is read again."""
        self.chain.says = self.random.choice(("nothing", "the same", "the same", "another"))
        await self.office.watching.watch.chain.read()

    async def configures(self) -> None:
        """The gateway forgets the configurations, or tells them again."""
        self.office.watching.gateway.knows = not self.office.watching.gateway.knows

    async def acts(self) -> None:
        """Somebody reviews, declares, or appeals."""
        if not self.items:
            return
        item, office = self.random.choice(self.items), self.office
        acts: list[Callable[[], Awaitable[Any]]] = [
            lambda: office.judge(item, self.random.randrange(3)),
            lambda: office.desk.declare(office.operator, "", item, DeclareRequest(klass="payment")),
            lambda: office.desk.appeal(
                office.person(office.net.nodes[0].owner), item, AppealRequest(text="Look again.")
            ),
        ]
        await self.random.choice(acts)()

    async def restarts(self) -> None:
        """The desk dies and another one takes its place."""
        await self.office.watching.flush()
        await self.office.stop()
        knows = self.office.watching.gateway.knows
        # A chain that is silent after a restart leaves what it said before in force: HOLD stays.
        self.chain.says = "another" if self.office.watching.watch.chain.contradicted else "nothing"
        self.office = ReviewDesk(self.office.net, database=self.office.database)
        self.office.watching.gateway.knows = knows
        self.chained()
        await self.office.start()
        while await self.office.watching.watch.chain.read():
            pass

    async def step(self) -> None:
        """Anything of the above; then what there is to do is done."""
        steps = (
            *(self.answers,) * 3,
            *(self.time,) * 3,
            self.objects,
            self.ends,
            self.registers,
            self.decrees,
            *(self.anchors,) * 2,
            self.configures,
            self.acts,
            self.restarts,
        )
        self.office.net.tick(1)  # nothing is said twice in one millisecond: the log holds no entry twice
        with contextlib.suppress(HallmarkError):  # somebody may not do this now: then nothing happened
            await self.random.choice(steps)()
        await self.office.witness()
        await self.office.settle()


def versioned(document: Any, version: int) -> Any:
    """The policy as another version of itself."""
    return type(document)(
        **{n: getattr(document, n) for n in document.__struct_fields__} | {"version": version}
    )


async def unheard(office: ReviewDesk) -> list[str]:
    """Items of which judging everything again would find something else than is written."""
    found, desk = [], office.desk.office
    for record in await desk.store.records(sa.select(ITEMS)):
        loaded = await desk.items.load(record.id)
        judged = desk.evaluator.judge(loaded.item, office.net.now)
        again = judged.again or None if judged is not None else record.wake
        if judged is not None and (
            judged.events or (record.wake, record.state) != (again, loaded.item.state)
        ):
            news = [type(event).__name__ for event in judged.events]
            found.append(f"{loaded.item.id} {record.state} {news} {judged.sentence}")
    return found


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1 << 32))
def test_events_find_whatever_judging_all_again_would_find(seed: int) -> None:
    """After every step of a random history no item would be judged otherwise than it is, and each wakes when
    time alone may change it.
    """

    async def run() -> None:
        history = History(seed)
        await history.office.start()
        for number in range(12):
            await history.step()
            assert await unheard(history.office) == [], f"step {number}"
        await history.office.stop()
        history.office.database.close()

    asyncio.run(run())
