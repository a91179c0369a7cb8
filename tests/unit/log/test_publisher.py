"""Rounds of cosigning: when one begins, when it is done, and when the log must stop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from hallmark.core.entries import leaf
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, verify_quorum
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.services.log.publisher import Publisher, Round, check_policy
from hallmark.store.raw import RawDatabase
from hallmark.testing.lying_log import LyingLog, policy_of, policy_text, witness_key

LOG = LyingLog()
POLICY = policy_of(LOG)
WITNESSES = {party.name: party for party in POLICY.witnesses}


class Clock:
    """Seconds that the test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Bench:
    """A publisher over a store in memory."""

    def __init__(
        self,
        policy: Policy = POLICY,
        database: RawDatabase | None = None,
        *,
        spacing_ms: int = 0,
        spacing_most_ms: int = 0,
    ) -> None:
        self.database = database or RawDatabase("sqlite://")
        self.store = SQLLogStore(self.database)
        self.clock = Clock()
        self.publisher = Publisher(
            self.store,
            LOG.key,
            policy,
            clock=self.clock,
            spacing_ms=spacing_ms,
            spacing_most_ms=spacing_most_ms,
        )

    async def grow(self, count: int = 1) -> None:
        """Append leaves and tell the publisher."""
        first = self.store.size
        await self.store.append([leaf(n, n.to_bytes(8, "big")) for n in range(first, first + count)])
        self.publisher.advance()

    def cosign(self, *names: str, round_: Round | None = None) -> Round:
        """Let witnesses cosign a round (the newest)."""
        chosen = round_ or self.publisher.current
        assert chosen is not None
        for name in names:
            line = witness_key(name).cosign(chosen.note.text, 1_700_000_000_000)
            self.publisher.accept(chosen, WITNESSES[name], line)
        return chosen


async def started(policy: Policy = POLICY) -> Bench:
    """A publisher whose empty log the quorum has confirmed."""
    bench = Bench(policy)
    await bench.publisher.start()
    bench.cosign("w0", "w1", "w2")
    return bench


async def test_a_round_is_done_at_the_quorum() -> None:
    """Two of four are not enough, the third makes it, the fourth only adds its line."""
    bench = await started()
    await bench.grow(5)
    bench.cosign("w0", "w3")
    assert bench.publisher.cosigned_size == 0
    round_ = bench.cosign("w1")
    head = bench.publisher.head
    assert head is not None
    assert (head.size, head.signers) == (5, ("w0", "w3", "w1"))
    bench.cosign("w2", round_=round_)
    head = bench.publisher.head
    assert head is not None
    verified = verify_quorum(POLICY, head.note)
    assert (verified.checkpoint.root, len(verified.signers)) == (bench.store.tree.root(5), 4)


async def test_one_round_at_a_time() -> None:
    """What arrives during a round goes into the next one, which begins at the quorum."""
    bench = await started()
    await bench.grow(1)
    await bench.grow(1)
    await bench.grow(1)
    assert bench.publisher.current is not None
    assert bench.publisher.current.checkpoint.size == 1
    first = bench.cosign("w0", "w1", "w2")
    assert bench.publisher.current.checkpoint.size == 3
    bench.cosign("w3", round_=first)
    bench.cosign("w0", "w1", "w3")
    assert bench.publisher.cosigned_size == 3


async def test_an_idle_log_signs_at_once_and_a_busy_one_for_many() -> None:
    """The first entry after a rest has its checkpoint at once; forty that follow closely share one, which is
    begun when the spacing is over and not before.
    """
    bench = Bench(spacing_ms=50)
    await bench.publisher.start()
    bench.cosign("w0", "w1", "w2")
    bench.clock.seconds = 10.0
    await bench.grow(1)
    first = bench.cosign("w0", "w1", "w2")
    assert (first.checkpoint.size, bench.publisher.cosigned_size) == (1, 1)
    for _ in range(40):
        bench.clock.seconds += 0.001
        await bench.grow(1)
    assert bench.publisher.current is first
    assert bench.publisher._timer is not None
    bench.clock.seconds = 10.05
    bench.publisher._late()
    assert bench.publisher.current is not first
    bench.cosign("w0", "w1", "w2")
    assert bench.publisher.cosigned_size == 41


