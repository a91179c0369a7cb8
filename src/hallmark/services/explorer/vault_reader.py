"""What the vaults that offers name have told, read from the chain a little at a time and kept for a while.

Bounded everywhere: a few vaults, a number of blocks for each page, a number of events kept. A chain that does
not answer changes nothing that is known; it is said that it did not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.vault import Account, Delays, VaultContract
from hallmark.services.chain.vault_events import Emitted, vault_events

T = TypeVar("T")
FRESH_MS: Final = 2_000
VAULTS: Final = 4
WINDOW: Final = 2_000
"""Blocks that are asked for at a time."""
AT_ONCE: Final = 10
"""Windows that one page reads."""
BACK: Final = 200_000
"""Blocks behind the head at which reading begins."""
DEPTH: Final = 12
"""Newest blocks are read again: a chain may take them back."""
KEPT: Final = 20_000
TIMES: Final = 1_024
TIMEOUT_S: Final = 3.0
NO_CHAIN: Final = "no_chain"


class VaultSeen(msgspec.Struct, frozen=True):
    """What is known of a vault: its events, oldest first, of blocks `first` to `last` (-1: none were read),
    its delays, the head that the endpoint named (blocks up to it may be unread yet), when it was last asked
    with success (unix ms), and why it could not be asked now, as a reason code.
    """

    address: bytes
    events: tuple[Emitted, ...] = ()
    first: int = 0
    last: int = -1
    head: int = -1
    delays: Delays | None = None
    at: int = 0
    reason: str = ""

    @property
    def whole(self) -> bool:
        """True when every block up to the head was read."""
        return self.last >= self.head >= 0 and not self.reason


class VaultReader:
    """See the module docstring; without `rpc` every vault is unknown for the reason `no_chain`."""

    def __init__(self, rpc: RPC | None, clock: Callable[[], int]) -> None:
        self._rpc, self._clock = rpc, clock
        self._seen: dict[bytes, VaultSeen] = {}
        self._times: dict[int, int] = {}
        self._answers: dict[str, tuple[int, object]] = {}
        self._lock = asyncio.Lock()

    async def seen(self, vault: bytes) -> VaultSeen:
        """What is known now; asks the chain when that is older than two seconds. Raises nothing."""
        if self._rpc is None:
            return VaultSeen(vault, reason=NO_CHAIN)
        async with self._lock:
            known = self._seen.get(vault, VaultSeen(vault))
            if known.at + FRESH_MS > self._clock() and not known.reason:
                return known
            if vault not in self._seen and len(self._seen) >= VAULTS:
                self._seen.pop(next(iter(self._seen)))
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    known = await self._read(self._rpc, known)
            except HallmarkError as error:
                known = msgspec.structs.replace(known, reason=error.reason)
            except TimeoutError:
                known = msgspec.structs.replace(known, reason="chain_unreachable")
            self._seen[vault] = known
            return known

    async def ask(self, name: str, question: Callable[[RPC], Awaitable[T]]) -> T:
        """Something else that the chain says; the same name again within two seconds gets the same answer.
        Raises Unavailable `no_chain`, `chain_unreachable`, and what the question raises.
        """
        if self._rpc is None:
            raise Unavailable(NO_CHAIN, "This explorer reads no chain.")
        at, known = self._answers.get(name, (-FRESH_MS, None))
        if at + FRESH_MS > self._clock():
            return cast("T", known)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await question(self._rpc)
        except TimeoutError:
            raise Unavailable("chain_unreachable", "The chain does not answer in time.") from None
        if len(self._answers) >= TIMES:
            self._answers.clear()
        self._answers[name] = (self._clock(), answer)
        return answer

    async def account(self, vault: bytes, payer: bytes) -> Account:
        """What a payer's account in a vault holds now. Raises Unavailable `chain_unreachable`, `no_chain`."""
        return await self._contract(vault).account(payer)

    async def earned(self, vault: bytes, payee: bytes) -> int:
        """What a payee has been settled and has not collected. Raises as `account`."""
        return await self._contract(vault).earned(payee)

    async def time_of(self, block: int) -> int:
        """A block's time in unix ms; 0 when the chain does not say."""
        if block not in self._times and self._rpc is not None:
            try:
                found = await self._rpc.block_time(block)
            except HallmarkError:
                return 0
            if len(self._times) >= TIMES:
                self._times.clear()
            self._times[block] = 1_000 * (found or 0)
        return self._times.get(block, 0)

    def _contract(self, vault: bytes) -> VaultContract:
        if self._rpc is None:
            raise Unavailable(NO_CHAIN, "This explorer reads no chain.")
        return VaultContract(self._rpc, vault)

    async def _delays(self, vault: VaultContract) -> Delays:
        """Of a vault whose events mean what is written here."""
        await vault.require_spoken()
        return (await vault.parameters()).delays

    async def _read(self, rpc: RPC, known: VaultSeen) -> VaultSeen:
        head = await rpc.head()
        delays = known.delays or await self._delays(VaultContract(rpc, known.address))
        first = known.first if known.last >= 0 else max(head - BACK, 0)
        start = max(known.last + 1 - DEPTH, first)
        events = [emitted for emitted in known.events if emitted.block < start]
        last = start - 1
        for _ in range(AT_ONCE):
            if last >= head:
                break
            end = min(last + WINDOW, head)
            events += await vault_events(rpc, known.address, last + 1, end)
            last = end
        kept = tuple(events[-KEPT:])
        return VaultSeen(known.address, kept, first, last, head, delays, self._clock())
