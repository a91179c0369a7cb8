"""What a receipt's page says of an x402 payment, as the chain has it at that moment: each rail, from unpaid
to paid, taken back by the chain, and lapsed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from hallmark.core.document import hex0x
from hallmark.core.money import Asset, Payment
from hallmark.core.x402_digests import PERMIT2
from hallmark.core.x402_payment import Authorization, read_payment
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.x402.actions import Claim, Claims, Sweep
from hallmark.services.chain.contract import selector
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import transfer_call
from hallmark.services.chain.x402_settlement import (
    To,
    claims_call,
    claims_digest,
    payment_call,
    sweep_call,
    withdraw_calls,
)
from hallmark.services.explorer.payment_views import Money
from hallmark.services.explorer.vault_reader import FRESH_MS
from hallmark.testing import payments
from hallmark.testing.anvil import CHAIN_ID, running_anvil
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.network import key
from hallmark.testing.payments import PAYER, offer, price_offer, x402_answer
from hallmark.testing.x402 import Chain, x402_chain
from hallmark.verification.live import payment_of

pytestmark = pytest.mark.integration

FACILITATOR = b"\x15" * 20
ENCLAVE, PAYEE = key("settlement"), hex0x(key("payee").address)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chain]:
    """The payer has money and gas, and lets Permit2 take it; afterwards the chain is as it was."""
    async with x402_chain(url) as made:
        before = await made.rpc.call("evm_snapshot")
        await made.pour(PAYER.address, 1_000_000)
        await made.approve(PAYER)
        token = made.domain
        asset = Asset(CHAIN_ID, hex0x(token.token), 6, "DEV", token.name, token.version, development=True)
        monkeypatch.setattr(payments, "ASSET", asset)
        yield made
        await made.rpc.call("evm_revert", before)


class Stage:
    """A network whose clock is the chain's, with an offer in that token, and its explorer."""

    def __init__(self, chain: Chain, now: int, rpc: RPC | None) -> None:
        self.chain = chain
        self.exploring = ExplorerFixture(rpc=rpc)
        self.net = net = self.exploring.net
        net.tick(max(0, 1_000 * now - net.now))
        net.restart(net.nodes[0], payment=PAYEE)
        self.terms = offer(net)
        net.add(price_offer(net, self.terms))

    async def answer(self, way: str) -> tuple[str, Authorization, int]:
        """An answer paid for in this way; its receipt's id, the payment, what was charged."""
        made = x402_answer(self.net, self.terms, way)
        index = self.net.add(made.entry)
        assert self.net.replica().failures(index) == ()
        await self.exploring.witness()
        record = payment_of(made.entry)
        assert isinstance(record, Payment)
        return hex0x(made.receipt.digest()), read_payment(made.entry.attachments[4]), int(record.charged)

    async def money(self, receipt: str) -> Money:
        """What its page says of its money, some time later."""
        self.net.tick(FRESH_MS + 1)
        found = (await self.exploring.explorer.receipt(receipt)).money
        assert found is not None
        return found

    async def submit(self, payment: Authorization, amount: int) -> None:
        """Settle it as the node's host does."""
        call, rpc = payment_call(payment, amount), self.chain.rpc
        if payment.scheme != "upto":
            await self.chain.send(call)
            return
        await rpc.call("anvil_setBalance", hex0x(FACILITATOR), hex(10**18))
        await rpc.call("anvil_impersonateAccount", hex0x(FACILITATOR))
        sent = {"from": hex0x(FACILITATOR), "to": hex0x(call.contract), "data": hex0x(call.data)}
        name = await rpc.call("eth_sendTransaction", sent)
        receipt = None
        async with asyncio.timeout(180):
            while receipt is None:
                await asyncio.sleep(0.02)
                receipt = await rpc.call("eth_getTransactionReceipt", name)
        assert receipt["status"] == "0x1"


async def staged(chain: Chain, *, reads: bool = True) -> Stage:
    """A stage at the chain's time."""
    now = await chain.rpc.block_time(await chain.rpc.head())
    return Stage(chain, now or 0, chain.rpc if reads else None)


