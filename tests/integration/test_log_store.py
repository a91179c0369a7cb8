"""The conformance suite of the log's store: one set of rules, SQLite and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hallmark.core.entries import entry_id, leaf
from hallmark.core.errors import Conflict, HallmarkError, NotFound, Unavailable
from hallmark.core.merkle import CompactRange, leaf_hash, verify_inclusion
from hallmark.ledger.note import Note
from hallmark.ledger.sql_store import SQLLogStore, SQLWitnessState
from hallmark.ledger.store import Found, LogStore
from hallmark.ledger.witness import State, Witness
from hallmark.store.errors import ConstraintBroken
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.testing.lying_log import LyingLog, witness_key

Open = Callable[[], RawDatabase]


def leaves(start: int, end: int, size: int = 60) -> list[bytes]:
    """Distinct leaves, admitted one millisecond apart."""
    return [leaf(1_000_000 + n, n.to_bytes(4, "big") * (size // 4)) for n in range(start, end)]


async def test_appended_leaves_are_there_for_good(opened: Open) -> None:
    """What was appended is read back, found, proved, and still there when opened again."""
    store: LogStore = SQLLogStore(opened())
    everything = leaves(0, 1300)
    at = 0
    for step in (1, 2, 253, 1, 256, 512, 275):
        assert await store.append(everything[at : at + step]) == at
        at += step
    assert await store.append([]) == 1300
    whole = CompactRange()
    whole.extend(map(leaf_hash, everything))
    for view in (store, SQLLogStore(opened())):
        assert (view.size, view.last_admitted, view.tree.root()) == (1300, 1_001_299, whole.root())
        assert await view.leaves(0, 1300) == everything
        assert await view.leaves(1290, 1300) == everything[-10:]
        assert await view.leaves(5, 5) == []
        for index in (0, 255, 256, 1024, 1299):
            proof = view.tree.inclusion_proof(index, 1300)
            verify_inclusion(leaf_hash(everything[index]), index, 1300, proof, whole.root())
        ids = [entry_id(everything[n][8:]) for n in range(0, 1300, 2)]
        found = await view.find([*ids, bytes(32)])
        assert found == {key: Found(n * 2, 1_000_000 + n * 2) for n, key in enumerate(ids)}
    again = SQLLogStore(opened())
    assert await again.append(leaves(1300, 1310)) == 1300
    whole.extend(map(leaf_hash, leaves(1300, 1310)))
    assert again.tree.root() == whole.root()


async def test_tiles_are_what_the_specification_says(opened: Open) -> None:
    """Full and partial tiles of two levels hold the right hashes, and no tile is there too early."""
    store = SQLLogStore(opened())
    everything = leaves(0, 700)
    await store.append(everything)
    hashes = [leaf_hash(one) for one in everything]
    assert await store.tile(0, 0, 256) == b"".join(hashes[:256])
    assert await store.tile(0, 0, 3) == b"".join(hashes[:3])
    assert await store.tile(0, 2, 188) == b"".join(hashes[512:])
    first, second = CompactRange(), CompactRange()
    first.extend(hashes[:256])
    second.extend(hashes[256:512])
    assert await store.tile(1, 0, 2) == first.root() + second.root()
    for level, index, width in ((0, 2, 189), (0, 3, 1), (1, 0, 3), (2, 0, 1), (0, 0, 257), (0, 0, 0)):
        with pytest.raises(NotFound) as caught:
            await store.tile(level, index, width)
        assert caught.value.reason == "no_such_tile"
    with pytest.raises(NotFound):
        await store.leaves(699, 701)


async def test_a_batch_is_all_or_nothing(opened: Open) -> None:
    """A duplicate, or a failing companion, leaves nothing behind, in memory or on disk."""
    store = SQLLogStore(opened())
    await store.append(leaves(0, 300))
    root = store.tree.root()

    def boom(transaction: Transaction) -> None:
        raise Conflict("lease_lost", "Not any more.")

    again = leaf(9_999_999, leaves(7, 8)[0][8:])
    for attempt in ([*leaves(300, 600), again], [*leaves(300, 302), *leaves(300, 301)]):
        with pytest.raises(Conflict) as caught:
            await store.append(attempt)
        assert caught.value.reason == "duplicate_entry"
    with pytest.raises(Conflict) as caught:
        await store.append(leaves(300, 600), within=boom)
    assert caught.value.reason == "lease_lost"
    for view in (store, SQLLogStore(opened())):
        assert (view.size, view.tree.root()) == (300, root)
        assert await view.find([entry_id(leaves(300, 301)[0][8:])]) == {}
    assert await store.append(leaves(300, 301)) == 300


async def test_a_companion_is_as_durable_as_the_leaves(opened: Open) -> None:
    """What `within` writes is committed with the leaves."""
    database = opened()
    store = SQLLogStore(database)
    database.write(lambda t: t.execute("CREATE TABLE beside (x INTEGER)"))
    await store.append(leaves(0, 1), within=lambda t: t.execute("INSERT INTO beside VALUES (7)") and None)
    await store.append([], within=lambda t: t.execute("INSERT INTO beside VALUES (8)") and None)
    assert opened().read(lambda t: t.fetch("SELECT x FROM beside ORDER BY x")) == [(7,), (8,)]


async def test_leaves_are_staged_and_then_committed(opened: Open) -> None:
    """What is staged has the root that appending gives, changes nothing, and is refused once it is old."""
    store = SQLLogStore(opened())
    await store.append(leaves(0, 255))
    staged, other = store.stage(leaves(255, 700)), store.stage(leaves(900, 901))
    whole = CompactRange()
    whole.extend(map(leaf_hash, leaves(0, 700)))
    assert (staged.root, store.size) == (whole.root(), 255)
    assert await store.commit(staged) == 255
    assert store.tree.root() == whole.root()
    with pytest.raises(Conflict) as caught:
        await store.commit(other)
    assert caught.value.reason == "duplicate_entry"
    assert SQLLogStore(opened()).tree.root() == whole.root()


def test_the_two_databases_keep_one_contract(opened: Open) -> None:
    """Values come back as they went in, statements say how many rows they changed, a broken constraint is
    told as that and undoes its transaction, and what raises undoes it too.
    """
    database = opened()
    database.write(
        lambda t: t.execute("CREATE TABLE t (k BLOB PRIMARY KEY, n INTEGER, s TEXT NOT NULL, v BLOB)")
    )
    rows = [(b"\x00a", (1 << 63) - 1, "ü", None), (b"\xff" * 40, -1, "", bytes(9_000))]
    database.write(lambda t: t.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows))
    assert opened().read(lambda t: t.fetch("SELECT k, n, s, v FROM t ORDER BY k")) == rows
    assert database.write(lambda t: t.execute("UPDATE t SET n = ? WHERE k = ?", (5, b"\x00a"))) == 1
    assert database.write(lambda t: t.execute("UPDATE t SET n = 6 WHERE k = ?", (b"none",))) == 0

    def twice(transaction: Transaction) -> None:
        transaction.execute("DELETE FROM t")
        transaction.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [rows[0], rows[0]])

    def fails(transaction: Transaction) -> None:
        transaction.execute("DELETE FROM t")
        raise KeyError

    for work, error in ((twice, ConstraintBroken), (fails, KeyError)):
        with pytest.raises(error):
            database.write(work)
    with pytest.raises(Unavailable) as caught:
        database.write(lambda t: t.execute("INSERT INTO nowhere VALUES (1)"))
    assert (caught.value.reason, database.problem) == ("store_unavailable", "store_unavailable")
    assert database.read(lambda t: t.fetch("SELECT count(*) FROM t")) == [(2,)]
    database.write(lambda t: t.execute("DELETE FROM t"))
    assert database.problem == ""


async def test_two_writers_cannot_overwrite_each_other(opened: Open) -> None:
    """A writer with an old view is refused, and goes on after a reload."""
    one, two = SQLLogStore(opened()), SQLLogStore(opened())
    await one.append(leaves(0, 5))
    with pytest.raises(Conflict):
        await two.append(leaves(100, 103))
    await two.reload()
    assert (two.size, two.tree.root(), two.last_admitted) == (5, one.tree.root(), 1_000_004)
    assert await two.append(leaves(100, 103)) == 5


async def test_concurrent_appends_stay_dense(opened: Open) -> None:
    """Appends that were started together get consecutive places."""
    import asyncio

    store = SQLLogStore(opened())
    firsts = await asyncio.gather(*(store.append(leaves(n * 3, n * 3 + 3)) for n in range(20)))
    assert sorted(firsts) == list(range(0, 60, 3))
    assert sorted(await store.leaves(0, 60)) == sorted(leaves(0, 60))


async def test_the_newest_cosigned_checkpoint_is_kept(opened: Open) -> None:
    """A larger checkpoint replaces a smaller one, never the other way round."""
    store, log = SQLLogStore(opened()), LyingLog([b"a", b"b", b"c"])
    assert await store.cosigned() is None
    for size in (1, 3, 2):
        await store.keep_cosigned(size, log.checkpoint(size))
    assert await SQLLogStore(opened()).cosigned() == log.checkpoint(3)
    assert isinstance(await store.cosigned(), Note)


async def test_a_witness_remembers(opened: Open) -> None:
    """A witness's state survives a restart and is compared before it is swapped."""
    log = LyingLog([b"leaf %d" % n for n in range(20)])
    witness = Witness(witness_key("w0"), [log.key.verifier], SQLWitnessState(opened()))
    await witness.add_checkpoint(log.request(0, 7), lambda: 1)
    state = SQLWitnessState(opened())
    assert await state.latest(log.origin) == State(7, log.tree.root(7))
    assert await state.latest("another") == State()
    again = Witness(witness_key("w0"), [log.key.verifier], state)
    await again.add_checkpoint(log.request(7, 20), lambda: 1)
    with pytest.raises(HallmarkError) as caught:
        await witness.add_checkpoint(log.request(7, 9), lambda: 1)
    assert caught.value.reason == "witness_raced"
    with pytest.raises(HallmarkError) as caught:
        await witness.add_checkpoint(log.request(7, 9), lambda: 1)
    assert caught.value.reason == "old_size_differs"
    with pytest.raises(Conflict):
        await state.advance("another", State(3, bytes(32)), State(4, bytes(32)), log.checkpoint(4))
    with pytest.raises(Conflict):
        await state.advance(log.origin, State(), State(4, bytes(32)), log.checkpoint(4))


async def test_migrations_run_once_and_never_backwards(opened: Open) -> None:
    """Each migration runs once; tables of a newer release are refused."""
    ran: list[str] = []
    steps = [lambda c: ran.append("one"), lambda c: ran.append("two"), lambda c: ran.append("three")]
    assert opened().migrate("thing", steps[:2]) == 2
    assert opened().migrate("thing", steps) == 3
    assert ran == ["one", "two", "three"]
    with pytest.raises(Unavailable) as caught:
        opened().migrate("thing", steps[:1])
    assert caught.value.reason == "store_newer"


async def test_a_failed_migration_leaves_no_trace(opened: Open) -> None:
    """A migration that raises is rolled back and tried again at the next start."""

    def broken(transaction: Transaction) -> None:
        transaction.execute("CREATE TABLE half (x INTEGER)")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        opened().migrate("thing", [broken])
    assert opened().migrate("thing", [lambda t: t.execute("CREATE TABLE half (x INTEGER)") and None]) == 1
