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

from hallmark.core.errors import Unavailable
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.telemetry.logs import get_logger

RETRY_S: Final = 0.25
BRIEF: Final = 32
"""Up to so many rows a transaction is brief."""
DELETE: Final = "DELETE FROM outbox_entries WHERE number = ?"
INSERT: Final = "INSERT INTO outbox_entries (number, entry, refused) VALUES (?, ?, '')"


def create(transaction: Transaction) -> None:
    """The tables of version 1."""
    transaction.execute(
        "CREATE TABLE outbox_entries (number INTEGER PRIMARY KEY, entry BLOB NOT NULL, refused TEXT NOT NULL)"
    )
    transaction.execute("CREATE TABLE node_counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")


class Outbox:
    """See the module docstring. One writer: `run` must be running for `put` to be answered."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("node", (create,))
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
        update = "UPDATE outbox_entries SET refused = ? WHERE number = ?"
        await self._database.async_write(lambda t: t.execute(update, (reason[:64], number)))

    async def count(self, name: str, least: int = 1) -> int:
        """The next value of a counter that survives restarts: `least` or more, above every earlier one."""

        def work(transaction: Transaction) -> int:
            held = transaction.fetch("SELECT value FROM node_counters WHERE name = ?", (name,))
            value = max(least, int(held[0][0]) + 1) if held else least
            add = (
                "INSERT INTO node_counters VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            )
            transaction.execute(add, (name, value))
            return value

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
        def work(transaction: Transaction) -> None:
            transaction.executemany(DELETE, [(number,) for number in gone])
            transaction.executemany(INSERT, rows)

        try:
            await self._database.async_write(work, brief=len(rows) + len(gone) <= BRIEF)
        except Unavailable as error:
            get_logger().error("outbox_write_failed", reason=error.reason, count=len(rows))
            return False
        return True


def _last_number(transaction: Transaction) -> int:
    return int(transaction.fetch("SELECT coalesce(max(number), 0) FROM outbox_entries")[0][0])


def _unsent(transaction: Transaction) -> dict[int, bytes]:
    query = "SELECT number, entry FROM outbox_entries WHERE refused = '' ORDER BY number"
    return {int(number): bytes(entry) for number, entry in transaction.fetch(query)}


def _count_refused(transaction: Transaction) -> int:
    return int(transaction.fetch("SELECT count(*) FROM outbox_entries WHERE refused <> ''")[0][0])