@pytest.mark.parametrize(("entries", "spacing_s"), [(1, 0.05), (2, 0.1), (4, 0.2), (40, 0.2)])
async def test_the_more_one_checkpoint_covered_the_later_comes_the_next(
    entries: int, spacing_s: float
) -> None:
    """The spacing is that of one entry for each that is new, and ends at its bound; it never waits longer."""
    bench = Bench(spacing_ms=50, spacing_most_ms=200)
    await bench.publisher.start()
    bench.cosign("w0", "w1", "w2")
    bench.clock.seconds = 10.0
    await bench.grow(entries)
    first = bench.cosign("w0", "w1", "w2")
    assert bench.publisher.cosigned_size == entries
    bench.clock.seconds += spacing_s - 0.001
    await bench.grow(1)
    assert bench.publisher.current is first
    bench.clock.seconds += 0.002
    bench.publisher._late()
    bench.cosign("w0", "w1", "w2")
    assert bench.publisher.cosigned_size == entries + 1


async def test_a_quorum_that_is_missing_is_not_waited_for_longer_after_many_entries() -> None:
    """The spacing holds for rounds that are done: one that is hopeless gives way at once, as ever."""
    bench = Bench(spacing_ms=50, spacing_most_ms=200)
    await bench.publisher.start()
    bench.cosign("w0", "w1", "w2")
    bench.clock.seconds = 10.0
    await bench.grow(40)
    round_ = bench.publisher.current
    assert round_ is not None
    for name in ("w0", "w1"):
        bench.publisher.refuse(round_, WITNESSES[name])
    await bench.grow(1)
    assert bench.publisher.current is not None
    assert bench.publisher.current.checkpoint.size == 41


async def test_a_round_that_is_done_frees_the_next_before_a_slow_ones_time() -> None:
    """The timer of a round that might be slow gives way to the earlier one of the spacing."""
    bench = Bench(spacing_ms=50)
    await bench.publisher.start()
    await bench.grow(1)
    slow, slow_due = bench.publisher._timer, bench.publisher._timer_due
    assert slow is not None
    bench.cosign("w0", "w1", "w2")
    assert slow.cancelled()
    assert bench.publisher._timer is not None
    assert bench.publisher._timer_due < slow_due


def test_the_last_fraction_of_a_millisecond_of_a_spacing() -> None:
    """On the loop of the service, whose handle for so short a wait cannot say when it is due."""

    async def grow_at_the_end_of_a_spacing() -> Bench:
        bench = Bench(spacing_ms=50)
        await bench.publisher.start()
        bench.cosign("w0", "w1", "w2")
        bench.clock.seconds = 10.0
        await bench.grow(1)
        bench.cosign("w0", "w1", "w2")
        bench.clock.seconds = 10.0498
        await bench.grow(1)
        await bench.grow(1)
        assert bench.publisher.cosigned_size == 1
        bench.clock.seconds = 10.0502
        bench.publisher.advance()
        return bench

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bench = runner.run(grow_at_the_end_of_a_spacing())
    assert bench.publisher.current is not None
    assert bench.publisher.current.checkpoint.size == 3


async def test_a_hopeless_round_gives_way() -> None:
    """When so many refused that no quorum is left, the next size is tried as soon as there is one."""
    bench = await started()
    await bench.grow(1)
    round_ = bench.cosign("w0", "w1")
    bench.publisher.refuse(round_, WITNESSES["w2"])
    await bench.grow(1)
    assert bench.publisher.current is round_
    bench.publisher.refuse(round_, WITNESSES["w3"])
    assert bench.publisher.current is not None
    assert bench.publisher.current.checkpoint.size == 2
    bench.cosign("w0", "w1", "w2")
    assert bench.publisher.cosigned_size == 2


async def test_a_slow_round_gives_way_and_may_still_finish() -> None:
    """After its time a round no longer holds up the next, and late cosignatures still count."""
    bench = await started()
    await bench.grow(1)
    slow = bench.cosign("w0", "w1")
    bench.clock.seconds += 1
    await bench.grow(1)
    assert bench.publisher.current is not slow
    bench.cosign("w2", round_=slow)
    assert (slow.done, bench.publisher.cosigned_size) == (True, 1)


async def test_waiters_are_woken_at_their_size() -> None:
    """Who waits for a size hears when it is cosigned, not before; who waited too long is told so."""
    bench = await started()
    await bench.grow(2)
    waiting = [asyncio.create_task(bench.publisher.wait(size, 5)) for size in (1, 2, 3)]
    with pytest.raises(Unavailable) as caught:
        await bench.publisher.wait(1, 0)
    assert caught.value.reason == "not_witnessed_yet"
    bench.cosign("w0", "w1", "w2")
    assert [(await task).size for task in waiting[:2]] == [2, 2]
    assert not waiting[2].done()
    await bench.grow(1)
    bench.cosign("w0", "w1", "w2")
    assert (await waiting[2]).size == 3


