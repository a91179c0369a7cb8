"""A process that follows the log starts again: nothing is folded twice, nothing is another than it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.document import hex0x
from hallmark.services.following.fold_store import FoldIndex
from hallmark.services.following.follower import RootDiffers
from hallmark.store import Database
from hallmark.store.raw import RawDatabase
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.network import LittleNetwork


class Home:
    """Databases that outlive processes; `process` starts one over them."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/web.db"
        self.net = LittleNetwork()
        self.open: list[ExplorerFixture] = []

    def process(self, net: LittleNetwork | None = None) -> ExplorerFixture:
        """The next process; the one before it is dead, whatever it had not written."""
        self.end()
        again = ExplorerFixture(net or self.net, Database(self.url), folded=RawDatabase(self.url), every=4)
        fed = again.follower.replica.feed
        again.follower.replica.feed = lambda at, leaf: (self.fed.append(at), fed(at, leaf))[1]  # type: ignore
        self.fed: list[int] = []
        self.open.append(again)
        return again

    def end(self) -> None:
        """Kill the process."""
        for process in self.open:
            process.folded.close()
            process.database.close()
        self.open.clear()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with a process that followed a few dozen entries of many kinds."""
    found = Home(tmp_path)
    yield found
    found.end()


async def _live(process: ExplorerFixture, rounds: int) -> list[str]:
    """Receipts, a checkpoint each; their ids."""
    net, ids = process.net, []
    for number in range(rounds):
        net.tick(10)
        answer = net.answer(net.nodes[number % 2])
        net.add(answer.entry)
        ids.append(hex0x(answer.receipt.digest()))
        await process.witness()
    return ids


async def _told(process: ExplorerFixture, ids: list[str]) -> dict[str, Any]:
    """What pages say."""
    explorer = process.explorer
    rows = await explorer.receipts("", "", 100)
    registrations = [
        process.follower.registration(n.address, b"", n.bundle.digest()) for n in process.net.nodes
    ]
    return {
        "rows": [row.id for row in rows.rows],
        "marks": [process.watch.judge.marks(at, 0) for at in _positions(process, ids)],
        "dossiers": [await explorer.dossier(id) for id in ids],
        "figures": await explorer.figures(),
        "heads": (len(process.watch.heads), process.watch.heads.page(1 << 40, 5)),
        "registrations": registrations,
        "root": process.watch.replica.root(),
        "saw": explorer._measured.exposure(),
    }


def _positions(process: ExplorerFixture, ids: list[str]) -> list[int]:
    return [process.watch.judge.position(bytes.fromhex(one[2:])) for one in ids]


async def test_a_start_folds_only_what_came_since(home: Home) -> None:
    """It feeds fewer leaves than are between two writes, and says what the process before it said."""
    process = home.process()
    ids = await _live(process, 9)
    kept, size = process.watch.replica.kept_size, process.net.tree.size
    assert size - 4 < kept <= size
    before = await _told(process, ids)
    await process.flush()
    await process.explorer.flush()
    again = home.process()
    await again.witness()
    assert home.fed == list(range(kept, size))
    after = await _told(again, ids)
    for name, told in before.items():
        assert after[name] == told, name
    ids += await _live(again, 5)
    assert len((await again.explorer.receipts("", "", 100)).rows) == len(ids)


async def test_what_an_earlier_process_did_not_write_is_folded_again(home: Home) -> None:
    """The fold is never kept ahead of leaves, heads and the pages' index: a crash loses no entry of them."""
    ids = await _live(home.process(), 7)
    again = home.process()
    await again.witness()
    assert [row.id for row in (await again.explorer.receipts("", "", 100)).rows] == ids[::-1]
    assert await again.watch.leaves.read(0, home.net.tree.size) == home.net.leaves
    assert again.explorer._index.tally.receipts == len(ids)


async def test_a_fold_whose_leaves_are_gone_is_begun_anew(home: Home) -> None:
    """As when somebody removed a table: everything is read again, and nothing is missing."""
    ids = await _live(home.process(), 7)
    home.open[-1].database.write(lambda c: c.exec_driver_sql("DELETE FROM following_leaves"))
    again = home.process()
    await again.witness()
    assert home.fed == list(range(home.net.tree.size))
    assert [row.id for row in (await again.explorer.receipts("", "", 100)).rows] == ids[::-1]


async def test_another_log_is_not_gone_on_with(home: Home) -> None:
    """The next checkpoint does not agree with what was kept: it is not routed by, and the next start folds
    all of the log that is there.
    """
    await _live(home.process(), 7)
    other = type("Later", (LittleNetwork,), {"start": home.net.start + 1_000})()
    for number in range(20):
        other.add(other.receipt_entry(other.nodes[number % 2]))
    process = home.process(other)
    process.log.witnessed = other.tree.size
    process.follower.resume()
    if process.follower.replica.size:
        with pytest.raises(RootDiffers):
            await process.follow()
        process.follower._doubt()
        process = home.process(other)
    await process.witness()
    assert (process.watch.replica.size, process.watch.replica.root()) == (other.tree.size, other.tree.root())
    assert home.fed == list(range(other.tree.size))


async def test_a_note_that_no_quorum_signed_confirms_nothing(home: Home) -> None:
    """What is kept is taken up only below a checkpoint that the policy accepts."""
    await _live(home.process(), 7)
    process = home.process()
    process.follower._newest.load = lambda row: bool(row)  # type: ignore[method-assign]
    process.follower.resume()
    assert process.watch.replica.size == 0
    assert FoldIndex(process.folded).get("core", b"newest")
