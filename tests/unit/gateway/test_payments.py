"""Payments on their way through a gateway: headers both ways, whom they pay, and what is never repeated."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.services.gateway.payments import TOLD, read_paying
from hallmark.testing import payments
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.network import ZERO_ADDRESS

JSON = b"application/json"
REQUIRED = b'{"error":{"code":"payment_required","message":"Pay.","hint":"See."}}'
TRANSFER = {"from": "0x" + "Aa" * 20}


def vault_header(local: LocalNetwork, node: int = 0, **changes: Any) -> str:
    """A payment to the owner of a node."""
    payee = local.net.nodes[node].owner.address
    spent = payments.spend_bytes(local.net, payee, 1_000, **changes)
    return base64.b64encode(spent + bytes(32)).decode()


def x402_header(payee: str, **changes: Any) -> str:
    """An x402 payment as far as a gateway reads it."""
    value = {"x402Version": 2, "accepted": {"payTo": payee}, "payload": {"authorization": TRANSFER}} | changes
    return base64.b64encode(json.dumps(value).encode()).decode()


def pay_the_first(local: LocalNetwork) -> None:
    """Let both nodes be paid at the address of the first one's owner."""
    payee = hex0x(local.net.nodes[0].owner.address)
    for member in local.gateway.follower.replica.registry.members.values():
        if member.bundle is not None:
            member.bundle = msgspec.structs.replace(member.bundle, payment=payee)


@pytest.mark.parametrize("paid", [0, 1])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_payment_reaches_the_node_that_it_pays(
    ask: Any, local: LocalNetwork, paid: int, stream: bool
) -> None:
    """The header arrives as it was sent, whatever its case, at no other node than the payee's."""
    header = vault_header(local, paid)
    for _ in range(4):
        status, _, _ = await ask.raw(
            "/v1/chat/completions",
            json.dumps({"model": "digits", "messages": [], "stream": stream}).encode(),
            headers={"HALLMARK-Payment": header},
        )
        assert status == 200
    assert [len(node.headers) for node in local.nodes] == [4 * (1 - paid), 4 * paid]
    assert {headers[b"hallmark-payment"] for headers in local.nodes[paid].headers} == {header.encode()}


async def test_x402_goes_to_the_payee_that_was_accepted(ask: Any, local: LocalNetwork) -> None:
    """`accepted.payTo` chooses the node, in any case of its digits."""
    payee = "0x" + local.net.nodes[1].owner.address.hex().upper()
    status, _, _ = await ask.chat(payment_signature=x402_header(payee))
    assert (status, len(local.nodes[0].headers), len(local.nodes[1].headers)) == (200, 0, 1)


async def test_a_channel_goes_to_the_enclave_that_claims_it(ask: Any, local: LocalNetwork) -> None:
    """The key that signs a channel's claims is the settlement key of one node."""
    pay_the_first(local)
    registry = local.gateway.follower.replica.registry
    mine, other = (registry.members[node.address] for node in local.net.nodes)
    assert other.bundle is not None
    other.bundle = msgspec.structs.replace(other.bundle, settlement="0x" + "dd" * 20)
    channel = {"payer": "0x" + "Aa" * 20, "receiverAuthorizer": "0x" + "DD" * 20}
    header = x402_header(hex0x(mine.owner), payload={"type": "voucher", "channelConfig": channel})
    for _ in range(3):
        assert (await ask.chat(payment_signature=header))[0] == 200
    assert [len(node.headers) for node in local.nodes] == [0, 3]


async def test_nobody_of_that_payee(ask: Any, local: LocalNetwork) -> None:
    """A payee without a node is answered with 402, and is no failure of the network's."""
    status, _, body = await ask.chat(payment_signature=x402_header("canary of a payee"))
    assert (status, json.loads(body)["error"]["code"]) == (402, "no_node_for_payee")
    assert b"canary" not in body
    assert local.gateway.failures.listed() == ()


