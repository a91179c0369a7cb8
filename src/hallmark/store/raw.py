"""A database for append-only hot stores: plain SQL, one writer, nothing between a transaction and its driver.

    sqlite:////path/to/file.db       WAL, synchronous=FULL: a commit is one fsync and survives power loss
    sqlite://                        in memory, for tests
    postgresql+psycopg://user@host/name

It keeps the rules of `Database` (which is for stores whose queries are many-sided, over SQLAlchemy): all
writes take turns, one transaction at a time; reads run beside them; a transaction is a plain function of a
`Transaction`, committed when it returns and rolled back when it raises. What the database cannot do becomes
Unavailable `store_full` or `store_unavailable`; a broken constraint is `ConstraintBroken`.

Where a transaction runs. `async_write(work, brief=True)` says that `work` writes a few rows. Such a
transaction runs on the event loop's own thread while commits are quick (`QUICK_S`, by a running mean of what
they took), and beside it, in the writer's thread, when they are not: on a disk whose fsync takes 0.1 ms the
hand-off between threads costs as much processor time as the whole transaction, on one whose fsync takes 5 ms
everybody else would wait for it. It begins in the writer's thread, until enough commits were measured.

    class Known:
        def __init__(self, database: RawDatabase) -> None:
            database.migrate("known", (create,))              # create(transaction): CREATE TABLE ...

    await database.async_write(lambda t: t.execute("INSERT INTO known VALUES (?)", (key,)), brief=True)
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias, TypeVar

from hallmark.core.errors import Unavailable
from hallmark.store.drivers import Driver, PostgresDriver, Row, SQLiteDriver, Transaction, Value
from hallmark.store.urls import parse_url
from hallmark.store.writer import Worker

T = TypeVar("T")
Step: TypeAlias = Callable[[Transaction], None]
READERS: Final = 4
QUICK_S: Final = 0.001
"""Up to this mean a commit may hold up the event loop."""
MEASURED: Final = 8
TIDY_EVERY: Final = 500
"""Commits after which SQLite's write-ahead log is moved into its file, in the writer's thread."""
LATE: Final = 2
"""When that has not happened after so many times as much, writers wait for it: the log stays bounded on a
machine whose threads hardly get their turn."""
TIDY_ROWS = 20_000
"""Changed rows after which it is, however few commits they came in: as while a long log is copied."""

__all__ = ["RawDatabase", "Row", "Step", "Transaction", "Value"]


class RawDatabase:
    """See the module docstring. `pragmas` are further SQLite settings, by name."""

    def __init__(self, url: str, *, pragmas: Mapping[str, int] | None = None) -> None:
        self._url = parse_url(url)
        # The write-ahead log is moved by `_tidy`, not inside a commit that somebody waits for.
        self._pragmas = {"wal_autocheckpoint": 0, **(pragmas or {})}
        self.problem = ""
        """Why the last write failed, `store_full` or `store_unavailable`; empty when it did not."""
        self._tidied = 0
        self._moving = False
        self._short_at = 0
        self.commits = 0
        """Writing transactions that were committed since it was opened."""
        self._writer = Worker("store-write")
        self._reader = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._turn = threading.Lock()
        self._write_driver: Driver | None = None
        self._tidier: Driver | None = None
        self._local = threading.local()
        self._readers: list[Driver] = []
        self._mean = 0.0
        self._measured = 0

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a writing transaction in the calling thread, in its turn.

        Raises Unavailable `store_full`, `store_unavailable`, ConstraintBroken, and whatever `work` raises.
        """
        with self._turn:
            return self._commit(work)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a reading transaction in the calling thread. Raises Unavailable `store_unavailable`."""
        if self._url.in_memory:  # one connection: its reads take turns with the writes
            with self._turn, self._driver().transaction(write=False) as transaction:
                return work(transaction)
        if not hasattr(self._local, "driver"):
            self._local.driver = self._opened()
            self._readers.append(self._local.driver)
        driver: Driver = self._local.driver
        with driver.transaction(write=False) as transaction:
            return work(transaction)

    async def async_write(self, work: Callable[[Transaction], T], *, brief: bool = False) -> T:
        """`write` without blocking the event loop for long (see the module docstring). Once begun it is not
        cancelled.
        """
        if brief and self._quick and not self._late and self._turn.acquire(blocking=False):
            try:
                return self._commit(work)
            finally:
                self._turn.release()
        return await self._writer.run(functools.partial(self.write, work))

    async def async_read(self, work: Callable[[Transaction], T]) -> T:
        """`read` without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self.read, work)

    def migrate(self, component: str, steps: Sequence[Step]) -> int:
        """Bring a component's tables up to date: each step is run once, in order, in a transaction of its
        own. Returns the version, the number of steps ever run.

        Raises Unavailable `store_newer` when the tables were made by a newer release, and what the store
        raises.
        """
        self.write(_create_migrations)
        while True:
            version = self.write(lambda transaction: _step(transaction, component, steps))
            if version is None:
                return len(steps)

    def close(self) -> None:
        """Finish what was begun and let go of the database."""
        self._writer.close()
        self._reader.shutdown()
        for driver in (self._write_driver, self._tidier, *self._readers):
            if driver is not None:
                driver.close()

    @property
    def _quick(self) -> bool:
        """Whether commits are so quick that the event loop may wait for one."""
        return self._url.in_memory or (
            not self._url.conninfo and self._measured >= MEASURED and self._mean <= QUICK_S
        )

    @property
    def _late(self) -> bool:
        """Whether the write-ahead log is due for long: its mover stands ahead in the writer's queue."""
        return bool(self._url.path) and self.commits - self._short_at > LATE * TIDY_EVERY

    def _commit(self, work: Callable[[Transaction], T]) -> T:
        started = time.perf_counter()
        try:
            with self._driver().transaction(write=True) as transaction:
                done = work(transaction)
        except Unavailable as error:
            self.problem = error.reason if error.reason.startswith("store_") else self.problem
            raise
        self.problem = ""
        self.commits += 1
        self._measure(time.perf_counter() - started)
        changes = self._driver().changes
        if self._url.path and (self.commits % TIDY_EVERY == 0 or changes - self._tidied >= TIDY_ROWS):
            self._tidied = changes
            if not self._moving:
                with contextlib.suppress(RuntimeError):  # it is being closed
                    self._writer.start(self._tidy)
                    self._moving = True
        return done

    def _measure(self, took: float) -> None:
        """A mean that forgets: what took longest counts for a while, and then no more."""
        self._measured += 1
        self._mean += (min(took, 0.1) - self._mean) / min(self._measured, MEASURED)

    def _tidy(self) -> None:
        """Most of it beside whoever writes; what was committed meanwhile in a turn of its own, so that the
        write-ahead log begins anew and does not grow for ever under steady load.
        """
        try:
            if self._tidier is None:
                self._tidier = self._opened()
            self._tidier.tidy()
            with self._turn:
                self._tidier.tidy()
                self._short_at = self.commits
        finally:
            self._moving = False

    def _driver(self) -> Driver:
        if self._write_driver is None:
            self._write_driver = self._opened()
        return self._write_driver

    def _opened(self) -> Driver:
        if self._url.conninfo:
            return PostgresDriver(self._url.conninfo)
        return SQLiteDriver(self._url.path, self._pragmas)


def _create_migrations(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE IF NOT EXISTS migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
    )


def _step(transaction: Transaction, component: str, steps: Sequence[Step]) -> int | None:
    transaction.lock("migrations")
    found = transaction.fetch("SELECT version FROM migrations WHERE component = ?", (component,))
    version = int(found[0][0]) if found else 0
    if version > len(steps):
        raise Unavailable(
            "store_newer",
            f"The store's {component} tables are of version {version}; this release knows {len(steps)}.",
            "Run the release that made them, or a newer one.",
        )
    if version == len(steps):
        return None
    steps[version](transaction)
    transaction.execute(
        "INSERT INTO migrations VALUES (?, ?) "
        "ON CONFLICT (component) DO UPDATE SET version = excluded.version",
        (component, version + 1),
    )
    return version + 1
