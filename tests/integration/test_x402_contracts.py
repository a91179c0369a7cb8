"""x402's contracts on a real EVM: what was signed moves money as it was meant, once, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.eip3009 import RECEIVE, TRANSFER, TokenDomain, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.x402 import digests
from hallmark.payments.x402.actions import Claim, Claims, Refund, Sweep
from hallmark.payments.x402.authorization import Authorization, Deposit
from hallmark.services.chain import x402_contracts
from hallmark.services.chain.contract import abi_encode, read_contract, selector
from hallmark.services.chain.deployment import deploy_dev_token
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.token import TokenContract, approve_call, faucet_call
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
    error_name,
    payer_state,
    payment_call,
    refund_call,
    sweep_call,
    withdraw_calls,
)
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil, toolchain, transact
from hallmark.testing.vaults import FOREVER, SUBMITTER, named_key

pytestmark = pytest.mark.integration

PAYER, PAYEE, AUTHORIZER = named_key("x402 payer"), named_key("x402 payee"), named_key("x402 authorizer")
STRANGER = named_key("x402 stranger")
SALTS = itertools.count(1)
NO_CLAIMS = Claims(())


class Chain(msgspec.Struct):
    """A chain with x402's contracts and a token of which the payer has a thousand."""

    rpc: RPC
    token: TokenContract
    domain: TokenDomain

    async def send(self, call: To, key: Key = SUBMITTER) -> None:
        """A transaction that must succeed."""
        receipt = await transact(self.rpc, key, call.contract, call.data)
        assert receipt["status"] == "0x1", await self.refusal(call, key)

    async def refusal(self, call: To, key: Key = SUBMITTER) -> str:
        """The error that a call would end with; empty for none."""
        question = {"from": hex0x(key.address), "to": hex0x(call.contract), "data": hex0x(call.data)}
        try:
            await self.rpc.call("eth_call", question, "latest")
        except Reverted as revert:
            return error_name(revert) or "another"
        return ""

    async def approve(self) -> None:
        """The payer lets Permit2 take what it signs for."""
        await fund(self.rpc, PAYER)
        await self.send(To(self.token.address, approve_call(digests.PERMIT2, 2**256 - 1)), PAYER)

    async def word(self, name: str, kinds: str, values: list[object]) -> bytes:
        """What the channels' contract answers."""
        data = selector(f"{name}({kinds})") + abi_encode(_split(kinds), values)
        return await self.rpc.read(digests.BATCH_SETTLEMENT, data)


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
    """The chain as it was, whatever a test did to it."""
    rpc = RPC(url)
    before = await rpc.call("evm_snapshot")
    await fund(rpc, SUBMITTER)
    await install(rpc, prepare_x402(repository_root()))
    artifact = read_contract(toolchain().contracts / "DevToken.json")
    token = TokenContract(rpc, (await deploy_dev_token(rpc, SUBMITTER, artifact)).address)
    chain = Chain(rpc, token, await token.domain(CHAIN_ID))
    await chain.send(To(token.address, faucet_call(PAYER.address, 1_000)))
    yield chain
    await rpc.call("evm_revert", before)
    await rpc.aclose()


def transfer(chain: Chain, value: int) -> Authorization:
    """A signed payment by EIP-3009."""
    nonce = next(SALTS).to_bytes(32, "big")
    one = Transfer(PAYER.address, PAYEE.address, value, 0, FOREVER, nonce)
    digest = authorization_digest(TRANSFER, one, chain.domain)
    return Authorization(
        "exact", "transfer", PAYER.address, value, digest, FOREVER, PAYER.sign(digest), transfer=one,
        token=chain.token.address,
    )  # fmt: skip


def permit(chain: Chain, value: int, facilitator: bytes = b"") -> Authorization:
    """A signed payment by Permit2; `upto` when a facilitator is named."""
    scheme, proxy = ("upto", digests.UPTO_PROXY) if facilitator else ("exact", digests.EXACT_PROXY)
    one = digests.Permit(
        chain.token.address, value, proxy, next(SALTS) << 3, FOREVER, PAYEE.address, 0, facilitator
    )
    return signed_permit(scheme, one)


def signed_permit(scheme: str, one: digests.Permit, key: Key = PAYER) -> Authorization:
    """A Permit2 payment with a key's signature, as the payer's."""
    digest = digests.permit_digest(one, CHAIN_ID)
    return Authorization(
        scheme, "permit2", PAYER.address, one.amount, digest, FOREVER, key.sign(digest), permit=one,
        token=one.token,
    )  # fmt: skip


def channel(chain: Chain, *, authorizer: bytes = b"", delay: int = 900) -> digests.Channel:
    """A new channel of the payer's for the payee."""
    salt = next(SALTS).to_bytes(32, "big")
    return digests.Channel(
        PAYER.address,
        authorizer or bytes(20),
        PAYEE.address,
        AUTHORIZER.address,
        chain.token.address,
        delay,
        salt,
    )