async def test_a_payees_node_that_is_away_does_not_say_that_answers_fail(
    ask: Any, local: LocalNetwork
) -> None:
    """Who pays it gets no answer, and that is counted; what others get is not known from that."""
    local.gateway.loads.of(local.nodes[0].party.address).avoid_until = 1 << 60
    for _ in range(4):
        status, _, body = await ask.raw(
            "/v1/chat/completions",
            json.dumps({"model": "digits", "messages": []}).encode(),
            headers={"hallmark-payment": vault_header(local, 0)},
        )
        assert (status, json.loads(body)["error"]["code"]) == (503, "no_node")
    (failure,) = local.gateway.failures.listed()
    assert (failure.model, failure.reason, failure.count) == ("digits", "no_node", 4)
    traffic = local.gateway.failures._traffic
    assert traffic is not None
    assert traffic.streaks() == ()
    local.gateway.loads.of(local.nodes[1].party.address).avoid_until = 1 << 60
    for _ in range(3):
        assert (await ask.chat())[0] == 503
    assert [streak.count for streak in traffic.streaks()] == [3]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"hallmark-payment": "A" * 16_384}, "payment_header_too_large"),
        ({"payment-signature": "A" * 16_384}, "payment_header_too_large"),
        ({"hallmark-payment": "garbage!"}, "bad_payment_header"),
        ({"hallmark-payment": "AAAA"}, "bad_payment_header"),
        ({"payment-signature": base64.b64encode(b"[]").decode()}, "bad_payment_header"),
        ({"payment-signature": base64.b64encode(b"[" * 3_000).decode()}, "bad_payment_header"),
        ({"payment-signature": base64.b64encode(b"\xff").decode()}, "bad_payment_header"),
        ({"payment-signature": x402_header(ZERO_ADDRESS), "hallmark-payment": "AAAA"}, "several_payments"),
    ],
)
async def test_a_header_that_is_none(
    ask: Any, local: LocalNetwork, headers: dict[str, str], code: str
) -> None:
    """Too long, no base64, no payment, two payments: 400 with a reason, and no node is asked."""
    status, _, body = await ask.chat(**{name.replace("-", "_"): value for name, value in headers.items()})
    assert (status, json.loads(body)["error"]["code"]) == (400, code)
    assert [node.headers for node in local.nodes] == [[], []]


@pytest.mark.parametrize(
    ("status", "code", "paid"),
    [
        (402, "payment_required", False),
        (402, "insufficient_balance", True),
        (409, "payment_reused", True),
        (400, "bad_payment_header", True),
        (500, "internal_error", True),
    ],
)
async def test_a_refusal_is_the_callers(
    ask: Any, local: LocalNetwork, status: int, code: str, paid: bool
) -> None:
    """What a node says about money comes through with its headers; nobody else is asked for it."""
    said = json.dumps({"error": {"code": code, "message": "No."}}).encode()
    for node in local.nodes:
        node.behaviour, node.says = "says", (status, JSON, said)
        node.told = tuple((name, b"told") for name in sorted(TOLD))
    sent = {"hallmark-payment": vault_header(local)} if paid else {}
    got, headers, body = await ask.chat(**sent)
    assert (got, body) == (status, said)
    assert {headers[name.decode()] for name in TOLD} == {"told"}
    assert sum(len(node.headers) for node in local.nodes) == 1
    if status == 402:
        assert headers["cache-control"] == "no-store"
    if status != 500:
        assert local.gateway.failures.listed() == ()
        assert all(load.failures == 0 for load in local.gateway.loads.loads.values())


async def test_a_providers_402_is_a_failure(ask: Any, local: LocalNetwork) -> None:
    """A provider that wants money of the operator is no request for payment."""
    for node in local.nodes:
        node.behaviour = "says"
        node.says = (402, JSON, b'{"error":{"code":"upstream_rejected","message":"No."}}')
    assert (await ask.chat())[0] == 402
    assert [failure.reason for failure in local.gateway.failures.listed()] == ["refused"]


