"""EIP-1559 transactions: signing, fees, waiting; and deployment by CREATE2."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.contract import (
    FACTORY,
    SALT,
    Artifact,
    Parameters,
    create2_address,
    creation_code,
)
from hallmark.services.chain.rpc import RPC, Reverted, RPCRefused, quantity

TIP: Final = 1_000_000_000
FEE_CAP: Final = 10**14
DEPLOYMENT_GAS: Final = 3_000_000
MOST_GAS: Final = 5_000_000
MOST_ESTIMATED: Final = 10**9
LOOKS_A_SECOND: Final = 5
LOST: Final = 25
"""So many looks in a row a chain may not know a transaction: then it was dropped, or went with a reorg."""
TRIES: Final = 8
"""So often a transaction is signed anew when its nonce was another's of the same key."""


class Fees(msgspec.Struct, frozen=True):
    """EIP-1559 fees in wei per gas."""

    limit: int
    tip: int


class Call(msgspec.Struct, frozen=True):
    """What a transaction does: 20-byte receiver, call data, gas limit, and the wei that go along."""

    to: bytes
    data: bytes
    gas: int
    value: int = 0


class Signed(msgspec.Struct, frozen=True):
    """A signed transaction: its raw bytes and its 32-byte hash."""

    raw: bytes
    hash: bytes


class Deployment(msgspec.Struct, frozen=True):
    """Where the Anchor is; `transaction` is the one that this call deployed it by, empty when it was
    there.
    """

    address: bytes
    transaction: bytes = b""


def sign_transaction(call: Call, key: Key, *, chain_id: int, nonce: int, fees: Fees) -> Signed:
    """Sign a type 2 transaction (EIP-1559)."""
    # Imported here, because the two take a second, which no start needs to wait for.
    limit = sys.getrecursionlimit()
    from eth_account import Account
    from eth_utils.address import to_checksum_address

    # What the two load raises the limit a hundredfold: nested JSON would then end the process, not a request.
    sys.setrecursionlimit(limit)
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "to": to_checksum_address("0x" + call.to.hex()),
        "value": call.value,
        "data": call.data,
        "gas": call.gas,
        "maxFeePerGas": fees.limit,
        "maxPriorityFeePerGas": fees.tip,
        "accessList": (),
    }
    signed = Account.sign_transaction(fields, key.secret)
    return Signed(bytes(signed.raw_transaction), bytes(signed.hash))


def replacing(fees: Fees, before: Fees) -> Fees:
    """`fees`, and no lower than what replaces a transaction with the fees `before`."""
    least = bumped(before)
    return Fees(max(fees.limit, least.limit), max(fees.tip, least.tip))


def bumped(fees: Fees) -> Fees:
    """Fees that replace a waiting transaction: 25 % more (nodes ask for 10 %) up to `FEE_CAP`, never less."""
    return Fees(_raised(fees.limit), _raised(fees.tip))


