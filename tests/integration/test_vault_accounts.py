"""Vault.sol on a real EVM: deployment, deposits, ceilings, withdrawals, and the token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.eip3009 import TRANSFER, Authorization, authorization_digest
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.money import MAX_AMOUNT
from hallmark.core.vault import DepositPause, Row, SpendingCeiling, WithdrawalRequest
from hallmark.crypto.secp256k1 import HALF_ORDER
from hallmark.services.chain.contract import read_contract, selector
from hallmark.services.chain.deployment import deploy_dev_token, deploy_vault
from hallmark.services.chain.rpc import Reverted
from hallmark.services.chain.token import (
    DEV_MONEY_NAME,
    FAUCET_LIMIT,
    authorized_transfer_call,
    dev_token_address,
    dev_token_code,
    faucet_call,
)
from hallmark.services.chain.vault import (
    EVERYTHING,
    Account,
    Delays,
    VaultContract,
    VaultParameters,
    ceiling_call,
    deposit_call,
    finalize_call,
    multicall,
    pause_call,
    release_call,
    signed_withdrawal_call,
    vault_address,
    vault_code,
    vault_error,
    withdrawal_call,
)
from hallmark.services.chain.vault_events import lessees, vault_events
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil, toolchain
from hallmark.testing.vaults import (
    AUTHORITY,
    FOREVER,
    SHORT,
    SUBMITTER,
    VaultOnChain,
    fresh_vault,
    named_key,
    new_payers,
)

pytestmark = pytest.mark.integration

BYTECODE = {
    "Vault": "d576fe3cb3e79bac8005e330ecc3515988b9a46916909ecdd9ecd1090691d380",
    "DevToken": "a9cc368c7d95056e34fb1894780d9e8c79df262016a350b2e95c9cff5a871b5f",
}
NO_QUORUM = ("UnknownSigner", "SignersNotAscending")
ENCLAVE, PAYEE, ALICE = named_key("enclave"), named_key("payee").address, named_key("alice")


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


@pytest.mark.parametrize("name", BYTECODE)
def test_bytecode_is_reproduced(name: str) -> None:
    """Compiling gives the same code everywhere; other code is another address for every network."""
    artifact = read_contract(toolchain().contracts / f"{name}.json")
    assert sha256(artifact.bytecode.encode()).hex() == BYTECODE[name]


async def test_deployment_is_at_its_address_and_done_once(chain: VaultOnChain) -> None:
    """Vault and token stand where their code says, with what they were made for; again changes nothing."""
    folder = toolchain().contracts
    vault, token = read_contract(folder / "Vault.json"), read_contract(folder / "DevToken.json")
    assert chain.address == vault_address(vault, chain.parameters)
    assert chain.parameters.asset == dev_token_address(token)
    assert await chain.vault.deployed()
    assert await chain.vault.parameters() == chain.parameters
    assert (await deploy_vault(chain.rpc, SUBMITTER, vault, chain.parameters)).transaction == b""
    assert (await deploy_dev_token(chain.rpc, SUBMITTER, token)).transaction == b""


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"threshold": 0}, "BadThreshold"),
        ({"threshold": 1}, "BadThreshold"),
        ({"threshold": 4}, "BadThreshold"),
        ({"authority": (AUTHORITY[0].address,) * 2}, "BadSigner"),
        ({"asset": b"\x77" * 20}, "BadAsset"),
        ({"delays": Delays(300, 300, 600)}, "BadDelays"),
        ({"delays": Delays(600, 300, 900)}, "BadDelays"),
        ({"delays": Delays(0, 300, 900)}, "BadDelays"),
        ({"delays": Delays(300, 0, 900)}, "BadDelays"),
        ({"delays": Delays(300, 300, 31 * 24 * 3600)}, "BadDelays"),
    ],
)
async def test_unsafe_parameters_do_not_deploy(
    chain: VaultOnChain, wrong: dict[str, object], error: str
) -> None:
    """No quorum, no asset, or a delay that a lease and its settlement outlast: no such contract."""
    parameters: VaultParameters = replace(chain.parameters, **wrong)
    code = vault_code(read_contract(toolchain().contracts / "Vault.json"), parameters)
    with pytest.raises(Reverted) as revert:
        await chain.rpc.call("eth_call", {"data": hex0x(code)}, "latest")
    assert vault_error(revert.value) == error


async def test_deposits_by_approval_and_by_authorization(chain: VaultOnChain) -> None:
    """Both ways credit the payer; the second takes no gas of the payer, and each signature counts once."""
    await chain.pour(ALICE.address, 100)
    await chain.approved_deposit(ALICE, 30)
    poor = named_key("no gas")
    await chain.pour(poor.address, 50)
    data = await chain.authorized_deposit(poor, 50)
    await chain.send(data)
    assert await chain.rpc.balance(poor.address) == 0
    assert await chain.vault.account(ALICE.address) == Account(30, 0, 0, 0)
    assert await chain.vault.account(poor.address) == Account(50, 0, 0, 0)
    assert await chain.token.balance(chain.address) == 80
    used = selector("ERC3009UsedAuthorization(address,bytes32)").hex()
    assert (await chain.refusal(data)).startswith(used)


async def test_deposits_that_move_nothing_are_refused(chain: VaultOnChain) -> None:
    """Nothing, more than there is, and an authorization for another receiver credit nobody."""
    await chain.pour(ALICE.address, 10)
    assert await chain.refusal(deposit_call(ALICE.address, 0)) == "NothingToDo"
    assert await chain.refusal(deposit_call(ALICE.address, 5)) != ""
    assert await chain.refusal(await chain.authorized_deposit(ALICE, 11)) != ""
    elsewhere = VaultOnChain(chain.rpc, chain.parameters, b"\x55" * 20)
    assert await chain.refusal(await elsewhere.authorized_deposit(ALICE, 5)) != ""
    assert (await chain.vault.account(ALICE.address)).empty


async def test_ceilings_are_the_payers_and_the_newest_counts(chain: VaultOnChain) -> None:
    """A ceiling is raised, lowered and ended by its payer; an older one, or the same again, is refused."""
    account = await chain.deposit(ALICE, 100)
    for most, nonce, until in ((50, 1, FOREVER), (80, 2, FOREVER), (20, 5, 9), (0, 6, 0)):
        data = chain.ceiling(ALICE, PAYEE, most, nonce=nonce, until=until)
        await chain.send(data)
        kept = await chain.vault.ceiling(account, PAYEE)
        assert (kept.max_claimable, kept.nonce, kept.valid_until) == (most, nonce, until)
        assert await chain.refusal(data) == "StaleNonce"
    assert await chain.refusal(chain.ceiling(ALICE, PAYEE, 90, nonce=4)) == "StaleNonce"
    too_much = chain.ceiling(ALICE, PAYEE, MAX_AMOUNT + 1, nonce=9)
    assert await chain.refusal(too_much) == "SafeCastOverflowedUintDowncast"


async def test_a_withdrawal_takes_what_is_free_after_the_delay(chain: VaultOnChain) -> None:
    """Request, delay, finalisation by anyone; before and again it is refused; a request can be cancelled."""
    await chain.deposit(ALICE, 100)
    await fund(chain.rpc, ALICE)
    assert await chain.refusal(finalize_call(ALICE.address)) == "NotReady"
    await chain.send(withdrawal_call(60), key=ALICE)
    ready = (await chain.vault.account(ALICE.address)).ready_at
    assert ready == await chain.now() + SHORT.withdrawal
    await chain.pass_time(SHORT.withdrawal - 5)
    assert await chain.refusal(finalize_call(ALICE.address)) == "NotReady"
    await chain.pass_time(10)
    await chain.send(finalize_call(ALICE.address))
    assert await chain.token.balance(ALICE.address) == 60
    assert await chain.vault.account(ALICE.address) == Account(40, 0, 0, 0)
    assert await chain.refusal(finalize_call(ALICE.address)) == "NotReady"
    await chain.send(withdrawal_call(EVERYTHING), key=ALICE)
    await chain.send(withdrawal_call(0), key=ALICE)
    await chain.pass_time(SHORT.withdrawal + 1)
    assert await chain.refusal(finalize_call(ALICE.address)) == "NotReady"
    assert await chain.refusal(finalize_call(named_key("nobody").address)) == "NotReady"


async def test_a_withdrawal_by_signature_needs_no_gas_and_counts_once(chain: VaultOnChain) -> None:
    """A payer without gas gets everything back; the signature is bound to amount, nonce and deadline."""
    await chain.deposit(ALICE, 100)
    deadline = await chain.now() + 100
    request = WithdrawalRequest(ALICE.address, EVERYTHING, 0, deadline)
    data = signed_withdrawal_call(request, chain.sign(request, ALICE))
    signature = chain.sign(request, ALICE)
    assert await chain.refusal(signed_withdrawal_call(replace(request, amount=1), signature)) == (
        "BadSignature"
    )
    late = replace(request, deadline=deadline - 200)
    assert await chain.refusal(signed_withdrawal_call(late, chain.sign(late, ALICE))) == "Expired"
    await chain.send(data)
    assert await chain.refusal(data) == "InvalidAccountNonce"
    assert await chain.vault.nonce(ALICE.address) == 1
    await chain.pass_time(SHORT.withdrawal + 1)
    await chain.send(finalize_call(ALICE.address))
    assert await chain.token.balance(ALICE.address) == 100


async def test_the_operator_may_be_gone(chain: VaultOnChain) -> None:
    """With leases that nobody ever settles or gives back, the payer alone gets everything after the delay."""
    await chain.register(ENCLAVE, PAYEE)
    (alice,) = await new_payers(chain, PAYEE, 100, 1)
    await chain.send(chain.lease(ENCLAVE, await chain.now() + SHORT.lease - 5, [Row(alice.address, 90)]))
    await chain.send(chain.settle(ENCLAVE, [Row(alice.address, 25)]))
    await fund(chain.rpc, alice.key)
    await chain.send(withdrawal_call(EVERYTHING), key=alice.key)
    await chain.pass_time(SHORT.withdrawal + 1)
    events = await vault_events(chain.rpc, chain.address, 0, await chain.rpc.head())
    assert lessees(events, alice.address) == (ENCLAVE.address,)
    both = multicall((release_call(ENCLAVE.address, alice.address), finalize_call(alice.key.address)))
    await chain.send(both, key=alice.key)
    assert await chain.token.balance(alice.key.address) == 75
    assert await chain.vault.account(alice.address) == Account(0, 0, 0, 0)


async def test_a_withdrawal_takes_nothing_that_a_run_reserved(chain: VaultOnChain) -> None:
    """What is leased when the request comes can be charged until the lease's window ends, and not longer."""
    await chain.register(ENCLAVE, PAYEE)
    (alice,) = await new_payers(chain, PAYEE, 100, 1)
    until = await chain.now() + SHORT.lease - 5
    await chain.send(chain.lease(ENCLAVE, until, [Row(alice.address, 40)]))
    await fund(chain.rpc, alice.key)
    await chain.send(withdrawal_call(EVERYTHING), key=alice.key)
    await chain.send(chain.lease(ENCLAVE, until, [Row(alice.address, 50)]))
    await chain.send(chain.lease(ENCLAVE, until + 1, [Row(alice.address, 40)]))
    kept = await chain.vault.lease(ENCLAVE.address, alice.address)
    assert (kept.allowance, kept.until) == (40, until)
    await chain.pass_time(SHORT.lease + SHORT.settlement - 60)
    assert await chain.refusal(release_call(ENCLAVE.address, alice.address)) == "LeaseNotEnded"
    await chain.send(chain.settle(ENCLAVE, [Row(alice.address, 40)]))
    assert await chain.vault.earned(PAYEE) == 40
    await chain.pass_time(SHORT.withdrawal)
    await chain.send(finalize_call(alice.key.address))
    assert await chain.token.balance(alice.key.address) == 60
    assert (await chain.vault.account(alice.address)).open_leases == 1
    await chain.send(release_call(ENCLAVE.address, alice.address))
    await chain.send(finalize_call(alice.key.address))
    assert await chain.vault.account(alice.address) == Account(0, 0, 0, 0)


