"""Control messages: each survives the wire, and what is not one is refused."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.errors import InvalidInput
from hallmark.services.enclave import control

START = control.Start(b"c", (b"m",), ("label",), bytes(48), "nitro-dev", 1, 2, bytes(32), 3, 4)
LARGE = control.Units(control.MOST)
"""An amount of 96 bits."""
TO_ENCLAVE = [
    START,
    control.Connection(),
    control.BeaconUpdate(1, bytes(32)),
    control.Attest(1, bytes(32)),
    control.Stored(9),
    control.Dialed(1, "unknown_upstream"),
    control.AccountState(1, free=LARGE, most=LARGE, allowance=LARGE),
    control.Settle(1, {b"\x07" * 20: LARGE}),
    control.PaymentState(1, available=LARGE, balance=LARGE, claimed=LARGE),
    control.ChannelsClaimed({bytes(32): LARGE}),
]
FROM_ENCLAVE = [
    control.Attested(b"b", b"e", b"s", b"x"),
    control.Ready(bytes(20), {"landlock": 7}),
    control.Signed(1, b"entry"),
    control.Dial(1, "name"),
    control.Log("event", {"count": 1, "reason": "x"}),
    control.Alive(),
    control.Failed("reason", "message"),
    control.PaymentDue(bytes(32), LARGE),
]


@pytest.mark.parametrize("message", TO_ENCLAVE, ids=lambda m: type(m).__name__)
def test_messages_to_the_enclave(message: control.ToEnclave) -> None:
    """A message to the enclave reads back as itself, and is none from the enclave."""
    data = control.encode(message)
    assert control.decode_to_enclave(data) == message
    with pytest.raises(InvalidInput):
        control.decode_from_enclave(data)


@pytest.mark.parametrize("message", FROM_ENCLAVE, ids=lambda m: type(m).__name__)
def test_messages_from_the_enclave(message: control.FromEnclave) -> None:
    """A message from the enclave reads back as itself, and is none to the enclave."""
    data = control.encode(message)
    assert control.decode_from_enclave(data) == message
    with pytest.raises(InvalidInput):
        control.decode_to_enclave(data)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"type": "none"}), control.encode(START)[:-1]]
)
def test_garbage_is_refused(data: bytes) -> None:
    """Bytes that are no message raise `bad_message`."""
    with pytest.raises(InvalidInput) as refused:
        control.decode_to_enclave(data)
    assert refused.value.reason == "bad_message"


@pytest.mark.parametrize("raw", [5, b"", bytes(15), b"\x01" * 16])
def test_an_amount_is_sixteen_bytes_of_96_bits(raw: object) -> None:
    """A number of another form is no amount."""
    data = msgspec.msgpack.encode({"type": "payment_due", "name": bytes(32), "amount": raw})
    with pytest.raises(InvalidInput) as refused:
        control.decode_from_enclave(data)
    assert refused.value.reason == "bad_message"


def test_a_message_has_a_size_limit() -> None:
    """What would not fit a datagram is refused before it is sent; the largest entry fits."""
    control.encode(control.Signed(1, bytes(65_527)))
    with pytest.raises(InvalidInput) as refused:
        control.encode(control.Signed(1, bytes(control.MAX_MESSAGE)))
    assert refused.value.reason == "message_too_large"
