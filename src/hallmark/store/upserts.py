"""Rows that are written whether they are there or not, in one statement: SQLite and PostgreSQL know the same
form of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def put(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], adds: str = "") -> None:
    """Write rows in place of those with the same primary key. The column `adds` is added to instead."""
    if rows:
        connection.execute(_statement(table, connection.dialect.name, adds), list(rows))


@cache
def _statement(table: sa.Table, dialect: str, adds: str) -> sa.Insert:
    made = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    keys = list(table.primary_key.columns)
    changes: dict[str, Any] = {c.name: made.excluded[c.name] for c in table.columns if c not in keys}
    if adds:
        changes[adds] = table.c[adds] + made.excluded[adds]
    return made.on_conflict_do_update(index_elements=keys, set_=changes)
