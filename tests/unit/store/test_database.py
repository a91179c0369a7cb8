"""The database layer: durable settings, error mapping, and nothing half written when the disk is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.store import Database, sqlite_url
from hallmark.store.database import WAL_PAGES


def count(database: Database) -> int:
    """Rows of the table `t`."""
    return int(database.read(lambda c: c.scalar(sa.text("SELECT count(*) FROM t"))) or 0)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A file database with a table `t`."""
    opened = Database(f"sqlite:///{tmp_path}/one.db")
    opened.write(lambda c: c.execute(sa.text("CREATE TABLE t (x INTEGER PRIMARY KEY)")))
    return opened


def test_sqlite_is_set_to_survive_power_loss(database: Database) -> None:
    """WAL, synchronous=FULL and foreign keys hold on the connection that writes."""
    found = database.write(
        lambda c: [
            c.scalar(sa.text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert found == ["wal", 2, 1]


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    """What raises is rolled back, constraints included, and the next transaction works."""

    def twice(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))

    def fails(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO t VALUES (2)"))
        raise KeyError

    with pytest.raises(IntegrityError):
        database.write(twice)
    with pytest.raises(KeyError):
        database.write(fails)
    assert count(database) == 0
    database.write(lambda c: c.execute(sa.text("INSERT INTO t VALUES (3)")))
    assert count(database) == 1
    database.close()


async def test_async_writes_take_turns(database: Database) -> None:
    """Many writers at once are one after the other, and readers see whole transactions."""

    def add(connection: sa.Connection) -> int:
        top = connection.scalar(sa.text("SELECT coalesce(max(x), 0) FROM t")) + 1
        connection.execute(sa.text("INSERT INTO t VALUES (:x)"), {"x": top})
        return int(top)

    got = await asyncio.gather(*(database.async_write(add) for _ in range(50)))
    assert sorted(got) == list(range(1, 51))
    assert await database.async_read(lambda c: c.scalar(sa.text("SELECT count(*) FROM t"))) == 50


async def test_a_database_in_memory_takes_reads_and_writes() -> None:
    """`sqlite://` behaves like a file, from any thread."""
    database = Database("sqlite://")
    await database.async_write(lambda c: c.execute(sa.text("CREATE TABLE t (x INTEGER)")) and None)
    await asyncio.gather(
        *(
            database.async_write(lambda c: c.execute(sa.text("INSERT INTO t VALUES (1)")) and None)
            for _ in range(9)
        ),
        *(database.async_read(lambda c: c.scalar(sa.text("SELECT count(*) FROM t"))) for _ in range(9)),
    )
    assert count(database) == 9


def test_a_read_only_store_is_unavailable(tmp_path: Path) -> None:
    """A write into a store that may not be written is `store_unavailable`."""
    Database(f"sqlite:///{tmp_path}/one.db").write(lambda c: c.execute(sa.text("CREATE TABLE t (x INTEGER)")))
    database = Database(f"sqlite:///{tmp_path}/one.db", pragmas={"query_only": 1})
    with pytest.raises(Unavailable) as caught:
        database.write(lambda c: c.execute(sa.text("INSERT INTO t VALUES (1)")))
    assert caught.value.reason == "store_unavailable"


def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    """A store that cannot be opened is `store_unavailable`, not a traceback of the driver's."""
    with pytest.raises(Unavailable) as caught:
        Database(f"sqlite:///{tmp_path}/no/such/folder.db").read(lambda c: c.scalar(sa.text("SELECT 1")))
    assert caught.value.reason == "store_unavailable"


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "postgresql://host/db"])
def test_other_urls_are_refused(url: str) -> None:
    """Only the two databases that are tested are accepted."""
    with pytest.raises(InvalidInput) as caught:
        Database(url)
    assert caught.value.reason == "bad_store_url"


@pytest.mark.parametrize("name", ["what?now", "%20", "a#b", "a b", "ü&x=1", "a:b@c", "100%", "file:x", "\\?"])
def test_a_path_opens_the_file_that_it_names(tmp_path: Path, name: str) -> None:
    """Whatever a folder is called, its store is in it, and two folders never share one."""
    folder = tmp_path / name
    folder.mkdir()
    first, second = Database(sqlite_url(folder / "a.db")), Database(sqlite_url(folder / "b.db"))
    first.write(lambda c: c.execute(sa.text("CREATE TABLE t (x INTEGER)")))
    second.write(lambda c: c.execute(sa.text("CREATE TABLE u (x INTEGER)")))
    first.close()
    second.close()
    assert {path.name for path in folder.iterdir()} >= {"a.db", "b.db"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_store_is_its_owners_alone(tmp_path: Path) -> None:
    """The file, its log and its index can be read by nobody else, whatever the folder allows."""
    database = Database(sqlite_url(tmp_path / "one.db"))
    database.write(lambda c: c.execute(sa.text("CREATE TABLE t (x INTEGER)")))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "url", ["sqlite:////tmp/a?b/store.db", "sqlite:////tmp/a?mode=ro", "sqlite://host/x.db"]
)
def test_a_url_that_would_open_another_file_is_refused(url: str) -> None:
    """A query in a SQLite URL is a path that was pasted in."""
    with pytest.raises(InvalidInput) as caught:
        Database(url)
    assert caught.value.reason == "bad_store_url"


def test_a_path_that_is_not_utf8_is_refused() -> None:
    """A URL is text."""
    with pytest.raises(InvalidInput) as caught:
        sqlite_url(Path("/tmp") / b"\xff".decode(errors="surrogateescape"))
    assert caught.value.reason == "bad_store_url"


def test_the_write_ahead_log_is_bounded(database: Database, tmp_path: Path) -> None:
    """However much is written, its file is cut to what is written back at a time."""
    database.write(lambda c: c.execute(sa.text("CREATE TABLE big (x BLOB)")))
    for _ in range(40):
        database.write(lambda c: c.execute(sa.text("INSERT INTO big VALUES (zeroblob(1000000))")))
    assert (tmp_path / "one.db-wal").stat().st_size <= WAL_PAGES * 4096 + 2_000_000
    database.close()
