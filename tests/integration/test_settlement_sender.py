"""One gas key's transactions on a real chain that goes back, forgets, gets dear, and answers badly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.heads import REMEMBERED
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.sender import Sender, Underway
from hallmark.services.chain.token import faucet_call
from hallmark.services.chain.transactions import FEE_CAP, Call, Fees, send_raw, sign_transaction
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.vaults import VaultOnChain, fresh_vault, named_key

pytestmark = pytest.mark.integration

GAS = named_key("gas")
HOLDER = named_key("holder").address
TOO_MUCH = 10**18
RESEND_S = 30.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


class Bench:
    """A sender in front of a chain that makes blocks when it is told to, and a clock of its own."""

    def __init__(self, chain: VaultOnChain, rpc: RPC) -> None:
        self.chain, self.rpc = chain, rpc
        self.token = chain.parameters.asset
        self.now = 0.0
        self.sender = self.another()

    def another(self, key: Key = GAS) -> Sender:
        """A sender that knows nothing of the one before."""
        return Sender(self.rpc, key, CHAIN_ID, confirmations=3, resend_s=RESEND_S)

    def pour(self, amount: int = 1) -> Underway:
        """Submit a call that shows each time that it is executed."""
        return self.sender.submit(self.token, faucet_call(HOLDER, amount))

    async def step(self, *, blocks: int = 0, seconds: float = 1.0) -> None:
        """One look of the sender's, and then blocks."""
        self.now += seconds
        await self.sender.step(self.now)
        for _ in range(blocks):
            await self.chain.rpc.call("evm_mine")

    async def settle(self, *submitted: Underway, steps: int = 30) -> None:
        """Go on until all are confirmed."""
        for _ in range(steps):
            await self.step(blocks=1)
            if all(one.confirmed.done() for one in submitted):
                return
        pytest.fail("it did not happen")

    async def poured(self) -> int:
        """What was executed."""
        return await self.chain.token.balance(HOLDER)


class Counting(RPC):
    """Counts what it is asked."""

    calls = 0

    async def call(self, method: str, *params: object) -> Any:
        """One call more."""
        self.calls += 1
        return await super().call(method, *params)


@pytest.fixture
async def bench(url: str) -> AsyncIterator[Bench]:
    """A funded sender; blocks come when a test makes them."""
    async with fresh_vault(url) as chain:
        await fund(chain.rpc, GAS)
        await chain.rpc.call("evm_setAutomine", False)
        try:
            yield Bench(chain, chain.rpc)
        finally:
            await chain.rpc.call("anvil_dropAllTransactions")
            await chain.rpc.call("evm_setAutomine", True)
            # Going back to a snapshot does not take fees back.
            await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
            await chain.rpc.call("evm_mine")


async def test_in_order_and_each_once(bench: Bench) -> None:
    """Many at once go out under one nonce after the other and are confirmed as deep as was asked."""
    submitted = [bench.pour() for _ in range(20)]
    await bench.step()
    assert bench.sender.waiting == 20
    await bench.settle(*submitted)
    mined = [await one.confirmed for one in submitted]
    assert [one.nonce for one in submitted] == list(range(20))
    assert all(found.ok for found in mined)
    assert await bench.rpc.head() - max(found.block for found in mined) >= 2
    assert (await bench.poured(), bench.sender.waiting) == (20, 0)


async def test_what_would_revert_is_not_sent(bench: Bench) -> None:
    """The first form that would go through is sent; without one the revert is told and no nonce is used."""
    bad, good = faucet_call(HOLDER, TOO_MUCH), faucet_call(HOLDER, 5)
    refused = bench.sender.submit(bench.token, bad)
    second = bench.sender.submit(bench.token, bad, good)
    await bench.settle(refused, second)
    with pytest.raises(Reverted):
        await refused.confirmed
    assert (await second.confirmed).ok
    assert (second.nonce, await bench.poured()) == (0, 5)


async def test_a_cancelled_one_is_not_sent(bench: Bench) -> None:
    """What did not go out yet can be taken back; what did cannot."""
    first, second, third = bench.pour(1), bench.pour(10), bench.pour(100)
    assert second.cancel()
    await bench.settle(first, third)
    assert not first.cancel()
    assert await bench.poured() == 101


async def test_dropped_ones_go_out_again(bench: Bench) -> None:
    """A transaction that the chain forgot is handed over again, the same bytes."""
    submitted = [bench.pour() for _ in range(3)]
    await bench.step()
    hashes = [list(one.hashes) for one in submitted]
    for one in submitted:
        await bench.rpc.call("anvil_dropTransaction", hex0x(one.hashes[-1]))
    await bench.settle(*submitted)
    assert [one.hashes for one in submitted] == hashes
    assert await bench.poured() == 3


