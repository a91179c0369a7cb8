"""One thread that works for an event loop, in order: a queue, and a call back into the loop for each result.

It does what an executor of one thread does, for a third of the processor time: no lock, condition or future
of its own stands between the two threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
_Job: TypeAlias = tuple[Callable[[], Any], asyncio.AbstractEventLoop | None, asyncio.Future[Any] | None]


class Worker:
    """See the module docstring. The thread begins with the first job."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """What a job gives or raises, for the running event loop. Who stops waiting for it does not stop it.

        Raises RuntimeError once closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put((job, loop, future))
        return future

    def start(self, job: Callable[[], None]) -> None:
        """Run a job of which nobody waits for the end. Raises RuntimeError once closed."""
        self._put((job, None, None))

    def close(self) -> None:
        """Finish what was begun."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _put(self, job: _Job) -> None:
        if self._closed:
            raise RuntimeError("the worker was closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, loop, future = job
            found, error = None, None
            try:
                found = work()
            except BaseException as raised:
                error = raised
            if loop is not None and future is not None:
                with contextlib.suppress(RuntimeError):  # that loop has ended: nobody waits
                    loop.call_soon_threadsafe(_settle, future, found, error)
            del job, work, loop, future, found, error  # or they would live until the next job


def _settle(future: asyncio.Future[Any], found: object, error: BaseException | None) -> None:
    if future.done():  # who waited was cancelled
        return
    if error is None:
        future.set_result(found)
    else:
        future.set_exception(error)
