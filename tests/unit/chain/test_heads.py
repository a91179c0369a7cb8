"""Looking at a chain's end: what it still holds, for how many questions, and none while nothing is young."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.errors import Unavailable
from hallmark.services.chain.heads import LOWER, REMEMBERED, Head, Heads, HeadWatch
from hallmark.services.chain.rpc import RPC


class Blocks(RPC):
    """A chain that a test writes: one name for each block."""

    def __init__(self) -> None:
        super().__init__("http://chain.invalid")
        self.names = ["0"]
        self.asked = 0

    def grow(self, name: str, blocks: int = 1) -> None:
        """More blocks, of another branch for another name."""
        self.names += [f"{name}{len(self.names) + number}" for number in range(blocks)]

    async def call(self, method: str, *params: object) -> object:
        """One block."""
        assert method == "eth_getBlockByNumber"
        self.asked += 1
        number = len(self.names) - 1 if params[0] == "latest" else int(str(params[0]), 16)
        if not 0 <= number < len(self.names):
            return None
        parent = self.names[number - 1] if number else ""
        return {"number": hex(number), "hash": self.names[number], "parentHash": parent}


async def test_a_chain_that_grows_keeps_what_it_held() -> None:
    """One question for a block that follows, two where some were missed, and nothing is doubted."""
    chain = Blocks()
    heads = Heads(chain)
    assert await heads.look() == Head(0, new=True, kept=True)
    assert await heads.look() == Head(0, new=False, kept=True)
    chain.grow("a")
    assert await heads.look() == Head(1, new=True, kept=True)
    assert chain.asked == 3
    chain.grow("a", 5)
    assert await heads.look() == Head(6, new=True, kept=True)
    assert chain.asked == 5


@pytest.mark.parametrize("longer", [0, 1, 4])
async def test_a_chain_that_went_back_is_seen(longer: int) -> None:
    """As soon as the other branch is as long as the first was."""
    chain = Blocks()
    heads = Heads(chain)
    chain.grow("a", 9)
    await heads.look()
    del chain.names[5:]
    chain.grow("b", 5 + longer)
    assert await heads.look() == Head(9 + longer, new=True, kept=False)
    assert (await heads.look()).kept


async def test_one_late_answer_is_no_chain_that_went_back() -> None:
    """A lower end must be seen some times in a row."""
    chain = Blocks()
    heads = Heads(chain)
    chain.grow("a", 9)
    await heads.look()
    last = chain.names.pop()
    assert await heads.look() == Head(9, new=False, kept=True)
    chain.names.append(last)
    assert await heads.look() == Head(9, new=False, kept=True)
    chain.names.pop()
    looks = [await heads.look() for _ in range(LOWER)]
    assert [look.kept for look in looks] == [True] * (LOWER - 1) + [False]


async def test_who_remembers_is_told_until_it_is_old() -> None:
    """Of each new head, and again where it could not see to it; afterwards nothing is asked."""
    chain, told = Blocks(), list[Head]()
    watch = HeadWatch(chain, poll_s=0.0)
    fails, old = [True], asyncio.Event()

    async def listener(head: Head) -> bool:
        told.append(head)
        if not head.kept and fails:
            fails.pop()
            raise Unavailable("chain_unreachable", "It is away.")
        if head.number >= REMEMBERED:
            old.set()
        return False

    watch.listeners.append(listener)
    await watch.look()
    chain.names[0] = "other"
    with pytest.raises(Unavailable):
        await watch.look()
    assert await watch.look()
    assert [head.kept for head in told] == [True, False, False]
    assert not await watch.look()
    running = asyncio.create_task(watch.run())
    asked = chain.asked
    for _ in range(20):
        await asyncio.sleep(0)
    assert chain.asked == asked
    watch.young(1)
    chain.grow("a", REMEMBERED)
    await old.wait()
    chain.grow("a")
    for _ in range(20):
        await asyncio.sleep(0.001)
    asked = chain.asked
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert chain.asked == asked
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
