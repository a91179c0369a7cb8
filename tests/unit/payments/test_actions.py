"""What servers have a facilitator do with channels: read whole, or refused with a reason of ours."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput
from hallmark.core.money import MAX_AMOUNT
from hallmark.payments.x402.actions import MOST_CLAIMS, Claims, Refund, Sweep, is_action, read_action

CONFIG = {
    "payer": "0x" + "11" * 20,
    "payerAuthorizer": "0x" + "00" * 20,
    "receiver": "0x" + "22" * 20,
    "receiverAuthorizer": "0x" + "33" * 20,
    "token": "0x" + "44" * 20,
    "withdrawDelay": 900,
    "salt": "0x" + "55" * 32,
}
CLAIM = {
    "voucher": {"channel": CONFIG, "maxClaimableAmount": "77"},
    "signature": "0x" + "66" * 65,
    "totalClaimed": "70",
}
VOUCHER = {"channelId": "0x" + "77" * 32, "maxClaimableAmount": "77", "signature": "0x" + "66" * 65}
CLAIMS = {"type": "claim", "claims": [CLAIM]}
SWEEP = {"type": "settle", "receiver": "0x" + "22" * 20, "token": "0x" + "44" * 20}
REFUND = {
    "type": "refund",
    "channelConfig": CONFIG,
    "voucher": VOUCHER,
    "amount": "5",
    "refundNonce": "0",
    "claims": [CLAIM],
}


def raw(value: object) -> msgspec.Raw:
    """A payload as it stands in a message."""
    return msgspec.Raw(msgspec.json.encode(value))


def test_each_wish_is_read() -> None:
    """Claims, a payout, money back; signatures that are left out are for the facilitator to make."""
    claims = read_action(raw(CLAIMS))
    assert isinstance(claims, Claims)
    assert (claims.claims[0].total_claimed, claims.claims[0].config.salt, claims.signature) == (
        70,
        b"\x55" * 32,
        b"",
    )
    assert read_action(raw(SWEEP)) == Sweep(b"\x22" * 20, b"\x44" * 20)
    refund = read_action(raw({**REFUND, "refundAuthorizerSignature": "0xabcd"}))
    assert isinstance(refund, Refund)
    assert (refund.amount, refund.nonce, refund.signature, len(refund.claims.claims)) == (
        5,
        0,
        b"\xab\xcd",
        1,
    )
    assert all(is_action(raw(said)) for said in (CLAIMS, SWEEP, REFUND))
    assert not is_action(raw({"type": "deposit"}))
    assert not is_action(raw({"signature": "0x"}))


@pytest.mark.parametrize(
    "said",
    [
        {"type": "claim", "claims": []},
        {"type": "claim", "claims": [CLAIM] * (MOST_CLAIMS + 1)},
        {"type": "claim", "claims": [{**CLAIM, "totalClaimed": str(MAX_AMOUNT + 1)}]},
        {"type": "claim", "claims": [{**CLAIM, "totalClaimed": 70}]},
        {**SWEEP, "receiver": "0x22"},
        {**REFUND, "amount": "-1"},
        {**REFUND, "refundNonce": None},
        {"type": "unknown"},
        [],
        7,
    ],
)
def test_what_is_no_wish_is_refused(said: object) -> None:
    """Nothing to claim, too many at once, numbers that are none."""
    with pytest.raises(InvalidInput) as refused:
        read_action(raw(said))
    assert refused.value.reason == "bad_payment_header"


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_reason(data: bytes) -> None:
    """Whatever a payload is."""
    with contextlib.suppress(InvalidInput):
        read_action(msgspec.Raw(data))


@given(st.sampled_from((CLAIMS, SWEEP, REFUND)), st.data())
def test_any_value_in_any_member_ends_in_a_reason(said: dict[str, Any], data: st.DataObject) -> None:
    """A wish with one member that is anything at all."""
    member = data.draw(st.sampled_from(sorted(said)))
    value = data.draw(st.none() | st.integers() | st.text(max_size=70) | st.lists(st.integers(), max_size=2))
    with contextlib.suppress(InvalidInput):
        read_action(raw({**said, member: value}))
