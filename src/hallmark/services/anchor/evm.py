"""The real chain behind `AnchorChain`: one Anchor contract over JSON-RPC, one submitting key."""

from __future__ import annotations

import re
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.hashing import keccak256
from hallmark.crypto.secp256k1 import Key
from hallmark.services.anchor.chain import Rejected, Submission, View
from hallmark.services.chain.contract import AnchorContract, Stored, error_name, submit_call
from hallmark.services.chain.rpc import RPC, Reverted, RPCRefused, data
from hallmark.services.chain.transactions import (
    Fees,
    Signed,
    estimated,
    is_known,
    send_raw,
    sign_transaction,
    suggest_fees,
)

HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
ANCHORED_TOPIC: Final = keccak256(b"Anchored(uint64,bytes32,uint64,address)")


class EVMAnchorChain:
    """See `AnchorChain`."""

    def __init__(self, rpc: RPC, contract: bytes, key: Key, chain_id: int) -> None:
        self.rpc = rpc
        self.contract = AnchorContract(rpc, contract)
        self._key = key
        self._chain_id = chain_id

    async def view(self) -> View:
        """The chain now. Raises VerificationFailed `not_an_anchor` when the contract is not there."""
        head = await self.rpc.head()
        latest = await self.contract.latest()
        return View(head, latest, await self.rpc.nonce(self._key.address))

    async def stored(self, size: int) -> Stored | None:
        """The checkpoint of exactly `size`, if it is anchored."""
        return await self.contract.stored(size)

    async def transaction_of(self, stored: Stored) -> bytes:
        """Hash of the transaction that anchored a checkpoint, from the contract's event in its block."""
        filters = {
            "address": hex0x(self.contract.address),
            "topics": [hex0x(ANCHORED_TOPIC), hex0x(stored.size.to_bytes(32, "big"))],
            "fromBlock": hex(stored.block),
            "toBlock": hex(stored.block),
        }
        try:
            logs = await self.rpc.call("eth_getLogs", filters)
        except RPCRefused:
            return b""
        first = logs[0] if isinstance(logs, list) and logs else {}
        found = first.get("transactionHash") if isinstance(first, dict) else None
        # Which transaction it was is for people to look up: an endpoint that cannot say costs nothing.
        return data(found) if isinstance(found, str) and HASH.fullmatch(found) else b""

    async def fees(self) -> Fees:
        """Twice the base fee and a fixed tip."""
        return await suggest_fees(self.rpc)

    async def build(self, submission: Submission, nonce: int, fees: Fees) -> Signed:
        """A signed transaction with an estimated gas limit and a fifth on top."""
        calldata = submit_call(submission.size, submission.root, submission.signatures)
        try:
            call = await estimated(self.rpc, self._key.address, self.contract.address, calldata)
        except Reverted as revert:
            raise Rejected(error_name(revert) or "reverted") from revert
        return sign_transaction(call, self._key, chain_id=self._chain_id, nonce=nonce, fees=fees)

    async def send(self, raw: bytes) -> bool:
        """Hand a transaction over; False when the chain does not take it."""
        return await send_raw(self.rpc, raw)

    async def knows(self, transaction: bytes) -> bool:
        """True while a transaction is mined or waits to be."""
        return await is_known(self.rpc, transaction)
