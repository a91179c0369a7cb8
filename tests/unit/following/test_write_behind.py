"""What is kept: the same after a restart, nothing of another log, first checkpoints for good."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from hallmark.core.errors import NotFound
from hallmark.core.marks import Question
from hallmark.services.following import configurations
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import LittleNetwork


async def test_a_restart_changes_no_mark(watching: FollowedLogFixture) -> None:
    """The next process refolds the log and says the same, with the same times, without asking the gateway."""
    net = watching.net
    index = net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    before = watching.watch.judge.marks(index, net.now)
    await watching.flush()
    net.tick(3_600_000)
    again = FollowedLogFixture(net, database=watching.database)
    again.gateway.knows = False
    await again.witness()
    assert again.watch.judge.marks(index, net.now) == before
    assert len(again.watch.heads) == 1
    assert again.gateway.asked == []


async def test_kept_leaves_and_notes_are_the_logs_own(watching: FollowedLogFixture) -> None:
    """Leaves and notes come back byte for byte, from memory and from disk."""
    net = watching.net
    await watching.witness()
    watch, size = watching.watch, net.tree.size
    note = await watch.heads.note(size)
    assert note == watching.notary.cosigned().encode()
    assert await watch.leaves.read(0, size) == net.leaves
    await watching.flush()
    watch.leaves._recent.clear()
    assert await watch.leaves.read(0, size) == net.leaves
    assert watch.leaves.leaf(3) == net.leaves[3]
    assert await watch.heads.note(size) == note
    with pytest.raises(NotFound, match="unknown_entry"):
        await watch.leaves.read(0, size + 1)
    with pytest.raises(NotFound, match="unknown_checkpoint"):
        await watch.heads.note(1)


async def test_the_first_checkpoint_that_covers_an_entry_stays_its_own(watching: FollowedLogFixture) -> None:
    """Later checkpoints cover later entries; the first of a process is not a live one."""
    net, heads = watching.net, watching.watch.heads
    await watching.witness()
    first = net.tree.size
    net.tick(10)
    index = net.add(net.receipt_entry(net.nodes[0]))
    assert heads.first(index) is None
    await watching.witness()
    net.tick(10)
    net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    assert [s.size for s in heads.page(1 << 60, 10)] == [first + 2, first + 1, first]
    seen = heads.first(index)
    assert seen is not None
    assert (seen.size, seen.at, seen.live) == (first + 1, net.start + 10, True)
    assert not heads.get(first).live
    assert heads.first(0) == heads.get(first)
    with pytest.raises(NotFound, match="unknown_checkpoint"):
        heads.get(first - 1)


async def test_what_was_kept_of_another_log_is_forgotten(watching: FollowedLogFixture) -> None:
    """A database of another log gives no leaf and no checkpoint of it."""
    await watching.witness()
    await watching.flush()

    class Later(LittleNetwork):
        start = LittleNetwork.start + 1_000

    other = Later(nodes=3)
    again = FollowedLogFixture(other, database=watching.database)
    assert again.watch.heads.first(0) is None
    await again.witness()
    await again.flush()
    assert await again.watch.leaves.read(0, other.tree.size) == other.leaves
    assert [s.size for s in again.watch.heads.page(1 << 60, 10)] == [other.tree.size]


async def test_a_receipt_of_a_forgetful_gateway_is_asked_for_by_another(watching: FollowedLogFixture) -> None:
    """A configuration that the gateway no longer has by one receipt is found by a later one, which is asked
    by first.
    """
    net = watching.net
    watching.gateway.knows = False
    first = net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    assert len(watching.gateway.asked) == 1
    watching.gateway.knows = True
    net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    assert len(set(watching.gateway.asked)) == len(watching.gateway.asked) == 2
    assert watching.watch.judge.marks(first, net.now)[Question.RAN].state.value == "witnessed"


async def test_the_only_receipt_is_asked_by_again(
    watching: FollowedLogFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log and quorum are faster than an answer's last bytes at times: what the gateway does not know yet is
    asked for again, though nothing else ever happens.
    """
    monkeypatch.setattr(configurations, "PAUSE_S", 0.001)
    net = watching.net
    watching.gateway.knows_after = 3
    index = net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    arrived = asyncio.Event()
    watching.watch.configurations.changed.append(lambda _: arrived.set())
    running = asyncio.create_task(watching.watch.configurations.run())
    await asyncio.wait_for(arrived.wait(), 60)
    running.cancel()
    assert watching.watch.judge.marks(index, net.now)[Question.RAN].state.value == "witnessed"


async def test_what_a_gateway_never_knows_is_not_asked_for_for_ever(watching: FollowedLogFixture) -> None:
    """Each receipt is asked by so often, and no more: another gateway's node may never be known here."""
    net = watching.net
    watching.gateway.knows = False
    for _ in range(2):
        net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    for _ in range(3 * configurations.TRIES):
        await watching.watch.configurations.fetch()
    assert sorted(Counter(watching.gateway.asked).values()) == [configurations.TRIES] * 2


async def test_an_unreachable_gateway_is_asked_again(watching: FollowedLogFixture) -> None:
    """While the gateway cannot be reached nothing is forgotten."""
    net = watching.net
    watching.pool.unmount("gateway.test")
    index = net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    watching.pool.mount("gateway.test", watching.gateway)
    await watching.watch.configurations.fetch()
    assert watching.watch.judge.marks(index, net.now)[Question.RAN].state.value == "witnessed"
