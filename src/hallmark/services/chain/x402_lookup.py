"""Where in the chain an x402 payment is: by the transactions that were sent for it, by what a token told of
an EIP-3009 authorization, by the signature in a call.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.hashing import keccak256
from hallmark.core.x402_payment import Authorization
from hallmark.services.chain.rpc import RPC, data, quantity
from hallmark.services.chain.sender import Mined
from hallmark.services.chain.token import transfer_topics

BLOCKS_BACK: Final = 5_000
"""How far back a payment is looked for that somebody else submitted."""
AUTHORIZATION_USED: Final = keccak256(b"AuthorizationUsed(address,bytes32)")
MOST_CALLS: Final = 32
"""Transfers of a payer to a payee of which the calls are read."""


async def in_block(rpc: RPC, transactions: Sequence[bytes]) -> Mined | None:
    """The newest of these transactions that a block has and that did not revert. Raises what `RPC` raises."""
    for transaction in reversed(transactions):
        found = _mined(transaction, await rpc.call("eth_getTransactionReceipt", hex0x(transaction)))
        if found is not None and found.ok:
            return found
    return None


async def submitted(rpc: RPC, payment: Authorization, head: int) -> Mined | None:
    """The transaction of the newest blocks in which somebody submitted an EIP-3009 authorization: anybody
    may, and the payee has the money. That its nonce is used says less: it may have been cancelled, and its
    payer may have signed the same nonce for another payee. Raises what `RPC` raises.
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
            transaction = data(event.get("transactionHash"))
            receipt = await rpc.call("eth_getTransactionReceipt", hex0x(transaction))
            found = _mined(transaction, receipt)
            if found is not None and _pays(receipt, asked["topics"], payment):
                return found
    return None


async def permitted(rpc: RPC, payment: Authorization, head: int) -> Mined | None:
    """The transaction of the newest blocks that moved a Permit2 payment to its payee, known by the payer's
    signature in its call. Raises what `RPC` raises.
    """
    permit = payment.permit
    if permit is None:
        return None
    asked = {
        "address": hex0x(payment.token),
        "topics": transfer_topics(payment.payer, permit.to),
        "fromBlock": hex(max(0, head - BLOCKS_BACK)),
        "toBlock": "latest",
    }
    events = await rpc.call("eth_getLogs", asked)
    for event in (events if isinstance(events, list) else [])[: -MOST_CALLS - 1 : -1]:
        name = str(event.get("transactionHash", "")) if isinstance(event, dict) else ""
        call = await rpc.call("eth_getTransactionByHash", name)
        if isinstance(call, dict) and payment.signature.hex() in str(call.get("input", "")).lower():
            receipt = await rpc.call("eth_getTransactionReceipt", name)
            return _mined(data(name), receipt)
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
    moved = transfer_topics(transfer.holder, transfer.to)
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
