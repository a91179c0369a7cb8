"""x402 on a chain that goes back deeper than is waited for, gets dear, drops and replaces transactions: what
is due reaches the payee once, and nobody is told of money that is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from hallmark.core.document import hex0x
from hallmark.core.x402_payment import Authorization, name_of
from hallmark.services.chain.heads import REMEMBERED
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import faucet_call
from hallmark.services.chain.transactions import Call, Fees, send_raw, sign_transaction
from hallmark.services.enclave import control
from hallmark.services.node.x402_store import State
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.x402 import PAYEE, Chain, voucher, x402_chain
from hallmark.testing.x402_host import GAS, Host, with_deposit

pytestmark = pytest.mark.integration

CONFIRMATIONS = 2


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


class Scene:
    """A chain, hosts one after another with one store, and what the payee has had since the beginning."""

    def __init__(self, chain: Chain, rpc: RPC, path: Path, began: int) -> None:
        self.chain, self.rpc, self._path, self._began = chain, rpc, path, began
        self.host = self.another()

    def another(self) -> Host:
        """A host that knows what is on disk."""
        self.host = Host(self.chain, self.rpc, self._path, confirmations=CONFIRMATIONS, resend_s=0.2)
        return self.host

    async def got(self) -> int:
        """What the payee was paid."""
        return await self.chain.token.balance(PAYEE.address) - self._began

    async def until(self, happened: Callable[[], Awaitable[bool]]) -> None:
        """Blocks come until this is so."""
        async with asyncio.timeout(180):
            while not await happened():
                await self.mine(1)
                await asyncio.sleep(0.02)

    async def mine(self, blocks: int) -> None:
        """Blocks with whatever waits."""
        for _ in range(blocks):
            await self.chain.rpc.call("evm_mine")

    async def go_back(self, to: object) -> None:
        """The chain never had the blocks after `to`, and nobody has their transactions."""
        await self.chain.rpc.call("evm_revert", to)
        await self.chain.rpc.call("anvil_dropAllTransactions")

    async def settle(self, *payments: Authorization) -> None:
        """Each for 700, as deep as it is waited for."""
        for payment in payments:
            await self.host.wanted(payment)
            await self.host.due(payment, 700)
        await self.until(self.is_over)

    async def is_over(self) -> bool:
        """Whether nothing is due."""
        return not self.host.desk.payments.waiting

    async def has(self, transaction: bytes) -> bool:
        """Whether a block has it."""
        return bool(await self.chain.rpc.call("eth_getTransactionReceipt", hex0x(transaction)))


@pytest.fixture
def proxy(url: str) -> RPCProxy:
    """What stands between host and chain."""
    return RPCProxy(url)


@pytest.fixture
async def scene(url: str, proxy: RPCProxy, tmp_path: Path) -> AsyncIterator[Scene]:
    """A host that takes every kind of payment, on a fresh token."""
    async with x402_chain(url) as chain, proxy.serving() as served:
        await fund(chain.rpc, GAS)
        await chain.approve()
        rpc = RPC(served)
        made = Scene(chain, rpc, tmp_path / "host.db", await chain.token.balance(PAYEE.address))
        try:
            async with asyncio.timeout(180):
                await made.host.changed.wait()
            yield made
        finally:
            await chain.rpc.call("evm_setAutomine", True)
            await made.host.kill()
            await rpc.aclose()


@pytest.mark.parametrize("restarted", [False, True])
async def test_deeper_than_was_waited_for(scene: Scene, *, restarted: bool) -> None:
    """What was settled and is gone goes in again, of each kind, whether the host ran on or began anew; who
    asks is told of a transaction that is there.
    """
    chain = scene.chain
    payments = (chain.transfer(700), chain.permit(700), chain.permit(900, GAS.address))
    for payment in payments:
        await scene.host.wanted(payment)
    before = await chain.rpc.call("evm_snapshot")
    await scene.settle(*payments)
    await scene.mine(4)
    assert await scene.got() == 2_100
    if restarted:
        await scene.host.kill()
    await scene.go_back(before)
    assert await scene.got() == 0
    if restarted:
        scene.another()

    async def all_paid() -> bool:
        return await scene.got() == 2_100 and await scene.is_over()

    await scene.until(all_paid)
    for payment in payments:
        assert await scene.has((await scene.host.due(payment, 700)).transaction)
    await scene.mine(3)
    assert await scene.got() == 2_100


async def test_a_restart_tells_of_no_money_that_is_gone(scene: Scene) -> None:
    """Before any block comes: what is on disk as settled is due again, and no hash is told."""
    payment = scene.chain.transfer(700)
    await scene.host.wanted(payment)
    before = await scene.chain.rpc.call("evm_snapshot")
    await scene.settle(payment)
    await scene.mine(4)
    await scene.host.kill()
    await scene.go_back(before)
    await scene.chain.rpc.call("evm_setAutomine", False)
    host = scene.another()
    name = name_of(payment, b"")
    host.desk.take(control.PaymentDue(name, 700))
    async with asyncio.timeout(180):
        while not host.sender.waiting:  # noqa: ASYNC110 - a counter
            await asyncio.sleep(0.02)
    row = await host.store.find(name)
    assert row is not None
    assert row.state is State.DUE
    assert host.said.empty()
    await scene.until(scene.is_over)
    assert await scene.has((await host.heard(control.PaymentSettled)).transaction)
    assert await scene.got() == 700


async def test_old_ones_are_past_doubt(scene: Scene, proxy: RPCProxy) -> None:
    """After so many blocks nothing is remembered, and no block is asked for any more."""
    payment = scene.chain.transfer(700)
    await scene.settle(payment)
    assert await scene.host.store.young()
    await scene.mine(REMEMBERED)

    async def forgotten() -> bool:
        return not await scene.host.store.young()

    await scene.until(forgotten)
    await scene.mine(1)
    asked = dict(proxy.calls)
    for _ in range(10):
        await scene.mine(1)
        await asyncio.sleep(0.05)
    heads = ("eth_getBlockByNumber", "eth_blockNumber", "eth_getTransactionReceipt")
    assert {name: proxy.calls.get(name) for name in heads} == {name: asked.get(name) for name in heads}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("deposit", [False, True])
async def test_channels_follow_the_chain_downwards(scene: Scene, *, restarted: bool, deposit: bool) -> None:
    """Claims, sweep, and even the deposit are gone: each goes in again, and the payee has its money."""
    chain, config = scene.chain, scene.chain.channel()
    snapshot = await chain.rpc.call("evm_snapshot")
    assert (await scene.host.deposit(with_deposit(chain, config, 1_000))).balance == 1_000
    await scene.mine(1)
    if not deposit:
        snapshot = await chain.rpc.call("evm_snapshot")
    scene.host.claims = [voucher(config, 400, 350)]
    claimed = asyncio.create_task(scene.host.desk.channels.round())
    await scene.until(is_done(claimed))
    assert claimed.result()
    await scene.mine(4)
    assert await scene.got() == 350
    if restarted:
        await scene.host.kill()
    await scene.go_back(snapshot)
    assert await scene.got() == 0
    if restarted:
        # An enclave believes of the chain what it believed before, until its host says otherwise.
        claims, believed = scene.host.claims, scene.host.believed
        scene.another()
        scene.host.claims, scene.host.believed = claims, believed

    async def paid() -> bool:
        return await scene.got() == 350

    await scene.until(paid)
    assert (await scene.host.look(config)).claimed == 350


async def test_a_spike_a_drop_and_a_replacement(scene: Scene) -> None:
    """Of each kind: waited out, handed over again, sent under another nonce. Each is paid once."""
    chain = scene.chain
    await chain.rpc.call("evm_setAutomine", False)
    payments = (chain.transfer(700), chain.permit(700), chain.permit(900, GAS.address))
    for payment in payments:
        await scene.host.wanted(payment)
        scene.host.desk.take(control.PaymentDue(name_of(payment, b""), 700))
    async with asyncio.timeout(180):
        while len(await pooled(scene)) < 3:  # noqa: ASYNC110 - what the chain says
            await asyncio.sleep(0.02)
    first, *_, last = sorted(await pooled(scene))
    offered = int((await pooled(scene))[first]["maxFeePerGas"], 16)
    await chain.rpc.call("anvil_dropTransaction", (await pooled(scene))[last]["hash"])
    other = sign_transaction(
        Call(chain.token.address, faucet_call(GAS.address, 1), 200_000),
        GAS,
        chain_id=CHAIN_ID,
        nonce=first,
        fees=Fees(50 * offered, 10 * offered),
    )
    assert await send_raw(chain.rpc, other.raw)
    await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(20 * offered))
    try:
        await scene.until(scene.is_over)
    finally:
        await chain.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    assert await scene.got() == 2_100
    assert (scene.host.desk.payments.settled, scene.host.desk.payments.refused) == (3, 0)


async def pooled(scene: Scene) -> dict[int, dict[str, str]]:
    """The gas key's waiting transactions, by nonce."""
    pool = await scene.chain.rpc.call("txpool_content")
    found = {who.lower(): waiting for who, waiting in pool["pending"].items()}
    return {int(nonce): one for nonce, one in found.get(hex0x(GAS.address), {}).items()}


def is_done(task: asyncio.Task[bool]) -> Callable[[], Awaitable[bool]]:
    """Whether a task has ended."""

    async def done() -> bool:
        return task.done()

    return done