async def test_a_fee_spike_is_waited_out(bench: Bench) -> None:
    """A base fee far above what was offered: more is offered, once in a while, and the tip stays small."""
    submitted = [bench.pour() for _ in range(2)]
    await bench.step()
    offered = submitted[0].fees
    await bench.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(50 * offered.limit))
    await bench.step(blocks=1)
    await bench.step(seconds=RESEND_S + 1)
    for _ in range(5):
        await bench.step(seconds=1.0)
    assert [len(one.hashes) for one in submitted] == [2, 2]
    assert submitted[0].fees.limit > 50 * offered.limit
    assert submitted[0].fees.tip < 2 * offered.tip
    await bench.settle(*submitted)
    assert await bench.poured() == 2


async def test_a_spike_above_the_cap_is_not_followed(bench: Bench) -> None:
    """Past the most that is ever paid a transaction waits, as it is, until fees fall."""
    submitted = bench.pour()
    await bench.step()
    await bench.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**15))
    await bench.step(blocks=1)
    for _ in range(8):
        await bench.step(seconds=RESEND_S + 1)
    assert len(submitted.hashes) == 2
    assert submitted.fees.limit == FEE_CAP
    await bench.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    await bench.settle(submitted)
    assert await bench.poured() == 1


async def test_a_replaced_one_is_told_not_repeated(bench: Bench) -> None:
    """Another transaction took the nonce: whoever submitted hears it once that is deep, later ones go on."""
    first, second = bench.pour(1), bench.pour(10)
    await bench.step()
    other = sign_transaction(
        Call(bench.token, faucet_call(HOLDER, 100), 200_000),
        GAS,
        chain_id=CHAIN_ID,
        nonce=first.nonce,
        fees=Fees(10**12, 10**11),
    )
    assert await send_raw(bench.rpc, other.raw)
    await bench.settle(first, second)
    with pytest.raises(Conflict, match="nonce"):
        await first.confirmed
    assert (await second.confirmed).ok
    assert await bench.poured() == 110


@pytest.mark.parametrize("depth", [1, 2, 6])
async def test_a_reorganisation_loses_nothing(bench: Bench, depth: int) -> None:
    """Blocks that the chain takes back, deeper than the confirmations too: the same bytes go in again."""
    before = await bench.rpc.call("evm_snapshot")
    submitted = [bench.pour() for _ in range(3)]
    for _ in range(depth):
        await bench.step(blocks=1)
    if depth > 3:
        assert all(one.confirmed.done() for one in submitted)
    hashes = [list(one.hashes) for one in submitted]
    await bench.rpc.call("evm_revert", before)
    await bench.rpc.call("anvil_dropAllTransactions")
    last = bench.pour(10)
    await bench.settle(last, *submitted)
    assert [one.hashes for one in submitted] == hashes
    assert await bench.poured() == 13


async def test_what_is_done_costs_one_look_for_a_block(bench: Bench) -> None:
    """While it is young a new block is two questions and an old one is one; afterwards there are none."""
    bench.rpc = counted = Counting(bench.rpc.url)
    bench.sender = bench.another()
    submitted = bench.pour()
    await bench.settle(submitted)
    await bench.step()
    for blocks, calls in ((0, 1), (1, 1), (0, 2), (0, 1)):
        before = counted.calls
        await bench.step(blocks=blocks)
        assert counted.calls - before == calls
    for _ in range(REMEMBERED + 1):
        await bench.chain.rpc.call("evm_mine")
    await bench.step()
    before = counted.calls
    await bench.step()
    await counted.aclose()
    assert (counted.calls, await bench.poured()) == (before, 1)


async def test_what_is_done_and_lost_goes_in_again_by_itself(bench: Bench) -> None:
    """Nothing has to be submitted for that, and who asks is told that it is on its way."""
    before = await bench.rpc.call("evm_snapshot")
    submitted = bench.pour()
    await bench.settle(submitted)
    hashes = list(submitted.hashes)
    assert not await bench.sender.sends_again(hashes)
    await bench.rpc.call("evm_revert", before)
    await bench.rpc.call("anvil_dropAllTransactions")
    assert await bench.sender.sends_again(hashes)
    assert not await bench.sender.sends_again([bytes(32)])
    await bench.step(blocks=1)
    assert (submitted.hashes, await bench.poured()) == (hashes, 1)
    assert not await bench.sender.sends_again(hashes)


