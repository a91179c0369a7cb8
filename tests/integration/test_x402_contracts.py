"""x402's contracts on a real EVM: what was signed moves money as it was meant, once, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.core.x402_payment import Deposit
from hallmark.payments.x402.actions import Claim, Claims, Sweep
from hallmark.services.chain import x402_contracts
from hallmark.services.chain.contract import abi_encode, selector
from hallmark.services.chain.toolchain import prepare_x402, repository_root
from hallmark.services.chain.x402_contracts import NAMES, install
from hallmark.services.chain.x402_settlement import (
    CLAIM,
    CONFIG,
    To,
    channel_state,
    claimable,
    claims_call,
    claims_digest,
    deposit_call,
    payer_state,
    payment_call,
    refund_call,
    sweep_call,
    withdraw_calls,
)
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.vaults import FOREVER, SUBMITTER, named_key
from hallmark.testing.x402 import (
    PAYEE,
    PAYER,
    Chain,
    authorized,
    refund,
    signed_permit,
    voucher,
    x402_chain,
)

pytestmark = pytest.mark.integration

STRANGER = named_key("x402 stranger")


async def word(chain: Chain, name: str, kinds: str, values: list[object]) -> bytes:
    """What the channels' contract answers."""
    data = selector(f"{name}({kinds})") + abi_encode(_split(kinds), values)
    return await chain.rpc.read(digests.BATCH_SETTLEMENT, data)


def _split(kinds: str) -> list[str]:
    """Kinds of arguments, cut at the outer commas."""
    parts, depth = [""], 0
    for letter in kinds:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[Chain]:
    """The chain as it was, whatever a test did to it; the payer has a thousand."""
    async with x402_chain(url, poured=0) as chain:
        before = await chain.rpc.call("evm_snapshot")
        await chain.pour(PAYER.address, 1_000)
        yield chain
        await chain.rpc.call("evm_revert", before)


