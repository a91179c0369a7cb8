"""x402: what stock clients sign is taken, and nothing that differs from what was offered."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.core.x402_payment import name_of
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.x402 import messages
from hallmark.payments.x402.messages import (
    MAX_HEADER,
    PaymentPayload,
    Requirements,
    SettleResponse,
    decode_payment,
    encode_header,
    network_of,
)
from hallmark.payments.x402.rails import RAILS, Authorization, authorize

NOW = 1_790_000_000
PAYER = bytes.fromhex("19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A")
RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "x402-2.25.0.json").read_text())
"""What the clients of PyPI's x402 2.25.0 sent for a known key, recorded."""
KINDS = ("exact", "exact-permit2", "upto", "batch-settlement")
CHANNEL_EXTRA = {"receiverAuthorizer": "0x00000000000000000000000000000000000000C3", "withdrawDelay": 900}


def offered(kind: str) -> Requirements:
    """The requirement that the recorded payment accepted, as our side offered it."""
    accepted = dict(RECORDED[kind]["accepted"])
    if kind == "batch-settlement":
        accepted["extra"] = {**accepted["extra"], **CHANNEL_EXTRA}
    return msgspec.convert(accepted, Requirements)


def header(kind: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> bytes:
    """A recorded payment as a client sends it, changed."""
    message = json.loads(json.dumps({"x402Version": 2, **RECORDED[kind]}))
    change(message)
    return base64.b64encode(json.dumps(message).encode())


def judged(
    kind: str, change: Callable[[dict[str, Any]], None] = lambda _: None, now: int = NOW
) -> Authorization:
    """The authorization in a recorded payment."""
    return authorize(decode_payment(header(kind, change)), [offered(kind)], now)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stock_clients_sign_is_taken(kind: str) -> None:
    """Each scheme's recorded payment: its payer, amount and end."""
    found = judged(kind)
    assert (found.payer, found.amount) == (PAYER, 2_500)
    assert found.expires == (0 if kind == "batch-settlement" else NOW + 60)


def test_a_channel_is_the_one_that_stock_clients_compute() -> None:
    """Its id, what may be claimed from it, and its deposit; the next voucher is good for more."""
    first = judged("batch-settlement")
    assert first.channel is not None
    assert first.channel.deposit is not None
    assert first.channel.id.hex() == RECORDED["batch-settlement"]["channel"][2:]
    assert (first.channel.max_claimable, first.channel.deposit.transfer.value) == (2_500, 25_000)

    def next_voucher(message: dict[str, Any]) -> None:
        message["payload"] = {
            "type": "voucher",
            "channelConfig": message["payload"]["channelConfig"],
            "voucher": RECORDED["batch-settlement"]["voucher2"],
        }

    second = judged("batch-settlement", next_voucher)
    assert second.channel is not None
    assert second.channel.deposit is None
    assert second.channel.max_claimable == 5_000
    assert name_of(second, b"") != name_of(first, b"")


def flipped(text: str) -> str:
    """The same text with its last hexadecimal digit changed."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def leaves(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every text in a JSON value."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    return [path] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind in KINDS for path in leaves(RECORDED[kind]["payload"])]
)
def test_every_field_of_a_payment_counts(kind: str, path: tuple[str, ...]) -> None:
    """Whatever one of them is changed to, the payment is refused with a reason of ours."""

    def change(message: dict[str, Any]) -> None:
        inner = message["payload"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = "voucher" if path[-1] == "type" else flipped(inner[path[-1]])

    if path == ("type",):  # a voucher without its deposit is a payment of its own
        assert judged(kind, change).channel is not None
        return
    with pytest.raises((PaymentRequired, InvalidInput)) as refused:
        judged(kind, change)
    assert refused.value.status in (400, 402)


def test_a_refund_pays_for_no_request() -> None:
    """Who asks for a channel's money back is read where refunds are, and served nowhere."""

    def change(message: dict[str, Any]) -> None:
        message["payload"]["type"] = "refund"

    with pytest.raises(InvalidInput) as refused:
        judged("batch-settlement", change)
    assert refused.value.reason == "bad_payment_header"
    payment = decode_payment(header("batch-settlement", change))
    found = authorize(payment, [offered("batch-settlement")], NOW, refunds=True)
    assert (found.refund, found.amount) == (True, 0)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("network", "eip155:8453"),
        ("network", "base-sepolia"),
        ("amount", "2499"),
        ("asset", "0x00000000000000000000000000000000000000A2"),
        ("payTo", "0x00000000000000000000000000000000000000B3"),
        ("scheme", "upto"),
    ],
)
def test_terms_that_were_not_offered_are_refused(member: str, value: str) -> None:
    """Another chain, a short amount, a foreign asset, another payee, another scheme."""

    def change(message: dict[str, Any]) -> None:
        message["accepted"][member] = value

    with pytest.raises(PaymentRequired) as refused:
        judged("exact", change)
    assert refused.value.reason == "payment_not_offered"


