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

from hallmark.services.review.rows import Change, CommentRow, DecisionRow, EventRow, Record, SubmissionRow
from hallmark.services.review.schema import (
    COMMENTS,
    DECISIONS,
    DELIVERIES,
    EVENTS,
    HOLDS,
    ITEMS,
    META,
    MIGRATIONS,
    SCREENS,
    SUBMISSIONS,
)
from hallmark.store import Database, migrate
from hallmark.store.grouped import Grouped

T = TypeVar("T")


class Noted(msgspec.Struct, frozen=True):
    """What is noted beside changes, in their transaction: items to be looked at again; numbers by name."""

    rouse: tuple[sa.ColumnElement[bool], ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rouse or self.numbers)


NOTHING: Final = Noted()
Put: TypeAlias = tuple[tuple[Change, ...], Noted]


class DeskStore:
    """See the module docstring. `receivers` says who is to be told of an event. `run` must run."""

    def __init__(self, database: Database, receivers: Callable[[str], Sequence[str]] = lambda _: ()) -> None:
        self.database = database
        migrate(database, "review", MIGRATIONS)
        self.receivers = receivers
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
        """Rows of a query over all columns of items."""
        return await self._many(query, Record)

    def records_now(self, query: sa.Select[Any]) -> list[Record]:
        """The same in the calling thread, which blocks."""
        return [Record(**row._mapping) for row in self.database.read(lambda c: list(c.execute(query)))]

    async def events(self, items: Sequence[bytes]) -> dict[bytes, list[EventRow]]:
        """Events by item, in order."""
        return _by_item(items, await self.read(_events_of(items)))

    def events_now(self, items: Sequence[bytes]) -> dict[bytes, list[EventRow]]:
        """The same in the calling thread, which blocks."""
        return _by_item(items, self.database.read(lambda c: list(c.execute(_events_of(items)))))

    async def decisions(self, item: bytes) -> list[DecisionRow]:
        """An item's decisions, in order."""
        query = sa.select(DECISIONS).where(DECISIONS.c.item == item).order_by(DECISIONS.c.number)
        return await self._many(query, DecisionRow)

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
        row = {"item": item, "digest": digest, "screen": screen, "at": at}
        with contextlib.suppress(IntegrityError):
            await self.write(lambda c: c.execute(SCREENS.insert().values(**row)))

    async def screen(self, item: bytes, digest: bytes) -> bytes | None:
        """A screen that was shown for an item; None when it never was."""
        where = sa.and_(SCREENS.c.item == item, SCREENS.c.digest == digest)
        rows = await self.read(sa.select(SCREENS.c.screen).where(where))
        return bytes(rows[0].screen) if rows else None

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

    async def _write(self, batch: list[tuple[Put, asyncio.Future[list[bool]]]]) -> None:
        changes = [change for (put, _), _ in batch for change in put]
        notes = [noted for (_, noted), _ in batch if noted]
        try:
            done = await self.write(lambda c: self._apply(c, changes, notes))
        except IntegrityError:  # another process wrote the same item: one by one tells which
            for one in batch:
                await self._write_each(*one)
        except Exception as error:
            for _, future in batch:
                _settle(future, error)
        else:
            for (put, _), future in batch:
                _settle(future, [done.pop(0) for _ in put])
        self.commits += 1
        self._tell(changes, notes)

    async def _write_each(self, put: Put, future: asyncio.Future[list[bool]]) -> None:
        changes, noted = put
        done: list[bool] = []
        try:
            for change in changes:
                try:
                    done += await self.write(functools.partial(self._apply, changes=[change], notes=()))
                except IntegrityError:
                    if change.comment is not None:
                        raise
                    done.append(False)
            await self.write(lambda c: self._apply(c, (), (noted,)))
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

    def _apply(self, connection: Connection, changes: Sequence[Change], notes: Sequence[Noted]) -> list[bool]:
        done = self._apply_changes(connection, changes) if changes else []
        for noted in notes:
            for clause in noted.rouse:
                rouse(connection, clause)
            for name, value in noted.numbers:
                put_meta(connection, name, value)
        return done

    def _apply_changes(self, connection: Connection, changes: Sequence[Change]) -> list[bool]:
        known = _versions(connection, [change.record.id for change in changes])
        kept, done, rows = [], [], {}
        for change in changes:
            record = change.record
            version, roused = known.get(record.id, (0, 0))
            done.append(version == change.version)
            if done[-1]:
                known[record.id] = record.version, roused
                kept.append(change)
                woken = {"roused": roused, "wake": 0} if roused > record.roused else {}
                self._woken = self._woken or bool(woken)
                rows[record.id] = {**msgspec.structs.asdict(record), **woken}
        if rows:
            connection.execute(ITEMS.delete().where(ITEMS.c.id.in_(list(rows))))
            connection.execute(ITEMS.insert(), list(rows.values()))
            connection.execute(HOLDS.delete().where(HOLDS.c.item.in_(list(rows))))
            _insert(connection, HOLDS, _holds(change.record for change in kept))
        _insert(connection, EVENTS, (self._event(c, e) for c in kept for e in c.events))
        _insert(connection, DECISIONS, (msgspec.structs.asdict(d) for c in kept for d in c.decisions))
        _insert(connection, COMMENTS, (msgspec.structs.asdict(c.comment) for c in kept if c.comment))
        _insert(connection, SUBMISSIONS, (msgspec.structs.asdict(c.submission) for c in kept if c.submission))
        _insert(connection, DELIVERIES, (row for change in kept for row in self._deliveries(change)))
        return done

    def _event(self, change: Change, event: EventRow) -> dict[str, object]:
        return {"item": change.record.id, **msgspec.structs.asdict(event)}

    def _deliveries(self, change: Change) -> Iterable[dict[str, object]]:
        at = change.events[-1].at if change.events else 0
        for notice in change.notices:
            yield from deliveries(
                notice.event, notice.body, change.record.id, at, self.receivers(notice.event)
            )


