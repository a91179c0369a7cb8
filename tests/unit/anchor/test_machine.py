"""The anchoring state machine against a chain with misfortunes."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import msgspec
import pytest

from hallmark.core.errors import Conflict, Unavailable
from hallmark.core.hashing import keccak256, sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.services.anchor.chain import AnchorChain, View
from hallmark.services.anchor.machine import Machine
from hallmark.services.anchor.outbox import Anchoring, Outbox, State
from hallmark.store import Database
from hallmark.testing.chain import FakeChain

NETWORK, ORIGIN = bytes(32), sha256(b"origin")
RESEND_MS = 1000


def root(size: int) -> bytes:
    """A root of its own for each size."""
    return sha256(b"root", bytes([size]))


async def collect(checkpoint: AnchoredCheckpoint) -> tuple[bytes, ...]:
    """Full nodes that always sign."""
    return (bytes(65), checkpoint.root + bytes(33))


class Bench:
    """A machine, its outbox and its chain, with a clock that moves a second each step."""

    def __init__(self, database: Database, chain: FakeChain) -> None:
        self.outbox = Outbox(database)
        self.chain = chain
        self.now = 0
        self.restart(chain)

    def restart(self, chain: AnchorChain) -> None:
        self.machine = Machine(self.outbox, chain, collect, confirmations=2, resend_ms=RESEND_MS)

    async def want(self, size: int) -> None:
        await self.machine.want(AnchoredCheckpoint(NETWORK, ORIGIN, size, root(size)), self.now)

    async def step(self, *, mine: int = 0) -> View:
        self.now += 400
        view = await self.machine.step(NETWORK, ORIGIN, self.now)
        self.chain.mine(mine)
        return view

    async def row(self, size: int) -> Anchoring:
        return next(row for row in await self.outbox.rows(tuple(State)) if row.size == size)

    async def state(self, size: int) -> State:
        return (await self.row(size)).state

    async def settle(self, size: int, *, steps: int = 12) -> None:
        """Step and mine until the newest checkpoint is confirmed; fails when that does not happen."""
        for _ in range(steps):
            await self.step(mine=1)
            if await self.state(size) is State.CONFIRMED:
                return
        pytest.fail(f"{size} is {await self.state(size)} after {steps} blocks")


@pytest.fixture
def bench() -> Bench:
    """A machine with an empty outbox and an empty chain."""
    return Bench(Database("sqlite://"), FakeChain())


async def test_every_state_in_order(bench: Bench) -> None:
    """A checkpoint goes from wanted over sent and mined to confirmed, following the real depth."""
    await bench.want(5)
    assert await bench.state(5) is State.WANTED
    await bench.step()
    assert await bench.state(5) is State.SENT
    await bench.step(mine=1)
    assert await bench.state(5) is State.SENT
    await bench.step()
    assert await bench.state(5) is State.MINED
    await bench.step(mine=1)
    assert await bench.state(5) is State.MINED
    await bench.step()
    assert await bench.state(5) is State.CONFIRMED
    assert bench.chain.sent == 1


async def test_wanted_twice_is_sent_once(bench: Bench) -> None:
    """The same checkpoint again changes nothing, before and after it is anchored."""
    for _ in range(6):
        await bench.want(5)
        await bench.step(mine=1)
    assert bench.chain.sent == 1
    assert await bench.state(5) is State.CONFIRMED


async def test_only_the_newest_goes_out(bench: Bench) -> None:
    """Of several that wait only the largest is sent; the others are superseded."""
    for size in (5, 7, 9):
        await bench.want(size)
    await bench.settle(9)
    assert [await bench.state(size) for size in (5, 7)] == [State.SUPERSEDED] * 2
    assert bench.chain.sent == 1


async def test_one_transaction_at_a_time(bench: Bench) -> None:
    """A newer checkpoint waits while a transaction is under way."""
    await bench.want(5)
    await bench.step()
    await bench.want(8)
    await bench.step()
    assert (await bench.state(5), await bench.state(8)) == (State.SENT, State.WANTED)
    await bench.settle(8)
    assert (await bench.state(5), bench.chain.sent) == (State.CONFIRMED, 2)


async def test_depth_that_shrinks_is_followed(bench: Bench) -> None:
    """When blocks on top vanish, a confirmed checkpoint is only mined again."""
    await bench.want(5)
    await bench.settle(5)
    block = (await bench.row(5)).block
    bench.chain.lose_tail(len(bench.chain.blocks) - block)
    await bench.step()
    assert await bench.state(5) is State.MINED


async def test_lost_tail_is_submitted_again(bench: Bench) -> None:
    """A chain that lost anchored checkpoints gets the newest again; older ones are superseded."""
    for size in (5, 6, 7):
        await bench.want(size)
        await bench.settle(size)
    bench.chain.lose_tail(len(bench.chain.blocks))
    view = await bench.step()
    assert view.latest.size == 0
    assert await bench.state(7) is State.SENT
    assert [await bench.state(size) for size in (5, 6)] == [State.SUPERSEDED] * 2
    await bench.settle(7)
    stored = await bench.chain.stored(7)
    assert stored is not None
    assert stored.root == root(7)


async def test_superseded_by_what_then_vanished(bench: Bench) -> None:
    """A checkpoint given up for a larger one is wanted again when the larger one is gone from the chain."""
    await bench.want(5)
    bench.chain.anchor_by_other(9, root(9))
    await bench.step(mine=1)
    assert await bench.state(5) is State.SUPERSEDED
    bench.chain.lose_tail(len(bench.chain.blocks))
    await bench.want(5)
    await bench.settle(5)


async def test_dropped_transaction_goes_out_again(bench: Bench) -> None:
    """A transaction that the mempool forgot is sent again, the same bytes."""
    await bench.want(5)
    await bench.step()
    before = (await bench.row(5)).raw
    bench.chain.forget_waiting()
    await bench.step()
    assert (await bench.row(5)).raw == before
    assert bench.chain.sent == 2
    await bench.settle(5)


async def test_replaced_nonce_gets_a_new_one(bench: Bench) -> None:
    """When another transaction took the nonce, the checkpoint goes out under the next one."""
    await bench.want(5)
    await bench.step()
    first = await bench.row(5)
    bench.chain.use_nonce()
    await bench.step()
    second = await bench.row(5)
    assert (first.nonce, second.nonce, second.state) == (0, 1, State.SENT)
    await bench.settle(5)


async def test_waiting_too_long_raises_the_fees(bench: Bench) -> None:
    """A transaction that waits longer than `resend_ms` is replaced by one that pays more, same nonce."""
    await bench.want(5)
    for _ in range(5):
        await bench.step()
    row = await bench.row(5)
    assert (row.nonce, row.fee_limit > 110, row.state) == (0, True, State.SENT)
    assert bench.chain.waiting[0].fee == row.fee_limit
    await bench.settle(5)


async def test_a_replacement_never_pays_less_than_what_it_replaces(bench: Bench) -> None:
    """What goes out anew under a nonce whose transaction may still wait pays more than that one."""
    await bench.want(5)
    for _ in range(8):
        await bench.step()
    before = await bench.row(5)
    bench.chain.refuse = "UnknownSigner"
    for _ in range(4):
        await bench.step()
    assert await bench.state(5) is State.WANTED
    bench.chain.refuse = ""
    await bench.step()
    after = await bench.row(5)
    assert (after.state, after.nonce) == (State.SENT, before.nonce)
    assert after.fee_limit > before.fee_limit > 110


async def test_chain_that_takes_nothing_is_tried_again(bench: Bench) -> None:
    """While the chain refuses transactions the checkpoint stays sent; fees rise slowly, not each step."""
    bench.chain.takes = False
    await bench.want(5)
    for _ in range(20):
        await bench.step()
    assert (await bench.row(5)).fee_limit < 100 * 2**3
    bench.chain.takes = True
    await bench.settle(5)


async def test_refused_signatures_are_collected_anew(bench: Bench) -> None:
    """What the contract would refuse is not sent; its signatures are asked for again."""
    bench.chain.refuse = "UnknownSigner"
    await bench.want(5)
    await bench.step()
    row = await bench.row(5)
    assert (row.state, row.reason, row.signatures) == (State.WANTED, "UnknownSigner", ())
    assert bench.chain.sent == 0
    bench.chain.refuse = ""
    await bench.settle(5)


async def test_somebody_else_was_first(bench: Bench) -> None:
    """The same checkpoint anchored by another submitter counts; a larger one supersedes ours."""
    await bench.want(5)
    bench.chain.anchor_by_other(5, root(5))
    await bench.settle(5)
    await bench.want(6)
    await bench.step()
    bench.chain.anchor_by_other(8, root(8))
    await bench.step(mine=1)
    assert await bench.state(6) is State.SUPERSEDED
    await bench.want(9)
    await bench.settle(9)


async def test_two_roots_from_the_log_stop_everything(bench: Bench) -> None:
    """A second root for one size is kept as a conflict and nothing is sent any more."""
    await bench.want(5)
    with pytest.raises(Conflict) as error:
        await bench.machine.want(AnchoredCheckpoint(NETWORK, ORIGIN, 5, root(6)), 0)
    assert error.value.reason == "anchor_conflict"
    with pytest.raises(Conflict):
        await bench.step()
    assert bench.chain.sent == 0


async def test_two_roots_on_the_chain_stop_everything(bench: Bench) -> None:
    """Another root on the chain for our size is an alarm, not something to overwrite."""
    await bench.want(5)
    bench.chain.anchor_by_other(5, root(6))
    await bench.step()
    assert await bench.state(5) is State.CONFLICT
    with pytest.raises(Conflict):
        await bench.step()


async def test_missing_quorum_is_tried_again(bench: Bench) -> None:
    """While full nodes do not sign, the checkpoint stays wanted, and goes on when they do."""

    async def nobody(_: AnchoredCheckpoint) -> tuple[bytes, ...]:
        raise Unavailable("anchor_quorum_missing", "2 of 3")

    bench.machine = Machine(bench.outbox, bench.chain, nobody, confirmations=2)
    await bench.want(5)
    with pytest.raises(Unavailable):
        await bench.step()
    assert await bench.state(5) is State.WANTED
    bench.restart(bench.chain)
    await bench.settle(5)


class Killed(BaseException):
    """The process is gone."""


class Killing:
    """Passes calls to a chain and dies at the `fuse`-th, before or after it took effect."""

    def __init__(self, chain: FakeChain, fuse: int, *, after: bool) -> None:
        self._chain = chain
        self._fuse = fuse
        self._after = after

    def __getattr__(self, name: str) -> object:
        method = getattr(self._chain, name)

        async def call(*args: object) -> object:
            self._fuse -= 1
            if self._fuse == 0 and not self._after:
                raise Killed
            result = await method(*args)
            if self._fuse == 0:
                raise Killed
            return result

        return call


@pytest.mark.parametrize("after", [False, True])
async def test_killed_at_every_call(after: bool, tmp_path: Path) -> None:
    """Killed before or after any call to the chain, the next process finishes, and pays once."""
    for fuse in itertools.count(1):
        chain = FakeChain()
        url = f"sqlite:///{tmp_path / f'{after}-{fuse}.db'}"
        database = Database(url)
        bench = Bench(database, chain)
        bench.restart(Killing(chain, fuse, after=after))  # type: ignore[arg-type]  # passes every call on
        await bench.want(5)
        finished = False
        try:
            for _ in range(6):
                await bench.step(mine=1)
            finished = True
        except Killed:
            database.close()
            bench = Bench(Database(url), chain)
            await bench.settle(5)
        mined = [t for block in chain.blocks for t in block]
        assert [t.size for t in mined] == [5], f"killed at call {fuse}"
        recorded = (await bench.row(5)).transaction
        assert recorded == keccak256(msgspec.msgpack.encode(mined[0])), f"killed at call {fuse}"
        if finished:
            assert fuse > 10
            return


@pytest.mark.parametrize("seed", range(10))
async def test_random_misfortunes(seed: int) -> None:
    """After any sequence of kills, lost tails, drops and replacements, quiet time anchors the newest."""
    rng = random.Random(seed)
    chain = FakeChain()
    bench = Bench(Database("sqlite://"), chain)
    size = 1
    for _ in range(40):
        await bench.want(size)
        event = rng.randrange(8)
        if event == 0:
            chain.lose_tail(rng.randrange(1, 6))
        elif event == 1:
            chain.forget_waiting()
        elif event == 2:
            chain.use_nonce()
        elif event == 3:
            bench.restart(Killing(chain, rng.randrange(1, 8), after=rng.random() < 0.5))  # type: ignore[arg-type]
        else:
            size += rng.randrange(2)
        try:
            await bench.step(mine=rng.randrange(2))
        except Killed:
            bench.restart(chain)
    bench.restart(chain)
    await bench.want(size)
    await bench.settle(size, steps=20)
    view = await chain.view()
    assert (view.latest.size, view.latest.root) == (size, root(size))
