"""The host's part in x402 on a real chain: what is due is settled once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hallmark.core.document import hex0x
from hallmark.core.hashing import keccak256
from hallmark.core.vault import contract_domain
from hallmark.core.x402_payment import Authorization, name_of, payment_bytes
from hallmark.services.chain.contract import abi_encode, selector
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import transfer_call
from hallmark.services.chain.x402_settlement import To, payment_call, withdraw_calls
from hallmark.services.enclave import control
from hallmark.services.node.rail_earnings import Sum
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.rpc_proxy import RPCProxy
from hallmark.testing.x402 import PAYEE, PAYER, Chain, voucher, x402_chain
from hallmark.testing.x402_host import GAS, Host, with_deposit

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[Chain]:
    """x402's contracts and a token; the payer has some and lets Permit2 take it."""
    async with x402_chain(url) as made:
        await fund(made.rpc, GAS)
        await made.approve()
        yield made


@pytest.fixture
def proxy(url: str) -> RPCProxy:
    """What stands between host and chain."""
    return RPCProxy(url)


@pytest.fixture
async def host(chain: Chain, proxy: RPCProxy, tmp_path: Path) -> AsyncIterator[Host]:
    """A host that takes every kind of payment."""
    async with proxy.serving() as served:
        rpc = RPC(served)
        made = Host(chain, rpc, tmp_path / "host.db")
        async with asyncio.timeout(180):
            await made.changed.wait()
        yield made
        await made.kill()
        await rpc.aclose()


async def test_each_kind_is_settled_once(host: Host) -> None:
    """For what it came to, however often that is said; afterwards the chain knows it, and says so."""
    assert host.desk.taken.permit2
    assert (host.desk.taken.sender, host.desk.taken.withdraw_delay) == (GAS.address, 900)
    chain = host.chain
    for payment, amount in (
        (chain.transfer(500), 500),
        (chain.permit(500), 500),
        (chain.permit(500, GAS.address), 120),
    ):
        before, sent = await chain.token.balance(PAYEE.address), await host.sent()
        state = await host.wanted(payment)
        assert (state.used, state.reason) == (False, "")
        assert state.available >= 500
        first = await host.due(payment, amount)
        assert len(first.transaction) == 32
        assert (await host.due(payment, amount + 1)).transaction == first.transaction
        await host.settled()
        assert (await host.due(payment, 0)).transaction == first.transaction
        assert (await host.wanted(payment)).used
        assert await chain.token.balance(PAYEE.address) == before + amount
        assert await host.sent() == sent + 1
    assert (host.desk.payments.settled, host.desk.payments.refused) == (3, 0)
    told = await host.store.earned(chain.token.address)
    assert {rail: sums.settled for rail, sums in told.rails.items()} == {
        "exact": Sum(2, "1000"),
        "upto": Sum(1, "120"),
    }


async def test_nothing_is_sent_for_nothing(host: Host) -> None:
    """A payment that came to nothing is forgotten; one that nobody came with is settled already."""
    sent, payment = await host.sent(), host.chain.transfer(500)
    await host.wanted(payment)
    assert await host.due(payment, 0) == control.PaymentSettled(name_of(payment, b""))
    assert await host.due(payment, 500) == control.PaymentSettled(name_of(payment, b""))
    assert await host.sent() == sent


@pytest.mark.parametrize("arrived", [True, False])
async def test_what_is_due_outlives_a_crash(
    host: Host, proxy: RPCProxy, tmp_path: Path, *, arrived: bool
) -> None:
    """Killed as it is sent, whether that arrived or not, and again after: one amount, one transaction."""
    chain, payment = host.chain, host.chain.transfer(700)
    before, sent = await chain.token.balance(PAYEE.address), await host.sent()
    await host.wanted(payment)
    if not arrived:
        proxy.nulls = frozenset(("eth_sendRawTransaction",))
    host.desk.take(control.PaymentDue(name_of(payment, b""), 700))
    async with asyncio.timeout(180):
        await proxy.asked("eth_sendRawTransaction", 1)
    await host.kill()
    proxy.nulls = frozenset()
    for _ in range(2):
        again = Host(chain, host.rpc, tmp_path / "host.db")
        told = await again.due(payment, 700)
        assert len(told.transaction) == 32
        await again.settled()
        await again.kill()
    assert await chain.token.balance(PAYEE.address) == before + 700
    assert await host.sent() == sent + 1


async def test_a_chain_that_is_away_is_waited_for(host: Host, proxy: RPCProxy) -> None:
    """No payment is taken meanwhile; what is due goes out when it is back."""
    payment = host.chain.transfer(50)
    await host.wanted(payment)
    proxy.down = True
    assert (await host.wanted(host.chain.transfer(60))).reason == "chain_unreachable"
    host.desk.take(control.PaymentDue(name_of(payment, b""), 50))
    async with asyncio.timeout(180):
        while host.sender.problem != "chain_unreachable":  # noqa: ASYNC110 - a word of the sender's
            await asyncio.sleep(0.02)
    proxy.down = False
    assert len((await host.heard(control.PaymentSettled)).transaction) == 32


