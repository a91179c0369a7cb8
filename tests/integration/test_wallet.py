"""A payer's account on a real chain: development money, deposit without gas, leases, withdrawal, history."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from hallmark.apps.cli.main import cli
from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.core.spending import SpendingAuthorization
from hallmark.core.vault import Row, Vault
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.spending import Spending as Spending_
from hallmark.payments.spending import verify_spending
from hallmark.services.chain.token import approve_call
from hallmark.services.chain.vault import ceiling_call, deposit_call
from hallmark.services.sdk.chain_account import ChainAccount
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.offers import NodeOffer
from hallmark.services.sdk.spending import Limits, Spending
from hallmark.services.sdk.spending_store import SpendingStore
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.real_network import hallmark
from hallmark.testing.vaults import (
    SUBMITTER,
    VaultOnChain,
    deploy_hostile,
    earlier_vault,
    fresh_vault,
    named_key,
    new_vault,
)

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


async def test_a_token_without_authorizations_is_approved(chain: VaultOnChain, tmp_path: Path) -> None:
    """Approved and deposited by two transactions of the payer's, who pays their gas; exactly so much may be
    taken, and is.
    """
    plain = await new_vault(chain.rpc, asset=await deploy_hostile(chain.rpc, "PlainToken"))
    account = ChainAccount(place(plain), Wallet.new(tmp_path), SUBMITTER)
    payer = account.wallet.key
    try:
        assert not await account.token.takes_authorizations()
        await account.fund("7.25")
        await fund(chain.rpc, payer)
        before = await chain.rpc.balance(payer.address)
        await account.deposit("5.00")
        assert await chain.rpc.balance(payer.address) < before
        assert await plain.token.allowance(payer.address, plain.address) == 0
        assert (await account.balance()).words()["deposited"] == "5.00 PLAIN"
        assert await plain.token.balance(plain.address) == 5_000_000
        with pytest.raises(Conflict) as caught:
            await account.deposit("2.26")
        assert caught.value.reason == "insufficient_funds"
    finally:
        await account.aclose()


async def test_leases_and_charges_show(chain: VaultOnChain, account: ChainAccount) -> None:
    """What an enclave holds is leased, what it settled is spent; the history says both."""
    payer = account.wallet.key
    await account.fund("10")
    await account.deposit("10")
    await chain.register(ENCLAVE, PAYEE)
    await chain.send(chain.ceiling(payer, PAYEE, 4_000_000))
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 290, [Row(payer.address, 3_000_000)]))
    await chain.send(chain.settle(ENCLAVE, [Row(payer.address, 1_200_000)]))
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
    await chain.register(ENCLAVE, PAYEE)
    await chain.send(chain.ceiling(payer, PAYEE, 4_000_000))
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 290, [Row(payer.address, 3_000_000)]))
    await chain.send(chain.settle(ENCLAVE, [Row(payer.address, 1_200_000)]))
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
    foreign = ChainAccount(place(chain), poor.wallet, network=bytes(32))
    await refused(foreign.balance())
    await foreign.aclose()
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
        "other_network",
        "not_development",
    ]


async def test_money_in_a_vault_of_before_is_named(
    chain: VaultOnChain, account: ChainAccount, tmp_path: Path
) -> None:
    """What lies in an earlier version's vault is in no amount, and is said beside them: which vault, what the
    wallet put in, that this version cannot read the rest, and who can. One without our money is not named.
    """
    payer, old = account.wallet.key, await earlier_vault(chain)
    await account.fund("5")
    await fund(chain.rpc, payer)
    token = chain.parameters.asset
    await chain.send(approve_call(old, 2_000_000), to=token, key=payer)
    await chain.send(deposit_call(payer.address, 2_000_000), to=old, key=payer)
    unused = await new_vault(chain.rpc)
    moved = ChainAccount(
        replace(place(chain), former=(hex0x(old), hex0x(unused.address), "0x" + "55" * 20)),
        account.wallet,
        SUBMITTER,
    )
    stale = ChainAccount(replace(place(chain), vault=hex0x(old)), account.wallet, SUBMITTER)
    try:
        found = await moved.balance()
        assert (found.wallet, found.deposited, found.spent) == (3_000_000, 0, 0)
        (other,) = found.others
        assert (other.address, other.put, other.back, other.free, other.reason) == (
            hex0x(old),
            2_000_000,
            0,
            None,
            "vault_of_another_version",
        )
        for part in (hex0x(old), "put 2.00 DEV into it", "this version cannot read", "client of the version"):
            assert part in other.words
        said = {"base_url": "http://127.0.0.1:1", "chain": moved.chain}
        (tmp_path / "client.json").write_bytes(msgspec.json.encode(said))
        for more in ((), ("--json",)):
            command = ["--home", str(tmp_path), "wallet", "balance", *more]
            done = await asyncio.to_thread(CliRunner().invoke, cli, command)
            assert (done.exit_code, hex0x(old) in done.output.replace("\n", "")) == (0, True), done.output
        with pytest.raises(HallmarkError) as caught:
            await moved.withdraw(None)
        assert (caught.value.reason, hex0x(old) in caught.value.hint) == ("no_account", True)
        await moved.deposit("1")
        assert (await moved.balance()).deposited == 1_000_000
        # a client that still names the vault of before does not take it for one of today's
        for work in (
            stale.balance(),
            stale.withdraw(None),
            stale.withdraw("1"),
            stale.finish(),
            stale.history(),
            stale.deposit("1"),
        ):
            with pytest.raises(HallmarkError) as caught:
                await work
            assert caught.value.reason == "vault_of_another_version"
            assert hex0x(old) in caught.value.message
    finally:
        await moved.aclose()
        await stale.aclose()


async def test_a_wallet_pays_its_own_gas(chain: VaultOnChain, tmp_path: Path) -> None:
    """Where no faucet is, the wallet's own ether does."""
    account = ChainAccount(place(chain), Wallet.new(tmp_path))
    await fund(chain.rpc, account.wallet.key)
    await account.fund("2")
    await account.deposit("2")
    assert (await account.balance()).free == 2_000_000
    await account.aclose()


