"""The desk's durable state: append-only events, and beside them, in the same transaction, the row they fold
to.

1. Changes are grouped: all that arrive during one commit share the next (one fsync).
2. A change counts only when its item still has the version that it was made from; otherwise nothing of it
does.
3. What receivers are to be told is written with the change: neither can be there without the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from hallmark.review.screens import Screen
from hallmark.services.review import counts
from hallmark.services.review.item_writer import ItemWriter, Noted, Written, put_meta, rouse
from hallmark.services.review.rows import Change, CommentRow, DecisionRow, EventRow, Record, SubmissionRow
from hallmark.services.review.schema import (
    COMMENTS,
    DECISIONS,
    EVENTS,
    ITEMS,
    META,
    MIGRATIONS,
    SCREENS,
    SUBMISSIONS,
)
from hallmark.store import Database, migrate
from hallmark.store.grouped import Grouped

T = TypeVar("T")
NOTHING: Final = Noted()
TOGETHER: Final = 300
"""Decisions that are read by one statement; each binds three values."""
Put: TypeAlias = tuple[tuple[Change, ...], Noted]


def screens_query(decisions: Sequence[tuple[int, int]]) -> sa.Select[Any]:
    """Screens of decisions (item's number, event's number), all in one statement. By pairs alone SQLite would
    walk through the whole table; their items lead it to the few rows that are theirs.
    """
    item, key = DECISIONS.c.item, sa.tuple_(DECISIONS.c.item, DECISIONS.c.number)
    same = sa.and_(item.in_([pair[0] for pair in decisions]), key.in_(decisions))
    return sa.select(item, DECISIONS.c.screen).where(same)


class DeskStore:
    """See the module docstring. `writing.receivers` says who is to be told of an event. `run` must run."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.writing = ItemWriter(database)
        migrate(database, "review", MIGRATIONS)
        self.told: list[Callable[[], None]] = []
        """Called after a commit that left something to deliver."""
        self.roused = asyncio.Event()
        """Set when items may be there that are to be looked at now."""
        self.looks_next: float = math.inf
        """When the evaluator looks at items next by itself (unix ms)."""
        self.commits = 0
        self._woken = False
        self._grouped: Grouped[Put, list[bool]] = Grouped(self._write)

    async def run(self) -> None:
        """Write what is committed, for ever; finishes the batch under way when cancelled."""
        await self._grouped.run()

    async def commit(self, change: Change) -> bool:
        """Make one change durable; False when the item has moved on. Raises Unavailable as the store does."""
        return (await self.commit_all((change,)))[0]

    async def commit_all(self, changes: Sequence[Change], noted: Noted = NOTHING) -> list[bool]:
        """Make many changes durable, each for itself, and in the same transaction what is noted beside them;
        for each whether its item had not moved on. Raises Unavailable as the store does.
        """
        return await self._grouped.put((tuple(changes), noted)) if changes or noted else []

    async def record(self, item: bytes) -> Record | None:
        """The row of an item."""
        rows = await self.records(sa.select(ITEMS).where(ITEMS.c.id == item))
        return rows[0] if rows else None

    async def records(self, query: sa.Select[Any]) -> list[Record]:
        """Rows of a query over all columns of items, with their marks."""
        return await self.database.async_read(lambda c: self._records(c, query))

    async def records_bare(self, query: sa.Select[Any]) -> list[Record]:
        """The same without the marks of those that a decision's screen has."""
        return await self._many(query, Record)

    def records_now(self, query: sa.Select[Any]) -> list[Record]:
        """The same as `records` in the calling thread, which blocks."""
        return self.database.read(lambda c: self._records(c, query))

    async def events(self, items: Sequence[bytes]) -> dict[bytes, list[EventRow]]:
        """Events by item, in order."""
        return self._events(items, await self.read(_events_of(items)))

    def events_now(self, items: Sequence[bytes]) -> dict[bytes, list[EventRow]]:
        """The same in the calling thread, which blocks."""
        return self._events(items, self.database.read(lambda c: list(c.execute(_events_of(items)))))

    async def decisions(self, item: int) -> list[DecisionRow]:
        """What is kept of an item's decisions, in order. `item` is its number."""
        query = sa.select(DECISIONS.c.number, DECISIONS.c.screen).where(DECISIONS.c.item == item)
        found = await self.read(query.order_by(DECISIONS.c.number))
        return [DecisionRow(row.number, self.writing.screens.unpack(bytes(row.screen))) for row in found]

    async def screens_of(self, decisions: Sequence[tuple[int, int]]) -> dict[int, Screen]:
        """Screens of decisions (item's number, event's number), by item."""
        return await self.database.async_read(lambda c: self._screens(c, decisions))

    async def counts(self) -> dict[str, dict[str, int]]:
        """What is counted of items; see `counts`."""
        return await self.database.async_read(counts.read)

    async def comments(self, item: bytes) -> list[CommentRow]:
        """An item's comments, in order."""
        query = sa.select(COMMENTS).where(COMMENTS.c.item == item).order_by(COMMENTS.c.at)
        return await self._many(query, CommentRow)

    async def submissions(self, where: sa.ColumnElement[bool]) -> list[SubmissionRow]:
        """Reviews on their way, oldest first."""
        query = sa.select(SUBMISSIONS).where(where).order_by(SUBMISSIONS.c.at)
        return await self._many(query, SubmissionRow)

    async def submission(self, entry: bytes) -> SubmissionRow | None:
        """The signed review with this entry id."""
        found = await self.submissions(SUBMISSIONS.c.id == entry)
        return found[0] if found else None

    async def settle(self, submission: bytes, *, position: int | None, refused: str) -> None:
        """Write down what became of a signed review."""
        where = SUBMISSIONS.c.id == submission
        query = SUBMISSIONS.update().where(where).values(position=position, refused=refused[:64])
        await self.write(lambda c: c.execute(query))

    async def keep_screen(self, item: bytes, digest: bytes, screen: bytes, at: int) -> None:
        """Remember that a screen was shown for an item."""
        if await self.screen(item, digest) is not None:
            return

        def work(connection: Connection) -> None:
            packed = self.writing.screens.pack(connection, screen)
            connection.execute(SCREENS.insert().values(item=item, digest=digest, screen=packed, at=at))

        with contextlib.suppress(IntegrityError):
            await self.write(work)

    async def screen(self, item: bytes, digest: bytes) -> bytes | None:
        """A screen that was shown for an item; None when it never was."""
        where = sa.and_(SCREENS.c.item == item, SCREENS.c.digest == digest)
        rows = await self.read(sa.select(SCREENS.c.screen).where(where))
        return self.writing.screens.unpack(bytes(rows[0].screen)) if rows else None

    async def rouse(self, where: sa.ColumnElement[bool]) -> None:
        """Have items looked at again at once."""
        await self.write(lambda c: rouse(c, where))
        self.roused.set()

    def meta(self, name: str) -> int:
        """A number that was kept, -1 when none was. Blocks; for the start."""
        found = self.database.read(lambda c: c.scalar(sa.select(META.c.value).where(META.c.name == name)))
        return -1 if found is None else int(found)

    def metas(self, prefix: str) -> list[str]:
        """Names of numbers that begin so. Blocks; for the start."""
        query = sa.select(META.c.name).where(META.c.name.startswith(prefix))
        return self.database.read(lambda c: [str(name) for name in c.scalars(query)])

    def put_meta(self, name: str, value: int) -> None:
        """Keep a number. Blocks; for the start."""
        self.database.write(lambda c: put_meta(c, name, value))

    async def read(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        """Rows of a query. Raises Unavailable as the store does."""
        return await self.database.async_read(lambda c: list(c.execute(query)))

    async def read_all(self, queries: Sequence[sa.Select[Any]]) -> list[list[sa.Row[Any]]]:
        """Rows of several queries, of one moment as far as the database keeps one."""
        return await self.database.async_read(lambda c: [list(c.execute(query)) for query in queries])

    async def write(self, work: Callable[[Connection], T]) -> T:
        """A transaction of its own."""
        return await self.database.async_write(work)

    async def _many(self, query: sa.Select[Any], kind: Callable[..., T]) -> list[T]:
        return [kind(**row._mapping) for row in await self.read(query)]

    def _records(self, connection: Connection, query: sa.Select[Any]) -> list[Record]:
        found = [Record(**row._mapping) for row in connection.execute(query)]
        screens = self._screens(connection, [(r.number, r.seen) for r in found if r.seen])
        return [self._with_marks(connection, record, screens) for record in found]

    def _with_marks(self, connection: Connection, record: Record, screens: dict[int, Screen]) -> Record:
        if record.number in screens:
            marks = msgspec.json.encode(screens[record.number].marks)
        elif record.marks:
            marks = self.writing.marks.unpack(bytes(record.marks), connection)
        else:
            return record
        return msgspec.structs.replace(record, marks=marks)

    def _screens(self, connection: Connection, decisions: Sequence[tuple[int, int]]) -> dict[int, Screen]:
        found: dict[int, Screen] = {}
        for start in range(0, len(decisions), TOGETHER):
            for row in connection.execute(screens_query(decisions[start : start + TOGETHER])).all():
                screen = self.writing.screens.unpack(bytes(row.screen), connection)
                found[row.item] = Screen.decode(screen)
        return found

    def _events(self, items: Sequence[bytes], rows: Iterable[sa.Row[Any]]) -> dict[bytes, list[EventRow]]:
        found: dict[bytes, list[EventRow]] = {item: [] for item in items}
        for row in rows:
            found[bytes(row.id)].append(EventRow(row.number, self.writing.events.unpack(bytes(row.data))))
        return found

    async def _write(self, batch: list[tuple[Put, asyncio.Future[list[bool]]]]) -> None:
        changes = [change for (put, _), _ in batch for change in put]
        notes = [noted for (_, noted), _ in batch if noted]
        try:
            written = await self.write(lambda c: self.writing.apply(c, changes, notes))
        except IntegrityError:  # another process wrote the same item: one by one tells which
            for one in batch:
                await self._write_each(*one)
        except Exception as error:
            for _, future in batch:
                _settle(future, error)
        else:
            done = iter(written.done)
            self._woken = self._woken or written.woken
            for (put, _), future in batch:
                _settle(future, [next(done) for _ in put])
        self.commits += 1
        self._tell(changes, notes)

    async def _write_each(self, put: Put, future: asyncio.Future[list[bool]]) -> None:
        changes, noted = put
        done: list[bool] = []
        try:
            for change in changes:
                try:
                    one = functools.partial(self.writing.apply, changes=[change], notes=())
                    written: Written = await self.write(one)
                    done += written.done
                    self._woken = self._woken or written.woken
                except IntegrityError:
                    if change.comment is not None:
                        raise
                    done.append(False)
            lost = {change.record.id for change, did in zip(changes, done, strict=True) if not did}
            if not noted.needs & lost:
                await self.write(lambda c: self.writing.apply(c, (), (noted,)))
        except Exception as error:
            _settle(future, error)
        else:
            _settle(future, done)

    def _tell(self, changes: Sequence[Change], notes: Sequence[Noted]) -> None:
        """After a commit: to receivers, and to the evaluator what is due before it would look by itself."""
        wakes = (change.record.wake for change in changes)
        sooner = any(wake is not None and wake < self.looks_next for wake in wakes)
        if sooner or self._woken or any(noted.rouse for noted in notes):
            self._woken = False
            self.roused.set()
        if any(change.notices for change in changes):
            for tell in self.told:
                tell()


def _settle(future: asyncio.Future[list[bool]], result: list[bool] | Exception) -> None:
    if not future.done():
        future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)


def _events_of(items: Sequence[bytes]) -> sa.Select[Any]:
    query = sa.select(ITEMS.c.id, EVENTS.c.number, EVENTS.c.data).join(
        EVENTS, EVENTS.c.item == ITEMS.c.number
    )
    return query.where(ITEMS.c.id.in_(items)).order_by(EVENTS.c.item, EVENTS.c.number)
