"""Sessions and used challenges on disk. A session is kept as the SHA-256 of its token: the disk opens no
door.
"""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from hallmark.store import Database, migrate

_METADATA = sa.MetaData()
_SESSIONS: Final = sa.Table(
    "review_sessions",
    _METADATA,
    sa.Column("token", sa.LargeBinary(32), primary_key=True),
    sa.Column("address", sa.LargeBinary(20), nullable=False),
    sa.Column("opened", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False, index=True),
)
_NONCES: Final = sa.Table(
    "review_nonces",
    _METADATA,
    sa.Column("nonce", sa.LargeBinary(32), primary_key=True),
    sa.Column("expires", sa.BigInteger, nullable=False, index=True),
)
MIGRATIONS: Final = (lambda connection: _METADATA.create_all(connection),)


class SessionRow(msgspec.Struct, frozen=True):
    """A session: hash of its token (32 bytes), address (20 bytes), opened, last used, expires (unix ms)."""

    token: bytes
    address: bytes
    opened: int
    used: int
    expires: int


class SessionStore:
    """Rows by token hash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        migrate(database, "review_sessions", MIGRATIONS)

    async def open(self, row: SessionRow, nonce: bytes, until: int, *, ended: bytes) -> bool:
        """Use up `nonce` (remembered until `until`), end the session `ended`, begin a new one; False when the
        nonce was used before.
        """

        def work(connection: Connection) -> None:
            connection.execute(_NONCES.delete().where(_NONCES.c.expires < row.opened))
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.expires < row.opened))
            connection.execute(_NONCES.insert().values(nonce=nonce, expires=until))
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.token == ended))
            connection.execute(_SESSIONS.insert().values(**msgspec.structs.asdict(row)))

        try:
            await self._database.async_write(work)
        except IntegrityError:
            return False
        return True

    async def get(self, token: bytes) -> SessionRow | None:
        """The session of a token hash."""
        query = sa.select(_SESSIONS).where(_SESSIONS.c.token == token)
        rows = await self._database.async_read(lambda c: list(c.execute(query)))
        return SessionRow(**rows[0]._mapping) if rows else None

    async def touch(self, token: bytes, now: int) -> None:
        """Note that a session was used."""
        query = _SESSIONS.update().where(_SESSIONS.c.token == token).values(used=now)
        await self._database.async_write(lambda c: c.execute(query))

    async def close(self, token: bytes) -> None:
        """End a session."""
        await self._database.async_write(
            lambda c: c.execute(_SESSIONS.delete().where(_SESSIONS.c.token == token))
        )
