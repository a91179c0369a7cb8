"""What /verify and /settle are asked: read whole, or refused in x402's words; and who may ask."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.errors import RateLimited, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.http.serve import Listen
from hallmark.services.facilitator.access import Access
from hallmark.services.facilitator.asked import network_in, read
from hallmark.services.facilitator.reasons import Refusal
from hallmark.services.facilitator.settings import Key, Settings, Token
from hallmark.services.facilitator.verifier import Verifier, settlement_id
from hallmark.services.log.settings import Quota

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "payments" / "vectors" / "x402-2.25.0.json").read_text()
)
KINDS = ("exact", "exact-permit2", "upto", "batch-settlement")
CHAIN = int(RECORDED["exact"]["accepted"]["network"].removeprefix("eip155:"))
TOKEN = RECORDED["exact"]["accepted"]["asset"].lower()
EXTRA = RECORDED["exact"]["accepted"]["extra"]
SETTINGS = Settings(
    listen=Listen(1),
    database="sqlite://",
    rpc_url="http://127.0.0.1:1",
    chain_id=CHAIN,
    key_file="",
    tokens=(Token(TOKEN, EXTRA["name"], EXTRA["version"]),),
)


def body(kind: str = "exact", **changed: Any) -> dict[str, Any]:
    """A recorded payment as a server asks about it."""
    accepted = RECORDED[kind]["accepted"]
    asked = {
        "x402Version": 2,
        "paymentPayload": {"x402Version": 2, **RECORDED[kind]},
        "paymentRequirements": accepted,
    }
    return {**json.loads(json.dumps(asked)), **changed}


def refused(value: Any) -> str:
    """The code with which a body is refused."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(Refusal) as error:
        read(data, CHAIN)
    return error.value.code


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_payments_of_stock_clients_are_read(kind: str) -> None:
    """With and without the outer version, which some servers leave out."""
    asked = read(json.dumps(body(kind)).encode(), CHAIN)
    without = body(kind)
    del without["x402Version"]
    assert read(json.dumps(without).encode(), CHAIN) == asked
    assert asked.identifier == ""
    assert network_in(json.dumps(body(kind)).encode()) == f"eip155:{CHAIN}"


def test_version_1_is_refused_by_name() -> None:
    """Outside, inside, or in both."""
    old = body()["paymentPayload"] | {"x402Version": 1}
    assert refused(body(x402Version=1)) == "invalid_x402_version"
    assert refused(body(paymentPayload=old)) == "invalid_x402_version"
    assert refused(body(x402Version=1, paymentPayload=old)) == "invalid_x402_version"


@pytest.mark.parametrize("network", ["base-sepolia", "eip155:8453", "eip155:*", ""])
def test_other_networks_are_refused(network: str) -> None:
    """Names of version 1 among them: none is guessed at."""
    required = {**body()["paymentRequirements"], "network": network}
    assert refused(body(paymentRequirements=required)) == "invalid_network"


def test_identifiers() -> None:
    """16 to 128 letters; one that a server requires is there."""
    for info, code in (
        ({"id": "short"}, "invalid_payload"),
        ({"id": "x" * 129}, "invalid_payload"),
        ({"id": "no spaces in this one"}, "invalid_payload"),
        ({"required": True}, "invalid_payload"),
        ({"id": 7}, "invalid_payload"),
    ):
        payment = body()["paymentPayload"] | {"extensions": {"payment-identifier": {"info": info}}}
        assert refused(body(paymentPayload=payment)) == code
    good = {"payment-identifier": {"info": {"required": True, "id": "0123456789abcdef"}, "schema": {}}}
    payment = body()["paymentPayload"] | {"extensions": good}
    assert read(json.dumps(body(paymentPayload=payment)).encode(), CHAIN).identifier == "0123456789abcdef"


@pytest.mark.parametrize(
    "value", [b"", b"null", b"[]", b"{}", b"[" * 50_000, b"\xff", b'{"a":1,"a":2}', b"9" * 5_000]
)
def test_garbage_is_no_payment(value: bytes) -> None:
    """And never an error of a library's."""
    assert refused(value) == "invalid_payload"
    assert network_in(value) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=90),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every member."""
    if not isinstance(value, dict):
        return []
    return [(*path, key) for key in value] + [
        place for key, inner in value.items() for place in places(inner, (*path, key))
    ]


@given(st.sampled_from(KINDS), st.data())
def test_any_value_in_any_place_is_taken_or_refused(kind: str, data: st.DataObject) -> None:
    """Whatever one member is, reading and judging end in a payment or in a code."""
    asked = body(kind)
    path = data.draw(st.sampled_from(places(asked)))
    inner = asked
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = data.draw(VALUES)
    verifier = Verifier(None, SETTINGS, b"\1" * 20)  # type: ignore[arg-type]  # the chain is not asked
    with contextlib.suppress(Refusal):
        for settling in (False, True):
            found = read(json.dumps(asked).encode(), CHAIN)
            assert len(settlement_id(verifier.judge(found, settling=settling)[0])) == 32


def scope(value: bytes = b"") -> dict[str, Any]:
    """A request with an Authorization header."""
    return {"headers": [(b"authorization", value)] if value else []}


def test_keys_and_quotas() -> None:
    """Nobody without a key unless that is allowed; each key and each payer has a quota."""
    key = Key("server", hex0x(sha256(b"secret")))
    few = replace(SETTINGS, keys=(key,), per_key=Quota(0.001, 2), per_payer=Quota(0.001, 1))
    access = Access(few)
    for value in (b"", b"Bearer", b"Bearer wrong", b"Basic secret", b"secret"):
        with pytest.raises(Unauthorized):
            access.caller(scope(value))
    assert access.caller(scope(b"bearer secret")) == key
    access.caller(scope(b"Bearer secret"))
    with pytest.raises(RateLimited) as limited:
        access.caller(scope(b"Bearer secret"))
    assert limited.value.reason == "rate_limited"
    access.payer(b"\1" * 20)
    access.payer(b"\2" * 20)
    with pytest.raises(Refusal) as refused:
        access.payer(b"\1" * 20)
    assert refused.value.code == "rate_limited"
    everybody = Access(replace(few, anonymous=True))
    assert everybody.caller(scope()).receivers == ()
    with pytest.raises(Unauthorized):
        everybody.caller(scope(b"Bearer wrong"))
