"""An issuer's payouts on a chain that goes back far behind them: each payee has its money, once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hallmark.services.facilitator.sender import Sender
from hallmark.services.facilitator.store import Store as Ledger
from hallmark.services.issuer.payouts import Payouts
from hallmark.services.issuer.service import facilitating
from hallmark.services.issuer.settings import Settings
from hallmark.services.issuer.store import Hold, Store
from hallmark.store.raw import RawDatabase
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.issuers import ISSUER, issuer_settings
from hallmark.testing.x402 import PAYEE, Chain, x402_chain

pytestmark = pytest.mark.integration

EARNED = 700


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[Chain]:
    """A token of which the issuer has some, and gas."""
    async with x402_chain(url) as made:
        await fund(made.rpc, ISSUER)
        await made.pour(ISSUER.address, 10_000)
        yield made


@contextlib.asynccontextmanager
async def paying(chain: Chain, settings: Settings) -> AsyncIterator[tuple[Payouts, Store]]:
    """What pays out, over this store, until it is killed."""
    database = RawDatabase(settings.database)
    store, ledger = Store(database), Ledger(database)
    await ledger.begin()
    sender = Sender(chain.rpc, ISSUER, ledger, facilitating(settings))
    payouts = Payouts(chain.rpc, ISSUER, settings, store=store, ledger=ledger, sender=sender)
    running = asyncio.create_task(sender.run())
    try:
        yield payouts, store
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        database.close()


async def rounds(chain: Chain, payouts: Payouts, store: Store, amount: int) -> None:
    """Blocks come, and payouts go out, until the payee has so much, and that is known."""
    async with asyncio.timeout(180):
        while True:
            await chain.rpc.call("evm_mine")
            waits = await payouts.round(10**15)
            paid = (await store.totals())["paid"]
            if not waits and paid == EARNED and await chain.token.balance(PAYEE.address) == amount:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_payout_that_the_chain_loses_goes_out_again(
    chain: Chain, tmp_path: Path, *, restarted: bool
) -> None:
    """Far deeper than it was waited for, whether the issuer ran on or began anew."""
    settings = issuer_settings(tmp_path, chain.rpc.url, "http://127.0.0.1:1", chain.domain, pay_from=1)
    before = await chain.token.balance(PAYEE.address)
    snapshot = await chain.rpc.call("evm_snapshot")

    async def go_back() -> None:
        for _ in range(20):
            await chain.rpc.call("evm_mine")
        await chain.rpc.call("evm_revert", snapshot)
        await chain.rpc.call("anvil_dropAllTransactions")
        assert await chain.token.balance(PAYEE.address) == before

    async with paying(chain, settings) as (payouts, store):
        held = Hold(b"\1" * 32, b"\3" * 32, 1, PAYEE.address, b"\2" * 20, 1_000, until=100)
        await store.hold(held, [b"a"], 0)
        await store.settle(held, EARNED, 10)
        await rounds(chain, payouts, store, before + EARNED)
        if not restarted:
            await go_back()
            await rounds(chain, payouts, store, before + EARNED)
            return
    await go_back()
    async with paying(chain, settings) as (payouts, store):
        await rounds(chain, payouts, store, before + EARNED)
