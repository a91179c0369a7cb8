"""The durable outbox: every checkpoint that was to be anchored, and how far it came.

    wanted -> signed -> sent -> mined -> confirmed
                 ^________|______|___________|        the chain lost it, or another transaction took the nonce
    superseded   a larger checkpoint covers it (final)
    conflict     the chain holds another root for this size (final, and an alarm)

A transaction is written here before it is sent, so after a kill at any point the same bytes can go out again.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.statements import AnchoredCheckpoint
from hallmark.store import Database, migrate

SIGNATURE: Final = 65


class State(enum.StrEnum):
    """How far a checkpoint came; see the module docstring."""

    WANTED = "wanted"
    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    CONFIRMED = "confirmed"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"


ANCHORED: Final = (State.MINED, State.CONFIRMED)


class Anchoring(msgspec.Struct, frozen=True):
    """One row. `transaction` stays when the checkpoint is mined; `since` is when `state` began, unix ms."""

    size: int
    root: bytes
    state: State
    since: int
    signatures: tuple[bytes, ...] = ()
    raw: bytes = b""
    transaction: bytes = b""
    nonce: int = 0
    fee_limit: int = 0
    fee_tip: int = 0
    block: int = 0
    attempts: int = 0
    reason: str = ""


_METADATA = sa.MetaData()
_ANCHORS = sa.Table(
    "anchors",
    _METADATA,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("signatures", sa.LargeBinary, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("transaction", sa.LargeBinary, nullable=False),
    sa.Column("nonce", sa.BigInteger, nullable=False),
    sa.Column("fee_limit", sa.BigInteger, nullable=False),
    sa.Column("fee_tip", sa.BigInteger, nullable=False),
    sa.Column("block", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
)


def _create(connection: Connection) -> None:
    _METADATA.create_all(connection)


class Outbox:
    """The rows, in a database that nobody else writes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        migrate(database, "anchor", [_create])

    async def add(self, checkpoint: AnchoredCheckpoint, now: int) -> Anchoring:
        """The row of a checkpoint, made `wanted` if its size is new. The caller compares roots."""

        def work(connection: Connection) -> Anchoring:
            found = connection.execute(
                sa.select(_ANCHORS).where(_ANCHORS.c.size == checkpoint.size)
            ).one_or_none()
            if found is not None:
                return _row(found)
            row = Anchoring(checkpoint.size, checkpoint.root, State.WANTED, now)
            connection.execute(_ANCHORS.insert().values(**_values(row)))
            return row

        return await self._database.async_write(work)

    async def save(self, *rows: Anchoring) -> None:
        """Replace rows, all or none."""

        def work(connection: Connection) -> None:
            for row in rows:
                connection.execute(
                    _ANCHORS.update().where(_ANCHORS.c.size == row.size).values(**_values(row))
                )

        if rows:
            await self._database.async_write(work)

    async def rows(
        self, states: Collection[State], *, above: int = -1, limit: int = 1000, newest: bool = True
    ) -> list[Anchoring]:
        """Rows in any of `states` whose size is over `above`, newest (largest) or oldest first."""
        order = _ANCHORS.c.size.desc() if newest else _ANCHORS.c.size
        query = (
            sa.select(_ANCHORS)
            .where(_ANCHORS.c.state.in_([state.value for state in states]), _ANCHORS.c.size > above)
            .order_by(order)
            .limit(limit)
        )
        found = await self._database.async_read(lambda connection: connection.execute(query).all())
        return [_row(row) for row in found]

    async def counts(self) -> dict[str, int]:
        """Number of rows by state."""
        query = sa.select(_ANCHORS.c.state, sa.func.count()).group_by(_ANCHORS.c.state)
        found = await self._database.async_read(lambda connection: connection.execute(query).all())
        return {str(state): int(count) for state, count in found}


def _values(row: Anchoring) -> dict[str, Any]:
    values = msgspec.structs.asdict(row)
    return {**values, "state": row.state.value, "signatures": b"".join(row.signatures)}


def _row(found: sa.Row[Any]) -> Anchoring:
    values = dict(found._mapping)
    joined = bytes(values["signatures"])
    signatures = tuple(joined[at : at + SIGNATURE] for at in range(0, len(joined), SIGNATURE))
    values |= {name: bytes(values[name]) for name in ("root", "raw", "transaction")}
    return Anchoring(**{**values, "state": State(values["state"]), "signatures": signatures})
