"""Packed blobs and numbered terms: what was put comes out again, whatever became of the transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hallmark.core.errors import VerificationFailed
from hallmark.store import Database, Packed, Terms, number_of, sqlite_url
from hallmark.store.packed import DICTIONARIES
from hallmark.store.terms import TERMS
from hallmark.store.upserts import put

BLOBS = [b'{"question":"proved","state":"witnessed","shows":"entry %d of many"}' % n for n in range(60)]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A store on disk."""
    return Database(sqlite_url(tmp_path / "one.db"))


def test_what_is_alike_is_kept_small_and_comes_out_again(database: Database) -> None:
    """Also in another process, which reads the dictionaries from the store."""
    packed = Packed(database, "marks")
    kept = database.write(lambda c: [packed.pack(c, blob) for blob in BLOBS])
    assert [packed.unpack(each) for each in kept] == BLOBS
    assert len(kept[-1]) < len(BLOBS[-1]) / 3
    again = Packed(database, "marks")
    assert [again.unpack(each) for each in kept] == BLOBS
    assert len(database.write(lambda c: again.pack(c, BLOBS[0]))) < len(BLOBS[0]) / 3
    database.close()


def test_a_dictionary_is_written_with_the_first_blob_that_needs_it(database: Database) -> None:
    """A transaction that is rolled back takes it along, and the next one writes it."""
    packed = Packed(database, "marks")

    def fails(connection: sa.Connection) -> None:
        for blob in BLOBS:
            packed.pack(connection, blob)
        raise KeyError

    with pytest.raises(KeyError):
        database.write(fails)
    assert database.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(DICTIONARIES))) == 0
    kept = [database.write(lambda c, blob=blob: packed.pack(c, blob)) for blob in BLOBS[:3]]
    assert [Packed(database, "marks").unpack(each) for each in kept] == BLOBS[:3]
    database.close()


@pytest.mark.parametrize("held", [b"", b"\x02abc", b"\x01none" + b"x" * 9])
def test_what_was_not_packed_is_refused(database: Database, held: bytes) -> None:
    """With a reason, not with an exception of the packer."""
    with pytest.raises(VerificationFailed) as refused:
        Packed(database, "marks").unpack(held)
    assert refused.value.reason == "store_changed"
    database.close()


def test_what_was_changed_is_refused(database: Database) -> None:
    """Cut, or followed by something."""
    packed = Packed(database, "marks")
    whole = database.write(lambda c: [packed.pack(c, blob) for blob in BLOBS])[-1]
    for held in (whole[:-1], whole + b"x", whole[:5]):
        with pytest.raises(VerificationFailed, match="not what was written"):
            packed.unpack(held)
    database.close()


def test_a_term_has_one_number(database: Database) -> None:
    """The same in every transaction and process; none is kept of a transaction that failed."""
    terms = Terms(database)

    def fails(connection: sa.Connection) -> None:
        terms.number(connection, b"gone")
        raise KeyError

    with pytest.raises(KeyError):
        database.write(fails)
    first = database.write(lambda c: [terms.number(c, name) for name in (b"a", b"b", b"a")])
    assert first[0] == first[2] != first[1]
    assert database.write(lambda c: terms.number(c, b"a")) == first[0]
    other = Terms(database)
    assert database.write(lambda c: other.number(c, b"b")) == first[1]
    assert database.read(lambda c: other.term(c, first[0])) == b"a"
    assert database.read(lambda c: other.term(c, 99)) == b""
    assert database.read(lambda c: c.scalar(sa.select(number_of(b"b")))) == first[1]
    assert database.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(TERMS))) == 2
    database.close()


def test_a_row_is_written_whether_it_is_there_or_not(database: Database) -> None:
    """Others are left alone; a column that is added to is added to."""
    name = sa.Column("name", sa.String(8), primary_key=True)
    table = sa.Table("sums", sa.MetaData(), name, sa.Column("n", sa.Integer))
    database.write(table.create)
    database.write(lambda c: put(c, table, [{"name": "a", "n": 1}, {"name": "b", "n": 2}]))
    database.write(lambda c: put(c, table, [{"name": "b", "n": 5}]))
    database.write(lambda c: put(c, table, [{"name": "b", "n": 5}, {"name": "c", "n": 7}], adds="n"))
    database.write(lambda c: put(c, table, []))
    found = database.read(lambda c: {row.name: row.n for row in c.execute(sa.select(table))})
    assert found == {"a": 1, "b": 10, "c": 7}
    database.close()