def _raised(fee: int) -> int:
    return max(fee, min(FEE_CAP, fee * 5 // 4 + 1))


async def base_fee(rpc: RPC) -> int:
    """What a unit of gas cost in the newest block, in wei, tips aside. Raises Unavailable
    `chain_unreachable`.
    """
    block = await rpc.call("eth_getBlockByNumber", "latest", False)
    if not isinstance(block, dict):
        raise Unavailable("chain_unreachable", "The chain endpoint shows no newest block.")
    return quantity(block.get("baseFeePerGas", "0x0"), most=2**256)


def fees_over(base: int) -> Fees:
    """Twice a base fee and a fixed tip: a fixed tip cannot feed back into the suggestion.

    At most `FEE_CAP`, whatever the endpoint says: a transaction at the cap waits until fees fall.
    """
    return Fees(min(FEE_CAP, 2 * base + TIP), TIP)


async def suggest_fees(rpc: RPC) -> Fees:
    """Fees that get a transaction into one of the next blocks. Raises Unavailable `chain_unreachable`."""
    return fees_over(await base_fee(rpc))


async def estimated(rpc: RPC, sender: bytes, to: bytes, data: bytes) -> Call:
    """A call of `sender`'s with what its gas is estimated to be and a fifth on top.

    Raises Reverted when it would revert now, Unavailable `chain_unreachable`.
    """
    asked = {"from": hex0x(sender), "to": hex0x(to), "data": hex0x(data)}
    try:
        gas = quantity(await rpc.call("eth_estimateGas", asked))
    except RPCRefused as error:
        raise Unavailable("chain_unreachable", "The chain does not estimate the transaction.") from error
    if gas > MOST_ESTIMATED:
        raise Unavailable("chain_unreachable", "The chain estimates more gas than any block has.")
    return Call(to, data, gas * 6 // 5)


async def is_known(rpc: RPC, transaction: bytes) -> bool:
    """True while a transaction is mined or waits to be. Raises Unavailable `chain_unreachable`."""
    return await rpc.call("eth_getTransactionByHash", hex0x(transaction)) is not None


async def send_raw(rpc: RPC, raw: bytes) -> bool:
    """Hand a signed transaction to the chain; False when it refused (known already, nonce used, no funds).

    Raises Unavailable `chain_unreachable`.
    """
    try:
        await rpc.call("eth_sendRawTransaction", hex0x(raw))
    except (RPCRefused, Reverted):
        return False
    return True


async def perform(
    rpc: RPC, key: Key, to: bytes, data: bytes = b"", *, value: int = 0, timeout_s: float = 60.0
) -> bytes:
    """Have a call mined, at the gas that the chain estimates and a fifth more; its 32-byte hash.

    For calls that nobody replaces: one that waits longer is given up. Raises Reverted when it cannot succeed,
    Unavailable `transaction_failed`, `chain_unreachable`.
    """
    chain_id = await rpc.chain_id()
    asked = {"from": hex0x(key.address), "to": hex0x(to), "data": hex0x(data), "value": hex(value)}
    for _ in range(TRIES):
        gas = quantity(await rpc.call("eth_estimateGas", asked))
        nonce, fees = await rpc.nonce(key.address), await suggest_fees(rpc)
        call = Call(to, data, gas * 6 // 5, value)
        signed = sign_transaction(call, key, chain_id=chain_id, nonce=nonce, fees=fees)
        if await send_raw(rpc, signed.raw):
            await _mined(rpc, signed.hash, timeout_s)
            return signed.hash
        await asyncio.sleep(1 / LOOKS_A_SECOND)
    raise Unavailable(
        "transaction_failed",
        "The chain does not take a transaction.",
        f"Does {hex0x(key.address)} have funds?",
    )


async def _mined(rpc: RPC, transaction: bytes, timeout_s: float) -> None:
    """Until it is in a block and did what it should. Raises Unavailable `transaction_failed`."""
    waiting = _Waiting(rpc, transaction)
    for _ in range(max(1, int(timeout_s * LOOKS_A_SECOND))):
        if await waiting.is_done():
            return
        if waiting.trouble:
            raise Unavailable("transaction_failed", waiting.trouble)
        await asyncio.sleep(1 / LOOKS_A_SECOND)
    raise Unavailable("transaction_failed", "A transaction was not mined in time.")


class _Waiting:
    """A transaction that was handed to the chain; `trouble` is why nothing comes of it, once that is sure."""

    def __init__(self, rpc: RPC, transaction: bytes) -> None:
        self._rpc, self._transaction = rpc, transaction
        self._unknown = 0
        self.trouble = ""

    async def is_done(self) -> bool:
        """Whether it is in a block and did what it should. Raises Unavailable `chain_unreachable`."""
        receipt = await self._rpc.call("eth_getTransactionReceipt", hex0x(self._transaction))
        if isinstance(receipt, dict):
            succeeded = receipt.get("status") == "0x1"
            self.trouble = "" if succeeded else "A transaction was mined and reverted."
            return succeeded
        self._unknown = 0 if await is_known(self._rpc, self._transaction) else self._unknown + 1
        if self._unknown >= LOST:
            self.trouble = "The chain does not know a transaction that it was handed."
        return False


async def deploy_anchor(
    rpc: RPC, key: Key, artifact: Artifact, parameters: Parameters, *, timeout_s: float = 60.0
) -> Deployment:
    """Make sure that the Anchor is on the chain, at the one address that its code and parameters give.

    Does nothing when it is there. Raises Unavailable `no_create2_factory`, `deployment_failed`,
    `chain_unreachable`.
    """
    code = creation_code(artifact, parameters)
    return await deploy_code(
        rpc, key, code, gas=DEPLOYMENT_GAS, what="The Anchor contract", timeout_s=timeout_s
    )


async def deploy_code(
    rpc: RPC,
    key: Key,
    code: bytes,
    *,
    gas: int = MOST_GAS,
    what: str = "The contract",
    timeout_s: float = 60.0,
) -> Deployment:
    """Make sure that creation code was run by the deployment proxy. Does nothing when it was. An error calls
    the contract `what`.

    Raises Unavailable `no_create2_factory`, `deployment_failed`, `chain_unreachable`.
    """
    address = create2_address(code)
    if await rpc.code(address):
        return Deployment(address)
    if not await rpc.code(FACTORY):
        raise Unavailable(
            "no_create2_factory",
            f"This chain has no deterministic deployment proxy at {hex0x(FACTORY)}.",
            "See docs/chain.md, Another chain.",
        )
    signed = sign_transaction(
        Call(FACTORY, SALT + code, gas),
        key,
        chain_id=await rpc.chain_id(),
        nonce=await rpc.nonce(key.address),
        fees=await suggest_fees(rpc),
    )
    # Refused or not: whoever else deploys the same code puts it at the same address.
    await send_raw(rpc, signed.raw)
    waiting = _Waiting(rpc, signed.hash)
    for _ in range(max(1, int(timeout_s * LOOKS_A_SECOND))):
        await waiting.is_done()
        if await rpc.code(address):
            return Deployment(address, signed.hash)
        if waiting.trouble:
            break
        await asyncio.sleep(1 / LOOKS_A_SECOND)
    raise Unavailable(
        "deployment_failed",
        f"{what} did not appear on the chain. {waiting.trouble}".strip(),
        f"Does {hex0x(key.address)} have funds?",
    )
