"""The log's tail: receipts before any quorum covers them."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.entries import Entry
from hallmark.core.errors import Unavailable
from hallmark.services.following import pending_receipts as module
from hallmark.testing.followed_log import FollowedLogFixture


async def test_with_full_nodes_stopped_receipts_show_in_the_tail_and_leave_it_when_covered(
    watching: FollowedLogFixture,
) -> None:
    """They show at once, oldest first, and each leaves when it is folded; the backlog counts meanwhile."""
    net, tail = watching.net, watching.watch.tail
    changes: list[int] = []
    tail.changed.append(lambda: changes.append(len(tail.receipts)))
    await watching.witness()
    await tail.poll()
    assert (tail.backlog, tail.since, tail.receipts) == (0, 0, ())
    answers = [net.answer(net.nodes[0]) for _ in range(3)]
    places = [net.add(answer.entry) for answer in answers]
    net.add(net.retirement(net.nodes[1]))
    await tail.poll()
    net.tick(1_000)
    await tail.poll()
    assert [p.id for p in tail.receipts] == [a.receipt.digest() for a in answers]
    assert [p.position for p in tail.receipts] == places
    assert (tail.backlog, tail.since) == (4, net.start)
    assert tail.get(answers[1].receipt.digest()) == tail.receipts[1]
    await watching.witness()
    assert tail.receipts == ()
    assert tail.get(answers[1].receipt.digest()) is None
    await tail.poll()
    assert (tail.backlog, tail.since) == (0, 0)
    assert changes == [3, 0]


async def test_the_tail_takes_no_receipt_with_another_signature(watching: FollowedLogFixture) -> None:
    """Bytes that are no entry, receipts of others' keys and of other networks are not shown."""
    net, tail = watching.net, watching.watch.tail
    await watching.witness()
    good = net.receipt_entry(net.nodes[0])
    net.add(Entry(good.statement, (net.receipt_entry(net.nodes[1]).signatures[0],), good.attachments))
    net.add(msgspec.structs.replace(good, signatures=()))
    net.add(net.receipt_entry(net.nodes[0], network=bytes(32)))
    net.add(b"\x01\x08" + b"junk")
    await tail.poll()
    assert tail.receipts == ()
    assert tail.backlog == 4


async def test_the_tail_is_bounded(watching: FollowedLogFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long tail only the newest entries are read."""
    monkeypatch.setattr(module, "NEWEST", 3)
    net, tail = watching.net, watching.watch.tail
    await watching.witness()
    answers = [net.answer(net.nodes[0]) for _ in range(5)]
    for answer in answers:
        net.add(answer.entry)
    await tail.poll()
    assert [p.id for p in tail.receipts] == [a.receipt.digest() for a in answers[2:]]
    assert tail.backlog == 5


async def test_a_log_that_is_away_leaves_the_tail_as_it_was(watching: FollowedLogFixture) -> None:
    """Nothing is forgotten because the log does not answer."""
    net, tail = watching.net, watching.watch.tail
    await watching.witness()
    net.add(net.receipt_entry(net.nodes[0]))
    await tail.poll()
    watching.log.down = True
    with pytest.raises(Unavailable):
        await tail.poll()
    assert len(tail.receipts) == 1


async def test_the_tail_is_never_folded(watching: FollowedLogFixture) -> None:
    """Reading the tail changes nothing of what the replica holds."""
    await watching.witness()
    size = watching.follower.replica.size
    watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.watch.tail.poll()
    assert watching.follower.replica.size == size
