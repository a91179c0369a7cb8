"""The raw store: durable settings, turns, where a transaction runs, and nothing half written."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.entries import leaf
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.merkle import leaf_hash, verify_inclusion
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.store import raw, sqlite_url
from hallmark.store.raw import LATE, MEASURED, QUICK_S, TIDY_EVERY, RawDatabase, Transaction
from hallmark.store.urls import parse_url

INSERT = "INSERT INTO t VALUES (?)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RawDatabase]:
    """A file database with a table `t`."""
    opened = RawDatabase(f"sqlite:///{tmp_path}/one.db")
    opened.write(lambda t: t.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)"))
    yield opened
    opened.close()


def test_sqlite_is_set_to_survive_power_loss(database: RawDatabase) -> None:
    """WAL, synchronous=FULL and foreign keys hold on the connection that writes."""
    names = ("journal_mode", "synchronous", "foreign_keys")
    found = database.write(lambda t: [t.fetch(f"PRAGMA {name}")[0][0] for name in names])
    assert found == ["wal", 2, 1]


async def test_async_writes_take_turns(database: RawDatabase) -> None:
    """Many writers at once are one after the other, and readers see whole transactions."""

    def add(transaction: Transaction) -> int:
        ((top,),) = transaction.fetch("SELECT coalesce(max(x), 0) FROM t")
        transaction.execute(INSERT, (top + 1,))
        return int(top) + 1

    got = await asyncio.gather(*(database.async_write(add, brief=n % 3 == 0) for n in range(60)))
    assert sorted(got) == list(range(1, 61))
    assert await database.async_read(lambda t: t.fetch("SELECT count(*) FROM t")) == [(60,)]


async def test_brief_writes_run_where_they_cost_least(database: RawDatabase) -> None:
    """On the event loop's thread while commits are quick, in the writer's while they are not or unknown;
    others always in the writer's.
    """
    here = threading.get_ident()

    async def thread(*, brief: bool) -> int:
        return await database.async_write(lambda _: threading.get_ident(), brief=brief)

    assert await thread(brief=True) != here
    for _ in range(MEASURED):
        database.write(lambda t: None)
    database._mean = QUICK_S / 2
    assert await thread(brief=True) == here
    assert await thread(brief=False) != here
    database._measure(QUICK_S * MEASURED * 2)
    assert await thread(brief=True) != here
    database._mean = QUICK_S / 2
    with database._turn:  # somebody else writes: the event loop does not wait for it
        task = asyncio.create_task(thread(brief=True))
        await asyncio.sleep(0)
        assert not task.done()
    assert await task != here


async def test_the_write_ahead_log_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is moved into the file beside the writers, and begins anew although they never stop."""
    database = RawDatabase(f"sqlite:///{tmp_path}/one.db")
    sizes = await _sizes(database, tmp_path, monkeypatch)
    database.close()
    assert max(sizes) < (LATE + 1) * sizes[TIDY_EVERY // 50 - 1]


async def test_nor_does_it_while_the_mover_gets_no_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers that do not wait for the mover's thread would outrun it: they wait once it is late."""
    database = RawDatabase(f"sqlite:///{tmp_path}/one.db")
    moved, due = database._tidy, threading.Event()

    def starved() -> None:
        due.wait(10)
        due.clear()
        moved()

    monkeypatch.setattr(database, "_tidy", starved)
    waited = database._writer.run

    def run(job: Callable[[], Any]) -> asyncio.Future[Any]:
        due.set()  # only who waits in the writer's queue lets the mover go on
        return waited(job)

    monkeypatch.setattr(database._writer, "run", run)
    sizes = await _sizes(database, tmp_path, monkeypatch)
    due.set()
    database.close()
    assert max(sizes) < (LATE + 1) * sizes[TIDY_EVERY // 50 - 1]
    assert max(sizes) > (LATE - 1) * sizes[TIDY_EVERY // 50 - 1]


async def _sizes(database: RawDatabase, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The write-ahead log's, every fifty commits of a writer that never stops and whose commits are quick."""
    monkeypatch.setattr(database, "_measure", lambda took: None)
    database._mean, database._measured = QUICK_S / 2, MEASURED
    database.write(lambda t: t.execute("CREATE TABLE t (x BLOB)"))
    sizes = []
    for _ in range(6 * TIDY_EVERY // 50):
        for _ in range(50):
            await database.async_write(lambda t: t.execute(INSERT, (bytes(3_000),)), brief=True)
        sizes.append((folder / "one.db-wal").stat().st_size)
    return sizes


async def test_nor_does_it_by_a_few_large_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows count as commits do: who copies a long log writes thousands at a time."""
    monkeypatch.setattr(raw, "TIDY_ROWS", 300)
    database = RawDatabase(f"sqlite:///{tmp_path}/one.db")
    database.write(lambda t: t.execute("CREATE TABLE t (x BLOB)"))
    sizes = []
    for _ in range(24):
        await database.async_write(lambda t: t.executemany(INSERT, [(bytes(3_000),)] * 100))
        sizes.append((tmp_path / "one.db-wal").stat().st_size)
    database.close()
    assert max(sizes) < 3 * sizes[2]


def test_a_read_only_store_is_unavailable(tmp_path: Path) -> None:
    """A write into a store that may not be written is `store_unavailable`."""
    RawDatabase(f"sqlite:///{tmp_path}/one.db").write(lambda t: t.execute("CREATE TABLE t (x INTEGER)"))
    database = RawDatabase(f"sqlite:///{tmp_path}/one.db", pragmas={"query_only": 1})
    with pytest.raises(Unavailable) as caught:
        database.write(lambda t: t.execute("INSERT INTO t VALUES (1)"))
    assert caught.value.reason == database.problem == "store_unavailable"


def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    """A store that cannot be opened is `store_unavailable`, not a traceback of the driver's."""
    with pytest.raises(Unavailable) as caught:
        RawDatabase(f"sqlite:///{tmp_path}/no/such/folder.db").read(lambda t: t.fetch("SELECT 1"))
    assert caught.value.reason == "store_unavailable"


def test_a_postgresql_that_does_not_answer_is_unavailable() -> None:
    """A server that is not there is `store_unavailable`, and tried again the next time."""
    database = RawDatabase("postgresql+psycopg://nobody@127.0.0.1:1/none")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            database.write(lambda t: t.fetch("SELECT 1"))
        assert caught.value.reason == "store_unavailable"


@pytest.mark.parametrize("name", ["what?now", "%20", "a#b", "a b", "ü&x=1", "a:b@c", "100%", "file:x", "\\?"])
def test_a_path_opens_the_file_that_it_names(tmp_path: Path, name: str) -> None:
    """Whatever a folder is called, its store is in it, for its owner alone."""
    folder = tmp_path / name
    folder.mkdir()
    url = sqlite_url(folder / "a.db")
    assert parse_url(url).path == str(folder / "a.db")
    database = RawDatabase(url)
    database.write(lambda t: t.execute("CREATE TABLE t (x INTEGER)"))
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == [name]
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://host/db",
        "postgresql://host/db",
        "sqlite:////tmp/a?b/store.db",
        "sqlite:////tmp/a?mode=ro",
        "sqlite://host/x.db",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    """Only the two databases that are tested are accepted, and no URL that would open another file."""
    with pytest.raises(InvalidInput) as caught:
        RawDatabase(url)
    assert caught.value.reason == "bad_store_url"


def test_hot_stores_do_not_load_sqlalchemy() -> None:
    """The log and a full node run without it."""
    modules = "hallmark.services.log.service, hallmark.services.fullnode.__main__"
    script = f"import sys, {modules}; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_old_tiles_are_read_from_a_database_in_memory() -> None:
    """Tiles and proofs that are not in memory any more come from the one connection without a deadlock."""
    store = SQLLogStore(RawDatabase("sqlite://"))
    for start in range(0, 1200, 100):
        await store.append([leaf(n, n.to_bytes(4, "big")) for n in range(start, start + 100)])
    tiles = await asyncio.gather(*(store.tile(0, index, 256) for index in (0, 1, 2, 3) for _ in range(3)))
    assert {len(tile) for tile in tiles} == {8192}
    proof = await store.inclusion_proof(5, 1200)
    verify_inclusion(leaf_hash(leaf(5, (5).to_bytes(4, "big"))), 5, 1200, proof, store.tree.root())


async def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    """When the space ends the batch is refused as `store_full`, and the log goes on where it was."""
    url = f"sqlite:///{tmp_path}/full.db"
    database = RawDatabase(url, pragmas={"max_page_count": 60})
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
    assert SQLLogStore(RawDatabase(url)).tree.root() == root
    roomy = SQLLogStore(RawDatabase(url))
    await roomy.append([leaf(10**6, b"one more after space was freed")])
    assert roomy.size == appended + 1
    assert roomy.tree.root(appended) == root


async def test_lost_rows_are_noticed(tmp_path: Path) -> None:
    """A store whose rows went missing says so instead of answering with less."""
    database = RawDatabase(f"sqlite:///{tmp_path}/log.db")
    store = SQLLogStore(database)
    await store.append([leaf(n, n.to_bytes(2, "big")) for n in range(600)])
    database.write(lambda t: t.execute("DELETE FROM log_leaves WHERE idx = 3"))
    reopened = SQLLogStore(database)
    with pytest.raises(Unavailable) as caught:
        await reopened.leaves(0, 10)
    assert caught.value.reason == "store_damaged"
    database.write(lambda t: t.execute("DELETE FROM log_tiles WHERE idx = 0"))
    with pytest.raises(Unavailable) as caught:
        SQLLogStore(database)
    assert caught.value.reason == "store_damaged"


def test_a_stranger_that_looks_does_not_take_the_log_away(tmp_path: Path) -> None:
    """However many connections this process has opened, another that opens the file and closes it again is
    not the last one, and leaves the write-ahead log where it is.
    """
    path = tmp_path / "x.db"
    database = RawDatabase(f"sqlite:///{path}")
    database.write(lambda t: t.execute("CREATE TABLE x (a INTEGER)"))
    assert database.read(lambda t: t.fetch("SELECT a FROM x")) == []
    database.write(lambda t: t.execute("INSERT INTO x VALUES (1)"))
    look = "import sqlite3 as s, sys; c = s.connect(sys.argv[1]); print(*c.execute('SELECT * FROM x'))"
    shown = []
    for number in (2, 3):
        shown.append(
            subprocess.run([sys.executable, "-c", look, path], capture_output=True, check=True).stdout
        )
        assert (tmp_path / "x.db-wal").exists()
        database.write(lambda t, n=number: t.execute("INSERT INTO x VALUES (?)", (n,)))  # type: ignore[misc]
    assert shown == [b"(1,)\n", b"(1,) (2,)\n"]
    database.close()
