"""The sequencer: places, order, duplicates, failures, and the fence, over a real store in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import pytest
from sqlalchemy.engine import Connection

from hallmark.core.beacon import network_id
from hallmark.core.entries import leaf, split_leaf
from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.core.merkle import leaf_hash
from hallmark.core.statements import Role
from hallmark.crypto.secp256k1 import Key
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.services.log.admission import Submission
from hallmark.services.log.lease import LeaseKeeper, fence
from hallmark.services.log.membership import Member, Membership
from hallmark.services.log.sequencer import Batch, Placed, Sequencer
from hallmark.services.log.settings import Limits
from hallmark.services.log.submitters import Lane, Submitter
from hallmark.store.raw import RawDatabase
from hallmark.testing.log_admission import Gate
from hallmark.testing.log_entries import AUTHORITY, plain_entry, receipt_chain, vouched

NETWORK = network_id("log.test/hallmark")
CHAIN = 31337
KEYS = [Key(bytes([number]) * 32) for number in range(7, 20)]
GATE = Gate(NETWORK, [Member(key.address, Role.NODE, AUTHORITY.address) for key in KEYS])


def plain(number: int) -> Submission:
    """A submission without order."""
    return GATE.judge(plain_entry(NETWORK, number))


def receipts(count: int, salt: int = 0, key: Key | None = None) -> list[Submission]:
    """Submissions of a node's receipts."""
    entries = receipt_chain(NETWORK, CHAIN, key or KEYS[0], count, salt)
    return [GATE.judge(entry) for entry in entries]


class FailingStore(SQLLogStore):
    """A store whose next appends fail."""

    failures: list[HallmarkError] = []

    async def append(
        self, leaves: Sequence[bytes], *, within: Callable[[Connection], None] | None = None
    ) -> int:
        if self.failures:
            raise self.failures.pop(0)
        return await super().append(leaves, within=within)


async def add_all(sequencer: Sequencer, submissions: Sequence[Submission]) -> list[Placed | HallmarkError]:
    """For each entry its place, or why it got none."""
    return await sequencer.outcomes([sequencer.enqueue(one) for one in submissions])


class Bench:
    """A sequencer over a database, with a clock to set and the batches that it made."""

    def __init__(self, database: RawDatabase, limits: Limits | None = None) -> None:
        self.store = FailingStore(database)
        self.failing = self.store.failures = []
        self.batches: list[Batch] = []
        self.clock = 1_000
        self.known = Membership(database)
        self.sequencer = Sequencer(
            self.store,
            database,
            self.known,
            now=lambda: self.clock,
            grown=self.batches.append,
            limits=limits,
        )
        self.sequencer.fence = lambda connection: None

    async def add_all(self, submissions: Sequence[Submission]) -> list[Placed | HallmarkError]:
        """For each entry its place, or why it got none."""
        return await add_all(self.sequencer, submissions)

    async def add(self, submission: Submission) -> Placed:
        """The entry's durable place."""
        (placed,) = await self.add_all([submission])
        if isinstance(placed, HallmarkError):
            raise placed
        return placed

    async def leaves(self) -> list[bytes]:
        """Entries in their order, without admission times."""
        return [split_leaf(one)[1] for one in await self.store.leaves(0, self.store.size)]


