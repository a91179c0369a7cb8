"""The journal's file: what is acknowledged is there after any end, and a new journal comes in one step."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hallmark.core.errors import Conflict, Unavailable
from hallmark.payments.accounts import Accounts, Event
from hallmark.payments.journal import Journal, Read, read_journal
from hallmark.services.node import journal_file
from hallmark.services.node.journal_file import JournalFile

KEY, NAME = b"\1" * 32, b"\2" * 32


def frames(count: int, *, salt: int = 0) -> list[bytes]:
    """Frames of a journal with `count` events."""
    accounts = Accounts()
    events: list[Event] = [accounts.grant(1, b"\3" * 20, 1_000_000 + salt)]
    for number in range(1, count):
        request = number.to_bytes(32, "big")
        events.append(accounts.reserve(1, request, request, most=5, expires=9))
    journal = Journal(KEY, NAME)
    return [journal.frame(event, (salt + at).to_bytes(12, "big")) for at, event in enumerate(events)]


def read(data: bytes) -> Read:
    """The journal as the enclave reads it."""
    return read_journal(data, KEY, NAME)


class Bench:
    """A journal file and the acknowledgements that came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = JournalFile(path)
        self.kept: list[int] = []
        self._came = asyncio.Event()

    async def begin(self) -> Path | None:
        """An enclave begins."""
        return await self.file.begin(self._keep)

    def put(self, given: list[bytes], *durable: int, first: int = 1) -> None:
        """Put frames from position `first`; `durable` are those that ask for the disk."""
        for position, frame in enumerate(given, first):
            self.file.put(position, frame, durable=position in durable)

    async def until(self, position: int) -> None:
        """Until it is acknowledged."""
        async with asyncio.timeout(60):
            while not self.kept or self.kept[-1] < position:
                self._came.clear()
                await self._came.wait()

    def _keep(self, position: int) -> None:
        self.kept.append(position)
        self._came.set()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Bench]:
    """A journal file with an enclave that has begun."""
    bench = Bench(folder / "node.db.journal")
    await bench.begin()
    try:
        yield bench
    finally:
        await bench.file.close()


async def test_frames_come_back_in_order(tmp_path: Path) -> None:
    """Whatever was put is there for the next enclave, which goes on behind it."""
    given = frames(9)
    async with opened(tmp_path) as bench:
        bench.put(given[:6], 2, 5)
        await bench.until(6)
        handed = await bench.begin()
        assert handed is not None
        assert handed.read_bytes() == b"".join(given[:6])
        bench.put(given[6:], 9, first=7)
        await bench.until(9)
        assert (bench.file.position, bench.file.kept) == (9, 9)
    assert read(bench.path.read_bytes()).position == 9


async def test_a_journal_that_nobody_wrote_is_not_handed_on(tmp_path: Path) -> None:
    """There is no file before the first frame that asks for the disk."""
    async with opened(tmp_path) as bench:
        assert await bench.begin() is None
        assert list(tmp_path.iterdir()) == []


async def test_one_sync_serves_all_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that come together share an fsync; those that do not ask for one cause none."""
    given = frames(200)
    async with opened(tmp_path) as bench:
        bench.put(given[:1], 1)
        await bench.until(1)
        syncs, real = 0, os.fdatasync

        def counted(fd: int) -> None:
            nonlocal syncs
            syncs += 1
            real(fd)

        monkeypatch.setattr(os, "fdatasync", counted)
        bench.put(given[1:100], first=2)
        await bench.until(100)
        assert syncs == 0
        bench.put(given[100:], *range(101, 201), first=101)
        await bench.until(200)
        assert syncs == 1


async def test_acknowledgements_go_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came after a frame that waits for the disk is acknowledged with it, not before."""
    given = frames(4)
    async with opened(tmp_path) as bench:
        bench.put(given[:1], 1)
        await bench.until(1)
        syncing, go = asyncio.Event(), asyncio.Event()
        loop, real = asyncio.get_running_loop(), os.fdatasync

        def slow(fd: int) -> None:
            loop.call_soon_threadsafe(syncing.set)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            real(fd)

        monkeypatch.setattr(os, "fdatasync", slow)
        bench.put(given[1:3], 3, first=2)
        await syncing.wait()
        assert bench.kept == [1, 2]
        bench.put(given[3:], first=4)
        await asyncio.sleep(0)
        assert bench.path.read_bytes() == b"".join(given)
        assert bench.kept == [1, 2]
        go.set()
        await bench.until(4)
        assert bench.kept == [1, 2, 4]


async def test_a_new_journal_takes_the_place_in_one_step(tmp_path: Path) -> None:
    """The old one counts until the new one's first frame that asks for the disk is there."""
    old, new = frames(5), frames(7, salt=100)
    async with opened(tmp_path) as bench:
        bench.put(old, 5)
        await bench.until(5)
        bench.kept.clear()
        bench.put(new[:3])
        await bench.until(3)
        assert bench.path.read_bytes() == b"".join(old)
        bench.put(new[3:5], 5, first=4)
        await bench.until(5)
        assert bench.path.read_bytes() == b"".join(new[:5])
        bench.put(new[5:], 7, first=6)
        await bench.until(7)
        assert [path.name for path in tmp_path.iterdir()] == [bench.path.name]
    assert bench.path.read_bytes() == b"".join(new)


