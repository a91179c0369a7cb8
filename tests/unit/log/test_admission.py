"""What the log lets in, and what it says to the rest."""

from __future__ import annotations

import pytest

from hallmark.core.beacon import network_id
from hallmark.core.entries import MAX_ENTRY, Entry, decode, entry_id
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.services.log.admission import Submission, admit, join_many, split_many
from hallmark.testing.log_entries import plain_entry, receipt_chain

NETWORK = network_id("log.test/hallmark")
KEY = Key(bytes([7]) * 32)
RECEIPTS = receipt_chain(NETWORK, 31337, KEY, 3)


def test_what_is_admitted() -> None:
    """A signed receipt is admitted with its node and sequence, another entry without."""
    assert admit(RECEIPTS[2], NETWORK, 31337) == Submission(
        RECEIPTS[2], entry_id(RECEIPTS[2]), KEY.address, 2
    )
    plain = plain_entry(NETWORK, 1)
    assert admit(plain, NETWORK, 31337) == Submission(plain, entry_id(plain))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad_entry"),
        (b"\x01\xff" + bytes(300), "bad_entry"),
        (RECEIPTS[0][:-1], "bad_entry"),
        (RECEIPTS[0] + b"\0", "bad_entry"),
        (bytes(MAX_ENTRY + 1), "entry_too_large"),
        (plain_entry(bytes(32), 1), "wrong_network"),
        (Entry(decode(RECEIPTS[0]).statement, ()).encode(), "signature_missing"),
        (Entry(decode(RECEIPTS[0]).statement, decode(RECEIPTS[1]).signatures).encode(), "wrong_signer"),
        (Entry(decode(RECEIPTS[0]).statement, (bytes(65),)).encode(), "bad_signature"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    """Everything else is refused with its reason."""
    with pytest.raises(HallmarkError) as caught:
        admit(data, NETWORK, 31337)
    assert caught.value.reason == reason


def test_another_chain_is_another_signature() -> None:
    """A receipt signed for one chain id is not one for another."""
    with pytest.raises(HallmarkError) as caught:
        admit(RECEIPTS[0], NETWORK, 1)
    assert caught.value.reason == "wrong_signer"


def test_many_entries_in_one_body() -> None:
    """Bodies of many entries come apart as they were put together; cut ones are refused."""
    body = join_many([b"", b"a", *RECEIPTS])
    assert split_many(body) == [b"", b"a", *RECEIPTS]
    assert split_many(b"") == []
    for cut in (1, 3, len(body) - 1):
        with pytest.raises(InvalidInput):
            split_many(body[cut:] if cut == 3 else body[:cut])
