"""The folded log on disk: what is looked up, when it is written, in which transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.core.hashing import sha256
from hallmark.services.following.fold_store import BY_NAME, BY_POSITION, FoldIndex, FoldKeeper
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.fold import Replica
from hallmark.verification.fold_state import CORE, FoldState
from hallmark.verification.tables import Changes, StateUnavailable


@pytest.fixture
def index(tmp_path: Path) -> Iterator[FoldIndex]:
    """An index in a file."""
    database = RawDatabase(f"sqlite:///{tmp_path}/fold.db")
    yield FoldIndex(database)
    database.close()


def test_every_table_of_a_fold_has_its_place() -> None:
    """None is forgotten, and none is for nothing."""
    assert {*BY_POSITION, *BY_NAME} == {CORE, *(table.name for table in FoldState().tables)}


def test_rows_are_put_replaced_and_read_in_order(index: FoldIndex) -> None:
    """By key of either kind; a page at a time; gone when it is begun anew."""
    numbers = {at: bytes([at % 256]) for at in range(2_500)}
    index.write(Changes(1, {"links": dict(numbers), "seen": {b"b": b"2", b"a": b"1"}}))
    index.write(Changes(2, {"links": {7: b"new", 2**62: b"far"}}))
    assert index.get("links", 7) == b"new"
    assert index.get("links", 9_999) is None
    assert index.many("links", (8, 2**62, 9_999)) == {8: b"\x08", 2**62: b"far"}
    assert list(index.rows("links")) == [*sorted({**numbers, 7: b"new"}.items()), (2**62, b"far")]
    assert list(index.rows("seen")) == [(b"a", b"1"), (b"b", b"2")]
    index.write(Changes(3, {"links": {1: b"1"}}, anew=True))
    assert (list(index.rows("links")), list(index.rows("seen"))) == ([(1, b"1")], [])


def test_a_fold_is_written_every_so_often_and_with_its_leaves(index: FoldIndex) -> None:
    """Not with each leaf; only what is whole; and what the owner's transaction loses is not kept."""
    net, writes = LittleNetwork(), 0
    keeper = FoldKeeper(Replica(net.genesis, verify_stub_evidence), index, every=4)
    keeper.resume(lambda size, root: False)
    for at, leaf in enumerate(net.leaves):
        keeper.replica.feed(at, leaf)
        before = index.database.commits
        index.database.write(lambda t: keeper.write(t, keeper.replica.size))
        keeper.written(keeper.replica.size)
        writes += keeper.replica.kept_size == at + 1
        assert index.database.commits == before + 1
        assert keeper.replica.kept_size == (at + 1) // 4 * 4
    assert writes == len(net.leaves) // 4
    kept = keeper.replica.kept_size
    for _ in range(4):
        keeper.replica.feed(net.add(net.receipt_entry(net.nodes[0])), net.leaves[-1])

    def lost(transaction: Transaction) -> None:
        keeper.write(transaction, keeper.replica.size)
        raise LookupError

    with pytest.raises(LookupError):
        index.database.write(lost)
    again = Replica(net.genesis, verify_stub_evidence)
    assert again.resume(FoldIndex(index.database), net.has)
    assert again.size == kept
    index.database.write(lambda t: keeper.write(t, keeper.replica.size - 1))
    keeper.written(keeper.replica.size - 1)
    assert keeper.replica.kept_size == kept
    index.database.write(lambda t: keeper.write(t, keeper.replica.size))
    keeper.written(keeper.replica.size)
    again = Replica(net.genesis, verify_stub_evidence)
    assert again.resume(FoldIndex(index.database), net.has)
    assert again.root() == keeper.replica.root()


def test_a_store_of_an_older_version_gets_the_tables_that_it_lacks(index: FoldIndex) -> None:
    """What is kept stays; every table can be written."""
    index.write(Changes(1, {"seen": {b"a": b"1"}}))
    for name in ("spent", "links"):
        index.database.write(lambda t, name=name: t.execute(f"DROP TABLE fold_{name}"))  # type: ignore[misc]
    again = FoldIndex(index.database)
    again.write(Changes(2, {name: {7: b"x"} for name in BY_POSITION}))
    again.write(Changes(2, {name: {b"k": b"x"} for name in BY_NAME}))
    assert again.get("seen", b"a") == b"1"


async def test_a_damaged_row_ends_the_service(index: FoldIndex) -> None:
    """Wherever it was read: the process is told, and the next one begins anew."""
    net = LittleNetwork()
    keeper = FoldKeeper(Replica(net.genesis, verify_stub_evidence), index, every=1)
    keeper.resume(lambda size, root: False)
    for at, leaf in enumerate(net.leaves):
        keeper.replica.feed(at, leaf)
    await keeper.keep()
    index.database.write(lambda t: t.execute("UPDATE fold_seen SET value = x'00'"))
    again = FoldKeeper(Replica(net.genesis, verify_stub_evidence), FoldIndex(index.database))
    assert again.resume(net.has)
    running = asyncio.ensure_future(again.run())
    await asyncio.sleep(0)
    with pytest.raises(StateUnavailable):
        await asyncio.to_thread(again.replica.registry.seen.get, sha256(net.leaves[0][8:]))
    with pytest.raises(StateUnavailable) as caught:
        await running
    assert caught.value.reason == "state_damaged"
    anew = FoldKeeper(Replica(net.genesis, verify_stub_evidence), FoldIndex(index.database))
    assert not anew.resume(net.has)


def test_nothing_is_written_into_an_index_that_is_distrusted(index: FoldIndex) -> None:
    """Otherwise it would be trusted again by the next process."""
    index.write(Changes(1, {CORE: {b"head": b"1"}}))
    index.distrust()
    with pytest.raises(StateUnavailable):
        index.write(Changes(2, {CORE: {b"head": b"2"}}))
    assert FoldIndex(index.database).get(CORE, b"head") is None
