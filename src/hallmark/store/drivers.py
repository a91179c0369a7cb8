"""Connections of the raw store: `sqlite3` and psycopg behind one small transaction.

Statements are SQL that both understand, with `?` for parameters. In `CREATE TABLE` the types INTEGER, TEXT
and BLOB become BIGINT, TEXT and BYTEA in PostgreSQL: integers have 64 bits in both. `WITHOUT ROWID` (rows
stand in the key's own tree) is for SQLite alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from hallmark.store.errors import ConstraintBroken, unavailable

if TYPE_CHECKING:
    import psycopg

BUSY_TIMEOUT_MS: Final = 10_000
PRAGMAS: Final[Mapping[str, str | int]] = {
    "busy_timeout": BUSY_TIMEOUT_MS,
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": 1,
}
TYPES: Final = {"INTEGER": "BIGINT", "BLOB": "BYTEA"}

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Any, ...]


class Transaction(Protocol):
    """What may be done inside one transaction. It ends with the function that was given it."""

    def execute(self, statement: str, parameters: Sequence[Value] = ()) -> int:
        """Run a statement; how many rows it changed. Raises ConstraintBroken."""
        ...

    def executemany(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run a statement once for each row of parameters. Raises ConstraintBroken."""
        ...

    def fetch(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """All rows of a query."""
        ...

    def locking(self, query: str) -> str:
        """The query, so that its rows cannot change until this transaction ends."""
        ...

    def lock(self, table: str) -> None:
        """Keep every other writer out of a table until this transaction ends."""
        ...


class Driver(Protocol):
    """One connection. Used by one thread at a time."""

    def transaction(self, *, write: bool) -> contextlib.AbstractContextManager[Transaction]:
        """Begin; commit at the end, roll back when the block raises.

        Raises Unavailable `store_full`, `store_unavailable`, and ConstraintBroken.
        """
        ...

    @property
    def changes(self) -> int:
        """Rows that this connection has changed, of those that `tidy` has to move (SQLite alone)."""
        ...

    def tidy(self) -> None:
        """Move what was committed to where it stays, without holding up a writer (SQLite alone)."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SQLiteDriver:
    """A SQLite file, or one in memory when `path` is empty. WAL; a commit is one fsync and survives power
    loss. `pragmas` are further settings, by name.
    """

    def __init__(self, path: str, pragmas: Mapping[str, int]) -> None:
        if path:
            private(Path(path))
        try:
            self._connection = sqlite3.connect(
                path or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=256
            )
            for name, value in {**PRAGMAS, **pragmas}.items():
                self._connection.execute(f"PRAGMA {name} = {value}")
        except sqlite3.Error as error:
            raise unavailable(error) from error

    @contextlib.contextmanager
    def transaction(self, *, write: bool) -> Iterator[Transaction]:
        """See `Driver`."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield _SQLiteTransaction(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError):
                raise ConstraintBroken from error
            if isinstance(error, sqlite3.Error):
                raise unavailable(error) from error
            raise

    @property
    def changes(self) -> int:
        """See `Driver`."""
        return self._connection.total_changes

    def tidy(self) -> None:
        """See `Driver`."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """See `Driver`."""
        self._connection.close()


class _SQLiteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Value] = ()) -> int:
        return self._connection.execute(statement, parameters).rowcount

    def executemany(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(statement, rows)

    def fetch(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(query, parameters).fetchall()

    def locking(self, query: str) -> str:
        return query  # a writing transaction of SQLite is alone from its beginning

    def lock(self, table: str) -> None:
        """Nothing to do, for the same reason."""


def inside_sqlite(connection: sqlite3.Connection) -> Transaction:
    """What may be done in a transaction that somebody began on this connection."""
    return _SQLiteTransaction(connection)


def inside_postgres(connection: psycopg.Connection[Row]) -> Transaction:
    """The same on a connection to PostgreSQL."""
    return _PostgresTransaction(connection.cursor())


class PostgresDriver:
    """A PostgreSQL server, or one that speaks its protocol. `conninfo` is a libpq URL.

    A connection that was lost is opened again by the next transaction, which then has not begun yet.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection[Row] | None = None

    @contextlib.contextmanager
    def transaction(self, *, write: bool) -> Iterator[Transaction]:
        """See `Driver`."""
        import psycopg

        try:
            connection = self._begun(write)
            yield _PostgresTransaction(connection.cursor())
            connection.commit()
        except BaseException as error:
            self._roll_back()
            if isinstance(error, psycopg.IntegrityError):
                raise ConstraintBroken from error
            if isinstance(error, psycopg.Error):
                raise unavailable(error) from error
            raise

    @property
    def changes(self) -> int:
        """See `Driver`."""
        return 0

    def tidy(self) -> None:
        """See `Driver`."""

    def close(self) -> None:
        """See `Driver`."""
        if self._connection is not None:
            self._connection.close()

    def _begun(self, write: bool) -> psycopg.Connection[Row]:
        import psycopg

        begin = "BEGIN" if write else "BEGIN READ ONLY"
        if self._connection is not None and not self._connection.closed:
            with contextlib.suppress(psycopg.OperationalError):
                self._connection.execute(begin)
                return self._connection
            self._connection.close()
        self._connection = psycopg.connect(self._conninfo, autocommit=True)
        self._connection.execute(begin)
        return self._connection

    def _roll_back(self) -> None:
        import psycopg

        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.rollback()


class _PostgresTransaction:
    def __init__(self, cursor: psycopg.Cursor[Row]) -> None:
        self._cursor = cursor

    def execute(self, statement: str, parameters: Sequence[Value] = ()) -> int:
        return self._cursor.execute(translated(statement), parameters).rowcount

    def executemany(self, statement: str, rows: Sequence[Sequence[Value]]) -> None:
        self._cursor.executemany(translated(statement), rows)

    def fetch(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self._cursor.execute(translated(query), parameters).fetchall()

    def locking(self, query: str) -> str:
        return f"{query} FOR UPDATE"

    def lock(self, table: str) -> None:
        self._cursor.execute(translated(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))


@functools.lru_cache(maxsize=512)
def translated(statement: str) -> bytes:
    """A statement as psycopg takes it: `%s` for `?`, and PostgreSQL's types in `CREATE TABLE`."""
    if statement.startswith("CREATE TABLE"):
        statement = statement.removesuffix(" WITHOUT ROWID")
        statement = re.sub(r"\b(INTEGER|BLOB)\b", lambda found: TYPES[found[0]], statement)
    return statement.replace("?", "%s").encode()


def private(path: Path) -> None:
    """Make the file, for its owner only; the files that SQLite puts beside it take its mode over.

    One that is there is not opened: closing it would drop every lock that this process holds on it (POSIX),
    and whoever opens the database next would take itself for the only one and delete the write-ahead log.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        # What keeps it from being made is told by the first use of it, as `store_unavailable`.
        return
