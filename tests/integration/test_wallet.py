"""A payer's account on a real chain: development money, deposit without gas, leases, withdrawal, history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput
from hallmark.core.vault import Row
from hallmark.services.sdk.chain_account import Chain, ChainAccount
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.vaults import SUBMITTER, VaultOnChain, fresh_vault, named_key

pytestmark = pytest.mark.integration
ENCLAVE, PAYEE = named_key("enclave"), named_key("payee").address


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[VaultOnChain]:
    """A vault of its own for each test."""
    async with fresh_vault(url) as chain:
        yield chain


def place(chain: VaultOnChain) -> Chain:
    """What a home says of this chain."""
    return Chain(
        chain.rpc.url, CHAIN_ID, hex0x(chain.parameters.asset), hex0x(chain.address), development=True
    )


@pytest.fixture
async def account(chain: VaultOnChain, tmp_path: Path) -> AsyncIterator[ChainAccount]:
    """A new wallet whose gas somebody else pays."""
    account = ChainAccount(place(chain), Wallet.new(tmp_path), SUBMITTER)
    yield account
    await account.aclose()


async def test_a_deposit_needs_no_gas_of_the_payer(chain: VaultOnChain, account: ChainAccount) -> None:
    """Development money goes into the vault by a signature; the wallet never has anything to pay gas with."""
    await account.fund("7.25")
    await account.deposit("5.00")
    assert await chain.rpc.balance(account.wallet.key.address) == 0
    found = await account.balance()
    assert found.asset.development
    assert found.words() == {
        "wallet": "2.25 DEV",
        "deposited": "5.00 DEV",
        "free": "5.00 DEV",
        "leased": "0.00 DEV",
        "withdrawing": "0.00 DEV",
        "spent": "0.00 DEV",
    }
    with pytest.raises(Conflict) as caught:
        await account.deposit("2.26")
    assert caught.value.reason == "insufficient_funds"
    with pytest.raises(InvalidInput, match="below the asset's smallest unit"):
        await account.deposit("0.0000001")


async def test_leases_and_charges_show(chain: VaultOnChain, account: ChainAccount) -> None:
    """What an enclave holds is leased, what it settled is spent; the history says both."""
    payer = account.wallet.key
    await account.fund("10")
    await account.deposit("10")
    number = await chain.vault.account_of(payer.address)
    await chain.register(ENCLAVE, PAYEE)
    await chain.send(chain.ceiling(payer, PAYEE, 4_000_000))
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 290, [Row(number, 3_000_000)]))
    await chain.send(chain.settle(ENCLAVE, [Row(number, 1_200_000)]))
    found = await account.balance()
    assert (found.free, found.leased, found.spent) == (7_000_000, 1_800_000, 1_200_000)
    assert (found.deposited, found.hidden) == (8_800_000, 0)
    kinds = [(one.kind, one.amount, one.party) for one in await account.history()]
    assert kinds == [
        ("charged up to", 1_200_000, hex0x(PAYEE)),
        ("leased up to", 3_000_000, hex0x(ENCLAVE.address)),
        ("ceiling", 4_000_000, hex0x(PAYEE)),
        ("deposited", 10_000_000, hex0x(payer.address)),
    ]


async def test_a_withdrawal_gives_back_all_that_was_not_charged(
    chain: VaultOnChain, account: ChainAccount
) -> None:
    """Asked, waited for, paid: leases that ended come back first, and nobody else is needed."""
    payer = account.wallet.key
    await account.fund("10")
    await account.deposit("10")
    number = await chain.vault.account_of(payer.address)
    await chain.register(ENCLAVE, PAYEE)
    await chain.send(chain.ceiling(payer, PAYEE, 4_000_000))
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 290, [Row(number, 3_000_000)]))
    await chain.send(chain.settle(ENCLAVE, [Row(number, 1_200_000)]))
    with pytest.raises(Conflict, match="Nothing was asked back"):
        await account.finish()
    asked = await account.withdraw(None)
    assert asked.ready_at == await chain.now() + 900
    assert (await account.balance()).withdrawing == 8_800_000
    with pytest.raises(Conflict) as caught:
        await account.finish()
    assert caught.value.reason == "not_ready"
    await chain.pass_time(901)
    assert await account.finish() == 8_800_000
    found = await account.balance()
    assert (found.wallet, found.deposited, found.withdrawing) == (8_800_000, 0, 0)


async def test_part_of_it_and_a_change_of_mind(chain: VaultOnChain, account: ChainAccount) -> None:
    """An amount is asked back, and nothing any more."""
    await account.fund("3")
    await account.deposit("3")
    await account.withdraw("1.5")
    assert (await account.balance()).withdrawing == 1_500_000
    await account.withdraw("0")
    assert (await account.balance()).withdrawing == 0
    await account.withdraw("1.5")
    await chain.pass_time(901)
    assert await account.finish() == 1_500_000


async def test_what_cannot_be_done_says_why(chain: VaultOnChain, tmp_path: Path) -> None:
    """No gas, no account, another chain, another token, no development chain: each has its reason."""
    poor = ChainAccount(place(chain), Wallet.new(tmp_path))
    reasons = []

    async def refused(work: object) -> None:
        with pytest.raises(HallmarkError) as caught:
            await work  # type: ignore[misc]
        reasons.append(caught.value.reason)

    await chain.pour(poor.wallet.key.address, 5_000_000)
    await refused(poor.deposit("1"))
    await refused(poor.withdraw(None))
    assert poor.wallet.address
    for other in (
        replace(place(chain), chain_id=1),
        replace(place(chain), token=hex0x(SUBMITTER.address)),
        replace(place(chain), vault=hex0x(SUBMITTER.address)),
    ):
        account = ChainAccount(other, poor.wallet)
        await refused(account.balance())
        await account.aclose()
    real = ChainAccount(replace(place(chain), development=False), poor.wallet)
    await refused(real.fund("1"))
    await real.aclose()
    await poor.aclose()
    assert reasons == [
        "transaction_failed",
        "no_account",
        "other_chain",
        "other_token",
        "not_a_vault",
        "not_development",
    ]


async def test_a_wallet_pays_its_own_gas(chain: VaultOnChain, tmp_path: Path) -> None:
    """Where no faucet is, the wallet's own ether does."""
    account = ChainAccount(place(chain), Wallet.new(tmp_path))
    await fund(chain.rpc, account.wallet.key)
    await account.fund("2")
    await account.deposit("2")
    assert (await account.balance()).free == 2_000_000
    await account.aclose()
