"""Settling x402 payments on the chain: the call for each, and what the chain says of channels and payers.

A call is made from a verified payment (`payments.x402.rails`) and an amount; who sends it pays the gas, and
for `upto` must be the facilitator that the payer named. Nothing here sends.

    exact, EIP-3009   token.transferWithAuthorization      the amount is what was signed
    exact, Permit2    exact proxy.settle                   the amount is what was signed
    upto              upto proxy.settle                    at most what was signed
    deposit           channels.deposit, by a collector
    claims            channels.claimWithSignature          moves nothing yet
    sweep             channels.settle                      pays the receiver
    refund            channels.refundWithSignature, after its claims
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.x402_payment import Authorization, Deposit
from hallmark.payments.x402.actions import Claim, Claims, Refund, Sweep
from hallmark.payments.x402.channels import OnChain
from hallmark.services.chain.contract import abi_decode, abi_encode, call_data, selector
from hallmark.services.chain.rpc import RPC, Reverted
from hallmark.services.chain.token import TokenContract, authorized_transfer_call

CONFIG: Final = "(address,address,address,address,address,uint40,bytes32)"
CLAIM: Final = f"(({CONFIG},uint128),bytes,uint128)"
PERMIT: Final = "((address,uint256),uint256,uint256)"
EXACT: Final = (PERMIT, "address", "(address,uint256)", "bytes")
UPTO: Final = (PERMIT, "uint256", "address", "(address,address,uint256)", "bytes")

ERRORS: Final = {
    selector(f"{name}({kinds})"): name
    for name, kinds in (
        ("InvalidNonce", ""),
        ("InvalidSignature", ""),
        ("InvalidSigner", ""),
        ("InvalidAmount", "uint256"),
        ("SignatureExpired", "uint256"),
        ("InvalidOwner", ""),
        ("InvalidDestination", ""),
        ("PaymentTooEarly", ""),
        ("UnauthorizedFacilitator", ""),
        ("AmountExceedsPermitted", ""),
        ("InvalidRefundNonce", ""),
        ("ClaimExceedsBalance", ""),
        ("ClaimExceedsCeiling", ""),
        ("ERC3009InvalidSignature", ""),
        ("ERC20InsufficientBalance", "address,uint256,uint256"),
        ("ERC20InsufficientAllowance", "address,uint256,uint256"),
    )
}


class To(msgspec.Struct, frozen=True):
    """A call: 20-byte contract and call data."""

    contract: bytes
    data: bytes


class PayerState(msgspec.Struct, frozen=True):
    """What the chain says of who signed a payment: whether it was used, what the payer has, and what Permit2
    may take of that.
    """

    used: bool
    balance: int
    allowance: int


def error_name(revert: Reverted) -> str:
    """Name of the custom error, empty when it is none that is known here."""
    return ERRORS.get(revert.data[:4], "")


def payment_call(payment: Authorization, amount: int) -> To:
    """The call that takes `amount` of an `exact` or `upto` payment.

    Raises InvalidInput `amount_not_signed` for one that the payer did not allow.
    """
    if amount > payment.amount or (payment.scheme == "exact" and amount != payment.amount):
        raise InvalidInput("amount_not_signed", "The payer did not sign for this amount.")
    if payment.transfer is not None:
        return To(payment.token, authorized_transfer_call(payment.transfer, payment.signature))
    permit = payment.permit
    if permit is None:
        raise InvalidInput("amount_not_signed", "A voucher is claimed, not settled by itself.")
    permitted = ((hex0x(permit.token), permit.amount), permit.nonce, permit.deadline)
    to, owner = hex0x(permit.to), hex0x(payment.payer)
    if payment.scheme == "exact":
        values = [permitted, owner, (to, permit.valid_after), payment.signature]
        return To(digests.EXACT_PROXY, call_data("settle", EXACT, values))
    witness = (to, hex0x(permit.facilitator), permit.valid_after)
    return To(
        digests.UPTO_PROXY, call_data("settle", UPTO, [permitted, amount, owner, witness, payment.signature])
    )


def deposit_call(config: digests.Channel, deposit: Deposit) -> To:
    """The call that puts a deposit into its channel."""
    if deposit.permit is not None:
        kinds = ["uint256", "uint256", "bytes", "bytes"]
        values: list[Any] = [deposit.permit.nonce, deposit.permit.deadline, deposit.signature, b""]
        collector = digests.PERMIT2_DEPOSIT_COLLECTOR
    else:
        assert deposit.transfer is not None
        kinds = ["uint256", "uint256", "uint256", "bytes"]
        salt = int.from_bytes(deposit.salt, "big")
        values = [deposit.transfer.valid_after, deposit.transfer.valid_before, salt, deposit.signature]
        collector = digests.DEPOSIT_COLLECTOR
    arguments = [_config(config), deposit.amount, hex0x(collector), abi_encode(kinds, values)]
    return _channels("deposit", (CONFIG, "uint128", "address", "bytes"), arguments)


def claims_call(claims: Claims) -> To:
    """The call that claims vouchers by their authorizer's signature."""
    rows = [_claim(one) for one in claims.claims]
    return _channels("claimWithSignature", (f"{CLAIM}[]", "bytes"), [rows, claims.signature])


