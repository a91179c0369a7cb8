"""A follower that is told: it believes a stream no more than it believes answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable, VerificationFailed
from hallmark.ledger.follow import Alive, Cosigned, Covered, Frame, Uncovered
from hallmark.services.following.log_client import LogClient
from hallmark.testing.dossiers import Notary
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import LittleNetwork


class Script:
    """A log that streams what the test says."""

    def __init__(self, *frames: Frame) -> None:
        self.frames = frames
        self.together = False
        self.asked: list[tuple[int, bool]] = []

    async def follow(self, start: int, *, tail: bool = False) -> AsyncGenerator[list[Frame], None]:
        """The frames, one by one or all together, then the end."""
        self.asked.append((start, tail))
        for frames in [list(self.frames)] if self.together else [[frame] for frame in self.frames]:
            yield frames


async def told(watching: FollowedLogFixture, *frames: Frame, together: bool = False) -> Script:
    """Let the follower listen to one stream. Raises what it makes of it."""
    script = Script(*frames)
    script.together = together
    watching.follower._log = cast(LogClient, script)
    with pytest.raises(Unavailable) as caught:
        await watching.follower._listen()
    if caught.value.reason != "log_stream_ended":
        raise caught.value
    return script


def note(watching: FollowedLogFixture, size: int | None = None, signers: list[str] | None = None) -> Cosigned:
    """A checkpoint of the little network."""
    return Cosigned(watching.notary.cosigned(size, signers).encode())


async def test_a_checkpoint_and_its_leaves_are_folded(watching: FollowedLogFixture) -> None:
    """At the start a chunk at a time, later all at once; callbacks come once a checkpoint, in order."""
    net, follower = watching.net, watching.follower
    sizes: list[int] = []
    follower.heads.append(lambda verified, _: sizes.append(verified.checkpoint.size))
    first = len(net.leaves)
    script = await told(watching, note(watching), Covered(0, net.leaves[:5]), Covered(5, net.leaves[5:]))
    assert script.asked == [(0, True)]
    net.add(net.receipt_entry(net.nodes[0]))
    net.add(net.receipt_entry(net.nodes[0]))
    script = await told(watching, note(watching), Covered(first, net.leaves[first:]), Alive(), note(watching))
    assert script.asked == [(first, True)]
    assert sizes == [first, first + 2]
    assert follower.replica.root() == net.tree.root()


async def test_nothing_is_folded_before_all_below_a_checkpoint_is_there(watching: FollowedLogFixture) -> None:
    """A stream that breaks off half way leaves the replica where it was."""
    await watching.witness()
    net, size = watching.net, watching.net.tree.size
    for _ in range(4):
        net.add(net.receipt_entry(net.nodes[0]))
    await told(watching, note(watching), Covered(size, net.leaves[size : size + 3]))
    assert watching.follower.replica.size == size
    await told(watching, note(watching), Covered(size, net.leaves[size:]))
    assert watching.follower.replica.size == size + 4


LIES = ("changed", "early", "gap", "again", "beyond", "unfinished", "no quorum", "no note")


@pytest.mark.parametrize("lie", LIES)
async def test_a_lying_log_gains_nothing(watching: FollowedLogFixture, lie: str) -> None:
    """Whatever a stream says, only leaves that a quorum's root covers are folded, and those never change."""
    await watching.witness()
    net, size = watching.net, watching.net.tree.size
    for _ in range(3):
        net.add(net.receipt_entry(net.nodes[0]))
    new, target = net.leaves[size:], note(watching)
    frames: dict[str, tuple[Frame, ...]] = {
        "changed": (target, Covered(size, [*new[:2], new[2][:-1] + b"\0"])),
        "early": (Covered(size, new),),
        "gap": (target, Covered(size + 1, new[1:])),
        "again": (target, Covered(size - 1, net.leaves[size - 1 :])),
        "beyond": (target, Covered(size, [*new, new[0]])),
        "unfinished": (target, Covered(size, new[:1]), target),
        "no quorum": (note(watching, signers=["full node 0"]), Covered(size, new)),
        "no note": (Cosigned(b"\xff"),),
    }
    with pytest.raises((Unavailable, VerificationFailed, InvalidInput)):
        await told(watching, *frames[lie])
    assert watching.follower.replica.size == size


