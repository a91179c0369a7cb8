"""Query plans of what a store is asked, so that tests can say that no table is read from end to end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from hallmark.store import Database

ENDS = re.compile(r"^SCAN anon_| CONSTANT ROWS?$")


class QueryPlans:
    """Every SELECT that was made: `walks` are the steps of their plans that read or sort without an end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked: list[tuple[str, Any]] = []

    @property
    def walks(self) -> list[str]:
        """Steps such as `SCAN review_items` and `USE TEMP B-TREE FOR ORDER BY`, each with its statement."""
        found = []
        for statement, parameters in self.asked:
            for step in self._plan(statement, parameters):
                # `anon_` is a subquery, whose own steps stand beside it; constant rows are given values.
                if step.startswith(("SCAN ", "USE TEMP")) and not ENDS.search(step):
                    found.append(f"{step} in: {' '.join(statement.split())}")
        return found

    def _plan(self, statement: str, parameters: Any) -> list[str]:
        def explain(connection: sa.Connection) -> list[str]:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return [str(row[3]) for row in rows]

        return self._database.read(explain)


@contextmanager
def plans(database: Database) -> Iterator[QueryPlans]:
    """What a SQLite store is asked inside."""
    found, engines = QueryPlans(database), {database._read_engine, database._write_engine}

    def asked(_connection: Any, _cursor: Any, *said: Any) -> None:
        statement, parameters, _context, many = said
        if statement.lstrip().startswith("SELECT") and not many:
            found.asked.append((statement, parameters))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", asked)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", asked)
