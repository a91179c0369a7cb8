"""Whether the chain still holds what it held, at the price of one question for each new block.

What a block held can be lost again. Who remembers something of a young block (`REMEMBERED` blocks) is told
when the chain went back, and then looks for its own. Nothing is asked while nothing is young.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.services.chain.rpc import RPC, quantity
from hallmark.telemetry.logs import get_logger

REMEMBERED: Final = 64
"""Blocks for which what is done is looked at again when the chain goes back behind it."""
SLOWEST_S: Final = 30.0
"""A chain that makes no blocks is asked so seldom."""
LOWER: Final = 5
"""So often in a row the chain's end must be lower than before until that is more than a late endpoint."""
RETRY_S: Final = 2.0


class Head(msgspec.Struct, frozen=True):
    """The newest block at a look. `new`: it is another one than at the look before; `kept`: the chain still
    holds that one, so whatever was in a block then is in one now.
    """

    number: int
    new: bool
    kept: bool


class Heads:
    """One look after another at a chain's end. The first knows of nothing that could have been lost."""

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc
        self._number, self._hash, self._lower = -1, "", 0

    async def look(self) -> Head:
        """The chain's end now. Raises Unavailable `chain_unreachable`."""
        block = await self._block("latest")
        if block is None:
            raise Unavailable("chain_unreachable", "The chain endpoint shows no newest block.")
        number, name = quantity(block.get("number")), str(block.get("hash", ""))
        if name == self._hash:
            self._lower = 0
            return Head(number, new=False, kept=True)
        self._lower = self._lower + 1 if number < self._number else 0
        if 0 < self._lower < LOWER:
            return Head(self._number, new=False, kept=True)
        kept = not self._lower
        if kept and self._hash and block.get("parentHash") != self._hash:
            before = await self._block(hex(self._number))
            kept = before is not None and before.get("hash") == self._hash
        self._number, self._hash, self._lower = number, name, 0
        return Head(number, new=True, kept=kept)

    async def _block(self, which: str) -> dict[str, object] | None:
        found = await self._rpc.call("eth_getBlockByNumber", which, False)
        return found if isinstance(found, dict) else None


OnHead = Callable[[Head], Awaitable[bool]]
"""Hears of a new head; True when it wants to hear of the next look too, whatever is young."""


class HeadWatch:
    """Tells `listeners` of each new head while anything is young. `run` must be running; the chain is asked
    every `poll_s`, seldomer while it makes no blocks.

    What became known since the look before was never seen in this chain: who remembers something looks for it
    once by itself, whatever `kept` says of what was known then.
    """

    def __init__(self, rpc: RPC, *, poll_s: float) -> None:
        self._poll_s = poll_s
        self.listeners: list[OnHead] = []
        self._heads = Heads(rpc)
        self._until = -1
        self._untold, self._kept = False, True
        self._wake = asyncio.Event()

    def young(self, block: int) -> None:
        """Something of this block is remembered."""
        self._until = max(self._until, block + REMEMBERED)
        self._wake.set()

    async def run(self) -> None:
        """Look until cancelled."""
        pause = self._poll_s
        while True:
            if self._until < 0 and not self._untold:
                await self._wake.wait()
            self._wake.clear()
            try:
                pause = self._poll_s if await self.look() else min(2 * pause, SLOWEST_S)
            except HallmarkError:  # a chain that is away is said elsewhere
                pause = RETRY_S
            except Exception as error:
                # A bug of ours ends no service: it is said, and tried again.
                get_logger().error("internal_error", exc_info=error)
                pause = RETRY_S
            await asyncio.sleep(self._poll_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause - self._poll_s)):
                    await self._wake.wait()

    async def look(self) -> bool:
        """Look once; whether anybody had to be told. Raises Unavailable `chain_unreachable` and what
        listeners raise: all of them are told again then.
        """
        head = await self._heads.look()
        if not head.new and not self._untold:
            return False
        self._untold, self._kept = True, self._kept and head.kept
        told = Head(head.number, new=head.new, kept=self._kept)
        self._untold = any([await listener(told) for listener in self.listeners])
        self._kept = True
        if self._until <= head.number:
            self._until = -1
        return True
