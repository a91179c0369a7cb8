"""What a follower keeps on disk, and how it gets there: with the next transaction of anybody.

following_leaves          position | leaf, packed (`store.packed`)
following_heads           size | root 32 bytes | at, unix ms | live 0/1 | signers (one a line) | note, packed
following_configurations  digest 32 bytes | document
following_anchors         size | anchor (`chain.check.kept_anchor`) | record, the anchoring service's document

All of it can be read from the log and the gateway again; it is kept so that "since when" does not move and a
page does not wait for another machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import HallmarkError
from hallmark.store import Database, Migration, Packed, migrate
from hallmark.store.deferred import Deferred
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


def _create(connection: Connection) -> None:
    METADATA.create_all(connection, [LEAVES, HEADS, CONFIGURATIONS])


def _anchors(connection: Connection) -> None:
    METADATA.create_all(connection, [ANCHORS])


MIGRATIONS: tuple[Migration, ...] = (_create, _anchors)


def prepare(database: Database) -> None:
    """Bring the tables up to date. Idempotent."""
    migrate(database, "following", MIGRATIONS)


class WriteBehind(Deferred[dict[Any, Mapping[str, Any]]]):
    """Rows of one table on their way to the disk. A row put twice is written once, the newer one. The column
    `packs` is packed on the way; `unpack` gives back what was put.
    """

    def __init__(self, database: Database, table: sa.Table, packs: str = "") -> None:
        super().__init__(database)
        (self._key,) = table.primary_key.columns
        self._table, self._packs = table, packs
        self._packed = Packed(database, table.name) if packs else None
        self._waiting: dict[Any, Mapping[str, Any]] = {}

    def put(self, row: Mapping[str, Any]) -> None:
        """Write a row soon; never blocks."""
        self._waiting[row[self._key.name]] = row
        self._put()

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

    def _batch(self) -> dict[Any, Mapping[str, Any]] | None:
        return dict(islice(self._waiting.items(), BATCH)) if self._waiting else None

    def _write(self, connection: Connection, batch: dict[Any, Mapping[str, Any]]) -> None:
        put(connection, self._table, [self._row(connection, row) for row in batch.values()])

    def _written(self, batch: dict[Any, Mapping[str, Any]]) -> None:
        for key, row in batch.items():
            if self._waiting.get(key) is row:
                del self._waiting[key]

    def _not_written(self, error: HallmarkError) -> None:
        get_logger().warning("following_not_kept", table=self._table.name, reason=error.reason)

    def _row(self, connection: Connection, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._packed is None:
            return row
        return {**row, self._packs: self._packed.pack(connection, row[self._packs])}
