"""The index of the log: which entries there are, by kind, by receipt filter, and by any prefix of an id.

Filled by a follower's tap, in one transaction per batch, so that after a crash it is the index of some prefix
of the log and goes on from there; what was indexed before is not indexed twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.entries import Entry, Kind
from hallmark.core.errors import HallmarkError
from hallmark.services.explorer.schema import ENTRIES, MIGRATIONS, NAMES, RECEIPTS
from hallmark.store import Database, migrate
from hallmark.telemetry.logs import get_logger

BATCH: Final = 1_000
RETRY_S: Final = 1.0
DIGITS: Final = 12
RECEIPT, LEAF, SUBJECT = "r", "l", "s"


class Row(msgspec.Struct, frozen=True):
    """One entry as it is indexed. `receipt` are the columns of its receipt row, None when it is none; `names`
    are (space, bytes) by which it is found.
    """

    position: int
    admitted: int
    entry: Entry
    leaf: bytes
    receipt: Mapping[str, object] | None
    names: tuple[tuple[str, bytes], ...]


class Index:
    """See the module docstring. `size` is how many entries were given to it, by this process or before."""

    def __init__(self, database: Database) -> None:
        migrate(database, "explorer", MIGRATIONS)
        self._database = database
        newest = database.read(lambda c: c.scalar(sa.select(sa.func.max(ENTRIES.c.position))))
        self.size = 0 if newest is None else int(newest) + 1
        self._waiting: list[Row] = []
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    def put(self, row: Row) -> None:
        """Index an entry soon. One that was indexed before is passed over, unless it is of another log."""
        if row.position == 0 and self.size and self._leaf(0) != row.leaf:
            get_logger().warning("index_of_another_log", size=self.size)
            self._database.write(_clear)
            self.size, self._waiting = 0, []
        if row.position >= self.size:
            self._waiting.append(row)
            self.size = row.position + 1
            self._wake.set()

    async def run(self) -> None:
        """Write what is put, for ever; what waits when cancelled is written first."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self.flush()
                except HallmarkError as error:
                    get_logger().warning("index_not_kept", reason=error.reason)
                    await asyncio.sleep(RETRY_S)
                    self._wake.set()
        finally:
            with contextlib.suppress(HallmarkError):
                await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Write everything that waits. Raises Unavailable as the store does."""
        async with self._writing:
            while self._waiting:
                batch = self._waiting[:BATCH]
                await self._database.async_write(functools.partial(_insert, rows=batch))
                del self._waiting[: len(batch)]

    async def receipts(self, where: Mapping[str, bytes | str], below: int, limit: int) -> list[int]:
        """Positions of receipts under `below` that match, newest first; `where` maps columns to values."""
        query = sa.select(RECEIPTS.c.position).where(RECEIPTS.c.position < below, *_matching(where))
        return await self._positions(query.order_by(RECEIPTS.c.position.desc()).limit(limit))

    async def count(self, where: Mapping[str, bytes | str]) -> int:
        """How many receipts match."""
        query = sa.select(sa.func.count()).select_from(RECEIPTS).where(*_matching(where))
        return await self._database.async_read(lambda c: int(c.scalar(query) or 0))

    async def of_kinds(self, kinds: Iterable[Kind], below: int, limit: int) -> list[int]:
        """Positions under `below` of entries of these kinds, newest first."""
        where = sa.and_(ENTRIES.c.kind.in_([int(kind) for kind in kinds]), ENTRIES.c.position < below)
        query = sa.select(ENTRIES.c.position).where(where)
        return await self._positions(query.order_by(ENTRIES.c.position.desc()).limit(limit))

    async def about(self, subject: bytes, limit: int) -> list[int]:
        """Positions of entries about a key or digest, newest first."""
        prefix = f"{SUBJECT}:{subject.hex()}:"
        query = sa.select(NAMES.c.position).where(NAMES.c.name >= prefix, NAMES.c.name < prefix + ";")
        return await self._positions(query.order_by(NAMES.c.name.desc()).limit(limit))

    async def find(self, space: str, digits: str, limit: int) -> list[int]:
        """Positions of entries with a name in `space` that begins with these hexadecimal digits."""
        low = f"{space}:{digits}"
        query = sa.select(NAMES.c.position).where(NAMES.c.name >= low, NAMES.c.name < low + "g")
        return await self._positions(query.order_by(NAMES.c.name).limit(limit))

    async def _positions(self, query: sa.Select[Any]) -> list[int]:
        return [int(p) for p in await self._database.async_read(lambda c: list(c.scalars(query)))]

    def _leaf(self, position: int) -> bytes:
        query = sa.select(ENTRIES.c.leaf).where(ENTRIES.c.position == position)
        return bytes(self._database.read(lambda c: c.scalar(query)) or b"")


def _matching(where: Mapping[str, bytes | str]) -> list[sa.ColumnElement[bool]]:
    return [RECEIPTS.c[column] == value for column, value in where.items()]


def _insert(connection: Connection, rows: list[Row]) -> None:
    entries = [
        {"position": r.position, "admitted": r.admitted, "kind": int(r.entry.kind), "leaf": r.leaf}
        for r in rows
    ]
    connection.execute(ENTRIES.insert(), entries)
    receipts = [{"position": r.position, **r.receipt} for r in rows if r.receipt is not None]
    if receipts:
        connection.execute(RECEIPTS.insert(), receipts)
    names = {
        f"{space}:{name.hex()}:{r.position:0{DIGITS}}": r.position for r in rows for space, name in r.names
    }
    connection.execute(NAMES.insert(), [{"name": name, "position": at} for name, at in names.items()])


def _clear(connection: Connection) -> None:
    for table in (ENTRIES, RECEIPTS, NAMES):
        connection.execute(table.delete())
