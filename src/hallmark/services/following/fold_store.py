"""The folded log on disk: an `Index` over a raw database, and when it is written.

fold_core, fold_<table>   key (integer, or bytes) | value       see `hallmark.verification.fold_state`

A fold is not written with every leaf: only when `EVERY` leaves were folded since it was last written, in the
transaction that makes the last of them durable, or in one of its own. A restart takes the rows of the last
write up and folds the leaves behind it again, from its owner's copy. So an index never stands for more than
its owner has, and a restart reads two rows and fewer than `EVERY` leaves and those of one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from hallmark.store.raw import RawDatabase, Transaction
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import Replica
from hallmark.verification.fold_state import CORE
from hallmark.verification.snapshot import Confirms, packed_row, unpacked_row
from hallmark.verification.tables import Changes, Key, Rows, state_damaged

T = TypeVar("T", bound=msgspec.Struct)
EVERY: Final = 256
BY_POSITION: Final = (
    "links",
    "objections",
    "failed",
    "verdicts",
    "contradictory",
    "equivocal",
    "tiles",
    "times",
)
BY_NAME: Final = (
    CORE,
    "chains",
    "reviews",
    "outcomes",
    "seen",
    "spent",
    "nullifiers",
    "firsts",
    "receipts",
)
NAMES: Final = (*BY_POSITION, *BY_NAME)
PAGE: Final = 1_000
GET: Final = {name: f"SELECT value FROM fold_{name} WHERE key = ?" for name in NAMES}  # noqa: S608
PUT: Final = {
    name: f"INSERT INTO fold_{name} (key, value) VALUES (?, ?) "  # noqa: S608
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    for name in GET
}


def _create(transaction: Transaction) -> None:
    """The tables that are not there: of a new store all, of an older one the new ones."""
    create = "CREATE TABLE IF NOT EXISTS fold_"
    for name in BY_POSITION:
        transaction.execute(f"{create}{name} (key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    for name in BY_NAME:
        transaction.execute(f"{create}{name} (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")


class FoldIndex:
    """See `hallmark.verification.tables.Index`; in tables of its own beside its owner's."""

    def __init__(self, database: RawDatabase) -> None:
        database.write(_create)
        self.database = database
        self.told: list[Callable[[], object]] = []
        """Called when a row was found damaged."""
        self._distrusted = self.is_damaged = False

    def get(self, table: str, key: Key) -> bytes | None:
        """See `Index`. Raises Unavailable as the database does."""
        query = GET[table]
        found = self.database.read(lambda t: t.fetch(query, (key,)))
        return bytes(found[0][0]) if found else None

    def many(self, table: str, keys: Sequence[Key]) -> Rows:
        """See `Index`. Raises Unavailable as the database does."""
        query = GET[table]
        found = self.database.read(lambda t: [(key, t.fetch(query, (key,))) for key in keys])
        return {key: bytes(rows[0][0]) for key, rows in found if rows}

    def rows(self, table: str) -> Iterator[tuple[Key, bytes]]:
        """See `Index`: a page of rows at a time. Raises Unavailable as the database does."""
        first = f"SELECT key, value FROM fold_{table} ORDER BY key LIMIT {PAGE}"  # noqa: S608
        after = f"SELECT key, value FROM fold_{table} WHERE key > ? ORDER BY key LIMIT {PAGE}"  # noqa: S608
        found = self.database.read(lambda t: t.fetch(first))
        while found:
            yield from ((key if isinstance(key, int) else bytes(key), bytes(value)) for key, value in found)
            last = found[-1][0]
            found = self.database.read(lambda t, last=last: t.fetch(after, (last,)))  # type: ignore[misc]

    def write(self, changes: Changes) -> None:
        """See `Index`. Raises as `put`, and Unavailable as the database does."""
        self.database.write(lambda t: self.put(t, changes))

    def put(self, transaction: Transaction, changes: Changes) -> None:
        """Write changes inside a transaction. Raises StateUnavailable once a row was found damaged."""
        if self._distrusted:
            raise state_damaged()
        if changes.anew:
            for name in NAMES:
                transaction.execute(f"DELETE FROM fold_{name}")  # noqa: S608
        for name, prefixes in changes.forget.items():
            ranges = [(prefix, _after(prefix)) for prefix in prefixes]
            transaction.executemany(f"DELETE FROM fold_{name} WHERE key >= ? AND key < ?", ranges)  # noqa: S608
        for name, rows in changes.rows.items():
            transaction.executemany(PUT[name], list(rows.items()))

    def distrust(self) -> None:
        """See `Index`."""
        self._distrusted = True
        self.database.write(lambda t: t.execute(f"DELETE FROM fold_{CORE}"))  # noqa: S608

    def damaged(self) -> None:
        """See `Index`. In whatever thread the row was read."""
        get_logger().error("state_damaged")
        self.is_damaged = True
        for tell in self.told:
            tell()
        self.distrust()