async def test_windows_end_to_the_second(chain: VaultOnChain) -> None:
    """In the last second of its window a lease is charged and not released; a second later the reverse."""
    await chain.register(ENCLAVE, PAYEE)
    (alice,) = await new_payers(chain, PAYEE, 100, 1)
    until = await chain.now() + SHORT.lease - 5
    await chain.send(chain.lease(ENCLAVE, until, [Row(alice.address, 40)]))
    for late, charged in ((0, 30), (1, 0)):
        before = await chain.rpc.call("evm_snapshot")
        at = until + SHORT.settlement + late
        await chain.rpc.call("evm_setNextBlockTimestamp", at)
        await chain.send(chain.settle(ENCLAVE, [Row(alice.address, 30)]))
        assert await chain.now() == at
        assert await chain.vault.earned(PAYEE) == charged
        assert await chain.refusal(release_call(ENCLAVE.address, alice.address)) == (
            "" if late else "LeaseNotEnded"
        )
        await chain.rpc.call("evm_revert", before)
    await fund(chain.rpc, named_key("payer 0"))
    await chain.send(withdrawal_call(10), key=named_key("payer 0"))
    ready = (await chain.vault.account(alice.address)).ready_at
    await chain.rpc.call("evm_setNextBlockTimestamp", ready)
    await chain.send(finalize_call(named_key("payer 0").address))
    assert await chain.now() == ready


