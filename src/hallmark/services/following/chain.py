"""How far the chain holds the log, as this process read the chain itself.

A checkpoint on the chain counts only when the contract gave it (see `Anchors`) and its root is the one that
is recomputed here. Another root for a size of this log is a contradiction, not an anchor that is missing: it
speaks against every receipt below it that no earlier anchor covers.

What was read is kept. What a process before this one read counts once the chain says of the newest of it that
it still holds it (a contract only ever adds), and of each one only while its root is the one that is
recomputed here; else all of it is forgotten and read again.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.chain.check import ConfirmedAnchor, kept_anchor, read_again
from hallmark.services.following.anchors import Anchors
from hallmark.services.following.write_behind import ANCHORS, WriteBehind, prepare
from hallmark.store import Database
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica
from hallmark.verification.live import Inclusion

POLL_S: Final = 2.0
AT_ONCE: Final = 16
RECENT: Final = 1_024
"""So many of the newest are held in memory at least, and at most twice as many."""


class ReadAnchor(msgspec.Struct, frozen=True):
    """What the chain gave, and the anchoring service's record that led there."""

    confirmed: ConfirmedAnchor
    record: AnchorRecord


class Chain:
    """Anchors in order of size: the newest in memory, the older ones on disk. `changed` is called when the
    chain was found to hold more. `run` and `keep` must run.
    """

    def __init__(self, anchors: Anchors | None, replica: Replica, database: Database) -> None:
        prepare(database)
        self._anchors, self._replica, self._database = anchors, replica, database
        self._writer = WriteBehind(database, ANCHORS)
        self._read = self._rows(sa.select(ANCHORS).order_by(ANCHORS.c.size.desc()).limit(RECENT))[::-1]
        self._older = len(self._read) == RECENT
        """Whether there may be more on disk."""
        self._believed = not self._read
        self._contradicted = 0
        self._grown = asyncio.Event()
        self.changed: list[Callable[[int], None]] = []

    @property
    def size(self) -> int:
        """How far the chain is known to hold the log; 0: not at all."""
        return self._read[-1].confirmed.size if self._believed and self._read else 0

    @property
    def contradicted(self) -> int:
        """The size for which the chain holds another root than was recomputed here; 0: none."""
        return self._contradicted

    def covering(self, index: int) -> ReadAnchor | None:
        """The smallest anchored checkpoint that covers the entry at `index`; None while there is none."""
        if index >= self.size:
            return None
        found = self._read[bisect_right(self._read, index, key=_size)]
        if found is self._read[0] and self._older:
            query = sa.select(ANCHORS).where(ANCHORS.c.size > index).order_by(ANCHORS.c.size).limit(1)
            found = next(iter(self._rows(query)), found)
        if found.confirmed.size > self._replica.size:
            return None
        if self._replica.root(found.confirmed.size) != found.confirmed.root:
            self._forget()
            return None
        return found

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

    async def keep(self) -> None:
        """Write to disk what was read, for ever."""
        await self._writer.run()

    async def read(self) -> bool:
        """Look for the next anchor; True when there was one more."""
        if self._anchors is None or not (self._believed or await self._believe(self._anchors)):
            return False
        known = self.size
        if self._replica.size <= known:
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
        self._add(ReadAnchor(confirmed, record))
        for tell in self.changed:
            tell(confirmed.size)
        return True

    async def _believe(self, anchors: Anchors) -> bool:
        """Whether what is kept counts now, or was forgotten: the chain is asked for the newest of it."""
        newest = self._read[-1]
        if newest.confirmed.size > self._replica.size:
            return False
        try:
            await anchors.confirm(newest.record)
        except VerificationFailed as error:
            get_logger().warning("anchors_forgotten", reason=error.reason)
            self._forget()
            return True
        except HallmarkError:
            return False
        self._believed = True
        for tell in self.changed:
            tell(self.size)
        return True

    def _add(self, found: ReadAnchor) -> None:
        self._read.append(found)
        row = {"size": found.confirmed.size, "anchor": kept_anchor(found.confirmed)}
        self._writer.put({**row, "record": found.record.encode()})
        if len(self._read) > 2 * RECENT and self._writer.waiting(self._read[RECENT].confirmed.size) is None:
            del self._read[:RECENT]
            self._older = True

    def _forget(self) -> None:
        """Of another log, or of a chain that lost it: all of it is read again."""
        self._writer.clear()
        self._read, self._older, self._believed = [], False, True
        self._grown.set()

    def _rows(self, query: sa.Select[Any]) -> list[ReadAnchor]:
        """Anchors that are kept; those that are not whole are left out, a later one covers what they do."""
        found = []
        for row in self._database.read(lambda c: list(c.execute(query))):
            anchor = read_again(bytes(row.anchor))
            if anchor is not None and anchor.size == row.size:
                with contextlib.suppress(HallmarkError):
                    found.append(ReadAnchor(anchor, AnchorRecord.decode(bytes(row.record))))
        return found

    def _contradict(self, size: int) -> None:
        """The chain holds another root for `size` entries than was recomputed here."""
        if self._contradicted == size:
            return
        self._contradicted = size
        get_logger().error("anchor_contradicted", size=size)
        for tell in self.changed:
            tell(size)


def _size(found: ReadAnchor) -> int:
    return found.confirmed.size
