"""What the chain says of an x402 payment: whether a block has it, and why it takes none where it does not."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.x402_payment import Authorization, Channel
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.sender import Sender
from hallmark.services.chain.x402_lookup import in_block, submitted
from hallmark.services.chain.x402_settlement import To, deposit_call, payer_state, payment_call
from hallmark.telemetry.logs import get_logger


class X402Chain(msgspec.Struct, frozen=True):
    """One chain: the endpoint that is asked, who sends there, its number, after how many blocks a transaction
    counts, and how often new blocks are looked for.
    """

    rpc: RPC
    sender: Sender
    chain_id: int
    confirmations: int
    poll_s: float = 1.0


class Ended(msgspec.Struct, frozen=True):
    """What became of a payment: its transaction, or the reason why there is none, as of `block`; 0 when no
    chain that goes back can change that.
    """

    transaction: bytes
    reason: str
    block: int


def sent_for(payment: Authorization, amount: int) -> To:
    """The call that takes `amount` of a payment, or puts a channel's deposit into it. Raises as
    `payment_call` does.
    """
    channel = payment.channel
    if channel is None or channel.deposit is None:
        return payment_call(payment, amount)
    return deposit_call(channel.config, channel.deposit)


def deposit_payment(channel: Channel) -> Authorization:
    """What a payer signed for a deposit, as a payment of it."""
    deposit, config = channel.deposit, channel.config
    assert deposit is not None
    signed = deposit.permit
    permit = None
    if signed is not None:
        permit = digests.Permit(config.token, deposit.amount, b"", signed.nonce, signed.deadline, b"", 0)
    transfer = deposit.transfer
    return Authorization(
        scheme="exact",
        kind="permit2" if permit is not None else "transfer",
        payer=config.payer,
        amount=deposit.amount,
        digest=deposit.digest,
        expires=transfer.valid_before if transfer else permit.deadline if permit else 0,
        signature=deposit.signature,
        transfer=transfer,
        permit=permit,
        token=config.token,
    )


async def judge(chain: X402Chain, payment: Authorization, sent: Sequence[bytes], why: str) -> Ended:
    """Why the chain does not take a payment now, for which `sent` was sent. Somebody else may have submitted
    it, or an earlier one of ours may have come in: then the money has come.
    """
    head, state = await chain.rpc.head(), await payer_state(chain.rpc, payment)
    if state.used:
        found = await in_block(chain.rpc, sent) or await submitted(chain.rpc, payment, head)
        return (
            Ended(b"", "payment_used", head) if found is None else Ended(found.transaction, "", found.block)
        )
    if payment.expires <= time.time():
        return Ended(b"", "payment_expired", 0)
    if state.balance < payment.amount or (payment.permit and state.allowance < payment.amount):
        return Ended(b"", "insufficient_balance", head)
    get_logger().warning("payment_reverts", error=why or "unknown")
    return Ended(b"", "payment_refused", head)