async def test_contracts_are_put_there_once(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second time nothing is written; what was lost is put back; on another chain nothing is ever put."""
    folder = prepare_x402(repository_root())
    assert await install(chain.rpc, folder) == ()
    await chain.rpc.call("anvil_setCode", hex0x(digests.PERMIT2), "0x00")
    assert await install(chain.rpc, folder) == (digests.PERMIT2,)
    monkeypatch.setattr(x402_contracts, "DEVELOPMENT_CHAINS", ())
    with pytest.raises(Unavailable) as error:
        await install(chain.rpc, folder)
    assert error.value.reason == "not_a_development_chain"
    assert await x402_contracts.missing(chain.rpc) == ()
    assert len(NAMES) == 7


async def test_exact_by_authorization(chain: Chain) -> None:
    """The payer's transfer is submitted by somebody else, once, and then says that it was used."""
    payment = chain.transfer(40)
    call = payment_call(payment, 40)
    assert not (await payer_state(chain.rpc, payment)).used
    await chain.send(call)
    assert await chain.token.balance(PAYEE.address) == 40
    state = await payer_state(chain.rpc, payment)
    assert (state.used, state.balance) == (True, 960)
    assert await chain.refusal(call) != ""


async def test_exact_by_permit2(chain: Chain) -> None:
    """What was signed moves whole, once; changed in any field it does not move."""
    payment = chain.permit(40)
    assert await chain.refusal(payment_call(payment, 40)) == "ERC20InsufficientAllowance"
    await chain.approve()
    good = payment.permit
    assert good is not None
    for changed in (
        {"amount": 41},
        {"nonce": good.nonce + 1},
        {"deadline": 1},
        {"to": STRANGER.address},
        {"to": bytes(20)},
        {"valid_after": FOREVER},
        {"valid_after": 1},
    ):
        wrong = replace(payment, permit=replace(good, **changed), amount=changed.get("amount", 40))
        assert await chain.refusal(payment_call(wrong, wrong.amount)) != "", changed
    stranger = signed_permit("exact", good, STRANGER)
    assert await chain.refusal(payment_call(stranger, 40)) == "InvalidSignature"
    await chain.send(payment_call(payment, 40), SUBMITTER)
    assert await chain.token.balance(PAYEE.address) == 40
    assert await chain.refusal(payment_call(payment, 40)) == "InvalidNonce"
    assert (await payer_state(chain.rpc, payment)).used


async def test_upto_takes_less_by_the_named_facilitator(chain: Chain) -> None:
    """2,350 of 5,000, in small; nobody else, no more, and not again for the rest."""
    await chain.approve()
    payment = chain.permit(500, SUBMITTER.address)
    await fund(chain.rpc, STRANGER)
    assert await chain.refusal(payment_call(payment, 235), STRANGER) == "UnauthorizedFacilitator"
    more = replace(payment, amount=501)
    assert await chain.refusal(payment_call(more, 501)) == "AmountExceedsPermitted"
    await chain.send(payment_call(payment, 235))
    assert await chain.token.balance(PAYEE.address) == 235
    assert await chain.refusal(payment_call(payment, 1)) == "InvalidNonce"


async def test_a_void_nonce_moves_nothing(chain: Chain) -> None:
    """A payer takes a permit back."""
    await chain.approve()
    payment = chain.permit(40)
    assert payment.permit is not None
    word, bit = divmod(payment.permit.nonce, 256)
    data = selector("invalidateUnorderedNonces(uint256,uint256)")
    data += abi_encode(["uint256", "uint256"], [word, 1 << bit])
    await chain.send(To(digests.PERMIT2, data), PAYER)
    assert await chain.refusal(payment_call(payment, 40)) == "InvalidNonce"


async def test_digests_are_the_contracts_own(chain: Chain) -> None:
    """Channel, voucher, refund and claims are called the same here and there."""
    config = chain.channel(authorizer=STRANGER.address)
    name = digests.channel_id(config, CHAIN_ID)
    parties = (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
    )
    row = (*map(hex0x, parties), config.withdraw_delay, config.salt)
    assert await word(chain, "getChannelId", CONFIG, [row]) == name
    said = await word(chain, "getVoucherDigest", "bytes32,uint128", [name, 77])
    assert said == digests.voucher_digest(name, 77, CHAIN_ID)
    said = await word(chain, "getRefundDigest", "bytes32,uint256,uint128", [name, 3, 77])
    assert said == digests.refund_digest(name, 3, 77, CHAIN_ID)
    for claims in ((), (Claim(config, 77, b"", 70), Claim(config, 78, b"", 71))):
        rows = [((row, one.max_claimable), one.signature, one.total_claimed) for one in claims]
        said = await word(chain, "getClaimBatchDigest", f"{CLAIM}[]", [rows])
        assert said == claims_digest(Claims(claims), CHAIN_ID)


async def test_a_channel_from_deposit_to_payout(chain: Chain) -> None:
    """Deposits, vouchers, one claim for two channels, one sweep; a claim that is behind charges nothing."""
    one, other = chain.channel(), chain.channel(authorizer=STRANGER.address)
    for config in (one, other):
        await chain.send(chain.deposit_to(config, 300))
    claims = authorized(voucher(one, 250, 200), voucher(other, 100, 100, STRANGER))
    await chain.send(claims_call(claims))
    assert await claimable(chain.rpc, PAYEE.address, chain.token.address) == 300
    await chain.send(claims_call(claims))
    await chain.send(sweep_call(Sweep(PAYEE.address, chain.token.address)))
    assert await chain.token.balance(PAYEE.address) == 300
    assert await claimable(chain.rpc, PAYEE.address, chain.token.address) == 0
    state = await channel_state(chain.rpc, digests.channel_id(one, CHAIN_ID))
    assert (state.balance, state.total_claimed, state.refund_nonce) == (300, 200, 0)
    assert await chain.refusal(sweep_call(Sweep(PAYEE.address, chain.token.address))) == ""
    for wrong, why in (
        (authorized(voucher(one, 250, 251)), "ClaimExceedsCeiling"),
        (authorized(voucher(one, 301, 301)), "ClaimExceedsBalance"),
        (authorized(voucher(one, 250, 250, STRANGER)), "InvalidSignature"),
        (authorized(voucher(other, 250, 250)), "InvalidSignature"),
        (authorized(voucher(one, 250, 250), key=PAYER), "InvalidSignature"),
    ):
        assert await chain.refusal(claims_call(wrong)) == why


async def test_deposits_by_permit2(chain: Chain) -> None:
    """The payer's permit names the channel, so that it cannot be put into another."""
    await chain.approve()
    config, other = chain.channel(), chain.channel()
    one = digests.DepositPermit(chain.token.address, 120, 7, FOREVER, digests.channel_id(config, CHAIN_ID))
    digest = digests.deposit_permit_digest(one, CHAIN_ID)
    made = Deposit(120, PAYER.sign(digest), digest, permit=one)
    assert await chain.refusal(deposit_call(other, made)) == "InvalidSignature"
    await chain.send(deposit_call(config, made))
    assert (await channel_state(chain.rpc, one.channel)).balance == 120
    assert await chain.refusal(deposit_call(config, made)) == "InvalidNonce"


async def test_nobody_collects_for_himself(chain: Chain) -> None:
    """What a payer signed for a collector names no caller, so a collector serves the channels alone."""
    kinds = ["address", "address", "uint256", "bytes32", "bytes"]
    values = [hex0x(PAYER.address), hex0x(chain.token.address), 1, bytes(32), b""]
    data = selector(f"collect({','.join(kinds)})") + abi_encode(kinds, values)
    for collector in (digests.DEPOSIT_COLLECTOR, digests.PERMIT2_DEPOSIT_COLLECTOR):
        assert await chain.refusal(To(collector, data)) == "another"


async def test_refunds_give_back_what_is_not_claimed(chain: Chain) -> None:
    """After its claims, in one transaction, once for each nonce, and never what was claimed."""
    config = chain.channel()
    await chain.send(chain.deposit_to(config, 300))
    made = refund(config, 1_000, 0, authorized(voucher(config, 250, 200)))
    await chain.send(refund_call(made))
    assert await chain.token.balance(PAYER.address) == 800
    state = await channel_state(chain.rpc, digests.channel_id(config, CHAIN_ID))
    assert (state.balance, state.total_claimed, state.refund_nonce) == (200, 200, 1)
    assert await chain.refusal(refund_call(refund(config, 1, 0))) == "InvalidRefundNonce"
    stranger = replace(refund(config, 1, 1), signature=refund(chain.channel(), 1, 1).signature)
    assert await chain.refusal(refund_call(stranger)) == "InvalidSignature"


async def test_a_payer_leaves_alone_after_the_delay(chain: Chain) -> None:
    """Not before it, not with what was claimed meanwhile, and nobody else starts it."""
    config = chain.channel()
    await chain.send(chain.deposit_to(config, 300))
    begin, finish = withdraw_calls(config, 300)
    assert await chain.refusal(begin, STRANGER) == "another"
    await fund(chain.rpc, PAYER)
    await chain.send(begin, PAYER)
    assert (await channel_state(chain.rpc, digests.channel_id(config, CHAIN_ID))).withdraw_at > 0
    await chain.send(claims_call(authorized(voucher(config, 100, 100))))
    await chain.rpc.call("evm_increaseTime", hex(890))
    await chain.rpc.call("evm_mine")
    assert await chain.refusal(finish, PAYER) == "another"
    await chain.rpc.call("evm_increaseTime", hex(10))
    await chain.rpc.call("evm_mine")
    assert await chain.refusal(finish, STRANGER) == "another"
    await chain.send(finish, PAYER)
    assert await chain.token.balance(PAYER.address) == 900
    await chain.send(sweep_call(Sweep(PAYEE.address, chain.token.address)))
    assert await chain.token.balance(PAYEE.address) == 100
    assert await chain.token.balance(digests.BATCH_SETTLEMENT) == 0


async def test_channels_that_cannot_be_are_refused(chain: Chain) -> None:
    """A delay under 15 minutes or over 30 days, no authorizer, and nothing to deposit."""
    for config, amount in (
        (chain.channel(delay=899), 10),
        (chain.channel(delay=2_592_001), 10),
        (replace(chain.channel(), receiver_authorizer=bytes(20)), 10),
        (chain.channel(), 0),
    ):
        assert await chain.refusal(chain.deposit_to(config, amount)) == "another"