async def test_a_half_made_new_journal_goes(tmp_path: Path) -> None:
    """An enclave that died while it began a new journal leaves the old one; so does one that begins twice."""
    old, new = frames(5), frames(7, salt=100)
    async with opened(tmp_path) as bench:
        bench.put(old, 5)
        await bench.until(5)
        bench.put(new[:3])
        bench.put(frames(4, salt=200)[:2])
        await asyncio.sleep(0)
        assert await bench.begin() == bench.path
        assert bench.path.read_bytes() == b"".join(old)
        assert [path.name for path in tmp_path.iterdir()] == [bench.path.name]
        bench.put(new[:1], 1)
        bench.kept.clear()
        await bench.until(1)
    assert bench.path.read_bytes() == new[0]


async def test_half_a_frame_is_written_over(tmp_path: Path) -> None:
    """Half a frame at the end is handed on as it is; the next comes behind the last whole one."""
    given = frames(6)
    path = tmp_path / "node.db.journal"
    for left in (1, 20, len(given[3]) - 1):
        path.write_bytes(b"".join(given[:3]) + given[3][:left])
        async with opened(tmp_path) as bench:
            handed = await bench.begin()
            assert handed is not None
            assert read(handed.read_bytes()).position == 3
            bench.put(given[3:5], 5, first=4)
            await bench.until(5)
        assert path.read_bytes() == b"".join(given[:5])


async def test_a_gap_is_refused(tmp_path: Path) -> None:
    """A frame that does not follow the last is none of this journal."""
    given = frames(4)
    async with opened(tmp_path) as bench:
        with pytest.raises(Conflict, match="Frame 3"):
            bench.put(given[2:3], first=3)
        bench.put(given[:2], 2)
        with pytest.raises(Conflict, match="Frame 4"):
            bench.put(given[3:], first=4)


async def test_a_full_disk_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a write, then none: nothing is acknowledged, health says so, and then everything is there."""
    monkeypatch.setattr(journal_file, "RETRY_S", 0.001)
    given = frames(20)
    async with opened(tmp_path) as bench:
        bench.put(given[:5], 5)
        await bench.until(5)
        real, room, asked = os.pwrite, 100, 0
        full = asyncio.Event()

        def scarce(fd: int, data: memoryview, offset: int) -> int:
            nonlocal room, asked
            asked += 1
            if asked > 4:
                full.set()
            part = min(room, len(data))
            if not part:
                raise OSError(errno.ENOSPC, "full")
            room -= part
            return real(fd, data[:part], offset)

        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", scarce)
            bench.put(given[5:19], 6, 19, first=6)
            await full.wait()
            assert bench.kept[-1] == 5
            assert bench.file.problem == "store_full"
            with pytest.raises(Unavailable, match="no space"):
                await bench.begin()
        await bench.until(19)
        assert bench.file.problem == ""
        bench.put(given[19:], 20, first=20)
        await bench.until(20)
    assert bench.path.read_bytes() == b"".join(given)


async def test_what_a_failed_sync_was_for_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fsync may have thrown the pages away: they are written again before the next counts."""
    monkeypatch.setattr(journal_file, "RETRY_S", 0.001)
    given = frames(9)
    async with opened(tmp_path) as bench:
        bench.put(given[:2], 2)
        await bench.until(2)
        real, failures = os.fdatasync, 2

        def losing(fd: int) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                os.pwrite(fd, bytes(len(given[2])), len(b"".join(given[:2])))
                raise OSError(errno.EIO, "lost")
            real(fd)

        monkeypatch.setattr(os, "fdatasync", losing)
        bench.put(given[2:], 4, first=3)
        await bench.until(9)
    assert failures == 0
    assert bench.path.read_bytes() == b"".join(given)


async def test_little_is_left_to_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that never ask for the disk get there when there are many: what may be lost stays bounded."""
    monkeypatch.setattr(journal_file, "MOST_UNSYNCED", 2_000)
    given = frames(60)
    async with opened(tmp_path) as bench:
        bench.put(given[:1], 1)
        await bench.until(1)
        synced, loop, real = asyncio.Event(), asyncio.get_running_loop(), os.fdatasync

        def seen(fd: int) -> None:
            real(fd)
            loop.call_soon_threadsafe(synced.set)

        monkeypatch.setattr(os, "fdatasync", seen)
        bench.put(given[1:], first=2)
        await synced.wait()


WRITER = """
import asyncio, sys
from pathlib import Path
from hallmark.services.node.journal_file import JournalFile

async def main():
    data, at = sys.stdin.buffer.read(), 0
    file = JournalFile(Path(sys.argv[1]))
    await file.begin(lambda position: print(position, flush=True))
    position = 0
    while at < len(data):
        position += 1
        size = 4 + int.from_bytes(data[at : at + 4], "big")
        file.put(position, data[at : at + size], durable=position % 7 == 1)
        at += size
        while position - file.kept > 20:
            await asyncio.sleep(0)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 20, 60])
def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path, lines: int) -> None:
    """A host that is killed in the middle leaves every frame that it had acknowledged, whole."""
    given, path = frames(3_000), tmp_path / "journal"
    writer = subprocess.Popen(
        (sys.executable, "-c", WRITER, str(path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(b"".join(given))
    writer.stdin.close()
    for _ in range(lines):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = writer.stdout.read().split()
    writer.wait()
    there = path.read_bytes()
    assert b"".join(given).startswith(there)
    assert read(there).position >= int((told or [b"1"])[-1])
