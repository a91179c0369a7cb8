"""What the gateway keeps on disk: receipts on their way to the log, and for a while after.

A row holds the log entry's bytes and public documents. Requests, answers, salts and parameters never get
here: they are the owner's.

A receipt is written once, when it comes, under load with all that come within `SPACING_S`. Where the log put
it is written with a later one, or when none comes for `LATER_S`: after a kill the log is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec

from hallmark.core.entries import Entry, decode
from hallmark.core.errors import HallmarkError
from hallmark.core.receipt import Receipt
from hallmark.store.raw import RawDatabase, Row, Transaction
from hallmark.telemetry.logs import get_logger

LATER_S: Final = 5.0
SPACING_S: Final = 0.01
"""Transactions begin at most so often."""
MOST: Final = 500
"""Receipts of one transaction."""
COLUMNS: Final = "id, entry, evidence, configuration, created, position, admitted, refused, request, answer"
WRITE: Final = (
    f"INSERT INTO gateway_receipts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET position = excluded.position, admitted = excluded.admitted, "
    "refused = excluded.refused"
)
BRIEF: Final = 32
"""Up to so many rows a transaction is brief."""


def create(transaction: Transaction) -> None:
    """The tables of version 1."""
    transaction.execute(
        "CREATE TABLE gateway_receipts (id BLOB PRIMARY KEY, entry BLOB NOT NULL, evidence BLOB NOT NULL, "
        "configuration BLOB NOT NULL, created INTEGER NOT NULL, position INTEGER, admitted INTEGER, "
        "refused TEXT NOT NULL, request TEXT NOT NULL, answer TEXT NOT NULL)"
    )
    transaction.execute("CREATE INDEX gateway_receipts_request ON gateway_receipts (request)")
    transaction.execute("CREATE INDEX gateway_receipts_answer ON gateway_receipts (answer)")
    transaction.execute("CREATE INDEX gateway_receipts_created ON gateway_receipts (created)")
    transaction.execute(
        "CREATE INDEX gateway_receipts_pending ON gateway_receipts (created) WHERE position IS NULL"
    )


class Kept(msgspec.Struct, frozen=True):
    """One receipt: its id (32 bytes), log entry, SHA-256 of the evidence that came with it (zero: none), the
    node's configuration document (may be empty), when it came (unix ms), where the log put it, and by which
    names it can be found: those of the request and of the answer (empty: none).
    """

    id: bytes
    entry: bytes
    evidence: bytes
    configuration: bytes
    created: int
    position: int | None = None
    admitted: int | None = None
    refused: str = ""
    request: str = ""
    answer: str = ""

    def opened(self) -> tuple[Entry, Receipt]:
        """The entry and its receipt."""
        entry = decode(self.entry)
        assert isinstance(entry.statement, Receipt)
        return entry, entry.statement


class ReceiptStore:
    """Rows by receipt id. Writes are grouped: all that arrive during one commit share the next."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("gateway", (create,))
        self._fresh: list[tuple[Kept, asyncio.Future[None]]] = []
        self._placed: dict[bytes, Kept] = {}
        self._wake = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._next = 0.0
        """When the next transaction may begin, in the loop's seconds."""

    async def run(self) -> None:
        """Write what is put, for ever; writes what is left when it is cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._gather()
                await self._flush()
                while self._fresh:
                    await self._flush()
        finally:
            if self._later is not None:
                self._later.cancel()
            await self._flush()
            while self._fresh:
                await self._flush()

    async def put(self, kept: Kept) -> None:
        """Insert or update a row; returns when it is on disk. Raises Unavailable as the store does."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fresh.append((kept, done))
        self._wake.set()
        await asyncio.shield(done)

    def placed(self, kept: Kept) -> None:
        """Note what became of a receipt that was put; it is on disk with the next one, or in a while."""
        self._placed[kept.id] = kept
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(LATER_S, self._soon)

    async def get(self, digest: bytes) -> Kept | None:
        """The row of a receipt id."""
        query = f"SELECT {COLUMNS} FROM gateway_receipts WHERE id = ?"  # noqa: S608 - a constant
        rows = await self._database.async_read(lambda t: t.fetch(query, (digest,)))
        return self._known(rows[0]) if rows else None

    async def named(self, name: str) -> tuple[bytes, ...]:
        """The receipt ids of a request's or an answer's name: none, one, or several when answers share it."""
        query = "SELECT id FROM gateway_receipts WHERE request = ? OR answer = ? LIMIT 2"
        rows = await self._database.async_read(lambda t: t.fetch(query, (name, name)))
        return tuple(bytes(row[0]) for row in rows)

    async def pending(self) -> list[Kept]:
        """Receipts that the log has neither taken nor refused, as far as is known here, oldest first."""
        query = (
            f"SELECT {COLUMNS} FROM gateway_receipts "  # noqa: S608 - a constant
            "WHERE position IS NULL AND refused = '' ORDER BY created"
        )
        rows = await self._database.async_read(lambda t: t.fetch(query))
        return [kept for kept in map(_kept, rows) if kept.id not in self._placed]

    async def forget(self, before: int) -> None:
        """Delete receipts that are in the log and came before a time (unix ms): the log has them."""
        statement = "DELETE FROM gateway_receipts WHERE created < ? AND position IS NOT NULL"
        await self._database.async_write(lambda t: t.execute(statement, (before,)))

    def _soon(self) -> None:
        self._later = None
        self._wake.set()

    def _known(self, row: Row) -> Kept:
        kept = _kept(row)
        later = self._placed.get(kept.id)
        return kept if later is None else later

    async def _gather(self) -> None:
        """A receipt that comes alone is written at once, one that comes close behind others with the next."""
        loop = asyncio.get_running_loop()
        left = self._next - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        self._next = loop.time() + SPACING_S

    async def _flush(self) -> None:
        """One transaction: what came, and what became of what had come before."""
        batch, self._fresh = self._fresh[:MOST], self._fresh[MOST:]
        placed, self._placed = self._placed, {}
        rows = [msgspec.structs.astuple(kept) for kept in (*[kept for kept, _ in batch], *placed.values())]
        if not rows:
            return

        def work(transaction: Transaction) -> None:
            transaction.executemany(WRITE, rows)

        error: BaseException | None = None
        try:
            await self._database.async_write(work, brief=len(rows) <= BRIEF)
        except Exception as failed:
            error = failed
            self._put_back(placed, failed)
        for _, done in batch:
            with contextlib.suppress(asyncio.InvalidStateError):
                done.set_result(None) if error is None else done.set_exception(error)

    def _put_back(self, placed: dict[bytes, Kept], error: BaseException) -> None:
        """Places are tried again with a later write."""
        if not placed:
            return
        reason = error.reason if isinstance(error, HallmarkError) else type(error).__name__.lower()
        get_logger().warning("places_not_kept", reason=reason, count=len(placed))
        for kept in placed.values():
            if kept.id not in self._placed:
                self.placed(kept)


def _kept(row: Row) -> Kept:
    receipt, entry, evidence, configuration, *rest = row
    return Kept(bytes(receipt), bytes(entry), bytes(evidence), bytes(configuration), *rest)