async def test_blocks_that_change_places_change_nothing(bench: Bench) -> None:
    """A real reorganisation (anvil_reorg): transactions move to other blocks or go back to the pool."""
    submitted = [bench.pour() for _ in range(3)]
    await bench.step(blocks=2)
    await bench.rpc.call("anvil_reorg", 2, [])
    await bench.settle(*submitted)
    assert await bench.poured() == 3


async def test_a_chain_that_lost_everything_is_written_to_anew(bench: Bench) -> None:
    """When not even the nonces before ours are there, what is under way takes their places."""
    before = await bench.rpc.call("evm_snapshot")
    other = sign_transaction(
        Call(bench.token, faucet_call(HOLDER, 100), 200_000),
        GAS,
        chain_id=CHAIN_ID,
        nonce=0,
        fees=Fees(10**12, 10**10),
    )
    assert await send_raw(bench.rpc, other.raw)
    await bench.rpc.call("evm_mine")
    submitted = [bench.pour() for _ in range(2)]
    await bench.step()
    assert [one.nonce for one in submitted] == [1, 2]
    await bench.rpc.call("evm_revert", before)
    await bench.rpc.call("anvil_dropAllTransactions")
    await bench.settle(*submitted)
    assert [one.nonce for one in submitted] == [0, 1]
    assert await bench.poured() == 2


async def test_without_gas_it_waits(bench: Bench) -> None:
    """A key without funds is said, and nothing is offered more for; with funds it goes on."""
    poor = named_key("poor")
    bench.sender = bench.another(poor)
    await bench.rpc.call("anvil_setBalance", hex0x(poor.address), "0x1")
    submitted = bench.pour()
    await bench.step(blocks=1)
    await bench.step(blocks=1)
    assert bench.sender.problem == "gas_unfunded"
    await fund(bench.rpc, poor)
    await bench.settle(submitted)
    assert (bench.sender.problem, len(submitted.hashes)) == ("", 1)
    assert await bench.poured() == 1


async def test_what_a_predecessor_left_waiting_is_in_nobodys_way(bench: Bench) -> None:
    """A process that died left a transaction in the pool: its successor offers more for the nonce, or takes
    the next one.
    """
    left = bench.pour(1)
    await bench.step()
    bench.sender = bench.another()
    submitted = bench.pour(10)
    await bench.settle(submitted)
    assert (await submitted.confirmed).ok
    assert await bench.poured() in (10, 11)
    assert left.nonce == 0


@contextlib.asynccontextmanager
async def behind_a_proxy(bench: Bench) -> AsyncIterator[RPCProxy]:
    """The sender runs by itself behind a bad endpoint, while blocks come."""
    proxy = RPCProxy(bench.chain.rpc.url)
    async with proxy.serving() as url:
        bench.rpc = RPC(url)
        sender = bench.sender = Sender(
            bench.rpc, GAS, CHAIN_ID, confirmations=3, resend_s=RESEND_S, poll_s=0.02
        )

        async def mine() -> None:
            while True:
                await bench.chain.rpc.call("evm_mine")
                await asyncio.sleep(0.05)

        running = [asyncio.create_task(work) for work in (sender.run(), mine())]
        try:
            async with asyncio.timeout(180):
                yield proxy
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await bench.rpc.aclose()


async def test_an_endpoint_that_is_down_or_answers_null(bench: Bench) -> None:
    """Nothing is lost while it is away, or has no answer to anything or to some questions."""
    async with behind_a_proxy(bench) as proxy:
        proxy.down = True
        submitted = [bench.pour() for _ in range(4)]
        await proxy.asked("eth_blockNumber", 3)
        assert bench.sender.problem == "chain_unreachable"
        proxy.down, proxy.nulls = False, frozenset("*")
        await proxy.asked("eth_blockNumber", 6)
        proxy.nulls = frozenset(("eth_getTransactionByHash",))
        for one in submitted:
            assert (await one.confirmed).ok
    assert await bench.poured() == 4


async def test_an_endpoint_that_hides_receipts(bench: Bench) -> None:
    """Who submitted is told that the transaction was overtaken, not left waiting; nothing is sent twice."""
    async with behind_a_proxy(bench) as proxy:
        proxy.nulls = frozenset(("eth_getTransactionReceipt",))
        with pytest.raises(Conflict, match="nonce"):
            await bench.pour().confirmed
    assert await bench.poured() == 1


async def test_an_endpoint_that_is_late_and_behind(bench: Bench) -> None:
    """Answers in another order, and from nodes that are blocks behind: each transaction happens once."""
    async with behind_a_proxy(bench) as proxy:
        proxy.behind, proxy.late_s = 2, 0.02
        submitted = [bench.pour() for _ in range(12)]
        for one in submitted:
            assert (await one.confirmed).ok
    assert await bench.poured() == 12