async def test_another_root_for_the_same_size_ends_all_trust(watching: FollowedLogFixture) -> None:
    """A quorum's note that contradicts what was folded is found although no leaf comes with it."""
    await watching.witness()
    other = LittleNetwork(found=False)
    for number, data in enumerate(watching.net.leaves):
        other.add(data[8:], int.from_bytes(data[:8], "big") - (number == 0))
    watching.follower._log = cast(LogClient, Script(Cosigned(Notary(other).cosigned().encode())))
    await asyncio.wait_for(watching.follower.run(), 60)
    assert watching.follower.distrust == "log_root_differs"


async def test_an_older_checkpoint_changes_nothing(watching: FollowedLogFixture) -> None:
    """A log that was started again may name one that it kept."""
    await watching.witness()
    size = watching.net.tree.size
    await told(watching, note(watching, size - 1))
    assert watching.follower.replica.size == size


async def test_the_tail_is_shown_and_leaves_when_it_is_covered(watching: FollowedLogFixture) -> None:
    """Told, not polled: who watches hears of it twice, and none of it is folded before."""
    await watching.witness()
    net, tail, size = watching.net, watching.watch.tail, watching.net.tree.size
    changes: list[int] = []
    tail.changed.append(lambda: changes.append(len(tail.receipts)))
    for _ in range(2):
        net.add(net.receipt_entry(net.nodes[0]))
    new = net.leaves[size:]
    await told(watching, note(watching, size), Uncovered(size + 2, size, new))
    assert (len(tail.receipts), tail.backlog, tail.since) == (2, 2, net.now)
    assert watching.follower.replica.size == size
    await told(watching, note(watching), Covered(size, new))
    assert (tail.receipts, tail.backlog, tail.since, changes) == ((), 0, 0, [2, 0])


async def test_who_does_not_tell_is_asked(watching: FollowedLogFixture) -> None:
    """A mirror without streams is followed by asking, and its tail by looking."""
    asked = asyncio.Event()

    class Mirror:
        def __getattr__(self, name: str) -> Any:
            return getattr(watching.log, name)

        async def wait(self, _size: int, _timeout_ms: int) -> None:
            asked.set()
            await asyncio.Event().wait()

    watching.follower._log = cast(LogClient, Mirror())
    task = asyncio.ensure_future(watching.follower.run())
    await asyncio.wait_for(asked.wait(), 60)
    assert watching.follower.pulls.is_set()
    assert watching.watch.tail.pulls is watching.follower.pulls
    assert watching.follower.replica.size == watching.net.tree.size
    task.cancel()
    with pytest.raises((asyncio.CancelledError, HallmarkError)):
        await task


async def test_of_checkpoints_that_come_together_the_newest_is_verified(watching: FollowedLogFixture) -> None:
    """A follower that may rest believes the newest quorum for all leaves; a lie in it moves nothing."""
    await watching.witness()
    net, follower, size = watching.net, watching.follower, watching.net.tree.size
    frames: list[Frame] = []
    for _ in range(3):
        net.add(net.receipt_entry(net.nodes[0]))
        frames += [note(watching, signers=["full node 0"]), Covered(net.tree.size - 1, net.leaves[-1:])]
    follower._rest_s, sizes = 0.001, []
    follower.heads.append(lambda verified, _: sizes.append(verified.checkpoint.size))
    with pytest.raises(VerificationFailed, match="not the quorum"):
        await told(watching, *frames, together=True)
    assert follower.replica.size == size
    await told(watching, *frames[:4], note(watching), frames[5], together=True)
    assert (follower.replica.size, sizes) == (size + 3, [size + 3])
    assert follower.replica.root() == net.tree.root()


async def test_a_follower_rests_until_somebody_waits(watching: FollowedLogFixture) -> None:
    """What comes after the first checkpoint stays unread until it is waited for."""
    await watching.witness()
    net, follower, size = watching.net, watching.follower, watching.net.tree.size
    frames: list[list[Frame]] = []
    for _ in range(2):
        net.add(net.receipt_entry(net.nodes[0]))
        frames.append([note(watching), Covered(net.tree.size - 1, net.leaves[-1:])])

    async def follow(_start: int, *, tail: bool = False) -> AsyncGenerator[list[Frame], None]:
        del tail
        for both in frames:
            yield both
        await asyncio.Event().wait()

    follower._rest_s = 3600.0
    follower._log = cast(Any, type("Slow", (), {"follow": staticmethod(follow)}))
    arrived = asyncio.Event()
    follower.heads.append(lambda _verified, _note: arrived.set())
    running = asyncio.create_task(follower.run())
    await asyncio.wait_for(arrived.wait(), 60)
    for _ in range(20):
        await asyncio.sleep(0)
    assert follower.replica.size == size + 1
    assert await follower.reached(size + 2, 5)
    running.cancel()
