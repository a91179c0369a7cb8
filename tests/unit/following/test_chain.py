"""When the chain is asked: while it lacks some of what was followed, and else not."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.document import unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.services.chain import check
from hallmark.services.following import chain as module
from hallmark.services.following.chain import Chain
from hallmark.services.following.write_behind import ANCHORS
from hallmark.store import Database
from hallmark.testing.anchors import anchored
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import LittleNetwork


class Counting:
    """A chain that holds everything when it is asked for the `late`th time; `asked` counts."""

    def __init__(self, net: LittleNetwork) -> None:
        self.net, self.asked, self.late = net, 0, 2

    async def covering(self, _position: int) -> object:
        """The record, and what the chain itself says."""
        self.asked += 1
        if self.asked < self.late:
            return None, None
        net = self.net
        size, root = net.tree.size, net.tree.root()
        return anchored(size, root)


async def test_a_chain_that_holds_all_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked until it holds what there is, then left alone until there is more."""
    monkeypatch.setattr(module, "POLL_S", 0)
    net = LittleNetwork()
    chain = Counting(net)
    watching = FollowedLogFixture(net, anchors=chain)
    running = asyncio.ensure_future(watching.watch.chain.run())

    async def settled() -> tuple[int, int]:
        for _ in range(30):
            await asyncio.sleep(0)
        return chain.asked, watching.watch.chain.size

    assert await settled() == (0, 0)
    await watching.follow()
    assert await settled() == (2, net.tree.size)
    net.add(net.receipt_entry(net.nodes[0]))
    chain.late = 5
    assert (await settled())[0] == 2
    await watching.witness()
    assert await settled() == (5, net.tree.size)
    running.cancel()
    watching.database.close()


class Kept:
    """A chain with anchors at some sizes; `lost` says that it does not hold the newest any more."""

    def __init__(self, net: LittleNetwork, sizes: tuple[int, ...]) -> None:
        self.net, self.sizes, self.read = net, sizes, 0
        self.lost: HallmarkError | None = None

    async def covering(self, position: int) -> object:
        """The next one."""
        self.read += 1
        size = next((size for size in self.sizes if size > position), 0)
        return anchored(size, self.net.tree.root(size)) if size else (None, None)

    async def confirm(self, record: AnchorRecord) -> object:
        """The chain holds it still."""
        if self.lost is not None:
            raise self.lost
        return anchored(record.size, unhex(record.root))[1]


async def _watched(net: LittleNetwork, chain: Kept, database: Database) -> Chain:
    watching = FollowedLogFixture(net, anchors=chain, database=database)
    await watching.witness()
    return watching.watch.chain


async def _all(chain: Chain) -> None:
    while await chain.read():
        pass
    await chain._writer.flush()


async def test_anchors_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process asks the chain whether it holds the newest, and reads no other again; only the newest
    are in memory, and older ones are found.
    """
    monkeypatch.setattr(module, "RECENT", 3)
    net, database = LittleNetwork(), Database("sqlite://")
    for _ in range(20):
        net.add(net.receipt_entry(net.nodes[0]))
    sizes = tuple(range(2, net.tree.size, 2))
    chain = Kept(net, sizes)
    first = await _watched(net, chain, database)
    await _all(first)
    assert (first.size, chain.read) == (sizes[-1], len(sizes) + 1)
    told: list[int] = []
    again = await _watched(net, chain, database)
    again.changed.append(told.append)
    assert (again.size, again.covering(0), len(again._read)) == (0, None, 3)
    await _all(again)
    assert (again.size, told, chain.read) == (sizes[-1], [sizes[-1]], len(sizes) + 2)
    for index in range(sizes[-1]):
        found = again.covering(index)
        assert found is not None
        assert found.confirmed.size == next(size for size in sizes if size > index)
        assert found == first.covering(index)
    assert again.covering(sizes[-1]) is None
    for size in range(sizes[-1] + 1, net.tree.size + 1):
        chain.sizes = (*chain.sizes, size)
    await _all(again)
    assert again.size == net.tree.size
    database.close()


async def test_kept_anchors_count_only_while_the_chain_holds_them() -> None:
    """While it does not answer none of them counts; when it lost them they are forgotten and read again."""
    net, database = LittleNetwork(), Database("sqlite://")
    net.add(net.receipt_entry(net.nodes[0]))
    chain = Kept(net, (3, 5, 7))
    await _all(await _watched(net, chain, database))
    chain.lost = Unavailable("chain_unreachable", "It does not answer.")
    away = await _watched(net, chain, database)
    await _all(away)
    assert (away.size, away.covering(0)) == (0, None)
    chain.lost, chain.sizes = VerificationFailed("anchor_missing", "It lost its tail."), (4,)
    fewer = await _watched(net, chain, database)
    await _all(fewer)
    found = fewer.covering(0)
    assert found is not None
    assert (fewer.size, found.confirmed.size) == (4, 4)
    database.close()


@pytest.mark.parametrize("spoiled", ["a row", "the log"])
async def test_a_kept_anchor_is_compared_before_it_is_used(spoiled: str) -> None:
    """A row that is not whole is passed over; one whose root is not recomputed here has all of them read
    again.
    """
    net, database = LittleNetwork(), Database("sqlite://")
    net.add(net.receipt_entry(net.nodes[0]))
    chain = Kept(net, (3, 5, 7))
    await _all(await _watched(net, chain, database))
    row = {"anchor": b"?"}
    if spoiled == "the log":
        row = {"anchor": check.kept_anchor(anchored(5, bytes(32))[1])}
    database.write(lambda c: c.execute(ANCHORS.update().where(ANCHORS.c.size == 5).values(row)))
    again = await _watched(net, chain, database)
    await _all(again)
    found = again.covering(4)
    if spoiled == "a row":
        assert found is not None
        assert (found.confirmed.size, again.size) == (7, 7)
    else:
        assert (found, again.size) == (None, 0)
        await _all(again)
        found = again.covering(4)
        assert found is not None
        assert (found.confirmed.root, again.size) == (net.tree.root(5), 7)
    database.close()
