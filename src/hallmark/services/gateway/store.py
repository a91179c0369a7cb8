"""What the gateway keeps on disk: receipts on their way to the log, and for a while after.

A row holds the log entry's bytes and public documents. Requests, answers, salts and parameters never get
here: they are the owner's.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.entries import Entry, decode
from hallmark.core.receipt import Receipt
from hallmark.store import Database, migrate
from hallmark.store.grouped import Grouped

_METADATA = sa.MetaData()
_RECEIPTS: Final = sa.Table(
    "gateway_receipts",
    _METADATA,
    sa.Column("id", sa.LargeBinary(32), primary_key=True),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Column("evidence", sa.LargeBinary(32), nullable=False),
    sa.Column("configuration", sa.LargeBinary, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger),
    sa.Column("admitted", sa.BigInteger),
    sa.Column("refused", sa.String(64), nullable=False),
    sa.Column("request", sa.String(200), nullable=False, index=True),
    sa.Column("answer", sa.String(200), nullable=False, index=True),
)
sa.Index("gateway_receipts_pending", _RECEIPTS.c.position, _RECEIPTS.c.created)
MIGRATIONS: Final = (lambda connection: _METADATA.create_all(connection),)


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

    def __init__(self, database: Database) -> None:
        self._database = database
        migrate(database, "gateway", MIGRATIONS)
        self._grouped = Grouped(self._write)

    async def run(self) -> None:
        """Write what is put, for ever; finishes the batch under way when cancelled."""
        await self._grouped.run()

    async def put(self, kept: Kept) -> None:
        """Insert or update a row; returns when it is on disk. Raises Unavailable as the store does."""
        await self._grouped.put(kept)

    async def get(self, digest: bytes) -> Kept | None:
        """The row of a receipt id."""
        query = sa.select(_RECEIPTS).where(_RECEIPTS.c.id == digest)
        rows = await self._database.async_read(lambda c: list(c.execute(query)))
        return _kept(rows[0]) if rows else None

    async def named(self, name: str) -> tuple[bytes, ...]:
        """The receipt ids of a request's or an answer's name: none, one, or several when answers share it."""
        where = sa.or_(_RECEIPTS.c.request == name, _RECEIPTS.c.answer == name)
        query = sa.select(_RECEIPTS.c.id).where(where).limit(2)
        return tuple(row[0] for row in await self._database.async_read(lambda c: list(c.execute(query))))

    async def pending(self) -> list[Kept]:
        """Receipts that the log has neither taken nor refused, oldest first."""
        query = (
            sa.select(_RECEIPTS)
            .where(_RECEIPTS.c.position.is_(None), _RECEIPTS.c.refused == "")
            .order_by(_RECEIPTS.c.created)
        )
        return [_kept(row) for row in await self._database.async_read(lambda c: list(c.execute(query)))]

    async def forget(self, before: int) -> None:
        """Delete receipts that are in the log and came before a time (unix ms): the log has them."""
        where = sa.and_(_RECEIPTS.c.created < before, _RECEIPTS.c.position.is_not(None))
        await self._database.async_write(lambda c: c.execute(_RECEIPTS.delete().where(where)))

    async def _write(self, batch: list[tuple[Kept, asyncio.Future[None]]]) -> None:
        rows = {kept.id: msgspec.structs.asdict(kept) for kept, _ in batch}

        def work(connection: Connection) -> None:
            connection.execute(_RECEIPTS.delete().where(_RECEIPTS.c.id.in_(list(rows))))
            connection.execute(_RECEIPTS.insert(), list(rows.values()))

        error: BaseException | None = None
        try:
            await self._database.async_write(work)
        except Exception as failed:
            error = failed
        for _, done in batch:
            with contextlib.suppress(asyncio.InvalidStateError):
                done.set_result(None) if error is None else done.set_exception(error)


def _kept(row: sa.Row[tuple[object, ...]]) -> Kept:
    return Kept(**row._mapping)
