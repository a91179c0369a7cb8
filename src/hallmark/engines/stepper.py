"""Runs many answers on few threads, one step at a time, away from the event loop.

Each answer is a plain generator. Threads take turns over all of them, so sixty-four streams get their first
token about as soon as one does, no step ever sees two requests (no batching, hence no change of bits), and
the number of threads can change nothing but speed. Threads start at once: nothing is created after the
enclave is confined.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Job(Generic[T]):
    """One generator, its consumer's loop and queue, and whether the consumer has gone."""

    def __init__(self, steps: Generator[T, None, None], loop: asyncio.AbstractEventLoop) -> None:
        self.steps = steps
        self.loop = loop
        self.items: asyncio.Queue[T | BaseException | None] = asyncio.Queue()
        self.cancelled = False

    def step(self) -> bool:
        """Run one step; False when the job is over."""
        try:
            if self.cancelled:
                self.steps.close()
                return False
            self._put(next(self.steps))
        except StopIteration:
            self._put(None)
            return False
        except BaseException as error:
            self._put(error)
            return False
        return True

    def _put(self, item: T | BaseException | None) -> None:
        try:
            self.loop.call_soon_threadsafe(self.items.put_nowait, item)
        except RuntimeError:  # the consumer's loop is closed: nobody is left to read
            self.cancelled = True


class Stepper:
    """A round-robin of generators over `threads` daemon threads."""

    def __init__(self, threads: int = 1) -> None:
        self._ready: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def stream(self, steps: Generator[T, None, None]) -> AsyncGenerator[T, None]:
        """Yield what `steps` yields, raise what it raises. Closing this closes `steps` at its next turn."""
        job: _Job[T] = _Job(steps, asyncio.get_running_loop())
        self._ready.put(job)  # type: ignore[arg-type]  # the queue holds jobs of every item type
        try:
            while (item := await job.items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            job.cancelled = True

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on one of the threads."""
        stream = self.stream(_once(function))
        try:
            return await anext(stream)
        finally:
            await stream.aclose()

    def close(self) -> None:
        """End the threads after the step that each is in; waiting consumers are not woken."""
        for _ in self._threads:
            self._ready.put(None)

    def _work(self) -> None:
        while (job := self._ready.get()) is not None:
            if job.step():
                self._ready.put(job)


def _once(function: Callable[[], T]) -> Generator[T, None, None]:
    yield function()
