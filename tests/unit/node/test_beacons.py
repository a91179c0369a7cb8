"""When an enclave is brought a beacon: when the log has told of a newer one, and else seldom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger import checkpoint as checkpoints
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.follow import Cosigned, encode
from hallmark.services.enclave.control import BeaconUpdate
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node.beacons import Beacons
from hallmark.services.node.forwarder import LogClient
from hallmark.testing.lying_log import ORIGIN, LyingLog
from hallmark.testing.ports import free_port


def beacon(size: int) -> Beacon:
    """A beacon of `size`."""
    return Beacon(size, sha256(b"root", bytes([size])))


class Telling:
    """A log that tells what the test says; None ends its stream, an error too."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Beacon | HallmarkError | None] = asyncio.Queue()
        self.asked = self.opened = 0
        self.has = Beacon(0, bytes(32))

    async def beacons(self, _every_ms: int) -> AsyncGenerator[Beacon, None]:
        """One stream."""
        self.opened += 1
        while (told := await self.queue.get()) is not None:
            if isinstance(told, HallmarkError):
                raise told
            yield told

    async def beacon(self) -> Beacon:
        """What it has."""
        self.asked += 1
        return self.has


class Bench:
    """A log, and the messages that an enclave got."""

    def __init__(self, ask_s: float = 60.0) -> None:
        self.log, self.got = Telling(), list[int]()
        self.fails = 0
        self._came = asyncio.Event()
        self.beacons = Beacons(cast(Any, self.log), self._send, every_ms=1, ask_s=ask_s)
        self.running = asyncio.ensure_future(self.beacons.run())

    def _send(self, update: BeaconUpdate) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("enclave_gone", "It is busy.")
        self.got.append(update.size)
        self._came.set()

    async def until(self, count: int) -> list[int]:
        """The first so many messages."""
        async with asyncio.timeout(60):
            while len(self.got) < count:
                self._came.clear()
                await self._came.wait()
        return self.got[:count]


async def test_newer_beacons_come_at_once_and_no_request_is_made() -> None:
    """One stream; what is told again is not sent again."""
    bench = Bench()
    for size in (1, 1, 2):
        bench.log.queue.put_nowait(beacon(size))
        if size not in bench.got:
            await bench.until(len(bench.got) + 1)
    assert bench.got == [1, 2]
    assert (bench.log.opened, bench.log.asked) == (1, 0)
    bench.running.cancel()


async def test_without_news_the_enclave_is_asked_whether_it_is_there() -> None:
    """It answers the last beacon as well as a new one; an enclave that cannot take it ends nothing."""
    bench = Bench(ask_s=0.001)
    bench.log.queue.put_nowait(beacon(3))
    assert set((await bench.until(4))[-3:]) == {3}
    bench.fails = 2
    await bench.until(len(bench.got) + 1)
    assert bench.fails == 0
    assert bench.log.asked == 0
    bench.running.cancel()


@pytest.mark.parametrize(
    "end", [None, NotFound("no_such_path", "No."), Unavailable("too_many_followers", "Full.")]
)
async def test_a_log_that_does_not_tell_is_asked(end: HallmarkError | None) -> None:
    """And followed again afterwards."""
    bench = Bench()
    bench.log.has = beacon(5)
    bench.log.queue.put_nowait(end)
    assert await bench.until(1) == [5]
    bench.log.queue.put_nowait(beacon(6))
    assert await bench.until(2) == [5, 6]
    assert (bench.log.opened, bench.log.asked) == (2, 1)
    bench.running.cancel()


async def test_what_the_log_tells_is_read_and_another_networks_log_is_refused() -> None:
    """From the bytes of the stream."""
    log, pool = LyingLog(), Pool()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        assert (scope["path"], scope["query_string"]) == ("/follow", b"notes=1&every=500")
        note = checkpoints.sign(Checkpoint(ORIGIN, 7, beacon(7).root), log.key)
        await respond(send, 200, encode(Cosigned(note.encode())))

    async with serving(Service(app), bind(Listen(free_port()))) as url:
        client = LogClient(pool, url, ORIGIN)
        assert [b async for b in client.beacons(500)] == [beacon(7)]
        with pytest.raises(VerificationFailed, match="another network"):
            _ = [b async for b in LogClient(pool, url, "else").beacons(500)]
        await pool.aclose()