def _after(prefix: bytes) -> bytes:
    """The first key behind all that begin so. A beginning is a position, so there is one."""
    return (int.from_bytes(prefix, "big") + 1).to_bytes(len(prefix), "big")


class Beside(Protocol):
    """What is made of the same leaves and kept in the same transactions: one row, held in memory whole."""

    def row(self) -> bytes | None:
        """What to keep; None when it is as it was kept last."""
        ...

    def kept(self) -> None:
        """What `row` gave is durable."""
        ...

    def load(self, row: bytes) -> bool:
        """Be as when `row` was kept. False, and as at the beginning, when it cannot be read; it may be
        empty.
        """
        ...


class BesideRow(Generic[T]):
    """A `Beside` of one struct, `empty` at first. Whoever changes `_held` sets `_changed`."""

    def __init__(self, kind: type[T], empty: Callable[[], T]) -> None:
        self._kind, self._empty = kind, empty
        self._held = empty()
        self._changed = False

    def row(self) -> bytes | None:
        """See `Beside`."""
        return packed_row(self._held) if self._changed else None

    def kept(self) -> None:
        """See `Beside`."""
        self._changed = False

    def load(self, row: bytes) -> bool:
        """See `Beside`."""
        found = unpacked_row(row, self._kind)
        self._held = self._empty() if found is None else found
        return found is not None


class FoldKeeper:
    """Writes a replica, and what stands beside it by name, into an index in the transactions of its owner,
    every so many leaves. It is a `hallmark.services.fullnode.checkpoint_store.Companion`.
    """

    def __init__(self, replica: Replica, index: FoldIndex, *, every: int = EVERY) -> None:
        self.replica, self._index, self._every = replica, index, every
        self.beside: dict[bytes, Beside] = {}
        self._size = -1

    def resume(self, confirms: Confirms) -> bool:
        """Take up what the index keeps, or begin anew; see `Replica.resume`."""
        rows = self._index.many(CORE, tuple(self.beside))
        whole = all(part.load(rows.get(name, b"")) for name, part in self.beside.items())
        found = self.replica.resume(self._index, lambda size, root: whole and confirms(size, root))
        if found:
            get_logger().info("fold_taken_up", size=self.replica.size)
        else:
            for part in self.beside.values():
                part.load(b"")
        return found

    def distrust(self) -> None:
        """What is kept is in doubt: whoever takes it up next begins anew."""
        self._index.distrust()

    async def run(self) -> None:
        """Until a row of what is kept is found damaged: then it raises StateUnavailable `state_damaged`, so
        that the service ends, is started again and folds anew.
        """
        found, loop = asyncio.Event(), asyncio.get_running_loop()
        self._index.told.append(lambda: loop.call_soon_threadsafe(found.set))
        if not self._index.is_damaged:
            await found.wait()
        raise state_damaged()

    def write(self, transaction: Transaction, size: int) -> None:
        """Write what was folded, if it is enough and if `size` leaves are all of it."""
        self._size = -1
        if size == self.replica.size and self.due:
            changes = self.replica.changes()
            core = dict(changes.rows[CORE])
            core.update({name: row for name, part in self.beside.items() if (row := part.row()) is not None})
            rows = {**changes.rows, CORE: core}
            self._index.put(transaction, msgspec.structs.replace(changes, rows=rows))
            self._size = size

    def written(self, size: int) -> None:
        """The transaction for `size` was committed."""
        if size == self._size:
            self.replica.kept(size)
            for part in self.beside.values():
                part.kept()

    @property
    def due(self) -> bool:
        """Whether so many leaves were folded since the last write that it is time for the next."""
        return self.replica.size - self.replica.kept_size >= self._every

    async def keep(self) -> None:
        """Write in a transaction of its own, if it is time. Nothing may be folded meanwhile."""
        if self.due:
            size = self.replica.size
            await self._index.database.async_write(lambda t: self.write(t, size))
            self.written(size)