async def test_what_the_chain_refuses_is_told(host: Host) -> None:
    """A payer who moved the money away, took the signature back, or signed for less: nothing is sent."""
    chain = host.chain
    has = await chain.token.balance(PAYER.address)
    poor, cancelled, less = chain.transfer(has), chain.transfer(40), chain.permit(40, GAS.address)
    for payment in (poor, cancelled, less):
        await host.wanted(payment)
    sent = await host.sent()
    await chain.send(To(chain.token.address, transfer_call(PAYEE.address, 1)), PAYER)
    await chain.send(_cancel(chain, cancelled))
    assert (await host.due(poor, has)).reason == "insufficient_balance"
    assert (await host.due(cancelled, 40)).reason == "payment_used"
    assert (await host.due(less, 41)).reason == "amount_not_signed"
    assert (await host.due(poor, has)).reason == "insufficient_balance"
    assert await host.sent() == sent


async def test_what_somebody_else_submitted_has_come(host: Host) -> None:
    """Anybody may submit an EIP-3009 transfer: its payee has the money, and the transaction is told."""
    payment = host.chain.transfer(30)
    await host.wanted(payment)
    await host.chain.send(payment_call(payment, 30))
    told = await host.due(payment, 30)
    assert (len(told.transaction), told.reason) == (32, "")


async def test_a_nonce_that_paid_somebody_else_paid_nothing(host: Host) -> None:
    """A payer that signs one nonce twice, the second time to itself, and submits that one, has not paid."""
    payment = host.chain.transfer(30)
    await host.wanted(payment)
    await host.chain.send(payment_call(host.chain.transfer(30, like=payment), 30))
    told = await host.due(payment, 30)
    assert (told.transaction, told.reason) == (b"", "payment_used")


async def test_a_payer_may_have_more_than_64_bits(host: Host) -> None:
    """A token of eighteen decimals has numbers beyond 64 bits in any wallet: enough is there, and so said."""
    rpc, token = host.chain.rpc, hex0x(host.chain.token.address)
    where = hex0x(keccak256(abi_encode(("address", "uint256"), (hex0x(PAYER.address), 0))))
    has = await rpc.call("eth_getStorageAt", token, where, "latest")
    await rpc.call("anvil_setStorageAt", token, where, hex0x((2**90).to_bytes(32, "big")))
    state = await host.wanted(host.chain.transfer(500))
    assert (state.reason, state.available) == ("", 2**90)
    await rpc.call("anvil_setStorageAt", token, where, has)


async def test_money_is_promised_once(host: Host) -> None:
    """What a payer's open payments may take is not there for another."""
    has = await host.chain.token.balance(PAYER.address)
    first, second = host.chain.transfer(has), host.chain.permit(10)
    assert (await host.wanted(first)).available == has
    assert (await host.wanted(second)).available == 0
    assert (await host.wanted(first)).available >= has - 10
    await host.due(first, 0)
    assert (await host.wanted(second)).available == has


async def test_a_channel_from_deposit_to_sweep(host: Host) -> None:
    """A deposit that comes 64 times is one transaction; claims and sweep pay the receiver; a channel whose
    payer took the money back holds up no other.
    """
    chain = host.chain
    one, other = (chain.channel(delay=900) for _ in range(2))
    for config in (one, other):
        sent, states = await host.sent(), []
        asked = with_deposit(chain, config, 1_000)
        for number in range(64):
            host.desk.take(control.PaymentWanted(number, bytes(32), payment_bytes(asked)))
        for _ in range(64):
            states.append(await host.heard(control.PaymentState))
        assert {(state.balance, state.claimed, state.reason) for state in states} == {(1_000, 0, "")}
        assert await host.sent() == sent + 1
    begin, finish = withdraw_calls(other, 1_000)
    await chain.send(begin, PAYER)
    assert (await host.look(other)).withdraw_at > 0
    await chain.rpc.call("evm_increaseTime", 901)
    await chain.send(finish, PAYER)
    before = await chain.token.balance(PAYEE.address)
    host.claims = [voucher(one, 400, 350), voucher(other, 300, 300)]
    async with asyncio.timeout(180):
        assert await host.desk.channels.round()
    assert await chain.token.balance(PAYEE.address) == before + 350
    assert (host.desk.channels.claims, host.desk.channels.lost) == (1, 1)
    sent = await host.sent()
    host.claims, host.believed = [voucher(one, 400, 350)], {}
    async with asyncio.timeout(180):
        assert await host.desk.channels.round()
    assert await host.sent() == sent
    assert (await host.look(one)).claimed == 350
    assert (await host.store.earned(chain.token.address)).claimed == Sum(1, "350")


async def test_a_deposit_that_the_chain_refuses(host: Host) -> None:
    """It is told so, and costs no gas."""
    sent, has = await host.sent(), await host.chain.token.balance(PAYER.address)
    asked = with_deposit(host.chain, host.chain.channel(), has + 1)
    assert (await host.deposit(asked)).reason == "deposit_refused"
    assert await host.sent() == sent


def _cancel(chain: Chain, payment: Authorization) -> To:
    """The payer takes an EIP-3009 authorization back."""
    assert payment.transfer is not None
    kind = keccak256(b"CancelAuthorization(address authorizer,bytes32 nonce)")
    domain = chain.domain
    separator = contract_domain(domain.name, domain.version, domain.chain_id, domain.token)
    hashed = keccak256(kind + payment.payer.rjust(32, b"\0") + payment.transfer.nonce)
    signature = PAYER.sign(keccak256(b"\x19\x01" + separator + hashed))
    values = [hex0x(payment.payer), payment.transfer.nonce, signature]
    data = selector("cancelAuthorization(address,bytes32,bytes)") + abi_encode(
        ["address", "bytes32", "bytes"], values
    )
    return To(chain.token.address, data)