PATH, BODY = "/v1/chat/completions", b'{"model":"tiny","max_tokens":20,"messages":[]}'


def selling(chain: VaultOnChain, asset: Asset) -> NodeOffer:
    """What a node asks that is paid from this vault."""
    offer = Offer(
        network=hex0x(chain.parameters.network),
        owner=hex0x(PAYEE),
        payee=hex0x(PAYEE),
        asset=asset,
        vault=hex0x(chain.address),
        prices=(Price("tiny", 1_000_000, 2_000_000),),
        free=FreeUse(),
        since=0,
        until=2**62,
    )
    settlement = hex0x(ENCLAVE.address)
    return NodeOffer(offer, hex0x(offer.digest()), hex0x(PAYEE), settlement, ("tiny",), 8, True, True)


async def test_what_a_client_signs_holds_for_enclave_and_contract(
    chain: VaultOnChain, account: ChainAccount, tmp_path: Path
) -> None:
    """The enclave's check takes the payment for exactly its request; the contract takes its ceiling, leases
    under it, and a second home signs the next one above what is charged.
    """
    await account.fund("5")
    await account.deposit("5")
    listing = (selling(chain, await account.asset()),)
    vault, now = Vault(CHAIN_ID, chain.address), time.time_ns() // 1_000_000

    async def offers() -> tuple[NodeOffer, ...]:
        return listing

    def home(name: str) -> tuple[Spending, SpendingStore]:
        store = SpendingStore(tmp_path / name)
        limits = Limits("0.05", "2.00")
        spending = Spending(
            limits,
            account.wallet,
            account.chain,
            store=store,
            vault=account.vault,
            listing=offers,
            clock=lambda: now,
        )
        return spending, store

    spending, store = home("one")
    paid = await spending.pay(PATH, BODY)
    assert paid is not None

    def judged(body: bytes = BODY, at: int = now, enclave: bytes = ENCLAVE.address) -> Spending_:
        return verify_spending(paid.header.encode(), vault, PAYEE, enclave, path=PATH, body=body, now=at)

    found = judged().authorization
    assert found.spend.maximum == len(BODY) + 40
    for change, reason in (
        ({"body": BODY + b" "}, "payment_mismatch"),
        ({"enclave": PAYEE}, "payment_mismatch"),
        ({"at": now + 300_000}, "payment_expired"),
    ):
        with pytest.raises(PaymentRequired) as caught:
            judged(**change)  # type: ignore[arg-type]
        assert caught.value.reason == reason
    payer = account.wallet.key.address
    await chain.register(ENCLAVE, PAYEE)
    await chain.send(ceiling_call(found.ceiling, found.by_payer))
    await chain.send(chain.lease(ENCLAVE, await chain.now() + 290, [Row(payer, 1_000_000)]))
    await chain.send(chain.settle(ENCLAVE, [Row(payer, 300_000)]))
    other, second = home("two")
    again = await other.pay(PATH, BODY)
    assert again is not None
    ceiling = SpendingAuthorization.decode(base64.b64decode(again.header)[:-32]).ceiling
    assert (ceiling.nonce, ceiling.max_claimable) == (2, 1_000_000 + 2_000_000)
    store.close()
    second.close()


async def test_the_command_line(chain: VaultOnChain, tmp_path: Path) -> None:
    """From a new wallet to money on its way back, in words and as JSON; each page says what the money is."""
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    faucet = home / "keys" / "faucet.secp256k1"
    faucet.write_text(SUBMITTER.secret.hex())
    faucet.chmod(0o600)
    known = {"base_url": "http://127.0.0.1:9", "chain": msgspec.to_builtins(place(chain))}
    (home / "client.json").write_bytes(msgspec.json.encode(known))

    async def run(*arguments: str, fails: int = 0) -> str:
        done = await asyncio.to_thread(hallmark, home, "wallet", *arguments)
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    assert "no_wallet" in await run("balance", fails=2)
    address = json.loads(await run("new", "--json"))["address"]
    assert "wallet_exists" in await run("new", fails=2)
    assert "development money" in await run("fund", "8")
    assert "the account has 5.00 DEV, 5.00 DEV free" in await run("deposit", "5.00")
    told = await run("balance")
    assert address in told
    assert "3.00 DEV" in told
    assert "worth nothing" in told
    found = json.loads(await run("balance", "--json"))
    assert (found["payer"], found["free"], found["asset"]["development"]) == (address, "5000000", True)
    assert "bad_withdrawal" in await run("withdraw", fails=2)
    assert "1.50 DEV is asked back" in await run("withdraw", "1.50")
    assert "not_ready" in await run("withdraw", "--finish", fails=2)
    await chain.pass_time(901)
    assert "1.50 DEV came back" in await run("withdraw", "--finish")
    kinds = [one["kind"] for one in json.loads(await run("history", "--json"))["movements"]]
    assert kinds == ["withdrawn", "withdrawal asked", "deposited"]
    assert "deposited" in await run("history")
