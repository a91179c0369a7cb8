"""Whether a payment would settle: its bytes, then the chain. Nothing is reserved by asking."""

from __future__ import annotations

import time

import msgspec
from msgspec.structs import replace

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.x402_payment import Authorization, Channel, Deposit, name_of
from hallmark.payments.x402.channels import OnChain
from hallmark.payments.x402.messages import Requirements
from hallmark.payments.x402.rails import authorize
from hallmark.services.chain.rpc import RPC, Reverted, data
from hallmark.services.chain.x402_settlement import (
    To,
    channel_state,
    deposit_call,
    error_name,
    payer_state,
    payment_call,
)
from hallmark.services.facilitator.asked import Asked
from hallmark.services.facilitator.reasons import (
    CHANNEL,
    REQUIREMENTS,
    Refusal,
    diagnosis,
    method_of,
    refusal,
)
from hallmark.services.facilitator.settings import Settings


class Valid(msgspec.Struct, frozen=True):
    """A payment that would settle for up to `amount`, and its channel as the chain has it."""

    payment: Authorization
    amount: int
    channel: OnChain | None = None


class Verifier:
    """See the module docstring. `signer` is the account that settles."""

    def __init__(self, rpc: RPC, settings: Settings, signer: bytes) -> None:
        self._rpc = rpc
        self._signer = signer
        self._tokens = {unhex(token.address): token for token in settings.tokens}

    def judge(self, asked: Asked, *, settling: bool) -> tuple[Authorization, int]:
        """The payment in a request, by its bytes alone, and the amount to settle. At settlement a server may
        take less than what `upto` and channels allow.

        1. Payment and requirements say the same.
        2. The token is one that is settled here, under its own name.
        3. Every field and signature holds.
        4. An `upto` payment names this facilitator.

        Raises Refusal.
        """
        required, accepted = asked.requirements, asked.payment.accepted
        amount = int(required.amount)
        offered = required
        if settling and required.scheme != "exact":
            if amount > int(accepted.amount):
                raise Refusal(_exceeds(required), "This is more than the payer signed for.")
            offered = replace(required, amount=accepted.amount)
        self._require_token(offered)
        try:
            payment = authorize(asked.payment, (offered,), int(time.time()), refunds=True)
        except HallmarkError as error:
            raise refusal(error, offered) from error
        if payment.permit is not None and payment.permit.facilitator not in (b"", self._signer):
            raise Refusal("upto_facilitator_mismatch", "The payer named another facilitator.")
        return payment, amount

    async def verify(self, payment: Authorization) -> Valid:
        """Ask the chain about a judged payment. Raises Refusal; Unavailable when the chain says nothing."""
        if payment.channel is None:
            await self._would_work(payment, payment_call(payment, payment.amount), payment.amount)
            return Valid(payment, payment.amount)
        channel = payment.channel
        state = await channel_state(self._rpc, channel.id)
        _require_covered(payment, channel, state)
        if channel.deposit is not None:
            call = deposit_call(channel.config, channel.deposit)
            await self._would_work(payment, call, channel.deposit.amount)
        return Valid(payment, payment.amount, state)

    async def diagnose(self, payment: Authorization, amount: int, revert: Reverted) -> Refusal:
        """Why the chain refuses a payment. Raises Unavailable when it does not say."""
        state = await payer_state(self._rpc, payment)
        return diagnosis(payment, amount, state, error_name(revert))

    async def _would_work(self, payment: Authorization, call: To, amount: int) -> None:
        question = {"from": hex0x(self._signer), "to": hex0x(call.contract), "data": hex0x(call.data)}
        try:
            data(await self._rpc.call("eth_call", question, "latest"))  # null is no answer
        except Reverted as revert:
            raise await self.diagnose(payment, amount, revert) from revert

    def _require_token(self, offered: Requirements) -> None:
        token = self._tokens.get(unhex(offered.asset.lower()))
        if token is None:
            raise Refusal(REQUIREMENTS, "Payments in this token are not settled here.")
        if method_of(offered) == "permit2":
            return
        extra = offered.extra
        if method_of(offered) == "channel" and extra.get("assetTransferMethod") == "permit2":
            return
        if not extra.get("name") or not extra.get("version"):
            prefix = CHANNEL if method_of(offered) == "channel" else ""
            raise Refusal(
                f"{prefix}missing_eip712_domain", "The requirements lack the token's name or version."
            )
        for member, code in (("name", "token_name_mismatch"), ("version", "token_version_mismatch")):
            if extra[member] != getattr(token, member):
                raise Refusal(f"invalid_exact_evm_{code}", f"The token has another {member}.")


def settlement_id(payment: Authorization) -> bytes:
    """The name under which an authorization is settled once: of the deposit where there is one."""
    deposit = _deposit_of(payment)
    return name_of(replace(payment, digest=deposit.digest) if deposit is not None else payment, b"")


def _deposit_of(payment: Authorization) -> Deposit | None:
    return payment.channel.deposit if payment.channel is not None else None


def _exceeds(required: Requirements) -> str:
    if required.scheme == "upto":
        return "invalid_upto_evm_payload_settlement_exceeds_amount"
    return f"{CHANNEL}charge_exceeds_signed_cumulative"


def _require_covered(payment: Authorization, channel: Channel, state: OnChain) -> None:
    """Raises Refusal unless the channel, with its deposit, holds what the voucher is for."""
    adds = channel.deposit.amount if channel.deposit is not None else 0
    if state.balance + adds == 0:
        raise Refusal(f"{CHANNEL}channel_not_found", "The chain has no such channel.")
    if channel.max_claimable > state.balance + adds:
        raise Refusal(f"{CHANNEL}cumulative_exceeds_balance", "The channel holds less than this voucher.")
    least = state.total_claimed if payment.refund else state.total_claimed + 1
    if channel.max_claimable < least:
        raise Refusal(f"{CHANNEL}cumulative_below_claimed", "More than this voucher was claimed before.")