@contextlib.asynccontextmanager
async def running(database: RawDatabase | None = None, limits: Limits | None = None) -> AsyncIterator[Bench]:
    """A running sequencer."""
    bench = Bench(database or RawDatabase("sqlite://"), limits)
    task = asyncio.create_task(bench.sequencer.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reason(result: Placed | HallmarkError | BaseException) -> str:
    """The reason code of a refusal."""
    assert isinstance(result, HallmarkError)
    return result.reason


async def test_entries_get_consecutive_places() -> None:
    """Places are dense, in order of arrival, and carry the hash of the stored leaf."""
    async with running() as bench:
        placed = await bench.add_all([plain(n) for n in range(50)])
        single = await bench.add(plain(50))
        assert [p.index for p in placed if isinstance(p, Placed)] == list(range(50))
        assert single == Placed(50, 1_000, leaf_hash(leaf(1_000, plain(50).data)))
        assert await bench.leaves() == [plain(n).data for n in range(51)]
        assert (bench.batches[0].size, bench.batches[-1].size, bench.sequencer.pending) == (50, 51, 0)


async def test_one_entry_has_one_place() -> None:
    """Submitting again, at once, later or after a restart, gives the first place."""
    database = RawDatabase("sqlite://")
    async with running(database) as bench:
        first, again = await asyncio.gather(bench.add(plain(1)), bench.add(plain(1)))
        assert first == again == await bench.add(plain(1))
        bench.clock = 9_000
    async with running(database) as bench:
        bench.clock = 9_999
        results = await bench.add_all([plain(2), plain(1), plain(2), plain(3)])
        assert [p.index for p in results if isinstance(p, Placed)] == [1, 0, 1, 2]
        assert results[1] == first
        assert bench.store.size == 3


async def test_time_never_goes_back() -> None:
    """A clock that jumps back does not make an admission time smaller than the one before."""
    async with running() as bench:
        times = []
        for clock in (1_000, 5_000, 2_000, 6_000):
            bench.clock = clock
            times.append((await bench.add(plain(clock))).admitted)
        assert times == [1_000, 5_000, 5_000, 6_000]


async def test_receipts_are_put_in_order() -> None:
    """Receipts that arrive in the wrong order wait for their predecessors and are logged in order."""
    chain = receipts(6)
    async with running() as bench:
        placed = await asyncio.gather(*(bench.add(chain[n]) for n in (5, 3, 4, 1, 0, 2)))
        assert [p.index for p in placed] == [5, 3, 4, 1, 0, 2]
        assert await bench.leaves() == [one.data for one in chain]


async def test_a_receipt_without_predecessor_is_refused_in_time() -> None:
    """When the predecessor does not come, the receipt and its followers are refused; it can be sent again."""
    chain = receipts(4)
    async with running(limits=Limits(order_wait_ms=30)) as bench:
        results = await bench.add_all([chain[0], chain[2], chain[3]])
        assert isinstance(results[0], Placed)
        assert {reason(result) for result in results[1:]} == {"receipt_out_of_order"}
        assert bench.sequencer.pending == 0
        again = await bench.add_all(chain)
        assert [p.index for p in again if isinstance(p, Placed)] == [0, 1, 2, 3]


async def test_equivocation_is_logged() -> None:
    """Two different receipts for one position are both taken, so that anyone can prove it."""
    one, other = receipts(3), receipts(3, salt=1)
    async with running() as bench:
        for submission in (*one, other[1]):
            await bench.add(submission)
        assert bench.store.size == 4


async def test_order_survives_a_restart() -> None:
    """What is known about a node's receipts is as durable as the receipts."""
    database, chain = RawDatabase("sqlite://"), receipts(4)
    async with running(database) as bench:
        await bench.add_all(chain[:2])
    async with running(database, Limits(order_wait_ms=30)) as bench:
        results = await bench.add_all([chain[3]])
        assert reason(results[0]) == "receipt_out_of_order"
        placed = await bench.add_all(chain)
        assert [p.index for p in placed if isinstance(p, Placed)] == [0, 1, 2, 3]


async def test_a_full_store_refuses_and_recovers() -> None:
    """What could not be made durable is refused, with all that rested on it, and nothing is remembered."""
    chain = receipts(4)
    async with running(limits=Limits(order_wait_ms=30, batch_entries=1)) as bench:
        bench.failing.append(Unavailable("store_full", "The store has no space left."))
        results = await bench.add_all([chain[0], chain[1], chain[3], plain(1)])
        assert {reason(result) for result in results} == {"store_full"}
        assert (bench.store.size, bench.sequencer.pending) == (0, 0)
        refused = await bench.add_all([chain[1]])
        assert reason(refused[0]) == "receipt_out_of_order"
        await bench.add_all(chain)
        assert await bench.leaves() == [one.data for one in chain]


async def test_overload_is_refused() -> None:
    """Beyond the limits of entries and of bytes the answer is `log_busy`, and it passes."""
    for limits in (Limits(pending_entries=5), Limits(pending_bytes=5 * len(plain(0).data))):
        async with running(limits=limits) as bench:
            results = await bench.add_all([plain(n) for n in range(8)])
            assert [reason(r) for r in results[5:]] == ["log_busy"] * 3
            await bench.add(plain(7))
            assert bench.store.size == 6


async def test_batches_are_bounded() -> None:
    """A long queue becomes several batches, each one transaction."""
    async with running(limits=Limits(batch_members=10)) as bench:
        await bench.add_all([plain(n) for n in range(35)])
        assert [batch.entries for batch in bench.batches] == [10, 10, 10, 5]


async def test_who_lost_the_lease_appends_nothing() -> None:
    """A former holder's batch is refused inside its own transaction; the new holder goes on."""
    database = RawDatabase("sqlite://")
    former, current = LeaseKeeper(database, "log-1", 1_000), LeaseKeeper(database, "log-2", 1_000)
    lease = await former.take(0)
    assert lease is not None
    assert await current.take(500) is None
    bench = Bench(database)
    bench.sequencer.fence = fence(lease)
    task = asyncio.create_task(bench.sequencer.run())
    await bench.add(plain(0))
    taken = await current.take(1_001)
    assert taken is not None
    results = await bench.add_all([plain(1)])
    assert reason(results[0]) == "log_standby"
    with pytest.raises(Conflict) as caught:
        await task
    assert caught.value.reason == "lease_lost"
    with pytest.raises(Conflict):
        await former.renew(lease, 1_002)
    async with running(database) as successor:
        successor.sequencer.fence = fence(taken)
        assert (await successor.add(plain(1))).index == 1


async def test_nobody_waits_for_a_sequencer_that_ended() -> None:
    """When it is cancelled, whoever waits is refused, and so is whoever comes later."""
    chain = receipts(2)
    async with running() as bench:
        waiting = asyncio.create_task(bench.add(chain[1]))
        await bench.add(plain(0))
    with pytest.raises(Unavailable) as caught:
        await waiting
    assert caught.value.reason == "log_standby"
    assert reason((await bench.add_all([plain(1)]))[0]) == "log_standby"


async def test_a_sequencer_without_a_lease_appends_nothing() -> None:
    """The fence is closed until a lease is given."""
    database = RawDatabase("sqlite://")
    sequencer = Sequencer(
        SQLLogStore(database), database, Membership(database), now=lambda: 1, grown=lambda batch: None
    )
    task = asyncio.create_task(sequencer.run())
    results = await add_all(sequencer, [plain(1)])
    assert reason(results[0]) == "log_standby"
    await asyncio.gather(task, return_exceptions=True)


async def test_leases() -> None:
    """A lease is taken when free, expired or released, and by its holder at any time, with a new epoch."""
    database = RawDatabase("sqlite://")
    one, two = LeaseKeeper(database, "one", 100), LeaseKeeper(database, "two", 100)
    first = await one.take(0)
    again = await one.take(10)
    assert first is not None
    assert again is not None
    assert (first.epoch, again.epoch) == (1, 2)
    await one.renew(again, 80)
    assert await two.take(179) is None
    await one.release(again)
    taken = await two.take(90)
    assert taken is not None
    assert taken.epoch == 3
    await one.release(again)
    assert await one.take(150) is None


def stranger(number: int) -> Submission:
    """An entry of somebody for whom nobody vouches."""
    return msgspec.structs.replace(plain(number), standing=Submitter(Lane.STRANGERS))


async def test_receipts_go_first() -> None:
    """However much others sent before: receipts are in the next batch, beside a bounded part of the rest."""
    limits = Limits(batch_members=3, batch_strangers=1)
    async with running(limits=limits) as bench:
        others = [bench.add_all([plain(n), stranger(100 + n)]) for n in range(5)]
        chain = receipts(4)
        await asyncio.gather(*others, bench.add_all(chain))
        leaves = await bench.leaves()
        assert leaves[:4] == [one.data for one in chain]
        assert leaves[4:8] == [plain(0).data, plain(1).data, plain(2).data, stranger(100).data]
        assert len(leaves) == 14
        assert bench.batches[0].entries == 8


async def test_few_strangers_wait() -> None:
    """More than some do not: they come again, and nobody else is turned away for them."""
    async with running(limits=Limits(pending_strangers=2)) as bench:
        results = await bench.add_all([*(stranger(n) for n in range(4)), plain(9)])
        assert [one.reason if isinstance(one, HallmarkError) else "" for one in results] == [
            "",
            "",
            "log_busy",
            "log_busy",
            "",
        ]


async def test_what_is_known_is_durable_with_its_entries() -> None:
    """Who joins is known once the entry is durable, and to a process that starts afterwards."""
    database = RawDatabase("sqlite://")
    key = Key(bytes([42]) * 32)
    async with running(database) as bench:
        bench.failing.append(Unavailable("store_full", "Full."))
        joining = GATE.judge(vouched(NETWORK, key))
        refused = await bench.add_all([joining])
        assert isinstance(refused[0], Unavailable)
        assert bench.known.member(key.address) is None
        await bench.add(joining)
        assert bench.known.member(key.address) is not None
        assert await bench.known.statements([joining.note.statement]) == {joining.note.statement}
    again = Membership(database)
    assert again.member(key.address, Role.NODE) == bench.known.member(key.address)
    assert await again.statements([joining.note.statement, bytes(32)]) == {joining.note.statement}


async def test_an_idle_log_writes_at_once_and_a_busy_one_many_in_a_batch() -> None:
    """The first entry is a batch of its own; those that follow within the spacing share one transaction."""
    async with running(limits=Limits(batch_ms=40)) as bench:
        await bench.add(plain(0))
        places = []
        for number in range(1, 6):
            places.append(bench.sequencer.enqueue(plain(number)))
            await asyncio.sleep(0)
        await bench.sequencer.outcomes(places)
        assert [batch.entries for batch in bench.batches] == [1, 5]
