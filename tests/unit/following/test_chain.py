"""When the chain is asked: while it lacks some of what was followed, and else not."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.services.chain import check
from hallmark.services.following import chain as module
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
        return None, check.ConfirmedAnchor(1, bytes(20), size, root, 7, 4_000, 3, check._SEAL)


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
