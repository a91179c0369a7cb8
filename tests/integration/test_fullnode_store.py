"""What a full node keeps, by one set of rules on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.ledger.note import Note
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.ledger.witness import SizeConflict, State
from hallmark.services.fullnode.checkpoint_store import CheckpointStore, Misbehaviour
from hallmark.services.fullnode.node import FullNode
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.testing.fullnodes import MemoryLog, full_node
from hallmark.testing.network import LittleNetwork
from hallmark.testing.wire import MemoryPool

ORIGIN = "log.test"
NOTE = Note(b"log.test\n1\nroot\n")


@pytest.fixture
def start(empty_url: str) -> Iterator[tuple[MemoryLog, Callable[[], FullNode]]]:
    """A little network's log, and its first full node opened on one database again and again."""
    network = LittleNetwork()
    log = MemoryLog(network, MemoryPool())
    nodes: list[FullNode] = []

    def again() -> FullNode:
        nodes.append(full_node(log, network.full_nodes[0], database=empty_url, every=3))
        return nodes[-1]

    yield log, again
    for node in nodes:
        node.database.close()  # type: ignore[attr-defined]


async def test_a_full_node_carries_on_where_it_was(
    start: tuple[MemoryLog, Callable[[], FullNode]],
) -> None:
    """Leaves, fold, witness's state and notes are there after a restart, with nothing between them missing,
    wherever between two writes of the fold it ended.
    """
    log, again = start
    network, cosigned, node = log.network, 0, again()
    await node.start()
    for count in (0, 1, 2, 4):
        for _ in range(count):
            network.add(network.receipt_entry(network.nodes[0]))
        line = await node.add_checkpoint(log.request(cosigned))
        cosigned = network.tree.size
        node = again()
        await node.start()
        assert (node.store.size, node.replica.size) == (cosigned, cosigned)
        assert node.replica.root() == node.store.tree.root() == network.tree.root()
        assert (await node.status()).cosigned_size == cosigned
        assert line in node.checkpoint()
        await node.anchor_signature(network.genesis.origin, cosigned, network.tree.root())


async def test_a_checkpoint_is_kept_whole_or_not_at_all(opened: Callable[[], RawDatabase]) -> None:
    """Whoever moved the witness first wins; of the other's checkpoint nothing is kept: no leaf, no note,
    nothing that a companion wrote.
    """

    class Companion:
        def __init__(self) -> None:
            self.sizes: list[int] = []

        def write(self, transaction: Transaction, size: int) -> None:
            transaction.execute("INSERT INTO beside VALUES (?)", (size,))

        def written(self, size: int) -> None:
            self.sizes.append(size)

    database = opened()
    database.write(lambda t: t.execute("CREATE TABLE beside (size INTEGER PRIMARY KEY)"))
    memories = [CheckpointStore(each, SQLLogStore(each)) for each in (database, opened())]
    companions = [Companion(), Companion()]
    for memory, companion in zip(memories, companions, strict=True):
        memory.companion = companion
        memory.judged.append(b"\0" * 8 + bytes([len(companions)]) * 20)
    first, second = memories
    assert await first.latest(ORIGIN) == await second.latest(ORIGIN) == State()
    await first.advance(ORIGIN, State(), State(1, b"\1" * 32), NOTE)
    with pytest.raises(Conflict):
        await second.advance(ORIGIN, State(), State(1, b"\2" * 32), NOTE)
    assert (companions[0].sizes, companions[1].sizes) == ([1], [])
    assert database.read(lambda t: t.fetch("SELECT size FROM beside")) == [(1,)]
    assert database.read(lambda t: t.fetch("SELECT size, root FROM fullnode_cosigned")) == [(1, b"\1" * 32)]
    assert await second.latest(ORIGIN) == State(1, b"\1" * 32)


async def test_the_first_accusation_stands(opened: Callable[[], RawDatabase]) -> None:
    """What a log was caught at is kept for good, and read by the next process."""
    memory = CheckpointStore(database := opened(), SQLLogStore(database))
    assert await memory.accusation() is None
    caught = Misbehaviour("log_fork", 7, b"note", 1_000)
    await memory.accuse(caught)
    await memory.accuse(Misbehaviour("log_duplicate_entry", 9, b"", 2_000))
    assert await CheckpointStore(other := opened(), SQLLogStore(other)).accusation() == caught


async def test_a_companion_that_raises_undoes_the_checkpoint(opened: Callable[[], RawDatabase]) -> None:
    """The witness is where it was, and the leaves wait for the next attempt."""

    class Broken:
        def write(self, transaction: Transaction, size: int) -> None:
            raise HallmarkError("broken", f"Nothing is written for {size}.")

        def written(self, size: int) -> None:
            raise AssertionError(size)

    database = opened()
    store = SQLLogStore(database)
    memory = CheckpointStore(database, store)
    memory.companion = Broken()
    memory.judged.append(b"\0" * 8 + b"a leaf of some kind.")
    with pytest.raises(HallmarkError, match="Nothing is written for 1"):
        await memory.advance(ORIGIN, State(), State(1, b"\1" * 32), NOTE)
    assert (await memory.latest(ORIGIN), store.size, len(memory.judged)) == (State(), 0, 1)
    memory.companion = None
    await memory.advance(ORIGIN, State(), State(1, b"\1" * 32), NOTE)
    assert (SQLLogStore(opened()).size, memory.judged) == (1, [])


async def test_a_commit_of_which_nothing_was_heard_is_found_out(
    start: tuple[MemoryLog, Callable[[], FullNode]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that commits and is gone before it says so, or is gone before it commits: the node looks
    what is there, and carries on from it.
    """
    log, again = start
    network, node = log.network, again()
    await node.start()
    await node.add_checkpoint(log.request(0))
    database: RawDatabase = node.database  # type: ignore[attr-defined]
    done = database._commit
    for committed in (True, False):
        old = network.tree.size
        network.add(network.receipt_entry(network.nodes[0]))

        def gone(work: Any, committed: bool = committed) -> None:
            if committed:
                done(work)
            raise Unavailable("store_unavailable", "The connection was lost.")

        monkeypatch.setattr(database, "_commit", gone)
        with pytest.raises(Unavailable, match="connection was lost"):
            await node.add_checkpoint(log.request(old))
        monkeypatch.setattr(database, "_commit", done)
        if committed:
            with pytest.raises(SizeConflict):  # it has cosigned that far, and says so
                await node.add_checkpoint(log.request(old))
        network.add(network.receipt_entry(network.nodes[0]))
        line = await node.add_checkpoint(log.request(old + committed))
        assert node.store.size == node.replica.size == network.tree.size
        assert line in node.checkpoint()
    assert again().store.size == network.tree.size
