"""A chain that is away for an hour of its own time, on which a node has open leases, payments and channels:
what was charged meanwhile is settled once or said to be lost, and every account adds up with the chain.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hallmark.core import x402_digests as digests
from hallmark.core.prices import Use
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import approve_call
from hallmark.services.chain.toolchain import prepare_x402, repository_root
from hallmark.services.chain.vault import Delays, finalize_call, release_call, withdrawal_call
from hallmark.services.chain.vault_events import Settled, vault_events
from hallmark.services.chain.x402_contracts import install
from hallmark.services.chain.x402_settlement import channel_state, withdraw_calls
from hallmark.services.enclave import control
from hallmark.services.enclave.metering import Meter
from hallmark.services.node.rail_earnings import Sum
from hallmark.testing import x402_payers
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.outages import GAS, PAYEE, PRICE, SETTLEMENT, WITHDRAW_S, Clock, PaidNode, answer
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.vaults import SHORT, named_key, new_vault

pytestmark = pytest.mark.integration

HOUR, DEPOSIT = 3_600, 1_000
LONG = Delays(lease=21_600, settlement=21_600, withdrawal=46_800)
ANN, BOB, HAL, DORA, EVE, FAY, GUS = (
    named_key(f"payer {name} of an outage") for name in ("ann", "bob", "hal", "dora", "eve", "fay", "gus")
)
PART = Use(10, 5)
"""20 units of the 50 that a request can cost."""


@pytest.fixture
def url() -> Iterator[str]:
    """A chain for each test, because its time only goes on."""
    with running_anvil() as url:
        yield url


@pytest.fixture(params=[SHORT, LONG], ids=["development delays", "default delays"])
async def node(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[PaidNode]:
    """A node that takes every rail of a chain's, payers with deposits, and a block every 50 ms."""
    rpc = RPC(url)
    await install(rpc, prepare_x402(repository_root()))
    chain = await new_vault(rpc, delays=request.param)
    await fund(rpc, GAS)
    await chain.register(SETTLEMENT, PAYEE)
    for payer in (ANN, BOB, HAL):
        await chain.deposit(payer, DEPOSIT)
    for payer in (HAL, DORA, EVE, FAY, GUS):
        await fund(rpc, payer)
    for payer in (DORA, EVE, FAY, GUS):
        await chain.pour(payer.address, DEPOSIT)
    await chain.send(approve_call(digests.PERMIT2, 2**256 - 1), to=chain.parameters.asset, key=EVE)

    async def mine() -> None:
        while True:
            await rpc.call("evm_mine")
            await asyncio.sleep(0.05)

    proxy, clock = RPCProxy(url), Clock(monkeypatch, chain)
    async with proxy.serving() as endpoint:
        node = PaidNode(chain, proxy, endpoint, tmp_path, clock)
        node.offer(clock.now() + 1_000 * HOUR // 2)
        mining = asyncio.create_task(mine())
        await node.start()
        try:
            yield node
        finally:
            await node.close()
            node.stop()
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)
            await rpc.aclose()


async def rounds(node: PaidNode) -> bool:
    """One round of settlement and one of claims; whether both came to their end."""
    desk = node.host.desk
    assert desk is not None
    assert desk.x402 is not None
    async with asyncio.timeout(180):
        return all(await asyncio.gather(desk.settlement.round(), desk.x402.channels.round()))


async def voucher(node: PaidNode, charged: int, deposit: int = 0, payer: str = "fay") -> Meter:
    """A request that a channel pays for, after so much was charged."""
    key = FAY if payer == "fay" else GUS
    now, accepted = node.clock.now() // 1000, await node.offered("batch-settlement")
    return await node.open(x402_payers.voucher(key, accepted, charged, deposit=deposit, now=now))


async def exact(node: PaidNode) -> Meter:
    """A request that Dora pays for by EIP-3009, for five minutes."""
    now, accepted = node.clock.now() // 1000, await node.offered("exact")
    return await node.open(x402_payers.exact(DORA, accepted, now, secrets.token_bytes(32)))


async def upto(node: PaidNode) -> Meter:
    """A request that Eve pays for by Permit2, for five minutes."""
    now, accepted = node.clock.now() // 1000, await node.offered("upto")
    return await node.open(x402_payers.permit(EVE, accepted, now, secrets.randbits(200)))


def channel_of_gus(node: PaidNode) -> digests.Channel:
    """Whose payer takes everything back."""
    token = node.chain.parameters.asset
    return digests.Channel(GUS.address, bytes(20), PAYEE, SETTLEMENT.address, token, WITHDRAW_S, bytes(32))


async def spent(node: PaidNode) -> list[int]:
    """What the vault has charged Ann, Bob and Hal."""
    vault = node.chain.vault
    return [(await vault.lease(SETTLEMENT.address, one.address)).spent for one in (ANN, BOB, HAL)]


async def there(node: PaidNode) -> int:
    """What the payee has, or has earned and nobody collected; of the vault and of x402."""
    token = node.chain.token
    return await token.balance(PAYEE) + await node.chain.vault.earned(PAYEE)