async def test_one_witness_alone_stops_nothing() -> None:
    """A witness that claims another history is outvoted; two of four stop the log for good."""
    bench = await started()
    bench.publisher.contradict(WITNESSES["w0"], "log_behind_witness")
    bench.publisher.contradict(WITNESSES["w0"], "log_behind_witness")
    await bench.grow(1)
    bench.cosign("w1", "w2", "w3")
    assert (bench.publisher.alarm, bench.publisher.confirmed, bench.publisher.cosigned_size) == ("", True, 1)
    bench.publisher.contradict(WITNESSES["w3"], "log_behind_witness")
    await bench.grow(1)
    assert (bench.publisher.alarm, bench.publisher.confirmed) == ("log_behind_witness", False)
    assert bench.publisher.current is not None
    assert bench.publisher.current.checkpoint.size == 1


async def test_a_log_that_was_cosigned_waits_for_its_quorum() -> None:
    """A fresh log takes entries at once; after a restart only when the quorum has confirmed its end."""
    bench = Bench()
    await bench.publisher.start()
    assert bench.publisher.confirmed
    bench.cosign("w0", "w1", "w2")
    await bench.grow(3)
    bench.cosign("w0", "w1", "w2")
    await bench.publisher.keep()
    again = Bench(database=bench.database)
    await again.publisher.start()
    assert (again.publisher.confirmed, again.publisher.cosigned_size) == (False, 3)
    again.cosign("w0", "w1")
    assert not again.publisher.confirmed
    again.cosign("w3")
    assert again.publisher.confirmed


async def test_a_store_that_contradicts_itself_is_refused() -> None:
    """A kept checkpoint that is longer than the store, or of another history, stops the start."""
    for other in (LyingLog([leaf(0, bytes(8)), b"another leaf"]), LyingLog([b"a", b"b", b"c", b"d"])):
        bench = Bench()
        await bench.store.append([leaf(n, n.to_bytes(8, "big")) for n in range(3)])
        note = other.checkpoint()
        lines = (witness_key(name).cosign(note.text, 1_700_000_000_000) for name in ("w0", "w1", "w2"))
        await bench.store.keep_cosigned(2, Note(note.text, (*note.signatures, *lines)))
        with pytest.raises(Unavailable) as caught:
            await bench.publisher.start()
        assert caught.value.reason == "log_rolled_back"
    bench = Bench()
    await bench.store.keep_cosigned(0, sign(Checkpoint(LOG.origin, 0, bytes(32)), LOG.key))
    with pytest.raises(HallmarkError):
        await bench.publisher.start()


async def test_one_root_for_a_size() -> None:
    """However rounds are superseded, no two notes of one size differ in their text."""
    bench = await started()
    texts: dict[int, set[bytes]] = {}
    for step in range(60):
        await bench.grow(step % 3)
        round_ = bench.publisher.current
        assert round_ is not None
        texts.setdefault(round_.checkpoint.size, set()).add(round_.note.text)
        texts[round_.checkpoint.size].add(bench.publisher.latest().text)
        if step % 4 == 0:
            bench.cosign("w0", "w1", "w2")
        bench.clock.seconds += 0.2
    assert len(texts) > 10
    assert {len(found) for found in texts.values()} == {1}


async def test_quorum_none_needs_nobody() -> None:
    """A policy without witnesses makes every signed checkpoint the head."""
    bench = Bench(Policy.parse(f"log {LOG.key.vkey}\nquorum none\n"))
    await bench.publisher.start()
    await bench.grow(4)
    assert (bench.publisher.cosigned_size, bench.publisher.confirmed) == (4, True)


async def test_the_newest_head_is_never_forgotten() -> None:
    """Many rounds that never reach the quorum do not push out the last that did."""
    bench = await started()
    await bench.grow(1)
    bench.cosign("w0", "w1", "w2")
    for _ in range(40):
        bench.clock.seconds += 1
        await bench.grow(1)
    assert bench.publisher.cosigned_size == 1
    head = bench.publisher.head
    assert head is not None
    assert head.size == 1


def test_a_policy_must_name_the_log() -> None:
    """A log does not run under a policy that would refuse it."""
    check_policy(POLICY, LOG.key)
    with pytest.raises(VerificationFailed):
        check_policy(Policy.parse(policy_text(LyingLog(origin="other"), 4, 3)), LOG.key)