async def test_what_may_have_been_charged_is_not_asked_of_another(ask: Any, local: LocalNetwork) -> None:
    """A node that is lost with a payment is the end of it; one that is busy is passed over, and what it says
    about the account comes through.
    """
    one, other = local.nodes
    pay_the_first(local)
    one.behaviour = other.behaviour = "die"
    status, headers, body = await ask.chat(hallmark_payment=vault_header(local))
    assert (status, json.loads(body)["error"]["code"]) == (503, "answer_lost")
    assert headers["x-should-retry"] == "false"
    assert len(one.headers) + len(other.headers) == 1
    for node in local.nodes:
        local.gateway.loads.heard(node.party.address, local.net.now)
        local.gateway.loads.of(node.party.address).avoid_until = 0
        node.behaviour = "busy"
    status, _, body = await ask.chat(hallmark_payment=vault_header(local, nonce=b"\2" * 32))
    assert (status, json.loads(body)["error"]["code"]) == (503, "no_node")
    assert (len(one.headers) > 0, len(other.headers) > 0) == (True, True)
    before = len(one.headers) + len(other.headers)
    for node in local.nodes:
        node.behaviour = "says"
        node.says = (503, JSON, b'{"error":{"code":"lease_unavailable","message":"No."}}')
    status, _, body = await ask.chat(hallmark_payment=vault_header(local, nonce=b"\3" * 32))
    assert (status, json.loads(body)["error"]["code"]) == (503, "lease_unavailable")
    assert len(one.headers) + len(other.headers) == before + 1


async def test_copies_go_where_the_first_went(ask: Any, local: LocalNetwork) -> None:
    """One authorization, sent again and again, reaches one node, though two are of its payee."""
    pay_the_first(local)
    header = vault_header(local)
    for _ in range(12):
        assert (await ask.chat(hallmark_payment=header))[0] == 200
    assert sorted(len(node.headers) for node in local.nodes) == [0, 12]


def test_without_a_payment_nothing_is_read() -> None:
    """Other headers are looked at by name alone."""
    assert read_paying([(b"content-type", b"application/json"), (b"hallmark-nonce", b"00")]) is None


async def test_offers_in_force(ask: Any, local: LocalNetwork) -> None:
    """The newest offer of a node's owner that covers this moment, with what a payer needs; others not."""
    net = local.net
    terms = payments.offer(net)
    over = payments.offer(net, since=net.now - 9_000, until=net.now - 1)
    newer = payments.offer(net, prices=(*terms.prices,), until=terms.until + 1)
    for offer in (terms, newer, over):
        net.add(payments.price_offer(net, offer))
    local.log.witness()
    await local.gateway.follower.reached(len(net.leaves), 5)
    status, found = await ask.get("/v1/hallmark/offers")
    assert status == 200
    (one,) = found["offers"]
    assert (one["digest"], one["payee"]) == (hex0x(newer.digest()), terms.payee)
    assert (one["asset"]["symbol"], one["vault"]) == ("DEV", hex0x(payments.VAULT))
    assert one["prices"][0]["million_tokens_out"] == 600_000
    (node,) = one["nodes"]
    assert (node["node"], node["models"], node["answers"]) == (
        hex0x(net.nodes[0].address),
        ["digits"],
        True,
    )
    assert "entry" not in one
    status, single = await ask.get(f"/v1/hallmark/offers/{node['node']}?proofs=true")
    assert single["entry"]["index"] == one["position"]
    assert single["entry"]["proof"]
    assert single["nodes"][0]["registration"]["proof"]


async def test_nodes_without_an_offer(ask: Any, local: LocalNetwork) -> None:
    """A node whose owner made none, and an address that is no node's, have their reasons."""
    assert (await ask.get("/v1/hallmark/offers"))[1]["offers"] == []
    node = hex0x(local.net.nodes[0].address)
    status, body = await ask.get(f"/v1/hallmark/offers/{node}")
    assert (status, body["error"]["code"]) == (404, "no_offer")
    status, body = await ask.get(f"/v1/hallmark/offers/{ZERO_ADDRESS}")
    assert (status, body["error"]["code"]) == (404, "no_such_node")
