"""One database by URL, with one writer.

    sqlite:////path/to/file.db       WAL, synchronous=FULL: a commit is one fsync and survives power loss
    sqlite://                        in memory, for tests
    postgresql+psycopg://user@host/name

All writes go through one thread, one transaction at a time; reads run beside them. A transaction is a plain
function of a connection: it is committed when it returns and rolled back when it raises. What the database
cannot do becomes Unavailable `store_full` or `store_unavailable`; broken constraints stay
`sqlalchemy.exc.IntegrityError`, because only the caller knows what they mean. What may wait for a
transaction goes along with the next one of anybody (`store.deferred`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.store.drivers import Transaction, inside_postgres, inside_sqlite, private
from hallmark.store.errors import unavailable

if TYPE_CHECKING:
    from hallmark.store.deferred import Deferred

T = TypeVar("T")
BUSY_TIMEOUT_MS = 10_000
READERS = 4
WAL_PAGES = 2_000
"""After so many pages (of 4096 bytes) the write-ahead log is written back; its file is cut to as much."""


class Cursor(Protocol):
    """As much of a DB-API connection as the set-up needs."""

    def execute(self, statement: str, /) -> object:
        """Run a statement."""
        ...


def beneath(connection: Connection) -> Transaction:
    """The same transaction without SQLAlchemy in between, for what is written often."""
    driver: Any = connection.connection.driver_connection
    return inside_sqlite(driver) if connection.dialect.name == "sqlite" else inside_postgres(driver)


class Database:
    """See the module docstring. `pragmas` are further SQLite settings, by name."""

    def __init__(self, url: str, *, pragmas: dict[str, int] | None = None) -> None:
        self._pragmas = dict(pragmas or {})
        self.problem = ""
        """Why the last write failed, `store_full` or `store_unavailable`; empty when it did not."""
        self.deferred: list[Deferred[Any]] = []
        """What goes along with the next transaction."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._reader = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise InvalidInput("bad_store_url", "The store's URL cannot be read.") from error
        self.dialect = parsed.get_backend_name()
        # A database in memory is one connection: its reads wait for the writer's turn.
        self._shared = self.dialect == "sqlite" and parsed.database in (None, "", ":memory:")
        if self.dialect == "sqlite":
            if "?" in url or parsed.host:
                # `?` begins a query: what follows would silently be no part of the file's name.
                raise InvalidInput(
                    "bad_store_url",
                    "A SQLite store's URL has three slashes, a path, and no query.",
                    "Write ? as %3F and % as %25 in the path.",
                )
            self._write_engine, self._read_engine = self._sqlite(parsed)
        elif parsed.drivername == "postgresql+psycopg":
            self._write_engine = self._read_engine = sa.create_engine(
                parsed, pool_size=READERS + 1, max_overflow=0, pool_pre_ping=True
            )
        else:
            raise InvalidInput(
                "bad_store_url", "A store is sqlite or postgresql+psycopg.", "See docs/log.md for URLs."
            )

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run a writing transaction here, in the calling thread's time, in the writer's turn.

        Raises Unavailable `store_full`, `store_unavailable`, and whatever `work` raises.
        """
        return self._writer.submit(self._commit, work).result()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run a reading transaction in the calling thread. Raises Unavailable `store_unavailable`."""
        if self._shared:
            return self.write(work)
        return self._transact(self._read_engine, work)

    async def async_write(
        self, work: Callable[[Connection], T], *, ended: Callable[[bool], None] = lambda _: None
    ) -> T:
        """`write` without blocking the event loop, and what is deferred with it; `work` may be run a second
        time. Once begun it is not cancelled; `ended` is told whether it was committed.
        """
        others = [taken for each in self.deferred if (taken := each.take()) is not None]

        def end(done: bool, together: bool) -> None:
            ended(done)
            for taken in others:
                taken.ended(together)

        def settled(found: asyncio.Future[tuple[T, bool]]) -> None:
            failed = found.cancelled() or found.exception() is not None
            end(not failed, not failed and found.result()[1])

        try:
            begun = self._writer.submit(self._commit_with, work, [taken.work for taken in others])
        except BaseException:  # it was closed
            end(False, False)
            raise
        future = asyncio.wrap_future(begun)
        future.add_done_callback(settled)
        return (await asyncio.shield(future))[0]

    async def async_read(self, work: Callable[[Connection], T]) -> T:
        """`read` without blocking the event loop."""
        if self._shared:
            future: Future[T] = self._writer.submit(self._commit, work)
            return await asyncio.shield(asyncio.wrap_future(future))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._transact, self._read_engine, work)

    def close(self) -> None:
        """Finish what was begun and let go of the database."""
        self._writer.shutdown()
        self._reader.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()

    def _commit_with(
        self, work: Callable[[Connection], T], others: Sequence[Callable[[Connection], object]]
    ) -> tuple[T, bool]:
        """What `work` gives, and whether the others were committed with it."""

        def together(connection: Connection) -> T:
            for other in others:
                other(connection)
            return work(connection)

        if others:
            try:
                return self._commit(together), True
            except Unavailable:
                raise
            except Exception:  # whose it was shows when `work` is alone
                return self._commit(work), False
        return self._commit(work), True

    def _commit(self, work: Callable[[Connection], T]) -> T:
        try:
            done = self._transact(self._write_engine, work)
        except Unavailable as error:
            self.problem = error.reason if error.reason.startswith("store_") else self.problem
            raise
        self.problem = ""
        return done

    def _transact(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        driver: Any = engine.dialect.loaded_dbapi
        try:
            with engine.begin() as connection:
                return work(connection)
        except IntegrityError:
            raise
        except driver.IntegrityError as error:
            raise IntegrityError(None, None, error) from error
        except (SQLAlchemyError, driver.Error) as error:
            raise unavailable(error) from error

    def _sqlite(self, url: sa.URL) -> tuple[Engine, Engine]:
        if self._shared:
            shared = self._engine(url, "BEGIN", pool=StaticPool)
            return shared, shared
        private(Path(str(url.database)))
        return self._engine(url, "BEGIN IMMEDIATE"), self._engine(url, "BEGIN", size=READERS)

    def _engine(self, url: sa.URL, begin: str, *, pool: type[sa.Pool] = QueuePool, size: int = 1) -> Engine:
        sized = {"pool_size": size, "max_overflow": READERS} if pool is QueuePool else {}
        engine = sa.create_engine(url, poolclass=pool, connect_args={"check_same_thread": False}, **sized)
        event.listen(engine, "connect", self._prepare)

        def start(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(engine, "begin", start)
        return engine

    def _prepare(self, connection: Cursor, _record: object) -> None:
        # The driver must not begin transactions by itself: it would do so after the first read.
        connection.isolation_level = None  # type: ignore[attr-defined]  # of sqlite3.Connection alone
        settings = {
            "busy_timeout": BUSY_TIMEOUT_MS,
            "journal_mode": "WAL",
            "synchronous": "FULL",
            "foreign_keys": 1,
            "wal_autocheckpoint": WAL_PAGES,
            "journal_size_limit": WAL_PAGES * 4096,
            **self._pragmas,
        }
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name} = {value}")
