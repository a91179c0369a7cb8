"""Rows on their way into a table in one statement that is made once: inserted, or written whether they are
there or not. SQLite and PostgreSQL know the same form of it, and neither is asked through SQLAlchemy, which
costs several times what the row does (ADR 22). So values are as the driver takes them: columns with types of
their own (`Term`) get what stands on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store.database import beneath
from hallmark.store.drivers import Value


def put(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], adds: str = "") -> None:
    """Write rows in place of those with the same primary key. The column `adds` is added to instead."""
    if rows:
        names = tuple(column.name for column in table.columns)
        values = [tuple(row[name] for name in names) for row in rows]
        beneath(connection).executemany(_upsert(table, adds), values)


def insert(
    connection: Connection, table: sa.Table, names: tuple[str, ...], rows: Sequence[Sequence[Value]]
) -> None:
    """Insert rows of these columns."""
    if rows:
        beneath(connection).executemany(insertion(table, names), rows)


@cache
def insertion(table: sa.Table, names: tuple[str, ...]) -> str:
    """The statement that inserts a row of these columns."""
    columns, marks = ", ".join(map(quoted, names)), ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"  # noqa: S608  # names of our own tables


def quoted(name: str) -> str:
    """A column's name as a statement holds it."""
    return f'"{name}"'


@cache
def _upsert(table: sa.Table, adds: str) -> str:
    names = tuple(column.name for column in table.columns)
    keys = [column.name for column in table.primary_key.columns]
    changes = [
        f"{quoted(name)} = {table.name}.{quoted(name)} + excluded.{quoted(name)}"
        if name == adds
        else f"{quoted(name)} = excluded.{quoted(name)}"
        for name in names
        if name not in keys
    ]
    same = f"ON CONFLICT ({', '.join(map(quoted, keys))}) DO UPDATE SET {', '.join(changes)}"
    return f"{insertion(table, names)} {same}"
