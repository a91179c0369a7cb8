"""The real chain behind `AnchorChain`: one Anchor contract over JSON-RPC, one submitting key."""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.services.anchor.chain import Rejected, Submission, View
from hallmark.services.chain.contract import AnchorContract, Stored, error_name, submit_call
from hallmark.services.chain.rpc import RPC, Reverted, RPCRefused, quantity
from hallmark.services.chain.transactions import Call, Fees, Signed, send_raw, sign_transaction, suggest_fees


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

    async def fees(self) -> Fees:
        """Twice the base fee and a fixed tip."""
        return await suggest_fees(self.rpc)

    async def build(self, submission: Submission, nonce: int, fees: Fees) -> Signed:
        """A signed transaction with an estimated gas limit and a fifth on top."""
        data = submit_call(submission.size, submission.root, submission.signatures)
        call = {"from": hex0x(self._key.address), "to": hex0x(self.contract.address), "data": hex0x(data)}
        try:
            gas = quantity(await self.rpc.call("eth_estimateGas", call))
        except Reverted as revert:
            raise Rejected(error_name(revert) or "reverted") from revert
        except RPCRefused as error:
            raise Unavailable("chain_unreachable", "The chain does not estimate the submission.") from error
        return sign_transaction(
            Call(self.contract.address, data, gas * 6 // 5),
            self._key,
            chain_id=self._chain_id,
            nonce=nonce,
            fees=fees,
        )

    async def send(self, raw: bytes) -> bool:
        """Hand a transaction over; False when the chain does not take it."""
        return await send_raw(self.rpc, raw)

    async def knows(self, transaction: bytes) -> bool:
        """True while a transaction is mined or waits to be."""
        return await self.rpc.call("eth_getTransactionByHash", hex0x(transaction)) is not None
