"""The database layer: durable settings, error mapping, and nothing half written when the disk is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hallmark.core.entries import leaf
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.ledger.merkle import leaf_hash, verify_inclusion
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.store import Database, sqlite_url


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


async def test_old_tiles_are_read_from_a_database_in_memory() -> None:
    """Tiles and proofs that are not in memory any more come from the one connection without a deadlock."""
    store = SQLLogStore(Database("sqlite://"))
    for start in range(0, 1200, 100):
        await store.append([leaf(n, n.to_bytes(4, "big")) for n in range(start, start + 100)])
    tiles = await asyncio.gather(*(store.tile(0, index, 256) for index in (0, 1, 2, 3) for _ in range(3)))
    assert {len(tile) for tile in tiles} == {8192}
    proof = await store.inclusion_proof(5, 1200)
    verify_inclusion(leaf_hash(leaf(5, (5).to_bytes(4, "big"))), 5, 1200, proof, store.tree.root())


async def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    """When the space ends the batch is refused as `store_full`, and the log goes on where it was."""
    url = f"sqlite:///{tmp_path}/full.db"
    database = Database(url, pragmas={"max_page_count": 60})
    store = SQLLogStore(database)
    appended = 0

    async def fill() -> None:
        nonlocal appended
        for n in range(100):
            await store.append([leaf(n * 100 + i, bytes((n, i)) * 500) for i in range(10)])
            appended += 10

    with pytest.raises(Unavailable) as caught:
        await fill()
    assert caught.value.reason == "store_full"
    assert database.problem == "store_full"
    assert 0 < appended == store.size
    root = store.tree.root()
    assert SQLLogStore(Database(url)).tree.root() == root
    roomy = SQLLogStore(Database(url))
    await roomy.append([leaf(10**6, b"one more after space was freed")])
    assert roomy.size == appended + 1
    assert roomy.tree.root(appended) == root


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


async def test_lost_rows_are_noticed(tmp_path: Path) -> None:
    """A store whose rows went missing says so instead of answering with less."""
    database = Database(f"sqlite:///{tmp_path}/log.db")
    store = SQLLogStore(database)
    await store.append([leaf(n, n.to_bytes(2, "big")) for n in range(600)])
    database.write(lambda c: c.execute(sa.text("DELETE FROM log_leaves WHERE idx = 3")))
    reopened = SQLLogStore(database)
    with pytest.raises(Unavailable) as caught:
        await reopened.leaves(0, 10)
    assert caught.value.reason == "store_damaged"
    database.write(lambda c: c.execute(sa.text("DELETE FROM log_tiles WHERE idx = 0")))
    with pytest.raises(Unavailable) as caught:
        SQLLogStore(database)
    assert caught.value.reason == "store_damaged"


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
