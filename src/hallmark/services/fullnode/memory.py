"""What a full node keeps beside its copy of the log.

fullnode_cosigned      size | root 32 bytes | note (log signature and own cosignature)
fullnode_misbehaviour  one row: reason | idx | note that shows it (may be empty) | at, unix ms
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store import Database, Migration, migrate

KEPT = 10_000
METADATA = sa.MetaData()
COSIGNED = sa.Table(
    "fullnode_cosigned",
    METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
)
MISBEHAVIOUR = sa.Table(
    "fullnode_misbehaviour",
    METADATA,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("idx", sa.BigInteger, nullable=False),
    sa.Column("note", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
)


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_create,)


class Cosigned(msgspec.Struct, frozen=True):
    """A checkpoint that this node cosigned: size, root, and its note with both signatures."""

    size: int
    root: bytes
    note: bytes


class Misbehaviour(msgspec.Struct, frozen=True):
    """Why the log is not cosigned any more: reason code, position, the note that shows it, when (unix ms)."""

    reason: str
    index: int
    note: bytes
    at: int


class Memory:
    """Durable rows; see the module docstring."""

    def __init__(self, database: Database) -> None:
        migrate(database, "fullnode", MIGRATIONS)
        self._database = database

    async def keep(self, checkpoints: Sequence[Cosigned]) -> None:
        """Remember checkpoints that were cosigned; old ones are forgotten."""
        rows = [msgspec.structs.asdict(checkpoint) for checkpoint in checkpoints]

        def work(connection: Connection) -> None:
            sizes = [checkpoint.size for checkpoint in checkpoints]
            connection.execute(COSIGNED.delete().where(COSIGNED.c.size.in_(sizes)))
            connection.execute(COSIGNED.insert(), rows)
            old = sa.select(COSIGNED.c.size).order_by(COSIGNED.c.size.desc()).offset(KEPT).limit(1)
            limit = connection.scalar(old)
            if limit is not None:
                connection.execute(COSIGNED.delete().where(COSIGNED.c.size <= limit))

        if rows:
            await self._database.async_write(work)

    async def root(self, size: int) -> bytes | None:
        """The root of the checkpoint of this size that was cosigned; None if it was not."""
        query = sa.select(COSIGNED.c.root).where(COSIGNED.c.size == size)
        found = await self._database.async_read(lambda connection: connection.scalar(query))
        return None if found is None else bytes(found)

    async def newest(self) -> bytes | None:
        """The newest note that was cosigned."""
        query = sa.select(COSIGNED.c.note).order_by(COSIGNED.c.size.desc()).limit(1)
        found = await self._database.async_read(lambda connection: connection.scalar(query))
        return None if found is None else bytes(found)

    async def accuse(self, found: Misbehaviour) -> None:
        """Remember why the log must not be cosigned; the first reason stands."""
        row = {"one": 1, **msgspec.structs.asdict(found)}
        row["idx"] = row.pop("index")

        def work(connection: Connection) -> None:
            if connection.scalar(sa.select(MISBEHAVIOUR.c.one)) is None:
                connection.execute(MISBEHAVIOUR.insert().values(row))

        await self._database.async_write(work)

    async def accusation(self) -> Misbehaviour | None:
        """Why the log must not be cosigned, if it must not."""
        query = sa.select(MISBEHAVIOUR)
        row = await self._database.async_read(lambda connection: connection.execute(query).first())
        return None if row is None else Misbehaviour(row.reason, row.idx, bytes(row.note), row.at)