def _settle(future: asyncio.Future[list[bool]], result: list[bool] | Exception) -> None:
    if not future.done():
        future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)


def _holds(records: Iterable[Record]) -> Iterable[dict[str, object]]:
    """A row for each reason that holds an item; of several changes of one item the last counts."""
    for record in {record.id: record for record in records}.values():
        for reason in record.held_for:
            yield {"item": record.id, "code": reason, "born": record.born}


def _events_of(items: Sequence[bytes]) -> sa.Select[Any]:
    return sa.select(EVENTS).where(EVENTS.c.item.in_(items)).order_by(EVENTS.c.item, EVENTS.c.number)


def _by_item(items: Sequence[bytes], rows: Iterable[sa.Row[Any]]) -> dict[bytes, list[EventRow]]:
    found: dict[bytes, list[EventRow]] = {item: [] for item in items}
    for row in rows:
        found[bytes(row.item)].append(EventRow(row.number, row.at, row.kind, bytes(row.data)))
    return found


def deliveries(
    event: str, body: bytes, item: bytes, at: int, receivers: Sequence[str]
) -> Iterable[dict[str, object]]:
    """Rows of what receivers are to be told."""
    for receiver in receivers:
        yield {
            "receiver": receiver,
            "event": event,
            "item": item,
            "body": body,
            "at": at,
            "attempts": 0,
            "next": 0,
            "status": 0,
            "reason": "",
            "dead": 0,
        }


def put_meta(connection: Connection, name: str, value: int) -> None:
    """Keep a number, in the caller's transaction."""
    connection.execute(META.delete().where(META.c.name == name))
    connection.execute(META.insert().values(name=name, value=value))


def rouse(connection: Connection, where: sa.ColumnElement[bool]) -> None:
    """Have items looked at again at once, in the caller's transaction."""
    connection.execute(ITEMS.update().where(where).values(wake=0, roused=ITEMS.c.roused + 1))


def _versions(connection: Connection, items: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    columns = (ITEMS.c.id, ITEMS.c.version, ITEMS.c.roused)
    query = sa.select(*columns).where(ITEMS.c.id.in_(items)).with_for_update()
    return {bytes(row.id): (row.version, row.roused) for row in connection.execute(query)}


def _insert(connection: Connection, table: sa.Table, rows: Iterable[dict[str, object]]) -> None:
    listed = list(rows)
    if listed:
        connection.execute(table.insert(), listed)