async def test_a_covered_request_leaves_the_rest_at_work(chain: VaultOnChain) -> None:
    """While what is free covers the request, leases take from the rest, and never from the request."""
    await chain.register(ENCLAVE, PAYEE)
    (alice,) = await new_payers(chain, PAYEE, 100, 1)
    await fund(chain.rpc, alice.key)
    await chain.send(withdrawal_call(60), key=alice.key)
    until = await chain.now() + SHORT.lease - 5
    await chain.send(chain.lease(ENCLAVE, until, [Row(alice.address, 41)]))
    assert (await chain.vault.lease(ENCLAVE.address, alice.address)).allowance == 0
    await chain.send(chain.lease(ENCLAVE, until, [Row(alice.address, 40)]))
    assert (await chain.vault.lease(ENCLAVE.address, alice.address)).allowance == 40


async def test_only_deposits_stop(chain: VaultOnChain) -> None:
    """A quorum stops deposits; leases, settlements and withdrawals go on; the same signatures count once."""
    await chain.register(ENCLAVE, PAYEE)
    (alice,) = await new_payers(chain, PAYEE, 100, 1)
    await fund(chain.rpc, alice.key)
    statement = DepositPause(1, 0)
    assert await chain.refusal(pause_call(True, chain.quorum(statement, 1))) == "TooFewSignatures"
    assert await chain.refusal(pause_call(False, chain.quorum(statement))) != ""
    await chain.pause(True)
    await chain.pour(ALICE.address, 10)
    assert await chain.refusal(await chain.authorized_deposit(ALICE, 10)) == "EnforcedPause"
    assert await chain.refusal(deposit_call(ALICE.address, 10)) == "EnforcedPause"
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 200, [Row(alice.address, 40)]))
    await chain.send(chain.settle(ENCLAVE, [Row(alice.address, 10)], closing=True))
    await chain.send(withdrawal_call(EVERYTHING), key=alice.key)
    await chain.pass_time(SHORT.withdrawal + 1)
    await chain.send(finalize_call(alice.key.address))
    assert await chain.token.balance(alice.key.address) == 90
    assert await chain.refusal(pause_call(True, chain.quorum(statement))) != ""
    await chain.pause(False)
    await chain.send(await chain.authorized_deposit(ALICE, 10))
    assert await chain.refusal(pause_call(True, chain.quorum(statement))) in NO_QUORUM
    assert await chain.vault.deposits_paused() == (False, 2)


