"""Hears from nodes that nobody asks: a small question to each that was silent for a while, over the same way
that requests take, to the enclave itself. Its answer also says what time it is there, and how long an answer
and a silence may take there, so that a gateway that gives up earlier says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from hallmark.core.document import Uint63, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import HallmarkError
from hallmark.http.client import Pool, Timeouts
from hallmark.routing.load import LoadTable, NodeLoad

TIMEOUTS: Final = Timeouts(connect=2.0, head=2.0, idle=2.0, pool=1.0)
AT_ONCE: Final = 16
AGAIN_S: Final = 1.0

NodeList = Callable[[], Sequence[tuple[bytes, KeyBundle]]]


class _Limits(msgspec.Struct, frozen=True):
    request_ms: Uint63 = 0
    keep_alive_ms: Uint63 = 0


class _Clock(msgspec.Struct, frozen=True):
    now: int
    limits: _Limits = _Limits()


class NodeProbe:
    """See the module docstring. `nodes` gives key and bundle of every present node."""

    def __init__(
        self,
        pool: Pool,
        loads: LoadTable,
        nodes: NodeList,
        *,
        clock: Callable[[], int],
        look_s: float,
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`beside` is what else is asked of nodes at each look."""
        self._beside = beside
        self._pool, self._loads, self._nodes = pool, loads, nodes
        self._clock, self._look_s = clock, look_s
        self._wake = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)

    def soon(self) -> None:
        """Look now: somebody may have come."""
        self._wake.set()

    async def run(self) -> None:
        """Look for ever: at once at who is new, soon again at who did not answer, else now and then."""
        while True:
            await self.look()
            loads = [self._loads.of(key) for key, _ in self._nodes()]
            doubtful = any(load.unheard and not load.silent(self._clock()) for load in loads)
            self._wake.clear()
            try:
                async with asyncio.timeout(AGAIN_S if doubtful else self._look_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Ask every node that was not heard since the last look."""
        oldest = self._clock() - int(self._look_s * 1000)
        asked = [
            (key, bundle)
            for key, bundle in self._nodes()
            if not oldest < self._loads.of(key).heard <= self._clock() or self._loads.of(key).unheard
        ]
        await asyncio.gather(*(self._ask(key, bundle) for key, bundle in asked))
        if self._beside is not None:
            await self._beside()

    async def _ask(self, key: bytes, bundle: KeyBundle) -> None:
        async with self._places:
            began = self._clock()
            try:
                async with self._pool.request(
                    "GET",
                    f"{bundle.endpoint}/v1/hallmark/clock",
                    pin=unhex(bundle.tls_spki),
                    timeouts=TIMEOUTS,
                ) as response:
                    status, data = response.status, await response.read(4096)
            except HallmarkError:
                self._loads.not_heard(key, self._clock())
                return
            now = self._clock()
            self._loads.heard(key, now)
            if status == 200:
                _note(self._loads.of(key), data, (began + now) // 2)


def _note(load: NodeLoad, data: bytes, here: int) -> None:
    try:
        said = msgspec.json.decode(data, type=_Clock)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        load.skew = None
        return
    load.skew = said.now - here
    load.request_ms, load.keep_alive_ms = said.limits.request_ms, said.limits.keep_alive_ms