async def test_an_hour_of_the_chains_time(node: PaidNode) -> None:
    """Leases, their windows, the offer, x402's payments and a withdrawal all run out in it."""
    chain, clock, proxy = node.chain, node.clock, node.proxy
    short = chain.parameters.delays == SHORT
    # Before: something is settled and claimed, something is charged and not, something runs.
    for payer in (ANN, BOB, HAL):
        await answer(await node.by_vault(payer))
    await answer(await voucher(node, 0, DEPOSIT))
    await answer(await voucher(node, 0, DEPOSIT, "gus"))
    assert await rounds(node)
    assert await spent(node) == [PRICE] * 3
    config = channel_of_gus(node)
    name = digests.channel_id(config, CHAIN_ID)
    assert (await channel_state(chain.rpc, name)).total_claimed == PRICE
    before = await there(node)
    assert before == 5 * PRICE
    running = [await node.by_vault(BOB), await exact(node), await upto(node)]
    await answer(await node.by_vault(HAL))
    await answer(await voucher(node, PRICE, payer="gus"))

    proxy.down = True
    # What runs ends, and a lease is drawn on, without a chain.
    for meter, use in zip(running, (PART, PART, PART), strict=True):
        await answer(meter, use)
    await answer(await node.by_vault(ANN))
    await answer(await voucher(node, PRICE))
    assert not await rounds(node)
    assert await node.refused(exact(node)) == "payment_unavailable"
    # Payers see the chain all the same, and take their money back.
    await chain.send(withdrawal_call(DEPOSIT), key=HAL)
    begin, finish = withdraw_calls(config, DEPOSIT - PRICE)
    await chain.send(begin.data, to=begin.contract, key=GUS)
    await clock.on(250)
    assert await node.refused(node.by_vault(ANN)) == ("lease_unavailable" if short else "")
    assert await node.refused(voucher(node, 2 * PRICE)) == "payment_unavailable"
    await clock.on(750)
    await chain.send(finish.data, to=finish.contract, key=GUS)
    if short:
        await chain.send(release_call(SETTLEMENT.address, HAL.address), key=HAL)
        await chain.send(finalize_call(HAL.address), key=HAL)
        assert await chain.token.balance(HAL.address) == DEPOSIT - PRICE
    else:
        assert await chain.refusal(finalize_call(HAL.address), key=HAL) == "NotReady"
    await clock.on(HOUR - 1_000)
    assert not await rounds(node)
    # The offer ran out: nothing is asked, and nothing is charged.
    assert (await answer(await node.open({}))).record == b""

    proxy.down = False
    node.offer(clock.now() + 1_000 * HOUR)
    node.host.look()
    await node.until(lambda: rounds(node), "rounds come to their end")
    desk = node.host.desk
    assert desk is not None
    assert desk.x402 is not None
    payments = desk.x402.payments

    async def over() -> bool:
        return not payments.waiting

    await node.until(over, "nothing of x402 is due")
    lost, part = (0 if short else PRICE), (0 if short else 20)
    assert await spent(node) == [PRICE + lost, PRICE + part, PRICE + lost]
    assert desk.settlement.too_late == (2 * PRICE + 20 if short else 0)
    assert (desk.settlement.problem, desk.settlement.failing_since) == ("", 0)
    # x402: five minutes are over, so nothing moved; a channel is claimed, but for what its payer took back.
    told = {one.reason for one in node.told if isinstance(one, control.PaymentSettled) and one.reason}
    assert told == {"payment_expired"}
    earned = await node.store.earned(chain.parameters.asset)
    assert (earned.rails["exact"].refused.payments, earned.rails["upto"].refused.payments) == (1, 1)
    assert earned.claimed == Sum(2, str(3 * PRICE))
    assert [await chain.token.balance(one.address) for one in (DORA, EVE)] == [DEPOSIT, DEPOSIT]
    assert await chain.token.balance(GUS.address) == DEPOSIT - PRICE
    assert desk.x402.channels.lost == 1
    assert await there(node) == before + PRICE + 2 * lost + part
    # Nothing is settled twice: the next round sends nothing.
    sent = proxy.calls["eth_sendRawTransaction"]
    assert await rounds(node)
    assert proxy.calls["eth_sendRawTransaction"] == sent
    # Who comes again gets a lease again; then what came too late is charged with it, once, under the ceiling.
    await answer(await node.by_vault(ANN))
    await node.until(lambda: rounds(node), "a round settles it")
    assert (await spent(node))[0] == 3 * PRICE
    assert desk.settlement.too_late == (PRICE + 20 if short else 0)
    await adds_up(node)


async def adds_up(node: PaidNode) -> None:
    """Every unit is in one place, and the settlements say together what the accounts were charged."""
    chain, there, charged = node.chain, 0, 0
    for payer in (ANN, BOB, HAL):
        account, lease = (
            await chain.vault.account(payer.address),
            await chain.vault.lease(SETTLEMENT.address, payer.address),
        )
        known = node.journal.accounts.account(node.journal.accounts.number_of(payer.address))
        assert lease.spent <= known.spent
        assert account.free + lease.allowance + await chain.token.balance(payer.address) == DEPOSIT
        there, charged = there + account.free + lease.allowance - lease.spent, charged + lease.spent
    earned = await chain.vault.earned(PAYEE)
    assert await chain.token.balance(chain.address) == there + earned
    found = await vault_events(chain.rpc, chain.address, 0, await chain.rpc.head())
    assert sum(one.event.total for one in found if isinstance(one.event, Settled)) == charged
