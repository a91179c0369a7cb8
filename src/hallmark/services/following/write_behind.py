"""What a follower keeps on disk, and how it gets there: in groups, behind the event loop.

following_leaves          position | leaf, packed (`store.packed`)
following_heads           size | root 32 bytes | at, unix ms | live 0/1 | signers (one a line) | note, packed
following_configurations  digest 32 bytes | document
following_anchors         size | anchor (`chain.check.kept_anchor`) | record, the anchoring service's document

All of it can be read from the log and the gateway again; it is kept so that "since when" does not move and a
page does not wait for another machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import HallmarkError
from hallmark.store import Database, Migration, Packed, migrate
from hallmark.store.upserts import put
from hallmark.telemetry.logs import get_logger

METADATA = sa.MetaData()
LEAVES: Final = sa.Table(
    "following_leaves",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
)
HEADS: Final = sa.Table(
    "following_heads",
    METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("live", sa.Integer, nullable=False),
    sa.Column("signers", sa.Text, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
sa.Index("following_heads_root", HEADS.c.root)
CONFIGURATIONS: Final = sa.Table(
    "following_configurations",
    METADATA,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("document", sa.LargeBinary, nullable=False),
)
ANCHORS: Final = sa.Table(
    "following_anchors",
    METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("anchor", sa.LargeBinary, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)
BATCH: Final = 1_000
RETRY_S: Final = 1.0


def _create(connection: Connection) -> None:
    METADATA.create_all(connection, [LEAVES, HEADS, CONFIGURATIONS])


def _anchors(connection: Connection) -> None:
    METADATA.create_all(connection, [ANCHORS])


MIGRATIONS: tuple[Migration, ...] = (_create, _anchors)


def prepare(database: Database) -> None:
    """Bring the tables up to date. Idempotent."""
    migrate(database, "following", MIGRATIONS)


class WriteBehind:
    """Rows of one table on their way to the disk. A row put twice is written once, the newer one. The column
    `packs` is packed on the way; `unpack` gives back what was put.
    """

    def __init__(self, database: Database, table: sa.Table, packs: str = "") -> None:
        (self._key,) = table.primary_key.columns
        self._database, self._table, self._packs = database, table, packs
        self._packed = Packed(database, table.name) if packs else None
        self._waiting: dict[Any, Mapping[str, Any]] = {}
        self._wake = asyncio.Event()

    def put(self, row: Mapping[str, Any]) -> None:
        """Write a row soon; never blocks."""
        self._waiting[row[self._key.name]] = row
        self._wake.set()

    def waiting(self, key: object) -> Mapping[str, Any] | None:
        """A row that is not on disk yet."""
        return self._waiting.get(key)

    def unpack(self, found: bytes) -> bytes:
        """What was put, of a column that is packed. Raises VerificationFailed `store_changed`."""
        return bytes(found) if self._packed is None else self._packed.unpack(bytes(found))

    def clear(self) -> None:
        """Forget what waits, and delete every row. Blocks."""
        self._waiting.clear()
        self._database.write(lambda c: c.execute(self._table.delete()))

    async def flush(self) -> None:
        """Write what waits, now. Raises Unavailable as the store does."""
        while self._waiting:
            await self._some()

    async def run(self) -> None:
        """Write for ever; what waits when cancelled is written first. A full disk is tried again."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._try()
        finally:
            await asyncio.shield(self._last())

    async def _try(self) -> None:
        try:
            await self._some()
        except HallmarkError as error:
            get_logger().warning("following_not_kept", table=self._table.name, reason=error.reason)
            await asyncio.sleep(RETRY_S)

    async def _last(self) -> None:
        try:
            while self._waiting:
                await self._some()
        except HallmarkError as error:
            get_logger().warning("following_not_kept", table=self._table.name, reason=error.reason)

    async def _some(self) -> None:
        keys = list(self._waiting)[:BATCH]
        rows = [self._waiting[key] for key in keys]
        await self._database.async_write(lambda c: self._replace(c, rows))
        for key, row in zip(keys, rows, strict=True):
            if self._waiting.get(key) is row:
                del self._waiting[key]

    def _replace(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        put(connection, self._table, [self._row(connection, row) for row in rows])

    def _row(self, connection: Connection, row: Mapping[str, Any]) -> dict[str, Any]:
        if self._packed is None:
            return dict(row)
        return {**row, self._packs: self._packed.pack(connection, row[self._packs])}
