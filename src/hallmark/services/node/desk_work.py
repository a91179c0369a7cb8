"""Work that a host does for the enclave that serves now: begun by its messages, ended with the host."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hallmark.services.enclave import control
from hallmark.services.node.enclave_link import Say


class DeskWork:
    """`running` goes on for as long as the host does; `tasks` are answers to single messages. `say` reaches
    the enclave, while there is one.
    """

    def __init__(self) -> None:
        self.say: Say | None = None
        self.running: tuple[asyncio.Task[None], ...] = ()
        self.tasks: set[asyncio.Task[None]] = set()

    def run(self, *work: Coroutine[Any, Any, None]) -> None:
        """Do this for as long as the host runs."""
        self.running = tuple(asyncio.create_task(one) for one in work)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this once."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def tell(self, message: control.ToEnclave) -> None:
        """Say it to the enclave; nothing when it is gone."""
        if self.say is not None:
            self.say(message)

    async def wait(self, limit_s: float) -> None:
        """Wait for what was begun, for a bounded time."""
        if self.tasks and limit_s:
            await asyncio.wait(tuple(self.tasks), timeout=limit_s)

    async def cancel(self) -> None:
        """End everything."""
        tasks = (*self.running, *self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