async def test_the_token_is_development_money(chain: VaultOnChain) -> None:
    """The faucet is for everybody, has a limit, and neither it nor the contract works on another chain."""
    domain = await chain.token.domain(CHAIN_ID)
    assert (domain.name, domain.version, await chain.token.decimals()) == (DEV_MONEY_NAME, "1", 6)
    assert await chain.token.takes_authorizations()
    token = VaultOnChain(chain.rpc, chain.parameters, chain.parameters.asset)
    assert await token.refusal(faucet_call(PAYEE, FAUCET_LIMIT)) == ""
    assert await token.refusal(faucet_call(PAYEE, FAUCET_LIMIT + 1)) != ""
    code = hex0x(dev_token_code(read_contract(toolchain().contracts / "DevToken.json")))
    await chain.rpc.call("eth_call", {"data": code}, "latest")
    await chain.rpc.call("anvil_setChainId", 8453)
    try:
        assert await token.refusal(faucet_call(PAYEE, 1)) != ""
        with pytest.raises(Reverted):
            await chain.rpc.call("eth_call", {"data": code}, "latest")
    finally:
        await chain.rpc.call("anvil_setChainId", CHAIN_ID)


async def test_the_token_moves_by_authorization(chain: VaultOnChain) -> None:
    """A holder's signed transfer moves once, within its time; a wrong signature moves nothing."""
    await chain.pour(ALICE.address, 10)
    receiver = named_key("somebody").address
    authorization = Authorization(ALICE.address, receiver, 4, 0, FOREVER, sha256(chain.address))
    domain = await chain.token.domain(CHAIN_ID)
    signature = ALICE.sign(authorization_digest(TRANSFER, authorization, domain))
    data = authorized_transfer_call(authorization, signature)
    token = VaultOnChain(chain.rpc, chain.parameters, chain.parameters.asset)
    before = await chain.token.balance(receiver)
    wrong = authorized_transfer_call(replace(authorization, value=5), signature)
    assert await token.refusal(wrong) != ""
    await chain.send(data, to=chain.parameters.asset)
    assert await chain.token.balance(receiver) == before + 4
    assert await token.refusal(data) != ""


