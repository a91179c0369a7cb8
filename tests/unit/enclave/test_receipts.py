"""The receipt chain: order, loss of confirmation, bounds."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.entries import decode
from hallmark.core.errors import HallmarkError
from hallmark.core.receipt import Receipt
from hallmark.crypto.hpke import HPKEPrivateKey
from hallmark.crypto.secp256k1 import Key, recover_statement
from hallmark.services.enclave.control import Signed
from hallmark.services.enclave.identity import Identity, TLSIdentity
from hallmark.services.enclave.receipts import MAX_WAITING, ReceiptChain
from hallmark.services.enclave.runtime import Beacon, ReceiptDraft

ZERO = hex0x(bytes(32))
CONFIGURATION = EnclaveConfiguration(
    network=ZERO, chain_id=31337, owner=hex0x(bytes(20)), endpoint="", payment=hex0x(bytes(20)), mode=1,
    capacity=1, models={}, upstreams={}, limits={},
)  # fmt: skip
IDENTITY = Identity(
    Key(bytes([7]) * 32), TLSIdentity(b"", b"", bytes(32)), b"bundle", HPKEPrivateKey(bytes([1]) * 32)
)


def draft(number: int = 0, attachment: bytes = b"") -> ReceiptDraft:
    """A draft that differs by `number`."""
    return ReceiptDraft(
        request=number.to_bytes(32, "big"), response=bytes(32), parameters=bytes(32), route=bytes(32),
        beacon=Beacon(1, bytes(32)), started=1, finished=2, tokens_in=3, tokens_out=4,
        attachments=(attachment, b"", b""),
    )  # fmt: skip


async def test_a_receipt_is_confirmed_before_it_is_given_out() -> None:
    """Signing waits for the host's word for exactly this sequence."""
    sent: list[Signed] = []
    chain = ReceiptChain(IDENTITY, CONFIGURATION, sent.append)
    task = asyncio.create_task(chain.sign(draft()))
    await asyncio.sleep(0)
    chain.stored(5)
    await asyncio.sleep(0)
    assert not task.done()
    chain.stored(0)
    signed = await task
    assert signed.entry == sent[0].entry
    assert recover_statement(signed.receipt, 31337, signed.signature) == IDENTITY.key.address
    assert decode(signed.entry).attachments == (b"", b"", b"")


async def test_an_unconfirmed_receipt_stays_in_the_chain() -> None:
    """After a time-out the answer fails, and the next receipt still names the unconfirmed one."""
    sent: list[Signed] = []
    chain = ReceiptChain(IDENTITY, CONFIGURATION, sent.append)
    with pytest.raises(HallmarkError) as refused:
        await chain.sign(draft(), timeout_s=0)
    assert refused.value.reason == "receipt_not_stored"
    task = asyncio.create_task(chain.sign(draft(1)))
    await asyncio.sleep(0)
    chain.stored(0)
    chain.stored(1)
    second = (await task).receipt
    first = decode(sent[0].entry).statement
    assert isinstance(first, Receipt)
    assert (second.sequence, second.previous) == (1, first.digest())


async def test_what_cannot_be_an_entry_takes_no_number() -> None:
    """An entry that is too large is refused before anything is signed into the chain."""
    sent: list[Signed] = []
    chain = ReceiptChain(IDENTITY, CONFIGURATION, sent.append)
    with pytest.raises(HallmarkError) as refused:
        await chain.sign(draft(attachment=bytes(70_000)))
    assert refused.value.reason == "entry_too_large"
    with pytest.raises(HallmarkError):
        await chain.sign(draft(), timeout_s=0)
    assert [message.sequence for message in sent] == [0]


async def test_a_host_that_stores_nothing_gets_no_more_receipts() -> None:
    """Beyond the bound of unconfirmed receipts nothing is signed."""
    sent: list[Signed] = []
    chain = ReceiptChain(IDENTITY, CONFIGURATION, sent.append)
    for number in range(MAX_WAITING):
        with pytest.raises(HallmarkError):
            await chain.sign(draft(number), timeout_s=0)
    with pytest.raises(HallmarkError) as refused:
        await chain.sign(draft())
    assert refused.value.reason == "outbox_full"
    assert len(sent) == MAX_WAITING
