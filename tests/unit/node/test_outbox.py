"""The outbox: order, durability across restarts, a full disk, and what the log refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hallmark.core.entries import Kind
from hallmark.core.errors import Unavailable
from hallmark.http.client import Pool
from hallmark.services.node.forwarder import Forwarder, LogClient, LogProblem, Placed
from hallmark.services.node.outbox import Outbox
from hallmark.store.raw import RawDatabase


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Outbox]:
    """An outbox with its writer running, closed without a farewell as by a kill."""
    database = RawDatabase(f"sqlite:///{path}/box.db")
    outbox = Outbox(database)
    running = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        database.close()


async def put(outbox: Outbox, *entries: bytes) -> list[int]:
    """Put entries and wait until they are stored."""
    stored = [asyncio.get_running_loop().create_future() for _ in entries]
    numbers = [
        outbox.put(entry, lambda done=done: done.set_result(None))  # type: ignore[misc]
        for entry, done in zip(entries, stored, strict=True)
    ]
    await asyncio.gather(*stored)
    return numbers


async def test_what_is_stored_survives(tmp_path: Path) -> None:
    """Stored entries are there again in their order; admitted ones are forgotten with the next write."""
    async with opened(tmp_path) as outbox:
        numbers = await put(outbox, b"a", b"b", b"c")
        outbox.admitted(numbers[1])
        await put(outbox, b"d")
    async with opened(tmp_path) as outbox:
        assert list(outbox.waiting.values()) == [b"a", b"c", b"d"]
        assert await put(outbox, b"e") > numbers
        assert outbox.arrived.is_set()


async def test_an_entry_admitted_before_it_is_written_is_not_kept(tmp_path: Path) -> None:
    """The log may be faster than the disk: then the row goes as soon as it can."""
    async with opened(tmp_path) as outbox:
        done = asyncio.get_running_loop().create_future()
        outbox.admitted(outbox.put(b"fast", lambda: done.set_result(None)))
        await done
        await put(outbox, b"next")
        await outbox.close()
    async with opened(tmp_path) as outbox:
        assert list(outbox.waiting.values()) == [b"next"]


async def test_a_full_disk_is_waited_out(tmp_path: Path, monkeypatch: Any) -> None:
    """While the store fails nothing is called stored; afterwards everything is, in order."""
    monkeypatch.setattr("hallmark.services.node.outbox.RETRY_S", 0.001)
    async with opened(tmp_path) as outbox:
        real, failures = outbox._database.async_write, 3

        async def failing(work: Any, **brief: bool) -> Any:
            nonlocal failures
            if failures:
                failures -= 1
                raise Unavailable("store_full", "The disk is full.")
            return await real(work, **brief)

        monkeypatch.setattr(outbox._database, "async_write", failing)
        await put(outbox, b"a", b"b")
        assert failures == 0
    async with opened(tmp_path) as outbox:
        assert list(outbox.waiting.values()) == [b"a", b"b"]


async def test_counters_count_across_restarts(tmp_path: Path) -> None:
    """Each start has its own number."""
    seen = []
    for _ in range(3):
        async with opened(tmp_path) as outbox:
            seen.append(await outbox.count("epoch"))
    assert seen == [1, 2, 3]


async def test_counters_are_at_least_what_is_asked(tmp_path: Path) -> None:
    """A counter follows what it is given, never falls with it, and begins there where the store is new."""
    seen = []
    for least in (100, 100, 50, 200, 1):
        async with opened(tmp_path) as outbox:
            seen.append(await outbox.count("epoch", least))
    (tmp_path / "new").mkdir()
    async with opened(tmp_path / "new") as outbox:
        seen.append(await outbox.count("epoch", 300))
    assert seen == [100, 101, 102, 200, 201, 300]


class Log(LogClient):
    """A log that answers from a script."""

    def __init__(self) -> None:
        super().__init__(Pool(), "http://127.0.0.1:1", "origin")
        self.taken: list[bytes] = []
        self.calls = self.retry_after = 0
        self.answers: dict[bytes, list[str]] = {}

    async def add(self, entries: list[bytes]) -> list[Placed | LogProblem]:
        """Take each entry unless the script has a reason left for it."""
        self.calls += 1
        if self.answers.get(b"", ()):
            raise Unavailable(self.answers[b""].pop(0), "The log is away.")
        results: list[Placed | LogProblem] = []
        for entry in entries:
            if self.answers.get(entry):
                results.append(LogProblem(self.answers[entry].pop(0), retry_after=self.retry_after))
                continue
            self.taken.append(entry)
            results.append(Placed(len(self.taken) - 1, 1))
        return results


@asynccontextmanager
async def forwarding(
    outbox: Outbox, log: Log, monkeypatch: Any, *, gather_s: float = 0.0
) -> AsyncIterator[Forwarder]:
    """A forwarder at work, with short pauses."""
    monkeypatch.setattr("hallmark.services.node.forwarder.FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr("hallmark.services.node.forwarder.GATHER_S", gather_s)
    forwarder = Forwarder(outbox, log)
    forwarder._backoff = 0.001
    running = asyncio.create_task(forwarder.run())
    yield forwarder
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_everything_reaches_the_log_in_order(tmp_path: Path, monkeypatch: Any) -> None:
    """An absent log, then a busy one, delay entries and lose none."""
    log = Log()
    log.answers = {
        b"": ["connect_failed", "log_unavailable"],
        b"1": ["log_busy"],
        b"3": ["receipt_out_of_order"],
    }
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch) as forwarder:
        numbers = await put(outbox, *(b"%d" % n for n in range(6)))
        async with asyncio.timeout(60):
            placed = await forwarder.watch(outbox.put(b"last", lambda: None))
            await forwarder.idle()
        assert placed.admitted == 1
        assert sorted(log.taken) == [b"0", b"1", b"2", b"3", b"4", b"5", b"last"]
        assert not outbox.waiting
        assert len(numbers) == 6


async def test_a_busy_node_sends_together_what_comes_close_behind(tmp_path: Path, monkeypatch: Any) -> None:
    """The first entry goes at once and alone; those that come within the gathering share a request."""
    log = Log()
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch, gather_s=0.05) as forwarder:
        async with asyncio.timeout(10):
            await forwarder.watch(outbox.put(b"first", lambda: None))
            assert log.calls == 1
            for number in range(5):
                await put(outbox, b"%d" % number)
            await forwarder.idle()
        assert log.taken == [b"first", *(b"%d" % number for number in range(5))]
        assert log.calls <= 3


async def test_only_what_was_sent_is_waited_for(tmp_path: Path, monkeypatch: Any) -> None:
    """The end of a request begins no gathering: what comes when the last one is over goes at once."""
    log = Log()
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch, gather_s=3600.0) as forwarder:
        async with asyncio.timeout(60):
            await forwarder.watch(outbox.put(b"first", lambda: None))
            sent = forwarder._next
            while outbox.arrived.is_set():  # noqa: ASYNC110 - until the forwarder has looked again
                await asyncio.sleep(0)
            assert forwarder._next == sent
            forwarder._next = 0.0
            await forwarder.watch(outbox.put(b"second", lambda: None))
        assert log.taken == [b"first", b"second"]


async def test_what_is_gathered_when_the_host_is_killed_is_sent_by_the_next(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """An entry that waits for company stands in the outbox, like any other that the log has not taken."""
    log = Log()
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch, gather_s=3600.0) as forwarder:
        async with asyncio.timeout(60):
            await forwarder.watch(outbox.put(b"first", lambda: None))
        await put(outbox, b"second", b"third")
        for _ in range(20):
            await asyncio.sleep(0)
        assert log.taken == [b"first"]
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch) as forwarder:
        async with asyncio.timeout(60):
            await forwarder.idle()
    assert log.taken == [b"first", b"second", b"third"]


async def test_the_log_says_when_to_come_again(tmp_path: Path, monkeypatch: Any) -> None:
    """In seconds, at most a minute, with one answer or with all; afterwards its own pauses count again."""
    slept: list[float] = []
    pause = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await pause(0)

    log = Log()
    log.answers = {b"1": ["quota_used"]}
    log.retry_after = 9
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch) as forwarder:
        monkeypatch.setattr("hallmark.services.node.forwarder.asyncio.sleep", sleep)
        async with asyncio.timeout(60):
            await forwarder.watch(outbox.put(b"1", lambda: None))
            assert 9 in slept
            slept.clear()
            log.answers, log.retry_after = {b"": ["log_busy"], b"2": ["quota_used"]}, 3_600
            await forwarder.watch(outbox.put(b"2", lambda: None))
        assert max(slept) == 60
        assert min(slept) < 1


async def test_what_registers_the_node_goes_first(tmp_path: Path, monkeypatch: Any) -> None:
    """However much waits before it."""
    log = Log()
    async with opened(tmp_path) as outbox:
        await put(outbox, *(b"\x01\x08%d" % n for n in range(4)), bytes((1, Kind.REGISTRATION)))
        async with forwarding(outbox, log, monkeypatch) as forwarder, asyncio.timeout(60):
            await forwarder.idle()
    assert log.taken[0] == bytes((1, Kind.REGISTRATION))
    assert log.taken[1:] == [b"\x01\x08%d" % n for n in range(4)]


async def test_what_the_log_refuses_for_good_is_set_aside(tmp_path: Path, monkeypatch: Any) -> None:
    """A bad entry is kept with its reason and not sent again; the others go through."""
    log = Log()
    log.answers = {b"bad": ["bad_signature"]}
    async with opened(tmp_path) as outbox, forwarding(outbox, log, monkeypatch) as forwarder:
        watched = forwarder.watch(outbox.put(b"bad", lambda: None))
        await put(outbox, b"good")
        async with asyncio.timeout(60):
            await forwarder.idle()
            await asyncio.wait((watched,))
        error = watched.exception()
        assert getattr(error, "reason", "") == "bad_signature"
    async with opened(tmp_path) as outbox:
        assert outbox.refused == 1
        assert b"bad" not in outbox.waiting.values()
