"""Changes to the desk's tables, in one transaction: events, the rows that they fold to, what is counted of
those, what receivers are to be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

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
)
from hallmark.store import Database, Packed, Terms
from hallmark.store.upserts import put

TERMS_OF = ("policy", "node", "model", "artifact", "reasons")
ROWS = tuple(column.name for column in ITEMS.columns if column.name not in ("number", "id"))


class Noted(msgspec.Struct, frozen=True):
    """What is noted beside changes, in their transaction: items to be looked at again; numbers by name."""

    rouse: tuple[sa.ColumnElement[bool], ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()

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
        for noted in notes:
            for clause in noted.rouse:
                rouse(connection, clause)
            for name, value in noted.numbers:
                put_meta(connection, name, value)
        return written

    def _changes(self, connection: Connection, changes: Sequence[Change]) -> Written:
        before = self._known(connection, [change.record.id for change in changes])
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
        rows = {change.record.id: now[change.record.id] for change in kept}
        numbers = self._rows(connection, before, rows)
        self._beside(connection, kept, numbers)
        return Written(done, woken)

    def _known(self, connection: Connection, ids: Sequence[bytes]) -> dict[bytes, Record]:
        query = sa.select(ITEMS).where(ITEMS.c.id.in_(ids)).with_for_update()
        return {bytes(row.id): Record(**row._mapping) for row in connection.execute(query)}

    def _rows(
        self, connection: Connection, before: dict[bytes, Record], rows: dict[bytes, Record]
    ) -> dict[bytes, int]:
        """Write rows, reasons and counts; the numbers of items."""
        found = {item: before[item].number for item in rows if item in before}
        old = [row for item in found for row in _holds(before[item], found[item])]
        if old:
            same = (HOLDS.c[name] == sa.bindparam(f"old_{name}") for name in ("code", "born", "item"))
            named = [{f"old_{name}": value for name, value in row.items()} for row in old]
            connection.execute(HOLDS.delete().where(*same), named)
        born = [self._row(connection, row) for item, row in rows.items() if item not in before]
        if born:
            connection.execute(ITEMS.insert(), born)
            ids = [row["id"] for row in born]
            query = sa.select(ITEMS.c.id, ITEMS.c.number).where(ITEMS.c.id.in_(ids))
            found |= {bytes(item): int(number) for item, number in connection.execute(query)}
        changed = [self._row(connection, row) | {"which": found[i]} for i, row in rows.items() if i in before]
        if changed:
            values: dict[str, Any] = {
                name: sa.bindparam(name) for name in ROWS if name not in ("number", "id")
            }
            only = ITEMS.update().where(ITEMS.c.number == sa.bindparam("which")).values(**values)
            connection.execute(only, [{k: v for k, v in row.items() if k != "id"} for row in changed])
        held = [hold for item, row in rows.items() for hold in _holds(row, found[item])]
        for code in {str(hold["code"]) for hold in held}:
            self.terms.number(connection, code.encode())
        _insert(connection, HOLDS, held)
        counts.add(connection, _counted(before, rows))
        return found

    def _row(self, connection: Connection, record: Record) -> dict[str, Any]:
        row = msgspec.structs.asdict(record)
        del row["number"]
        for name in TERMS_OF:
            term = row[name]
            self.terms.number(connection, term if isinstance(term, bytes) else term.encode())
        row["marks"] = b"" if record.seen or not record.marks else self.marks.pack(connection, record.marks)
        return row

    def _beside(self, connection: Connection, kept: Sequence[Change], numbers: dict[bytes, int]) -> None:
        events, decisions = list[dict[str, object]](), list[dict[str, object]]()
        for change in kept:
            item = numbers[change.record.id]
            for event in change.events:
                data = self.events.pack(connection, event.data)
                events.append({"item": item, "number": event.number, "data": data})
            for decision in change.decisions:
                screen = self.screens.pack(connection, decision.screen)
                decisions.append({"item": item, "number": decision.number, "screen": screen})
        _insert(connection, EVENTS, events)
        _insert(connection, DECISIONS, decisions)
        _insert(connection, COMMENTS, (msgspec.structs.asdict(c.comment) for c in kept if c.comment))
        _insert(connection, SUBMISSIONS, (msgspec.structs.asdict(c.submission) for c in kept if c.submission))
        _insert(connection, DELIVERIES, (row for change in kept for row in self._deliveries(change)))

    def _deliveries(self, change: Change) -> Iterable[dict[str, object]]:
        for notice in change.notices:
            receivers = self.receivers(notice.event)
            yield from deliveries(notice.event, notice.body, change.record.id, notice.at, receivers)


def _counted(before: dict[bytes, Record], rows: dict[bytes, Record]) -> Counter[counts.Counted]:
    changes: Counter[counts.Counted] = Counter()
    for item, row in rows.items():
        changes.update(counts.counted(row))
        if item in before:
            changes.subtract(counts.counted(before[item]))
    return changes


def _holds(record: Record, number: int) -> Iterable[dict[str, object]]:
    """A row for each reason that holds an item."""
    for reason in dict.fromkeys(record.held_for):
        yield {"code": reason, "born": record.born, "item": number}


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
