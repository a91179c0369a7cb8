"""What the chain says of an x402 payment: whether a block has it, and why it takes none where it does not."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.hashing import keccak256
from hallmark.core.x402_payment import Authorization, Channel
from hallmark.services.chain.rpc import RPC, data, quantity
from hallmark.services.chain.sender import Mined, Sender
from hallmark.services.chain.x402_settlement import To, deposit_call, payer_state, payment_call
from hallmark.telemetry.logs import get_logger

BLOCKS_BACK: Final = 5_000
"""How far back a payment is looked for that somebody else submitted."""
AUTHORIZATION_USED: Final = keccak256(b"AuthorizationUsed(address,bytes32)")
MOVED: Final = keccak256(b"Transfer(address,address,uint256)")


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


async def in_block(rpc: RPC, transactions: Sequence[bytes]) -> Mined | None:
    """The newest of these transactions that a block has and that did not revert. Raises what `RPC` raises."""
    for transaction in reversed(transactions):
        found = _mined(transaction, await rpc.call("eth_getTransactionReceipt", hex0x(transaction)))
        if found is not None and found.ok:
            return found
    return None


async def judge(chain: X402Chain, payment: Authorization, sent: Sequence[bytes], why: str) -> Ended:
    """Why the chain does not take a payment now, for which `sent` was sent. Somebody else may have submitted
    it, or an earlier one of ours may have come in: then the money has come.
    """
    head, state = await chain.rpc.head(), await payer_state(chain.rpc, payment)
    if state.used:
        found = await in_block(chain.rpc, sent) or await _by_another(chain.rpc, payment, head)
        return (
            Ended(b"", "payment_used", head) if found is None else Ended(found.transaction, "", found.block)
        )
    if payment.expires <= time.time():
        return Ended(b"", "payment_expired", 0)
    if state.balance < payment.amount or (payment.permit and state.allowance < payment.amount):
        return Ended(b"", "insufficient_balance", head)
    get_logger().warning("payment_reverts", error=why or "unknown")
    return Ended(b"", "payment_refused", head)


async def _by_another(rpc: RPC, payment: Authorization, head: int) -> Mined | None:
    """The transaction in which somebody else submitted an EIP-3009 authorization: anybody may, and the payee
    has the money. That its nonce is used says less: it may have been cancelled, and its payer may have signed
    the same nonce for another payee.
    """
    if payment.transfer is None:
        return None
    holder = hex0x(bytes(12) + payment.payer)
    asked = {
        "address": hex0x(payment.token),
        "topics": [hex0x(AUTHORIZATION_USED), holder, hex0x(payment.transfer.nonce)],
        "fromBlock": hex(max(0, head - BLOCKS_BACK)),
        "toBlock": "latest",
    }
    events = await rpc.call("eth_getLogs", asked)
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("topics") == asked["topics"]:
            transaction = bytes.fromhex(str(event.get("transactionHash", "0x"))[2:])
            receipt = await rpc.call("eth_getTransactionReceipt", hex0x(transaction))
            found = _mined(transaction, receipt)
            if found is not None and _pays(receipt, asked["topics"], payment):
                return found
    return None


def _pays(receipt: object, used: object, payment: Authorization) -> bool:
    """Whether the token's event after that of the used nonce moves this payment to its payee."""
    assert payment.transfer is not None, "an authorization was looked for"
    logs = receipt.get("logs") if isinstance(receipt, dict) else None
    token, transfer = hex0x(payment.token), payment.transfer
    events = [
        one
        for one in (logs if isinstance(logs, list) else ())
        if isinstance(one, dict) and str(one.get("address", "")).lower() == token
    ]
    parties = [hex0x(bytes(12) + party) for party in (transfer.holder, transfer.to)]
    moved = [hex0x(MOVED), *parties]
    return any(
        first.get("topics") == used
        and second.get("topics") == moved
        and data(second.get("data")) == transfer.value.to_bytes(32, "big")
        for first, second in itertools.pairwise(events)
    )


def _mined(transaction: bytes, receipt: object) -> Mined | None:
    if not isinstance(receipt, dict) or receipt.get("blockNumber") is None:
        return None
    ok = quantity(receipt.get("status", "0x1")) == 1
    return Mined(transaction, quantity(receipt["blockNumber"]), ok)
