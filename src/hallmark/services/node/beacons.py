"""Brings an enclave the newest beacon as the log tells it, and asks now and then whether it is still there.

A log that does not tell, or has too many followers, is asked for its checkpoint instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import HallmarkError
from hallmark.services.enclave.control import BeaconUpdate
from hallmark.services.node.forwarder import LogClient

ASK_S: Final = 4.0
"""Health allows an enclave 10 s of silence (`node.health`): two of these."""


class Beacons:
    """Calls `send` with each newer beacon, at most one in `every_ms`, and with the last one after `ask_s`
    without one: the enclave answers either.
    """

    def __init__(
        self, log: LogClient, send: Callable[[BeaconUpdate], None], *, every_ms: int, ask_s: float = ASK_S
    ) -> None:
        self._log, self._send = log, send
        self._every_ms, self._ask_s = every_ms, ask_s
        self._newest = BeaconUpdate(0, bytes(32))
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._ask_s):
                        await self._changed.wait()
                self._changed.clear()
                with contextlib.suppress(HallmarkError):
                    self._send(self._newest)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(HallmarkError):
                async with contextlib.aclosing(self._log.beacons(self._every_ms)) as beacons:
                    async for beacon in beacons:
                        self._take(BeaconUpdate(beacon.size, beacon.root))
            with contextlib.suppress(HallmarkError):
                beacon = await self._log.beacon()
                self._take(BeaconUpdate(beacon.size, beacon.root))
            await asyncio.sleep(self._every_ms / 1000)

    def _take(self, beacon: BeaconUpdate) -> None:
        if beacon != self._newest:
            self._newest = beacon
            self._changed.set()
