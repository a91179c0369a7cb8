"""The index of the log: which entries there are, by kind, by receipt filter, and by any prefix of an id; and
what is counted of them.

Filled by a follower's tap, in one transaction per batch, so that after a crash it is the index of some prefix
of the log and goes on from there; what was indexed before is not indexed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.entries import Kind
from hallmark.core.errors import HallmarkError
from hallmark.services.explorer.figures import Counted, Tally
from hallmark.services.explorer.schema import COUNTS, ENTRIES, MIGRATIONS, NAMES, RECEIPTS, STATE, clear
from hallmark.store import Database, Terms, migrate, number_of
from hallmark.store.deferred import Deferred
from hallmark.store.upserts import insert, put
from hallmark.telemetry.logs import get_logger

BATCH: Final = 1_000
RECEIPT, LEAF, SUBJECT, WORD = 0, 1, 2, 3
PREFIX: Final = 6
"""Bytes of a name that are kept: enough to tell 10^8 receipts apart, and 12 of its digits."""
MOST_COUNTED: Final = 10_000
COLUMNS: Final = ("node", "artifact", "label")


class Row(msgspec.Struct, frozen=True):
    """One entry as it is indexed. `receipt` are node, artifact and label of a receipt, None when it is none;
    `names` are (space, bytes) by which it is found; `counted` is what it adds to the figures.
    """

    position: int
    kind: Kind
    leaf: bytes
    receipt: Mapping[str, bytes] | None
    names: tuple[tuple[int, bytes], ...]
    counted: tuple[Counted, ...]


class Batch(msgspec.Struct, frozen=True):
    """Rows that are written together; what they add to counts, and what those are then."""

    rows: list[Row]
    added: Counter[Counted]
    totals: Mapping[Counted, int]


class Index(Deferred[Batch]):
    """See the module docstring. `size` is how many entries were given to it, by this process or before, and
    `tally` what was counted of them.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        migrate(database, "explorer", MIGRATIONS)
        self._terms = Terms(database)
        self._kept: Counter[Counted] = Counter(database.read(_counts))
        self._state = database.read(_state)
        self.size = self._state.get("size", 0)
        self.tally = Tally(self._kept)
        self._waiting: list[Row] = []

    def put(self, row: Row) -> None:
        """Index an entry soon. One that was indexed before is passed over, unless it is of another log."""
        if row.position == 0 and self.size and self._state["first"] != prefix_of(row.leaf):
            get_logger().warning("index_of_another_log", size=self.size)
            self._database.write(clear)
            self.size, self._waiting, self._state = 0, [], {}
            self._kept.clear()
            self.tally = Tally(self._kept)
        if row.position >= self.size:
            if row.position == 0:
                self._state["first"] = prefix_of(row.leaf)
            self._waiting.append(row)
            self.tally.add(row.counted)
            self.size = row.position + 1
            self._put()

    async def receipts(self, where: Mapping[str, bytes], below: int, limit: int) -> list[int]:
        """Positions of receipts under `below` that match, newest first; `where` maps columns to values."""
        query = sa.select(RECEIPTS.c.position).where(RECEIPTS.c.position < below, *_matching(where))
        return await self._positions(query.order_by(RECEIPTS.c.position.desc()).limit(limit))

    async def count(self, where: Mapping[str, bytes]) -> int:
        """How many receipts match. With several conditions at once it stops at 10,000."""
        if len(where) == 1:
            ((column, value),) = where.items()
            return self.tally.of(column, value)
        some = sa.select(RECEIPTS.c.position).where(*_matching(where)).limit(MOST_COUNTED).subquery()
        query = sa.select(sa.func.count()).select_from(some)
        await self._tried()
        return await self._database.async_read(lambda c: int(c.scalar(query) or 0))

    async def of_kinds(self, kinds: Iterable[Kind], below: int, limit: int) -> list[int]:
        """Positions under `below` of entries of these kinds, receipts apart, newest first."""
        where = sa.and_(ENTRIES.c.kind.in_([int(kind) for kind in kinds]), ENTRIES.c.position < below)
        query = sa.select(ENTRIES.c.position).where(where)
        return await self._positions(query.order_by(ENTRIES.c.position.desc()).limit(limit))

    async def about(self, subject: bytes, limit: int, *, space: int = SUBJECT) -> list[int]:
        """Positions of entries that may be about a key or digest, since what they name begins alike;
        newest first.
        """
        where = sa.and_(NAMES.c.space == space, NAMES.c.prefix == prefix_of(subject))
        query = sa.select(NAMES.c.position).where(where)
        return await self._positions(query.order_by(NAMES.c.position.desc()).limit(limit))

    async def first(self, space: int, subject: bytes) -> int:
        """The position of the first entry that may be about a digest; -1 where there is none."""
        where = sa.and_(NAMES.c.space == space, NAMES.c.prefix == prefix_of(subject))
        query = sa.select(NAMES.c.position).where(where).order_by(NAMES.c.position).limit(1)
        return next(iter(await self._positions(query)), -1)

    async def find(self, space: int, digits: str, limit: int) -> list[int]:
        """Positions of entries with a name in `space` that begins with the first 12 of these hexadecimal
        digits.
        """
        low, high = (int(digits[: 2 * PREFIX].ljust(2 * PREFIX, fill), 16) for fill in "0f")
        where = sa.and_(NAMES.c.space == space, NAMES.c.prefix >= low, NAMES.c.prefix <= high)
        return await self._positions(sa.select(NAMES.c.position).where(where).limit(limit))

    async def _positions(self, query: sa.Select[Any]) -> list[int]:
        # What waits is written first, so that a page does not lack what its figures count.
        await self._tried()
        return [int(p) for p in await self._database.async_read(lambda c: list(c.scalars(query)))]

    def _batch(self) -> Batch | None:
        rows = self._waiting[:BATCH]
        if not rows:
            return None
        added = Counter(counted for row in rows for counted in row.counted)
        return Batch(rows, added, {counted: self._kept[counted] + more for counted, more in added.items()})

    def _written(self, batch: Batch) -> None:
        if self._waiting and self._waiting[0] is batch.rows[0]:  # else it was of another log
            self._kept.update(batch.added)
            del self._waiting[: len(batch.rows)]

    def _not_written(self, error: HallmarkError) -> None:
        get_logger().warning("index_not_kept", reason=error.reason)

    def _write(self, connection: Connection, batch: Batch) -> None:
        rows = batch.rows
        others = [(row.position, int(row.kind)) for row in rows if row.receipt is None]
        receipts = [
            (row.position, *(self._terms.number(connection, row.receipt[name]) for name in COLUMNS))
            for row in rows
            if row.receipt is not None
        ]
        names = {(space, prefix_of(name), row.position) for row in rows for space, name in row.names}
        insert(connection, ENTRIES, ("position", "kind"), others)
        insert(connection, RECEIPTS, ("position", *COLUMNS), receipts)
        insert(connection, NAMES, ("space", "prefix", "position"), sorted(names))
        kept = [{"what": what, "key": key, "count": count} for (what, key), count in batch.totals.items()]
        put(connection, COUNTS, kept)
        state = self._state | {"size": rows[-1].position + 1}
        put(connection, STATE, [{"name": name, "value": value} for name, value in state.items()])


def prefix_of(name: bytes) -> int:
    """The number under which a digest or key is found."""
    return int.from_bytes(name[:PREFIX], "big")


def _matching(where: Mapping[str, bytes]) -> list[sa.ColumnElement[bool]]:
    return [RECEIPTS.c[column] == number_of(value) for column, value in where.items()]


def _counts(connection: Connection) -> dict[Counted, int]:
    query = sa.select(COUNTS.c.what, COUNTS.c.key, COUNTS.c["count"])
    return {(what, bytes(key)): int(count) for what, key, count in connection.execute(query)}


def _state(connection: Connection) -> dict[str, int]:
    return {name: int(value) for name, value in connection.execute(sa.select(STATE))}
