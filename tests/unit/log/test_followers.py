"""Followers of a log: what is told to whom and when, how many there may be, and what a slow one costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.log.test_publisher import POLICY, Bench, started

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.http.asgi import Message
from hallmark.ledger.follow import MAX_BODY, Alive, Cosigned, Covered, Frame, Frames, Uncovered, encode
from hallmark.ledger.note import Note
from hallmark.ledger.policy import verify_quorum
from hallmark.services.log import followers as module
from hallmark.services.log.followers import Cursor, Followers, Source, check_start
from hallmark.services.log.settings import Limits


class Client:
    """One follower's end of the wire. `reads` is cleared while it does not read."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.status = 0
        self.ended = False
        self.sent = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.came = asyncio.Event()
        self.left = asyncio.Event()
        self._parser = Frames()

    async def receive(self) -> Message:
        """A request without a body, then nothing until the client leaves."""
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what the log sends."""
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.sent += 1
        self.ended = not message.get("more_body", False)
        self.frames += self._parser.feed(message.get("body", b""))
        self.came.set()

    async def until(self, *kinds: type[Any]) -> list[Frame]:
        """Wait until the newest frames are of these kinds; all frames, which are then forgotten."""
        async with asyncio.timeout(60):
            while tuple(type(frame) for frame in self.frames)[-len(kinds) :] != kinds:
                self.came.clear()
                await self.came.wait()
        found, self.frames = self.frames, []
        return found


class Telling:
    """A log of `size` cosigned leaves that tells followers."""

    def __init__(self, bench: Bench, limits: Limits | None = None) -> None:
        self.bench = bench
        self.followers = Followers(limits)
        self.source = Source(bench.store, bench.publisher)
        bench.publisher.on_done = lambda _round: self.followers.cosigned()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(
        self, client: Client, start: int = 0, *, tail: bool = False, address: bytes = b"a", **changes: Any
    ) -> Any:
        """Let a client follow."""
        cursor = Cursor(start, tail=0 if tail else -1, **changes)
        serving = self.followers.serve(self.source, cursor, address, client.receive, client.send)
        self._tasks.append(asyncio.ensure_future(serving))
        return self._tasks[-1]

    async def grow(self, count: int = 1, *, cosigned: bool = True) -> None:
        """Log leaves, cosigned by a quorum or not."""
        await self.bench.grow(count)
        self.followers.grown()
        if cosigned:
            self.bench.cosign("w0", "w1", "w2")


@pytest.fixture
async def telling() -> Telling:
    """A log of three cosigned leaves."""
    telling = Telling(await started())
    await telling.grow(3)
    return telling


async def test_a_follower_is_told_the_checkpoint_and_the_leaves_below_it(telling: Telling) -> None:
    """From its position on: a note that a quorum cosigned, then leaves, each once; then what comes."""
    client = Client()
    telling.follow(client, 1)
    note, covered = await client.until(Cosigned, Covered)
    assert isinstance(note, Cosigned)
    assert isinstance(covered, Covered)
    verified = verify_quorum(POLICY, Note.parse(note.note))
    assert (verified.checkpoint.size, len(verified.signers)) == (3, 3)
    assert (covered.start, covered.leaves) == (1, await telling.bench.store.leaves(1, 3))
    await telling.grow(2)
    _, covered = await client.until(Cosigned, Covered)
    assert isinstance(covered, Covered)
    assert (covered.start, len(covered.leaves), client.sent) == (3, 2, 2)


async def test_who_has_everything_is_told_the_newest_checkpoint_alone(telling: Telling) -> None:
    """A follower that comes back at the end learns that it is the end."""
    client = Client()
    telling.follow(client, 3)
    assert [type(frame) for frame in await client.until(Cosigned)] == [Cosigned]


async def test_the_tail_goes_to_who_asked_and_only_while_no_quorum_comes(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cosigned in time is told once; what waits is told as such, and again below its checkpoint."""
    monkeypatch.setattr(module, "TAIL_S", 0.0)
    plain, whole = Client(), Client()
    telling.follow(plain, 3)
    telling.follow(whole, 3, tail=True)
    await plain.until(Cosigned)
    await whole.until(Cosigned)
    await telling.grow(2, cosigned=False)
    (uncovered,) = await whole.until(Uncovered)
    assert isinstance(uncovered, Uncovered)
    assert (uncovered.size, uncovered.start, len(uncovered.leaves)) == (5, 3, 2)
    await telling.grow(1, cosigned=False)
    (uncovered,) = await whole.until(Uncovered)
    assert isinstance(uncovered, Uncovered)
    assert (uncovered.size, uncovered.start, len(uncovered.leaves)) == (6, 5, 1)
    assert plain.frames == []
    telling.bench.cosign("w0", "w1", "w2")
    telling.bench.cosign("w0", "w1", "w2")
    assert [type(frame) for frame in await plain.until(Cosigned, Covered)].count(Uncovered) == 0
    await whole.until(Cosigned, Covered)


async def test_a_checkpoint_ends_the_wait_of_the_tail(telling: Telling) -> None:
    """Leaves that are younger than it begin to wait then: without any nobody waits, else anew."""
    client = Client()
    telling.follow(client, 3, tail=True)
    await client.until(Cosigned)
    await telling.grow(1, cosigned=False)
    first = telling.followers._timer
    assert first is not None
    telling.followers.cosigned()
    assert first.cancelled()
    assert telling.followers._timer is None
    telling.followers.cosigned(leaves_left=True)
    assert telling.followers._timer is not None


