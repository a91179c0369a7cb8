"""The lease that makes one process the log, and the fence that keeps a former one out.

    log_lease   name | holder | epoch | expires (unix ms)

Clocks decide only *when* a standby takes over. Safety rests on the epoch: it rises with every change of
hands, and each append checks it in its own transaction, so a holder that overslept cannot write.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import Conflict
from hallmark.store import Database, Migration, migrate

METADATA = sa.MetaData()
LEASES = sa.Table(
    "log_lease",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(128), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
)
NAME = "sequencer"


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_create,)


class Lease(msgspec.Struct, frozen=True):
    """A lease that was ours when it was taken."""

    holder: str
    epoch: int


class LeaseKeeper:
    """Takes, renews and fences the lease of one database for `holder`; `ttl` in ms."""

    def __init__(self, database: Database, holder: str, ttl: int) -> None:
        migrate(database, "log-lease", MIGRATIONS)
        self._database = database
        self._holder = holder
        self._ttl = ttl

    async def take(self, now: int) -> Lease | None:
        """Take the lease at `now` (unix ms) if it is free, expired, or this holder's from an earlier life."""

        def work(connection: Connection) -> Lease | None:
            row = connection.execute(_row().with_for_update()).first()
            if row is not None and row.holder != self._holder and row.expires > now:
                return None
            epoch = 1 if row is None else row.epoch + 1
            values = {"holder": self._holder, "epoch": epoch, "expires": now + self._ttl}
            if row is None:
                connection.execute(LEASES.insert().values(name=NAME, **values))
            else:
                connection.execute(LEASES.update().where(LEASES.c.name == NAME).values(values))
            return Lease(self._holder, epoch)

        return await self._database.async_write(work)

    async def renew(self, lease: Lease, now: int) -> None:
        """Extend the lease. Raises Conflict `lease_lost`."""

        def work(connection: Connection) -> None:
            fence(lease)(connection)
            connection.execute(LEASES.update().where(LEASES.c.name == NAME).values(expires=now + self._ttl))

        await self._database.async_write(work)

    async def release(self, lease: Lease) -> None:
        """Let a standby take over at once."""

        def work(connection: Connection) -> None:
            mine = (LEASES.c.name == NAME) & (LEASES.c.epoch == lease.epoch)
            connection.execute(LEASES.update().where(mine).values(expires=0))

        await self._database.async_write(work)


def fence(lease: Lease) -> Callable[[Connection], None]:
    """A step of a transaction that raises Conflict `lease_lost` unless `lease` still holds."""

    def check(connection: Connection) -> None:
        row = connection.execute(_row().with_for_update()).first()
        if row is None or row.epoch != lease.epoch:
            raise Conflict("lease_lost", "Another process is the log now.")

    return check


def _row() -> sa.Select[tuple[str, int, int]]:
    return sa.select(LEASES.c.holder, LEASES.c.epoch, LEASES.c.expires).where(LEASES.c.name == NAME)