@pytest.mark.parametrize("kind", ["exact", "exact-permit2", "upto"])
@pytest.mark.parametrize("now", [NOW + 55, NOW + 10**6])
def test_a_payment_ends(kind: str, now: int) -> None:
    """Also when it would end before it can be settled."""
    with pytest.raises(PaymentRequired) as refused:
        judged(kind, now=now)
    assert refused.value.reason == "payment_expired"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"%%%", "bad_payment_header"),
        (b"", "bad_payment_header"),
        (base64.b64encode(b"\xff\xfe"), "bad_payment_header"),
        (base64.b64encode(b"[]"), "bad_payment_header"),
        (base64.b64encode(b'{"x402Version":2}'), "bad_payment_header"),
        (base64.b64encode(b'{"x402Version":2,"x402Version":2}'), "bad_payment_header"),
        (base64.b64encode(b'{"x402Version":' + b"9" * 4000 + b"}"), "bad_payment_header"),
        (base64.b64encode(b"[" * 3000), "bad_payment_header"),
        (base64.b64encode(b'{"x402Version":1,"scheme":"exact","network":"base-sepolia"}'), "x402_version"),
        (b"A" * (MAX_HEADER + 1), "payment_header_too_large"),
        (b"A" * 16_384, "payment_header_too_large"),
    ],
)
def test_a_header_that_is_no_payment_is_refused(value: bytes, reason: str) -> None:
    """Garbage, repeated members, endless numbers, version 1, and one of 16 KB."""
    with pytest.raises(InvalidInput) as refused:
        decode_payment(value)
    assert refused.value.reason == reason
    assert refused.value.status == (413 if isinstance(refused.value, TooLarge) else 400)


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_reason(data: bytes) -> None:
    """In a header as they are or in base64."""
    for value in (data, base64.b64encode(data)):
        with pytest.raises(InvalidInput):
            decode_payment(value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=90),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(KINDS), st.data())
def test_any_value_in_any_place_ends_in_a_reason(kind: str, data: st.DataObject) -> None:
    """A payment of which one member is anything at all is taken or refused, never an error of a library's."""
    paths = leaves(RECORDED[kind]["payload"]) + [("channelConfig", "withdrawDelay")] * (kind == KINDS[3])
    path = data.draw(st.sampled_from(paths))

    def change(message: dict[str, Any]) -> None:
        inner = message["payload"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = data.draw(VALUES)

    with contextlib.suppress(PaymentRequired, InvalidInput):
        judged(kind, change)


def test_ways_to_pay_are_offered_in_one_order() -> None:
    """The one that costs no transaction a request first, the one of a transaction each last."""
    assert list(RAILS) == ["batch-settlement", "upto", "exact"]


def test_what_we_send_has_no_null_and_reads_back() -> None:
    """Stock clients refuse null for a member that they may leave out."""
    required = messages.PaymentRequired((offered("exact"),), error="payment_required")
    sent = json.loads(base64.b64decode(encode_header(required)))
    assert sent["x402Version"] == 2
    assert "resource" not in sent
    assert sent["accepts"][0] == RECORDED["exact"]["accepted"]
    settled = SettleResponse(True, network_of(31_337), "")
    assert json.loads(base64.b64decode(encode_header(settled))) == {
        "success": True,
        "network": "eip155:31337",
        "transaction": "",
    }


def test_a_payload_keeps_what_we_do_not_know() -> None:
    """Newer clients add members; they change nothing."""

    def change(message: dict[str, Any]) -> None:
        message["payload"]["later"] = message["later"] = {"x": 1}
        message["accepted"]["extra"]["later"] = True

    assert judged("exact", change) == judged("exact")
    assert isinstance(decode_payment(header("exact", change)), PaymentPayload)