async def test_on_a_network_that_works_nothing_is_told_twice(telling: Telling) -> None:
    """Followed with the tail, ten entries that are cosigned at once are ten messages."""
    client = Client()
    telling.follow(client, 3, tail=True)
    await client.until(Cosigned)
    for _ in range(10):
        await telling.grow()
        await client.until(Cosigned, Covered)
    assert client.sent == 11


async def test_who_wants_checkpoints_alone_and_seldom_costs_no_more(telling: Telling) -> None:
    """The first is told at once; while the follower rests twenty go by, and it still hears the log's end."""
    client, other = Client(), Client()
    task = telling.follow(client, leaves=False, every_s=60.0)
    telling.follow(other, 3)
    await client.until(Cosigned)
    for _ in range(20):
        await telling.grow()
        await other.until(Cosigned, Covered)
    assert client.sent == 1
    assert len(telling.followers) == 2
    telling.followers.close()
    await asyncio.wait_for(task, 60)
    assert client.ended


async def test_after_its_rest_a_follower_is_told_the_newest(telling: Telling) -> None:
    """Not the ones in between."""
    client = Client()
    telling.follow(client, leaves=False, every_s=0.001)
    await client.until(Cosigned)
    await telling.grow(2)
    (note,) = await client.until(Cosigned)
    assert isinstance(note, Cosigned)
    assert verify_quorum(POLICY, Note.parse(note.note)).checkpoint.size == 5


async def test_a_stalled_follower_costs_one_chunk_and_holds_up_nobody(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it does not read nothing is made ready for it; when it reads again it gets all that it lacks."""
    monkeypatch.setattr(module, "CHUNK", 30)
    stalled, other = Client(), Client()
    telling.follow(stalled, 3)
    telling.follow(other, 3)
    await stalled.until(Cosigned)
    stalled.reads.clear()
    for size in range(4, 24):
        await telling.grow()
        await other.until(Cosigned, Covered)
        assert telling.bench.publisher.cosigned_size == size
    assert stalled.sent == 1
    stalled.reads.set()
    got: list[bytes] = []
    while len(got) < 20:
        for frame in await stalled.until(Covered):
            got += frame.leaves if isinstance(frame, Covered) else []
    assert got == await telling.bench.store.leaves(3, 23)


async def test_whoever_leaves_is_forgotten(telling: Telling) -> None:
    """Nothing of a follower stays when it goes away."""
    client = Client()
    task = telling.follow(client)
    await client.until(Cosigned, Covered)
    assert len(telling.followers) == 1
    client.left.set()
    await asyncio.wait_for(task, 60)
    assert (len(telling.followers), dict(telling.followers._addresses)) == (0, {})


async def test_followers_are_bounded() -> None:
    """In all, and by address; who is refused is told when to come again."""
    telling = Telling(await started(), Limits(followers=3, address_followers=2))
    for _ in range(2):
        client = Client()
        telling.follow(client)
        await client.until(Cosigned)
    for address, reason in ((b"a", "too_many_followers"), (b"b", ""), (b"c", "log_busy")):
        client = Client()
        task = telling.follow(client, address=address)
        if not reason:
            await client.until(Cosigned)
            continue
        with pytest.raises(HallmarkError) as caught:
            await task
        assert caught.value.reason == reason


async def test_a_log_that_stops_ends_its_streams(telling: Telling) -> None:
    """A follower of a log that goes away hears the end, and does not hold up its stopping."""
    client = Client()
    task = telling.follow(client)
    await client.until(Cosigned, Covered)
    telling.followers.close()
    await asyncio.wait_for(task, 60)
    assert client.ended


async def test_an_idle_log_says_now_and_then_that_it_is_there(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise nobody would notice that it is not."""
    monkeypatch.setattr(module, "ALIVE_S", 0.001)
    client = Client()
    telling.follow(client, 3)
    await client.until(Alive)


async def test_nobody_follows_from_beyond_the_end(telling: Telling) -> None:
    """A position that the log has not reached is refused."""
    check_start(telling.bench.store, 3)
    with pytest.raises(InvalidInput) as caught:
        check_start(telling.bench.store, 4)
    assert caught.value.reason == "follower_ahead"


FRAMES = (Cosigned(b"note"), Covered(7, [b"a", b"bc"]), Uncovered(9, 8, [b"d"]), Alive())


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_frames_survive_the_wire_however_it_is_cut(step: int) -> None:
    """What was encoded is decoded, byte by byte or all at once."""
    data = b"".join(map(encode, FRAMES))
    parser, found = Frames(), []
    for at in range(0, len(data), step):
        found += parser.feed(data[at : at + step])
    assert tuple(found) == FRAMES


@pytest.mark.parametrize(
    "data",
    [
        b"\x05\0\0\0\0",
        b"\x04\0\0\0\x01x",
        b"\x02\0\0\0\x03abc",
        b"\x03\0\0\0\x08abcdefgh",
        b"\x02\0\0\0\x09" + bytes(8) + b"\xff",
        b"\x01" + (MAX_BODY + 1).to_bytes(4, "big"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    """Unknown kinds, cut places, cut bundles, and lengths that nobody would send."""
    with pytest.raises(InvalidInput):
        Frames().feed(data)