def sweep_call(sweep: Sweep) -> To:
    """The call that pays a receiver what was claimed."""
    return _channels("settle", ("address", "address"), [hex0x(sweep.receiver), hex0x(sweep.token)])


def refund_call(refund: Refund) -> To:
    """The call that gives money back, after the refund's claims in the same transaction."""
    arguments = [_config(refund.config), refund.amount, refund.nonce, refund.signature]
    back = _channels("refundWithSignature", (CONFIG, "uint128", "uint256", "bytes"), arguments)
    if not refund.claims.claims:
        return back
    return _channels("multicall", ("bytes[]",), [[claims_call(refund.claims).data, back.data]])


def withdraw_calls(config: digests.Channel, amount: int) -> tuple[To, To]:
    """The payer's own way out: asking for `amount` back, and taking it after the channel's delay."""
    begin = _channels("initiateWithdraw", (CONFIG, "uint128"), [_config(config), amount])
    return begin, _channels("finalizeWithdraw", (CONFIG,), [_config(config)])


def claims_digest(claims: Claims, chain_id: int) -> bytes:
    """What the authorizer of these claims signs."""
    rows = [
        digests.Claim(digests.channel_id(one.config, chain_id), one.max_claimable, one.total_claimed)
        for one in claims.claims
    ]
    return digests.claims_digest(rows, chain_id)


async def channel_state(rpc: RPC, channel: bytes) -> OnChain:
    """A channel as the chain has it; all zero for none. Raises what `RPC` raises, VerificationFailed
    `not_a_channel_contract`.
    """
    balance, claimed = await _read(rpc, "channels", ["bytes32"], [channel], ["uint128", "uint128"])
    _, since = await _read(rpc, "pendingWithdrawals", ["bytes32"], [channel], ["uint128", "uint40"])
    (nonce,) = await _read(rpc, "refundNonce", ["bytes32"], [channel], ["uint256"])
    return OnChain(balance, claimed, since, nonce)


async def receiver_totals(rpc: RPC, receiver: bytes, token: bytes) -> tuple[int, int]:
    """All that was ever claimed for a receiver, and what of that was paid out. Raises as `channel_state`."""
    kinds, values = ["address", "address"], [hex0x(receiver), hex0x(token)]
    claimed, settled = await _read(rpc, "receivers", kinds, values, ["uint128", "uint128"])
    return int(claimed), int(settled)


async def claimable(rpc: RPC, receiver: bytes, token: bytes) -> int:
    """What a sweep would pay a receiver now. Raises as `channel_state` does."""
    claimed, settled = await receiver_totals(rpc, receiver, token)
    return max(0, claimed - settled)


async def payer_state(rpc: RPC, payment: Authorization) -> PayerState:
    """What stands against a payment that the chain refuses. Raises what `RPC` and `TokenContract` raise."""
    token = TokenContract(rpc, payment.token)
    balance = await token.balance(payment.payer)
    allowance = await token.allowance(payment.payer, digests.PERMIT2)
    holder = hex0x(payment.payer)
    if payment.transfer is not None:
        asked = call_data("authorizationState", ("address", "bytes32"), [holder, payment.transfer.nonce])
        return PayerState(any(await rpc.read(token.address, asked)), balance, allowance)
    nonce = payment.permit.nonce if payment.permit is not None else 0
    bits = await rpc.read(
        digests.PERMIT2, call_data("nonceBitmap", ("address", "uint256"), [holder, nonce >> 8])
    )
    used = bool(int.from_bytes(bits, "big") >> (nonce & 0xFF) & 1)
    return PayerState(used, balance, allowance)


async def _read(
    rpc: RPC, name: str, kinds: Sequence[str], values: Sequence[Any], returns: Sequence[str]
) -> tuple[Any, ...]:
    returned = await rpc.read(digests.BATCH_SETTLEMENT, call_data(name, kinds, values))
    try:
        return abi_decode(returns, returned)
    except VerificationFailed as error:
        raise VerificationFailed(
            "not_a_channel_contract",
            "The chain has no x402 channels at their address.",
            "Use another chain, or offer `exact` by EIP-3009 alone.",
        ) from error


def _config(config: digests.Channel) -> tuple[Any, ...]:
    parties = (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
    )
    return (*map(hex0x, parties), config.withdraw_delay, config.salt)


def _claim(one: Claim) -> tuple[Any, ...]:
    return ((_config(one.config), one.max_claimable), one.signature, one.total_claimed)


def _channels(name: str, kinds: Sequence[str], values: Sequence[Any]) -> To:
    return To(digests.BATCH_SETTLEMENT, call_data(name, kinds, values))
