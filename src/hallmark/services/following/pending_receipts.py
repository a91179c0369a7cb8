"""The log's tail: receipts that the log has taken and no quorum covers yet.

Nothing of it is believed beyond the node's own signature, and none of it is ever folded. With full nodes
stopped this is where new receipts stay: they are shown at once, as claimed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.entries import KIND_AT, Entry, Kind, decode, split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.health import Behind
from hallmark.ledger.follow import Uncovered
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.following.log_client import LogClient
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica

NEWEST: Final = 2_000
POLL_S: Final = 0.25
SLICE: Final = 16


class PendingReceipt(msgspec.Struct, frozen=True):
    """A receipt in the tail: its id (32 bytes), where the log says that it stands, when the log says that it
    took it (unix ms). Its node's signature was checked; nothing else was.
    """

    id: bytes
    position: int
    admitted: int
    entry: Entry
    receipt: Receipt


class PendingReceipts:
    """What lies beyond what is folded, at most the newest 2,000 entries, as a follower is told it (`covered`,
    `take`, `folded`), or by polling while the log does not tell (`pulls`). `changed` is called whenever there
    are other receipts than before. `backlog` is how many entries no quorum covers, as the log says, and
    `since` (unix ms, 0: no backlog) since when there has been one without a break.
    """

    def __init__(self, log: LogClient, replica: Replica, clock: Callable[[], int]) -> None:
        self._log, self._replica, self._clock = log, replica, clock
        self._found: dict[int, PendingReceipt] = {}
        self._read = 0
        self._shown: tuple[bytes, ...] = ()
        self.size = 0
        self.cosigned = 0
        self.since = 0
        self.behind = Behind()
        """For how long this process has not read what a quorum covers."""
        self.changed: list[Callable[[], None]] = []
        self.pulls = asyncio.Event()

    @property
    def backlog(self) -> int:
        """Entries that the log has and no quorum covers, by the log's own word."""
        return max(self.size - max(self.cosigned, self._replica.size), 0)

    @property
    def receipts(self) -> tuple[PendingReceipt, ...]:
        """Receipts of the tail that are not folded yet, oldest first."""
        end = self._replica.size
        return tuple(p for position, p in self._found.items() if position >= end and p.id not in self)

    def __contains__(self, receipt_id: object) -> bool:
        return isinstance(receipt_id, bytes) and self._replica.receipt_position(receipt_id) is not None

    def get(self, receipt_id: bytes) -> PendingReceipt | None:
        """The receipt of this id, while it is in the tail."""
        return next((p for p in self.receipts if p.id == receipt_id), None)

    async def run(self) -> None:
        """Poll while the log does not tell, for ever."""
        while True:
            await self.pulls.wait()
            try:
                await self.poll()
            except HallmarkError as error:
                get_logger().warning("tail_not_read", reason=error.reason)
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Read what is new in the tail, and forget what was folded. Raises as the log client does."""
        head = await self._log.head()
        self._see(head.size, head.cosigned_size)
        if head.size > self._read:
            await self._add(self._read, await self._log.leaves(self._read, head.size))
        self._tell()

    def covered(self, size: int) -> None:
        """A quorum has cosigned `size` entries, which are not folded yet."""
        self._see(max(self.size, size), size)

    async def take(self, told: Uncovered) -> None:
        """What the log has and no quorum covers."""
        self._see(told.size, self.cosigned)
        await self._add(told.start, told.leaves)
        self._tell()

    def folded(self, verified: VerifiedCheckpoint, _note: Note) -> None:
        """Everything below a checkpoint was folded."""
        self._see(max(self.size, verified.checkpoint.size), max(self.cosigned, verified.checkpoint.size))
        self._tell()

    def _see(self, size: int, cosigned: int) -> None:
        """The log has `size` entries, `cosigned` of them covered."""
        self.size, self.cosigned = size, cosigned
        self.since = (self.since or self._clock()) if self.backlog else 0
        self.behind.see(cosigned, self._replica.size, self._clock())
        start = max(self._replica.size, size - NEWEST)
        self._found = {at: p for at, p in self._found.items() if start <= at < size}
        self._read = min(max(self._read, start), max(size, start))

    async def _add(self, start: int, leaves: list[bytes]) -> None:
        for number, leaf in enumerate(leaves):
            found = self._open(start + number, leaf)
            if found is not None:
                self._found[found.position] = found
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        self._read = start + len(leaves)

    def _tell(self) -> None:
        shown = tuple(pending.id for pending in self.receipts)
        if shown != self._shown:
            self._shown = shown
            for tell in self.changed:
                tell()

    def _open(self, position: int, leaf: bytes) -> PendingReceipt | None:
        if len(leaf) <= KIND_AT or leaf[KIND_AT] != Kind.RECEIPT:
            return None
        genesis = self._replica.genesis
        try:
            admitted, data = split_leaf(leaf)
            entry = decode(data)
            receipt = entry.statement
            if not isinstance(receipt, Receipt) or receipt.network != genesis.network:
                return None
            if len(entry.signatures) != 1:
                return None
            signer = recover_statement(receipt, genesis.chain_id, entry.signatures[0])
        except HallmarkError:
            return None
        if signer != receipt.node:
            return None
        return PendingReceipt(receipt.digest(), position, admitted, entry, receipt)