async def test_another_contract_is_no_vault(chain: VaultOnChain) -> None:
    """Nothing, and code that is something else, give no answer that could be taken for a vault's."""
    for address in (b"\x33" * 20, bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")):
        with pytest.raises((VerificationFailed, Unavailable)):
            await VaultContract(chain.rpc, address).account(ALICE.address)


async def test_a_ceiling_names_its_session_key_under_the_signature(chain: VaultOnChain) -> None:
    """Whoever changes the session key, the payee or the amount has no signature."""
    await chain.deposit(ALICE, 100)
    ceiling = SpendingCeiling(ALICE.address, PAYEE, named_key("session").address, 50, 1, FOREVER)
    signature = chain.sign(ceiling, ALICE)
    for changed in (
        replace(ceiling, session=bytes(20)),
        replace(ceiling, payee=ALICE.address),
        replace(ceiling, max_claimable=51),
        replace(ceiling, nonce=2),
        replace(ceiling, valid_until=9),
    ):
        assert await chain.refusal(ceiling_call(changed, signature)) == "BadSignature"
    high = (2 * HALF_ORDER + 1 - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    twin = signature[:32] + high + bytes([55 - signature[64]])
    assert await chain.refusal(ceiling_call(ceiling, twin)) == "BadSignature"
    assert await chain.refusal(ceiling_call(ceiling, signature)) == ""