@pytest.mark.parametrize("way", ["transfer", "permit", "upto"])
async def test_a_payment_of_one_amount(chain: Chain, way: str) -> None:
    """Not settled, and until when it can be; settled, with its transaction; not any more when the chain went
    back behind that; and never, once its time is over.
    """
    stage = await staged(chain)
    receipt, payment, charged = await stage.answer(way)
    waiting = await stage.money(receipt)
    assert (waiting.settled, waiting.transaction) == ("no", "")
    assert "Not settled yet" in waiting.sentence
    assert "will be settled by" in waiting.sentence
    before = await chain.rpc.call("evm_snapshot")
    await stage.submit(payment, charged)
    paid = await stage.money(receipt)
    assert paid.settled == "yes"
    (transaction,) = [fact.value for fact in paid.facts if fact.name == "Settled by the transaction"]
    assert await chain.rpc.call("eth_getTransactionReceipt", transaction)
    for _ in range(6):
        await chain.rpc.call("evm_mine")
    await chain.rpc.call("evm_revert", before)
    assert (await stage.money(receipt)).settled == "no"
    await chain.rpc.call("evm_increaseTime", 3_600)
    await chain.rpc.call("evm_mine")
    lapsed = await stage.money(receipt)
    assert (lapsed.settled, "nobody can settle it any more" in lapsed.sentence) == ("lapsed", True)


async def test_a_used_nonce_that_paid_nobody_here_is_not_called_settled(chain: Chain) -> None:
    """The same payer moved as much to the payee in another way, and used the nonce for itself."""
    stage = await staged(chain)
    receipt, payment, charged = await stage.answer("permit")
    assert payment.permit is not None
    await chain.send(To(chain.token.address, transfer_call(payment.permit.to, charged)), PAYER)
    assert (await stage.money(receipt)).settled == "no"
    slot = payment.permit.nonce
    words = b"".join(word.to_bytes(32, "big") for word in (slot >> 8, 1 << (slot & 255)))
    await chain.send(To(PERMIT2, selector("invalidateUnorderedNonces(uint256,uint256)") + words), PAYER)
    told = await stage.money(receipt)
    assert (told.settled, "taken back" in told.sentence) == ("unknown", True)


async def test_a_channel(chain: Chain) -> None:
    """Not claimed, with the time that its payer leaves; claimed, and paid out or not; empty, and lost."""
    stage = await staged(chain)
    receipt, payment, charged = await stage.answer("voucher")
    assert payment.channel is not None
    config = payment.channel.config
    assert (await stage.money(receipt)).settled == "lapsed"
    await chain.send(deposit_to(chain, payment, 1_000))
    waiting = await stage.money(receipt)
    assert (waiting.settled, "900 s from when the payer asks" in waiting.sentence) == ("no", True)
    begin, _ = withdraw_calls(config, 1_000)
    snapshot = await chain.rpc.call("evm_snapshot")
    await chain.send(begin, PAYER)
    assert "asked for the money back: it is claimed by" in (await stage.money(receipt)).sentence
    await chain.rpc.call("evm_revert", snapshot)
    claim = Claim(config, payment.channel.max_claimable, payment.signature, charged)
    unsigned = Claims((claim,))
    await chain.send(claims_call(Claims((claim,), ENCLAVE.sign(claims_digest(unsigned, CHAIN_ID)))))
    claimed = await stage.money(receipt)
    assert (claimed.settled, "wait to be paid out" in claimed.sentence) == ("yes", True)
    await chain.send(sweep_call(Sweep(config.receiver, config.token)))
    assert "was paid out to it" in (await stage.money(receipt)).sentence


@pytest.mark.parametrize("way", ["transfer", "voucher"])
async def test_what_is_not_known_is_not_said(chain: Chain, way: str) -> None:
    """Without a chain, and on another one than the money's."""
    stage = await staged(chain, reads=False)
    receipt, _, _ = await stage.answer(way)
    told = await stage.money(receipt)
    assert (told.settled, "reads no chain" in told.sentence) == ("unknown", True)


@pytest.mark.parametrize(
    ("way", "words"), [("transfer", "sum and moment of this payment"), ("voucher", "single answers do not")]
)
async def test_who_learns_what(chain: Chain, way: str, words: str) -> None:
    """No facilitator takes part in any rail; the chain sees single payments, but not a channel's answers."""
    stage = await staged(chain)
    receipt, _, _ = await stage.answer(way)
    learned = {fact.name: fact.value for fact in (await stage.money(receipt)).learned}
    assert learned["Facilitator"].startswith("none takes part")
    assert words in learned["The chain"]


def deposit_to(chain: Chain, payment: Authorization, amount: int) -> To:
    """A deposit of the payer's into a payment's channel."""
    assert payment.channel is not None
    payer: Key = PAYER
    return chain.deposit_to(payment.channel.config, amount, payer)
