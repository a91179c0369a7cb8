"""Checkpoints that this process verified, each with when it did so.

1. A head is known here only after its quorum was verified and every leaf below it was folded.
2. `covering` gives the first one that covers a position: "since" is when it was first known here, for good.
3. A head that is kept from an earlier process counts only when its root is the one that is recomputed now.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from hallmark.core.errors import HallmarkError, NotFound
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.following.write_behind import HEADS, WriteBehind, prepare
from hallmark.store import Database
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica
from hallmark.verification.live import Inclusion

ROOT: Final = 32
RECENT: Final = 2_048
"""So many of the newest are held in memory at least, and at most twice as many."""
END: Final = 1 << 62
COLUMNS: Final = (HEADS.c.size, HEADS.c.root, HEADS.c.at, HEADS.c.live, HEADS.c.signers)


class SeenCheckpoint(msgspec.Struct, frozen=True):
    """A verified checkpoint: size, root (32 bytes), names of the full nodes that cosigned, when it was
    verified here (unix ms). `live` is false for the first one after a start: `at` then says when this process
    caught up, not when the quorum was there.
    """

    size: int
    root: bytes
    signers: tuple[str, ...]
    at: int
    live: bool


class Checkpoints:
    """See the module docstring. `take` goes into the follower's `heads`; `of` is the number of full nodes."""

    def __init__(self, database: Database, replica: Replica, *, of: int, clock: Callable[[], int]) -> None:
        prepare(database)
        self.of = of
        self._database, self._replica, self._clock = database, replica, clock
        self._writer = WriteBehind(database, HEADS, packs="note")
        self._first = True
        self._recent: list[SeenCheckpoint] = []
        """The newest, in order; all older ones are on disk."""
        self._older = 0
        newest = database.read(lambda c: [_seen(row) for row in c.execute(_page(END, RECENT))])
        self._recent = newest[::-1]
        count = sa.select(sa.func.count()).select_from(HEADS)
        self._older = database.read(lambda c: int(c.scalar(count) or 0)) - len(newest)

    def __len__(self) -> int:
        return self._older + len(self._recent)

    def take(self, verified: VerifiedCheckpoint, note: Note) -> None:
        """Remember a checkpoint whose leaves were all folded."""
        if self._first and not self._is_this_log():
            get_logger().warning("heads_of_another_log", kept=len(self))
            self._writer.clear()
            self._recent, self._older = [], 0
        live, self._first = not self._first, False
        checkpoint = verified.checkpoint
        if self._recent and checkpoint.size <= self._recent[-1].size:
            return
        seen = SeenCheckpoint(checkpoint.size, checkpoint.root, verified.signers, self._clock(), live)
        self._recent.append(seen)
        row = {"size": seen.size, "root": seen.root, "at": seen.at, "live": int(live)}
        self._writer.put({**row, "signers": "\n".join(seen.signers), "note": note.encode()})
        if len(self._recent) > 2 * RECENT and self._writer.waiting(self._recent[RECENT].size) is None:
            del self._recent[:RECENT]
            self._older += RECENT

    def first(self, index: int) -> SeenCheckpoint | None:
        """The first checkpoint known here that covers the entry at `index`."""
        seen = self._from(index + 1)
        if seen is None or seen.size > self._replica.size or self._replica.root(seen.size) != seen.root:
            return None
        return seen

    def covering(self, index: int) -> Inclusion | None:
        """The same as what a live view needs; None while no verified checkpoint covers the entry."""
        seen = self.first(index)
        return None if seen is None else Inclusion(seen.size, seen.root, seen.signers, self.of, seen.at)

    def newest(self) -> SeenCheckpoint | None:
        """The largest checkpoint known here."""
        return self._recent[-1] if self._recent else None

    def page(self, below: int, limit: int) -> tuple[SeenCheckpoint, ...]:
        """At most `limit` checkpoints with a size under `below`, newest first."""
        end = bisect_left(self._recent, below, key=_size)
        found = self._recent[max(end - limit, 0) : end][::-1]
        if len(found) < limit and self._older:
            query = _page(min(below, self._recent[0].size), limit - len(found))
            found += self._database.read(lambda c: [_seen(row) for row in c.execute(query)])
        return tuple(found)

    def get(self, size: int) -> SeenCheckpoint:
        """The checkpoint of exactly this size. Raises NotFound `unknown_checkpoint`."""
        seen = self._from(size)
        if seen is None or seen.size != size:
            raise NotFound("unknown_checkpoint", f"No checkpoint of size {size} was seen here.")
        return seen

    def _from(self, size: int) -> SeenCheckpoint | None:
        """The smallest checkpoint known here of at least this size."""
        at = bisect_left(self._recent, size, key=_size)
        if at or not self._older:
            return self._recent[at] if at < len(self._recent) else None
        query = sa.select(*COLUMNS).where(HEADS.c.size >= size).order_by(HEADS.c.size).limit(1)
        return _seen(self._database.read(lambda c: c.execute(query).one()))

    async def note(self, size: int) -> bytes:
        """The note of a checkpoint, its exact bytes. Raises NotFound `unknown_checkpoint`."""
        waiting = self._writer.waiting(size)
        if waiting is not None:
            return bytes(waiting["note"])
        query = sa.select(HEADS.c.note).where(HEADS.c.size == size)
        found = await self._database.async_read(lambda c: c.scalar(query))
        if found is None:
            raise NotFound("unknown_checkpoint", f"No checkpoint of size {size} was seen here.")
        return self._writer.unpack(found)

    async def by_root(self, digits: str, limit: int) -> list[int]:
        """Sizes of checkpoints whose root begins with these hexadecimal digits."""
        low, high = (bytes.fromhex(digits.ljust(2 * ROOT, fill)) for fill in "0f")
        with contextlib.suppress(HallmarkError):
            await self.flush()
        query = sa.select(HEADS.c.size).where(HEADS.c.root >= low, HEADS.c.root <= high).limit(limit)
        return [int(size) for size in await self._database.async_read(lambda c: list(c.scalars(query)))]

    async def flush(self) -> None:
        """Bring what was taken to the disk. Raises Unavailable as the store does."""
        await self._writer.flush()

    async def run(self) -> None:
        """Write to disk what was taken, for ever."""
        await self._writer.run()

    def _is_this_log(self) -> bool:
        newest = next((s for s in self.page(self._replica.size + 1, 1)), None)
        return newest is None or self._replica.root(newest.size) == newest.root


def _page(below: int, limit: int) -> sa.Select[Any]:
    return sa.select(*COLUMNS).where(HEADS.c.size < below).order_by(HEADS.c.size.desc()).limit(limit)


def _seen(row: Any) -> SeenCheckpoint:
    size, root, at, live, signers = row
    return SeenCheckpoint(int(size), bytes(root), tuple(signers.splitlines()), int(at), bool(live))


def _size(seen: SeenCheckpoint) -> int:
    return seen.size
