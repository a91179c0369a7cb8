"""Money for throw-away wallets, on a real chain: gas and tokens arrive, once each, and two at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from hallmark.core.errors import InvalidInput
from hallmark.services.chain.faucet import GAS_WEI, pour
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.token import FAUCET_LIMIT, approve_call, faucet_call
from hallmark.services.chain.transactions import perform
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.vaults import VaultOnChain, fresh_vault, named_key

pytestmark = pytest.mark.integration

FAUCET = named_key("faucet")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[VaultOnChain]:
    """A token, and a faucet's key that can pay for gas."""
    async with fresh_vault(url) as chain:
        await fund(chain.rpc, FAUCET)
        yield chain


async def test_a_new_wallet_gets_gas_and_money(chain: VaultOnChain) -> None:
    """It has both afterwards, and can send a transaction of its own; a second time it gets money alone."""
    wallet, token = named_key("wallet"), chain.parameters.asset
    await pour(chain.rpc, FAUCET, token, wallet.address, 5_000_000)
    assert await chain.rpc.balance(wallet.address) == GAS_WEI
    assert await chain.token.balance(wallet.address) == 5_000_000
    await perform(chain.rpc, wallet, token, approve_call(chain.address, 1))
    left = await chain.rpc.balance(wallet.address)
    await pour(chain.rpc, FAUCET, token, wallet.address, 1)
    assert await chain.rpc.balance(wallet.address) == left
    assert await chain.token.balance(wallet.address) == 5_000_001


async def test_two_wallets_at_the_same_time(chain: VaultOnChain) -> None:
    """Transactions of one key that meet on a nonce are signed anew: both wallets have all of it."""
    wallets = [named_key(f"wallet {n}") for n in range(3)]
    token = chain.parameters.asset
    await asyncio.gather(*(pour(chain.rpc, FAUCET, token, wallet.address, 7) for wallet in wallets))
    assert [await chain.token.balance(wallet.address) for wallet in wallets] == [7, 7, 7]


async def test_more_than_the_faucet_gives_is_refused(chain: VaultOnChain) -> None:
    """Before anything is sent; and a call that would revert never leaves."""
    wallet, token = named_key("greedy"), chain.parameters.asset
    with pytest.raises(InvalidInput) as caught:
        await pour(chain.rpc, FAUCET, token, wallet.address, FAUCET_LIMIT + 1)
    assert caught.value.reason == "faucet_limit"
    assert await chain.rpc.balance(wallet.address) == 0
    with pytest.raises(Reverted):
        await perform(chain.rpc, FAUCET, token, faucet_call(wallet.address, FAUCET_LIMIT + 1))


async def test_no_other_chain_gives_money_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain with another id is refused by its id alone."""
    rpc = RPC("http://127.0.0.1:9")

    async def another() -> int:
        return 8_453

    monkeypatch.setattr(rpc, "chain_id", another)
    with pytest.raises(InvalidInput) as caught:
        await pour(rpc, FAUCET, bytes(20), bytes(20), 1)
    assert caught.value.reason == "not_development_money"
