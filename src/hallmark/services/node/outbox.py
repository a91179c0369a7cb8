"""The durable outbox: an entry is on disk before the enclave hears `Stored`, and leaves when the log has it.

Entries keep their order of arrival. Those that wait together are written in one transaction, one fsync; they
may be on their way to the log meanwhile, which has its own disk. Rows that the log has admitted are deleted
with a later write: after a kill they may be sent again, and the log admits the same entry once. What the log
refuses for good stays, with its reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import Unavailable
from hallmark.store import Database, migrate
from hallmark.telemetry.logs import get_logger

RETRY_S: Final = 0.25
_METADATA = sa.MetaData()
_ENTRIES = sa.Table(
    "outbox_entries",
    _METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("refused", sa.String(64), nullable=False, server_default=""),
)
_COUNTERS = sa.Table(
    "node_counters",
    _METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)


class Outbox:
    """See the module docstring. One writer: `run` must be running for `put` to be answered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        migrate(database, "node", [_METADATA.create_all])
        self._next = 1 + database.read(_last_number)
        self._incoming: list[tuple[int, bytes, Callable[[], None]]] = []
        self._unwritten: set[int] = set()
        self._gone: list[int] = []
        self._wake = asyncio.Event()
        self.waiting: dict[int, bytes] = database.read(_unsent)
        self.arrived = asyncio.Event()
        self.refused = database.read(_count_refused)
        self.refused_at = 0.0
        """When the newest refusal for good came, by the monotonic clock; 0: none since the start."""
        if self.waiting:
            self.arrived.set()

    def put(self, entry: bytes, stored: Callable[[], None]) -> int:
        """Take an entry; `stored` is called once it is on disk, however long that takes. Its number."""
        number, self._next = self._next, self._next + 1
        self._incoming.append((number, entry, stored))
        self._unwritten.add(number)
        self.waiting[number] = entry
        self._wake.set()
        self.arrived.set()
        return number

    def admitted(self, number: int) -> None:
        """The log has this one. Its row goes with the next write, or when the outbox is closed."""
        if self.waiting.pop(number, None) is not None and number not in self._unwritten:
            self._gone.append(number)

    async def refuse(self, number: int, reason: str) -> None:
        """The log will never take this one: keep it out of the way, with the reason code."""
        while number in self._unwritten:  # noqa: ASYNC110 - at most one write away, and rare
            await asyncio.sleep(RETRY_S)
        self.waiting.pop(number, None)
        self.refused += 1
        self.refused_at = time.monotonic()
        update = _ENTRIES.update().where(_ENTRIES.c.number == number).values(refused=reason[:64])
        await self._database.async_write(lambda connection: connection.execute(update))

    async def count(self, name: str) -> int:
        """The next value, from 1, of a counter that survives restarts."""

        def work(connection: Connection) -> int:
            found = connection.scalar(sa.select(_COUNTERS.c.value).where(_COUNTERS.c.name == name))
            if found is None:
                connection.execute(_COUNTERS.insert().values(name=name, value=1))
                return 1
            connection.execute(_COUNTERS.update().where(_COUNTERS.c.name == name).values(value=found + 1))
            return int(found) + 1

        return await self._database.async_write(work)

    async def run(self) -> None:
        """Write what arrives, group by group, for ever. A full disk is waited out, in order."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            group, self._incoming = self._incoming, []
            gone, self._gone = self._gone, []
            rows = [(number, entry) for number, entry, _ in group]
            while not await self._write(rows, gone):  # noqa: ASYNC110 - no event says that a disk has room
                await asyncio.sleep(RETRY_S)
            for number, _, stored in group:
                self._unwritten.discard(number)
                if number not in self.waiting:
                    self._gone.append(number)
                stored()

    async def close(self) -> None:
        """Forget on disk, too, what the log has."""
        gone, self._gone = self._gone, []
        if gone:
            await self._write([], gone)

    async def _write(self, rows: Sequence[tuple[int, bytes]], gone: Sequence[int]) -> bool:
        def work(connection: Connection) -> None:
            if gone:
                connection.execute(_ENTRIES.delete().where(_ENTRIES.c.number.in_(gone)))
            if rows:
                values = [{"number": number, "entry": entry} for number, entry in rows]
                connection.execute(_ENTRIES.insert(), values)

        try:
            await self._database.async_write(work)
        except Unavailable as error:
            get_logger().error("outbox_write_failed", reason=error.reason, count=len(rows))
            return False
        return True


def _last_number(connection: Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.max(_ENTRIES.c.number))) or 0)


def _unsent(connection: Connection) -> dict[int, bytes]:
    query = sa.select(_ENTRIES.c.number, _ENTRIES.c.entry).where(_ENTRIES.c.refused == "")
    found = connection.execute(query.order_by(_ENTRIES.c.number)).all()
    return {int(number): bytes(entry) for number, entry in found}


def _count_refused(connection: Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).where(_ENTRIES.c.refused != "")) or 0)
