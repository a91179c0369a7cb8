"""One thread that works for an event loop: in order, to the end, and for whoever still waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hallmark.store.writer import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker without a thread yet."""
    made = Worker("test-worker")
    yield made
    made.close()


async def test_jobs_run_in_order_on_one_thread(worker: Worker) -> None:
    """Each gives its own result; all of them beside the event loop."""
    seen: list[tuple[int, int]] = []

    def job(number: int) -> int:
        seen.append((number, threading.get_ident()))
        return number

    found = await asyncio.gather(*(worker.run(lambda n=n: job(n)) for n in range(50)))  # type: ignore[misc]
    assert found == [number for number, _ in seen] == list(range(50))
    threads = {thread for _, thread in seen}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_what_a_job_raises_is_raised_to_whoever_waits(worker: Worker) -> None:
    """And the next job runs."""

    def broken() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await worker.run(broken)
    assert await worker.run(lambda: 7) == 7


async def test_a_job_that_nobody_waits_for_any_more_runs_to_its_end(worker: Worker) -> None:
    """A cancelled waiter leaves at once; what was begun is done all the same."""
    begun, go = threading.Event(), threading.Event()
    done: list[str] = []

    def job() -> None:
        begun.set()
        go.wait(5)
        done.append("done")

    waiting = asyncio.ensure_future(worker.run(job))
    begun.wait(5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    await worker.run(lambda: None)
    assert done == ["done"]


def test_closing_finishes_what_was_begun_and_outlives_the_loop() -> None:
    """Also when the loop that asked has ended meanwhile; nothing new is taken."""
    worker, go, done = Worker("test-worker"), threading.Event(), []

    def job() -> None:
        go.wait(5)
        done.append("job")

    async def ask() -> None:
        worker.run(job).cancel()
        worker.run(lambda: done.append("next"))

    asyncio.run(ask())
    worker.start(lambda: done.append("last"))
    go.set()
    worker.close()
    assert done == ["job", "next", "last"]
    with pytest.raises(RuntimeError):
        worker.start(lambda: None)
