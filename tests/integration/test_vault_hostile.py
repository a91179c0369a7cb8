"""Vault.sol over tokens and wallets that nobody wants, on a real EVM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hallmark.core.document import hex0x
from hallmark.core.vault import Row, SpendingCeiling
from hallmark.services.chain.contract import abi_encode, read_contract, selector
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import approve_call
from hallmark.services.chain.vault import (
    EVERYTHING,
    Account,
    ceiling_call,
    collect_call,
    deposit_call,
    finalize_call,
    multicall,
    withdrawal_call,
)
from hallmark.testing.anvil import fund, running_anvil, toolchain
from hallmark.testing.vaults import (
    FOREVER,
    SHORT,
    VaultOnChain,
    deploy_hostile,
    fresh_vault,
    named_key,
    new_vault,
)

pytestmark = pytest.mark.integration

ALICE, ENCLAVE, PAYEE = named_key("alice"), named_key("enclave"), named_key("payee").address


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def rpc(url: str) -> AsyncIterator[RPC]:
    """A client of a chain on which Alice can pay."""
    async with fresh_vault(url) as chain:
        await fund(chain.rpc, ALICE)
        yield chain.rpc


async def over(rpc: RPC, name: str, amount: int) -> VaultOnChain:
    """A vault over a hostile token, of which Alice has `amount`, approved."""
    chain = await new_vault(rpc, asset=await deploy_hostile(rpc, name))
    await chain.pour(ALICE.address, amount)
    await chain.send(approve_call(chain.address, amount), to=chain.parameters.asset, key=ALICE)
    return chain


async def test_a_token_that_takes_a_fee_is_refused(rpc: RPC) -> None:
    """Less would arrive than is credited, so nothing is; what is too small for a fee arrives whole."""
    chain = await over(rpc, "FeeToken", 1000)
    assert await chain.refusal(deposit_call(ALICE.address, 1000), key=ALICE) == "UnexpectedTransfer"
    await chain.send(deposit_call(ALICE.address, 99), key=ALICE)
    assert await chain.token.balance(chain.address) == 99
    assert not await chain.token.takes_authorizations()


async def test_a_token_that_returns_nothing_works(rpc: RPC) -> None:
    """Some large tokens return nothing where ERC-20 says true."""
    chain = await over(rpc, "SilentToken", 100)
    await chain.send(deposit_call(ALICE.address, 100), key=ALICE)
    await chain.send(withdrawal_call(40), key=ALICE)
    await chain.pass_time(SHORT.withdrawal + 1)
    await chain.send(finalize_call(ALICE.address))
    assert await chain.token.balance(ALICE.address) == 40
    assert await chain.vault.account(ALICE.address) == Account(60, 0, 0, 0)


async def attacked(chain: VaultOnChain, attack: bytes) -> None:
    """Arm the token: its next transfer calls the vault with `attack`."""
    armed = selector("arm(address,bytes)") + abi_encode(["address", "bytes"], [hex0x(chain.address), attack])
    await chain.send(armed, to=chain.parameters.asset)


async def answer(chain: VaultOnChain) -> tuple[bool, bytes]:
    """Whether the token's call succeeded, and the first four bytes of what came back."""
    token = chain.parameters.asset
    assert int.from_bytes(await chain.rpc.read(token, selector("tried()")), "big") == 1
    succeeded = await chain.rpc.read(token, selector("succeeded()"))
    return bool(succeeded[-1]), (await chain.rpc.read(token, selector("answer()")))[:4]


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "in a multicall"])
@pytest.mark.parametrize("attack", ["deposit", "finalize", "collect"])
async def test_nobody_comes_in_again_during_a_transfer(rpc: RPC, attack: str, wrapped: bool) -> None:
    """A token that calls back while it pays out, or pays in, finds the door locked, and is paid once."""
    chain = await over(rpc, "ReentrantToken", 200)
    await chain.register(ENCLAVE, PAYEE)
    await chain.send(deposit_call(ALICE.address, 100), key=ALICE)
    await chain.send(chain.ceiling(ALICE, PAYEE, 100))
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 100, [Row(ALICE.address, 30)]))
    await chain.send(chain.settle(ENCLAVE, [Row(ALICE.address, 30)], closing=True))
    await chain.send(withdrawal_call(EVERYTHING), key=ALICE)
    await chain.pass_time(SHORT.withdrawal + 1)
    call = {
        "deposit": deposit_call(ALICE.address, 1),
        "finalize": finalize_call(ALICE.address),
        "collect": collect_call(PAYEE),
    }[attack]
    await attacked(chain, multicall((call,)) if wrapped else call)
    await chain.send(finalize_call(ALICE.address))
    assert await answer(chain) == (False, selector("ReentrancyGuardReentrantCall()"))
    assert await chain.token.balance(ALICE.address) == 170
    assert await chain.token.balance(chain.address) == 30
    await attacked(chain, finalize_call(ALICE.address))
    await chain.send(deposit_call(ALICE.address, 50), key=ALICE)
    assert await chain.vault.account(ALICE.address) == Account(50, 0, 0, 0)
    await chain.send(collect_call(PAYEE))
    assert await chain.token.balance(PAYEE) == 30


async def test_what_is_sent_without_a_deposit_is_nobodys(rpc: RPC) -> None:
    """Tokens that are simply transferred to the vault change no account, and later deposits count alone."""
    chain = await over(rpc, "SilentToken", 100)
    await chain.pour(chain.address, 7)
    await chain.send(deposit_call(ALICE.address, 100), key=ALICE)
    assert await chain.vault.account(ALICE.address) == Account(100, 0, 0, 0)
    assert await chain.token.balance(chain.address) == 107


async def test_a_contract_wallet_signs_its_ceiling(rpc: RPC) -> None:
    """A payer that is a contract signs by ERC-1271, with the key that it says; no other key will do."""
    chain = await over(rpc, "SilentToken", 100)
    wallet = await deploy_hostile(rpc, "Wallet", ALICE.address.rjust(32, b"\0"))
    await chain.send(deposit_call(wallet, 100), key=ALICE)
    ceiling = SpendingCeiling(wallet, PAYEE, bytes(20), 50, 1, FOREVER)
    assert await chain.refusal(ceiling_call(ceiling, chain.sign(ceiling, ENCLAVE))) == "BadSignature"
    await chain.send(ceiling_call(ceiling, chain.sign(ceiling, ALICE)))
    assert (await chain.vault.ceiling(wallet, PAYEE)).max_claimable == 50


def test_ether_is_not_taken() -> None:
    """Neither contract has a function that takes the chain's own money, so none is lost in it."""
    for name in ("Vault", "DevToken"):
        for part in read_contract(toolchain().contracts / f"{name}.json").abi:
            assert part["type"] not in ("receive", "fallback")
            assert part.get("stateMutability") != "payable"
