"""Changes to the desk's tables, in one transaction: events, the rows that they fold to, what is counted of
those, what receivers are to be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.services.review import counts
from hallmark.services.review.rows import Change, Record
from hallmark.services.review.schema import (
    COMMENTS,
    DECISIONS,
    DELIVERIES,
    EVENTS,
    HOLDS,
    ITEMS,
    META,
    SUBMISSIONS,
    value_bytes,
)
from hallmark.store import Database, Packed, Terms
from hallmark.store.database import beneath
from hallmark.store.drivers import Value
from hallmark.store.upserts import insert, insertion, put, quoted

TERMS_OF = ("policy", "node", "model", "artifact", "reasons")
ROWS = tuple(column.name for column in ITEMS.columns if column.name not in ("number", "id"))
BIRTH = f"{insertion(ITEMS, ('id', *ROWS))} ON CONFLICT (id) DO NOTHING RETURNING number"
CHANGE = f"UPDATE review_items SET {', '.join(f'{quoted(name)} = ?' for name in ROWS)} WHERE number = ?"  # noqa: S608
LET_GO = "DELETE FROM review_holds WHERE code = ? AND born = ? AND item = ?"


class Noted(msgspec.Struct, frozen=True):
    """What is noted beside changes, in their transaction: items to be looked at again; numbers by name.
    Nothing is where a change of one of the items `needs` did not count.
    """

    rouse: tuple[sa.ColumnElement[bool], ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()
    needs: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.rouse or self.numbers)


class Written(msgspec.Struct, frozen=True):
    """What became of changes: of each whether it counted, and whether something was roused meanwhile."""

    done: list[bool]
    woken: bool


class ItemWriter:
    """Applies changes; see the module docstring. `receivers` says who is to be told of an event."""

    def __init__(self, database: Database) -> None:
        self.receivers: Callable[[str], Sequence[str]] = lambda _: ()
        self.terms = Terms(database)
        self.events, self.screens = Packed(database, "review_event"), Packed(database, "review_screen")
        self.marks = Packed(database, "review_marks")

    def apply(self, connection: Connection, changes: Sequence[Change], notes: Sequence[Noted]) -> Written:
        """Do all of it, in the caller's transaction. A change from an older version does nothing."""
        written = self._changes(connection, changes) if changes else Written([], False)
        lost = {change.record.id for change, done in zip(changes, written.done, strict=True) if not done}
        for noted in notes:
            if noted.needs & lost:
                continue
            for clause in noted.rouse:
                rouse(connection, clause)
            for name, value in noted.numbers:
                put_meta(connection, name, value)
        return written

    def _changes(self, connection: Connection, changes: Sequence[Change]) -> Written:
        before = self._known(connection, changes)
        now, kept, done, woken = dict(before), list[Change](), list[bool](), False
        for change in changes:
            record, known = change.record, now.get(change.record.id)
            done.append((known.version if known is not None else 0) == change.version)
            if not done[-1]:
                continue
            if known is not None:
                record = msgspec.structs.replace(record, number=known.number, roused=known.roused)
                if known.roused > change.record.roused:
                    record, woken = msgspec.structs.replace(record, wake=0), True
            now[record.id] = record
            kept.append(change)
        numbers = self._rows(connection, before, {change.record.id: now[change.record.id] for change in kept})
        self._beside(connection, [change for change in kept if change.record.id in numbers], numbers)
        # A birth of what is there already is none.
        counted = zip(changes, done, strict=True)
        return Written([did and change.record.id in numbers for change, did in counted], woken)

    def _known(self, connection: Connection, changes: Sequence[Change]) -> dict[bytes, Record]:
        """The rows as they are, of items that are there. Births alone need none: of what is there already
        they find that out by themselves.
        """
        ids = {change.record.id for change in changes}
        if len(ids) == len(changes) and not any(change.version for change in changes):
            return {}
        query = sa.select(ITEMS).where(ITEMS.c.id.in_(ids)).with_for_update()
        return {bytes(row.id): Record(**row._mapping) for row in connection.execute(query)}

    def _rows(
        self, connection: Connection, before: dict[bytes, Record], rows: dict[bytes, Record]
    ) -> dict[bytes, int]:
        """Write rows, reasons and counts; the numbers of items, but for those that were to be born and are
        there.
        """
        found = {item: before[item].number for item in rows if item in before}
        transaction = beneath(connection)
        old = [hold for item in found for hold in self._holds(connection, before[item], found[item])]
        if old:
            transaction.executemany(LET_GO, old)
        for item, row in rows.items():
            if item not in before:
                for (number,) in transaction.fetch(BIRTH, (item, *self._row(connection, row))):
                    found[item] = int(number)
        changed = [(*self._row(connection, row), found[item]) for item, row in rows.items() if item in before]
        if changed:
            transaction.executemany(CHANGE, changed)
        rows = {item: row for item, row in rows.items() if item in found}
        held = [hold for item, row in rows.items() for hold in self._holds(connection, row, found[item])]
        insert(connection, HOLDS, ("code", "born", "item"), held)
        counts.add(connection, _counted(before, rows))
        return found

    def _row(self, connection: Connection, record: Record) -> tuple[Value, ...]:
        """The values of `ROWS`, as they stand on disk."""
        return tuple(self._value(connection, name, record) for name in ROWS)

    def _value(self, connection: Connection, name: str, record: Record) -> Value:
        value: Value = getattr(record, name)
        if name in TERMS_OF:
            return self._term(connection, value if isinstance(value, bytes) else str(value))
        if name == "value":
            return value_bytes(record.value)
        if name == "marks":
            hidden = record.seen or not record.marks
            return b"" if hidden else self.marks.pack(connection, record.marks)
        return value

    def _term(self, connection: Connection, term: bytes | str) -> int:
        return self.terms.number(connection, term if isinstance(term, bytes) else term.encode())

    def _holds(self, connection: Connection, record: Record, number: int) -> Iterable[tuple[int, int, int]]:
        """A row for each reason that holds an item."""
        for reason in dict.fromkeys(record.held_for):
            yield self._term(connection, reason), record.born, number

    def _beside(self, connection: Connection, kept: Sequence[Change], numbers: dict[bytes, int]) -> None:
        events, decisions = list[tuple[int, int, bytes]](), list[tuple[int, int, bytes]]()
        for change in kept:
            item = numbers[change.record.id]
            for event in change.events:
                events.append((item, event.number, self.events.pack(connection, event.data)))
            for decision in change.decisions:
                decisions.append((item, decision.number, self.screens.pack(connection, decision.screen)))
        insert(connection, EVENTS, ("item", "number", "data"), events)
        insert(connection, DECISIONS, ("item", "number", "screen"), decisions)
        _insert(connection, COMMENTS, (msgspec.structs.asdict(c.comment) for c in kept if c.comment))
        _insert(connection, SUBMISSIONS, (msgspec.structs.asdict(c.submission) for c in kept if c.submission))
        _insert(connection, DELIVERIES, (row for change in kept for row in self._deliveries(change)))

    def _deliveries(self, change: Change) -> Iterable[dict[str, object]]:
        for notice in change.notices:
            if receivers := self.receivers(notice.event):
                yield from deliveries(notice.event, notice.body(), change.record.id, notice.at, receivers)


def _counted(before: dict[bytes, Record], rows: dict[bytes, Record]) -> Counter[counts.Counted]:
    changes: Counter[counts.Counted] = Counter()
    for item, row in rows.items():
        changes.update(counts.counted(row))
        if item in before:
            changes.subtract(counts.counted(before[item]))
    return changes


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
    put(connection, META, [{"name": name, "value": value}])


def rouse(connection: Connection, where: sa.ColumnElement[bool]) -> None:
    """Have items looked at again at once, in the caller's transaction."""
    connection.execute(ITEMS.update().where(where).values(wake=0, roused=ITEMS.c.roused + 1))


def _insert(connection: Connection, table: sa.Table, rows: Iterable[dict[str, object]]) -> None:
    listed = list(rows)
    if listed:
        connection.execute(table.insert(), listed)
