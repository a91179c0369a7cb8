"""How far the chain holds the log, as this process read the chain itself.

A checkpoint on the chain counts only when the contract gave it (see `Anchors`) and its root is the one that
is recomputed here. Another root for a size of this log is a contradiction, not an anchor that is missing: it
speaks against every receipt below it that no earlier anchor covers. What a process before this one read is
read again.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import Unavailable
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.chain.check import ConfirmedAnchor
from hallmark.services.following.anchors import Anchors
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica
from hallmark.verification.live import Inclusion

POLL_S: Final = 2.0
AT_ONCE: Final = 16


class ReadAnchor(msgspec.Struct, frozen=True):
    """What the chain gave, and the anchoring service's record that led there."""

    confirmed: ConfirmedAnchor
    record: AnchorRecord


class Chain:
    """Anchors in order of size. `changed` is called when the chain was found to hold more."""

    def __init__(self, anchors: Anchors | None, replica: Replica) -> None:
        self._anchors, self._replica = anchors, replica
        self._sizes: list[int] = []
        self._read: list[ReadAnchor] = []
        self._contradicted = 0
        self._grown = asyncio.Event()
        self.changed: list[Callable[[int], None]] = []

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def size(self) -> int:
        """How far the chain is known to hold the log; 0: not at all."""
        return self._sizes[-1] if self._sizes else 0

    @property
    def contradicted(self) -> int:
        """The size for which the chain holds another root than was recomputed here; 0: none."""
        return self._contradicted

    def covering(self, index: int) -> ReadAnchor | None:
        """The smallest anchored checkpoint that covers the entry at `index`; None while there is none."""
        at = bisect_right(self._sizes, index)
        return self._read[at] if at < len(self._sizes) else None

    def extend(self, inclusion: Inclusion | None, index: int) -> Inclusion | None:
        """The inclusion with what the chain holds of the entry at `index`."""
        found = self.covering(index)
        if inclusion is None:
            return None
        if found is None:
            return msgspec.structs.replace(inclusion, contradicted_size=self._contradicted)
        anchor = found.confirmed
        return msgspec.structs.replace(
            inclusion,
            anchored_size=anchor.size,
            anchored_at=anchor.time,
            confirmations=anchor.confirmations,
        )

    async def run(self) -> None:
        """Read the chain in the background, for ever; at once without a chain. While all that was folded is
        anchored there is nothing to look for, and nothing wakes.
        """
        while self._anchors is not None:
            self._grown.clear()
            if self._replica.size <= self.size:
                await self._grown.wait()
            for _ in range(AT_ONCE):
                if not await self.read():
                    break
            await asyncio.sleep(POLL_S)

    def folded(self, _verified: VerifiedCheckpoint, _note: Note) -> None:
        """Everything below a checkpoint was folded."""
        self._grown.set()

    async def read(self) -> bool:
        """Look for the next anchor; True when there was one more."""
        known = self._sizes[-1] if self._sizes else 0
        if self._anchors is None or self._replica.size <= known:
            return False
        try:
            record, confirmed = await self._anchors.covering(known)
        except Unavailable:
            return False
        if confirmed is None or not known < confirmed.size <= self._replica.size:
            return False
        if self._replica.root(confirmed.size) != confirmed.root:
            self._contradict(confirmed.size)
            return False
        self._contradicted = 0
        self._sizes.append(confirmed.size)
        self._read.append(ReadAnchor(confirmed, record))
        for tell in self.changed:
            tell(confirmed.size)
        return True

    def _contradict(self, size: int) -> None:
        """The chain holds another root for `size` entries than was recomputed here."""
        if self._contradicted == size:
            return
        self._contradicted = size
        get_logger().error("anchor_contradicted", size=size)
        for tell in self.changed:
            tell(size)
