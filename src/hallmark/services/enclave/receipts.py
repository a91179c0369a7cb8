"""The chain of receipts of one enclave key, in memory: sequence and `previous` without gaps.

A sequence number is used once: it is taken when the receipt is signed, whatever happens afterwards. A receipt
whose storing was not confirmed in time still is the predecessor of the next one, and the host, which has it,
goes on trying.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from hallmark.core.document import unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.entries import Entry
from hallmark.core.errors import Unavailable
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import RECEIPT_VERSION, Receipt
from hallmark.core.typed import signing_digest
from hallmark.services.enclave.control import Signed
from hallmark.services.enclave.identity import Identity
from hallmark.services.enclave.runtime import ReceiptDraft, SignedReceipt

STORE_TIMEOUT_S: Final = 2.0
MAX_WAITING: Final = 256


class ReceiptChain:
    """Signs receipts in order and waits for the host to store them."""

    def __init__(
        self, identity: Identity, configuration: EnclaveConfiguration, send: Callable[[Signed], None]
    ) -> None:
        self._identity = identity
        self._configuration = configuration
        self._send = send
        self._sequence = 0
        self._previous = ZERO32
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def require_room(self) -> None:
        """Raises Unavailable `outbox_full` when the next receipt would not be signed."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable(
                "outbox_full", "The host does not store receipts any more.", "Try another node."
            )

    async def sign(self, draft: ReceiptDraft, timeout_s: float = STORE_TIMEOUT_S) -> SignedReceipt:
        """Sign, hand over, wait until stored; see `Runtime.sign_receipt`.

        Raises Unavailable `receipt_not_stored`, `outbox_full` (nothing was signed), TooLarge
        `entry_too_large` (nothing was signed).
        """
        self.require_room()
        signed = self._next(draft)
        number = signed.receipt.sequence
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = stored
        self._send(Signed(number, signed.entry))
        late = asyncio.get_running_loop().call_later(timeout_s, _late, stored)
        try:
            await stored
        finally:
            late.cancel()
        return signed

    def stored(self, sequence: int) -> None:
        """The host has `sequence` on disk."""
        waiting = self._waiting.pop(sequence, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _next(self, draft: ReceiptDraft) -> SignedReceipt:
        """Build and sign the next receipt; the chain advances only when that worked."""
        receipt = Receipt(
            version=RECEIPT_VERSION,
            network=unhex(self._configuration.network),
            node=self._identity.key.address,
            bundle=self._identity.bundle_digest,
            sequence=self._sequence,
            previous=self._previous,
            request=draft.request,
            response=draft.response,
            mode=self._configuration.mode if draft.mode is None else draft.mode,
            artifact=draft.artifact,
            manifest=draft.manifest,
            upstream=draft.upstream,
            parameters=draft.parameters,
            route=draft.route,
            inputs=draft.inputs,
            payment=draft.payment,
            charged=draft.charged,
            tokens_in=draft.tokens_in,
            tokens_out=draft.tokens_out,
            beacon_size=draft.beacon.size,
            beacon_root=draft.beacon.root,
            started=draft.started,
            finished=draft.finished,
            policy=draft.policy,
            client_nonce=draft.client_nonce,
        )
        hashed = receipt.digest()
        signature = self._identity.key.sign(signing_digest(hashed, self._configuration.chain_id))
        entry = Entry(receipt, (signature,), draft.attachments).encode()
        self._previous = hashed
        self._sequence += 1
        return SignedReceipt(receipt, hashed, signature, entry)


def _late(stored: asyncio.Future[None]) -> None:
    if not stored.done():
        stored.set_exception(Unavailable("receipt_not_stored", "The receipt is signed but not stored yet."))
