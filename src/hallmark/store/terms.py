"""Numbers for values that come again and again: names, addresses, digests, codes.

terms    id | term

A number is given in the transaction of the first row that needs it. Numbers are of one database and mean
nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store.database import Database
from hallmark.store.migrations import Migration, migrate

METADATA = sa.MetaData()
TERMS: Final = sa.Table(
    "terms",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("term", sa.LargeBinary, nullable=False, unique=True),
)
REMEMBERED: Final = 65_536


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_create,)


class Terms:
    """See the module docstring. `number` belongs to the writer's thread."""

    def __init__(self, database: Database) -> None:
        migrate(database, "terms", MIGRATIONS)
        self._numbers: dict[bytes, int] = {}
        self._terms: dict[int, bytes] = {}
        self._given: dict[bytes, int] = {}
        self._given_in: object = None

    def number(self, connection: Connection, term: bytes) -> int:
        """The number of a term, which is given one in this transaction if it had none."""
        known = self._numbers.get(term)
        if known is not None:
            return known
        transaction = connection.get_transaction()
        if self._given_in is not transaction:
            # Those that were given before are on disk, or their transaction was rolled back.
            self._given, self._given_in = {}, transaction
        if term in self._given:
            return self._given[term]
        found = connection.scalar(sa.select(TERMS.c.id).where(TERMS.c.term == term))
        if found is not None:
            self._remember(int(found), term)
            return int(found)
        key = connection.execute(TERMS.insert().values(term=term)).inserted_primary_key
        self._given[term] = int(key[0]) if key is not None else 0
        return self._given[term]

    def term(self, connection: Connection, number: int) -> bytes:
        """The term of a number; empty for one that was never given."""
        known = self._terms.get(number)
        if known is not None:
            return known
        found = connection.scalar(sa.select(TERMS.c.term).where(TERMS.c.id == number))
        if found is None:
            return b""
        self._remember(number, bytes(found))
        return bytes(found)

    def _remember(self, number: int, term: bytes) -> None:
        if len(self._numbers) >= REMEMBERED:
            self._numbers, self._terms = {}, {}
        self._numbers[term], self._terms[number] = number, term


def number_of(term: bytes) -> sa.ScalarSelect[int]:
    """The number of a term, as part of a query; null when it has none."""
    return sa.select(TERMS.c.id).where(TERMS.c.term == term).scalar_subquery()


def among(column: sa.Column[Any], terms: Sequence[bytes]) -> sa.ColumnElement[bool]:
    """Whether a column of `Term` holds one of these."""
    numbers = sa.select(TERMS.c.id).where(TERMS.c.term.in_(terms))
    return sa.type_coerce(column, sa.BigInteger).in_(numbers)


class Term(sa.types.TypeDecorator[Any]):
    """A column that holds the number of a term and reads and compares as the term itself: bytes, or with
    `text` a string; see `among` for several. What is inserted must have a number already.
    """

    impl, cache_ok = sa.BigInteger, True

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self.text = text

    def bind_expression(self, bindparam: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        """The number of what is compared with or inserted."""
        said = sa.type_coerce(bindparam, _Said(text=self.text))
        return sa.select(TERMS.c.id).where(TERMS.c.term == said).scalar_subquery()

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """What the number stands for."""
        number = sa.type_coerce(column, sa.BigInteger)
        found = sa.select(TERMS.c.term).where(TERMS.c.id == number).scalar_subquery()
        return sa.type_coerce(found, _Said(text=self.text))


class _Said(sa.types.TypeDecorator[Any]):
    """The term itself, on its way to the table of terms and back."""

    impl, cache_ok = sa.LargeBinary, True

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self.text = text

    def process_bind_param(self, value: Any, _: sa.Dialect) -> bytes | None:
        return value.encode() if isinstance(value, str) else value

    def process_result_value(self, value: Any, _: sa.Dialect) -> bytes | str | None:
        if value is None:
            return None
        return bytes(value).decode() if self.text else bytes(value)
