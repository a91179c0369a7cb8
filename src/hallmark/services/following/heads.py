"""Checkpoints that this process verified, each with when it did so.

1. A head is known here only after its quorum was verified and every leaf below it was folded.
2. `covering` gives the first one that covers a position: "since" is when it was first known here, for good.
3. A head that is kept from an earlier process counts only when its root is the one that is recomputed now.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec
import sqlalchemy as sa

from hallmark.core.errors import NotFound
from hallmark.ledger.note import Note
from hallmark.ledger.policy import VerifiedCheckpoint
from hallmark.services.following.kept import HEADS, Writer, prepare
from hallmark.store import Database
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica
from hallmark.verification.live import Inclusion

ROOT: Final = 32


class Seen(msgspec.Struct, frozen=True):
    """A verified checkpoint: size, root (32 bytes), names of the full nodes that cosigned, when it was
    verified here (unix ms). `live` is false for the first one after a start: `at` then says when this process
    caught up, not when the quorum was there.
    """

    size: int
    root: bytes
    signers: tuple[str, ...]
    at: int
    live: bool


class Heads:
    """See the module docstring. `take` goes into the follower's `heads`; `of` is the number of full nodes."""

    def __init__(self, database: Database, replica: Replica, *, of: int, clock: Callable[[], int]) -> None:
        prepare(database)
        self.of = of
        self._database, self._replica, self._clock = database, replica, clock
        self._writer = Writer(database, HEADS, packs="note")
        self._first = True
        self._reset()
        columns = (HEADS.c.size, HEADS.c.root, HEADS.c.at, HEADS.c.live, HEADS.c.signers)
        query = sa.select(*columns).order_by(HEADS.c.size)
        for size, root, at, live, signers in database.read(lambda c: list(c.execute(query))):
            self._append(Seen(size, bytes(root), tuple(signers.splitlines()), at, bool(live)))

    def __len__(self) -> int:
        return len(self._sizes)

    def take(self, verified: VerifiedCheckpoint, note: Note) -> None:
        """Remember a checkpoint whose leaves were all folded."""
        if self._first and not self._is_this_log():
            get_logger().warning("heads_of_another_log", kept=len(self))
            self._writer.clear()
            self._reset()
        live, self._first = not self._first, False
        checkpoint = verified.checkpoint
        if self._sizes and checkpoint.size <= self._sizes[-1]:
            return
        seen = Seen(checkpoint.size, checkpoint.root, verified.signers, self._clock(), live)
        self._append(seen)
        row = {"size": seen.size, "root": seen.root, "at": seen.at, "live": int(live)}
        self._writer.put({**row, "signers": "\n".join(seen.signers), "note": note.encode()})

    def first(self, index: int) -> Seen | None:
        """The first checkpoint known here that covers the entry at `index`."""
        at = bisect_right(self._sizes, index)
        if at == len(self._sizes):
            return None
        seen = self._at(at)
        if seen.size > self._replica.size or self._replica.root(seen.size) != seen.root:
            return None
        return seen

    def covering(self, index: int) -> Inclusion | None:
        """The same as what a live view needs; None while no verified checkpoint covers the entry."""
        seen = self.first(index)
        return None if seen is None else Inclusion(seen.size, seen.root, seen.signers, self.of, seen.at)

    def newest(self) -> Seen | None:
        """The largest checkpoint known here."""
        return self._at(len(self) - 1) if len(self) else None

    def page(self, below: int, limit: int) -> tuple[Seen, ...]:
        """At most `limit` checkpoints with a size under `below`, newest first."""
        end = bisect_right(self._sizes, below - 1)
        return tuple(self._at(at) for at in range(end - 1, max(end - 1 - limit, -1), -1))

    def get(self, size: int) -> Seen:
        """The checkpoint of exactly this size. Raises NotFound `unknown_checkpoint`."""
        at = bisect_right(self._sizes, size) - 1
        if at < 0 or self._sizes[at] != size:
            raise NotFound("unknown_checkpoint", f"No checkpoint of size {size} was seen here.")
        return self._at(at)

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
        query = sa.select(HEADS.c.size).where(HEADS.c.root >= low, HEADS.c.root <= high).limit(limit)
        return [int(size) for size in await self._database.async_read(lambda c: list(c.scalars(query)))]

    async def run(self) -> None:
        """Write to disk what was taken, for ever."""
        await self._writer.run()

    def _is_this_log(self) -> bool:
        newest = next((s for s in self.page(self._replica.size + 1, 1)), None)
        return newest is None or self._replica.root(newest.size) == newest.root

    def _reset(self) -> None:
        self._sizes, self._times, self._live = array("Q"), array("Q"), bytearray()
        self._roots, self._signers = bytearray(), array("I")
        self._sets: dict[tuple[str, ...], int] = {}

    def _append(self, seen: Seen) -> None:
        self._sizes.append(seen.size)
        self._times.append(seen.at)
        self._live.append(seen.live)
        self._roots += seen.root
        self._signers.append(self._sets.setdefault(seen.signers, len(self._sets)))
        self._names = tuple(self._sets)

    def _at(self, at: int) -> Seen:
        root = bytes(self._roots[at * ROOT : (at + 1) * ROOT])
        names = self._names[self._signers[at]]
        return Seen(self._sizes[at], root, names, self._times[at], bool(self._live[at]))