def deposit(chain: Chain, config: digests.Channel, amount: int) -> To:
    """A signed deposit by EIP-3009."""
    name, salt = digests.channel_id(config, CHAIN_ID), next(SALTS).to_bytes(32, "big")
    nonce = digests.deposit_nonce(name, salt)
    one = Transfer(PAYER.address, digests.DEPOSIT_COLLECTOR, amount, 0, FOREVER, nonce)
    digest = authorization_digest(RECEIVE, one, chain.domain)
    return deposit_call(config, Deposit(amount, PAYER.sign(digest), digest, one, salt))


def voucher(config: digests.Channel, most: int, claimed: int, key: Key = PAYER) -> Claim:
    """A voucher, and what is claimed of it."""
    digest = digests.voucher_digest(digests.channel_id(config, CHAIN_ID), most, CHAIN_ID)
    return Claim(config, most, key.sign(digest), claimed)


def authorized(*claims: Claim, key: Key = AUTHORIZER) -> Claims:
    """Claims with their authorizer's signature."""
    return Claims(claims, key.sign(claims_digest(Claims(claims), CHAIN_ID)))


def refund(config: digests.Channel, amount: int, nonce: int, claims: Claims = NO_CLAIMS) -> Refund:
    """A refund with its authorizer's signature."""
    name = digests.channel_id(config, CHAIN_ID)
    signature = AUTHORIZER.sign(digests.refund_digest(name, nonce, amount, CHAIN_ID))
    return Refund(config, amount, nonce, claims, signature)


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
    payment = transfer(chain, 40)
    call = payment_call(payment, 40)
    assert not (await payer_state(chain.rpc, payment)).used
    await chain.send(call)
    assert await chain.token.balance(PAYEE.address) == 40
    state = await payer_state(chain.rpc, payment)
    assert (state.used, state.balance) == (True, 960)
    assert await chain.refusal(call) != ""


async def test_exact_by_permit2(chain: Chain) -> None:
    """What was signed moves whole, once; changed in any field it does not move."""
    payment = permit(chain, 40)
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
    payment = permit(chain, 500, SUBMITTER.address)
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
    payment = permit(chain, 40)
    assert payment.permit is not None
    word, bit = divmod(payment.permit.nonce, 256)
    data = selector("invalidateUnorderedNonces(uint256,uint256)")
    data += abi_encode(["uint256", "uint256"], [word, 1 << bit])
    await chain.send(To(digests.PERMIT2, data), PAYER)
    assert await chain.refusal(payment_call(payment, 40)) == "InvalidNonce"


async def test_digests_are_the_contracts_own(chain: Chain) -> None:
    """Channel, voucher, refund and claims are called the same here and there."""
    config = channel(chain, authorizer=STRANGER.address)
    name = digests.channel_id(config, CHAIN_ID)
    parties = (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
    )
    row = (*map(hex0x, parties), config.withdraw_delay, config.salt)
    assert await chain.word("getChannelId", CONFIG, [row]) == name
    said = await chain.word("getVoucherDigest", "bytes32,uint128", [name, 77])
    assert said == digests.voucher_digest(name, 77, CHAIN_ID)
    said = await chain.word("getRefundDigest", "bytes32,uint256,uint128", [name, 3, 77])
    assert said == digests.refund_digest(name, 3, 77, CHAIN_ID)
    for claims in ((), (Claim(config, 77, b"", 70), Claim(config, 78, b"", 71))):
        rows = [((row, one.max_claimable), one.signature, one.total_claimed) for one in claims]
        said = await chain.word("getClaimBatchDigest", f"{CLAIM}[]", [rows])
        assert said == claims_digest(Claims(claims), CHAIN_ID)


async def test_a_channel_from_deposit_to_payout(chain: Chain) -> None:
    """Deposits, vouchers, one claim for two channels, one sweep; a claim that is behind charges nothing."""
    one, other = channel(chain), channel(chain, authorizer=STRANGER.address)
    for config in (one, other):
        await chain.send(deposit(chain, config, 300))
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
    config, other = channel(chain), channel(chain)
    one = digests.DepositPermit(
        chain.token.address, 120, next(SALTS), FOREVER, digests.channel_id(config, CHAIN_ID)
    )
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
    config = channel(chain)
    await chain.send(deposit(chain, config, 300))
    made = refund(config, 1_000, 0, authorized(voucher(config, 250, 200)))
    await chain.send(refund_call(made))
    assert await chain.token.balance(PAYER.address) == 800
    state = await channel_state(chain.rpc, digests.channel_id(config, CHAIN_ID))
    assert (state.balance, state.total_claimed, state.refund_nonce) == (200, 200, 1)
    assert await chain.refusal(refund_call(refund(config, 1, 0))) == "InvalidRefundNonce"
    stranger = replace(refund(config, 1, 1), signature=refund(channel(chain), 1, 1).signature)
    assert await chain.refusal(refund_call(stranger)) == "InvalidSignature"


async def test_a_payer_leaves_alone_after_the_delay(chain: Chain) -> None:
    """Not before it, not with what was claimed meanwhile, and nobody else starts it."""
    config = channel(chain)
    await chain.send(deposit(chain, config, 300))
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
        (channel(chain, delay=899), 10),
        (channel(chain, delay=2_592_001), 10),
        (replace(channel(chain), receiver_authorizer=bytes(20)), 10),
        (channel(chain), 0),
    ):
        assert await chain.refusal(deposit(chain, config, amount)) == "another"
