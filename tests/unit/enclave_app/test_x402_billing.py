"""Stock x402 payments inside the enclave: every way that a 402 offers is taken, and once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.money import Payment
from hallmark.core.x402_payment import read_payment
from hallmark.payments.x402.actions import Claims, read_action
from hallmark.services.enclave import control, x402_billing
from hallmark.testing import x402_payers
from hallmark.testing.billing import PAYER, SETTLEMENT, MemoryHost, offer_entry
from hallmark.testing.runtime import MemoryRuntime

CHAT = "/v1/chat/completions"
HELLO = {"model": "tiny", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
BODY = json.dumps(HELLO).encode()
SENDER = b"\x21" * 20
Pay = Callable[[httpx.Headers, int], dict[str, str]]


@pytest.fixture
def host(runtime: MemoryRuntime) -> MemoryHost:
    """A host that settles payments, whose enclave charges for everything."""
    made = MemoryHost()
    runtime.billing = made.bill(runtime.configuration, runtime.now)
    entry = offer_entry(runtime.configuration, runtime.now())
    runtime.billing.on_message(control.Terms(entry, SENDER, 900, permit2=True))
    return made


@pytest.fixture
async def client(runtime: MemoryRuntime, host: MemoryHost, make_app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as made:
        yield made


def exact(headers: httpx.Headers, now: int) -> dict[str, str]:
    """By EIP-3009."""
    return x402_payers.exact(PAYER, x402_payers.chosen(headers, "exact", ""), now, b"\1" * 32)


def exact_permit(headers: httpx.Headers, now: int) -> dict[str, str]:
    """Exactly, by Permit2."""
    return x402_payers.permit(PAYER, x402_payers.chosen(headers, "exact", "permit2"), now, 7)


def upto(headers: httpx.Headers, now: int) -> dict[str, str]:
    """At most, by Permit2."""
    return x402_payers.permit(PAYER, x402_payers.chosen(headers, "upto"), now, 7)


def channel(headers: httpx.Headers, now: int, charged: int = 0) -> dict[str, str]:
    """A channel's first voucher, with its deposit."""
    accepted = x402_payers.chosen(headers, "batch-settlement")
    return x402_payers.voucher(PAYER, accepted, charged, deposit=0 if charged else 10_000, now=now)


async def challenged(client: httpx.AsyncClient, body: bytes = BODY) -> httpx.Headers:
    """The head of the 402."""
    answer = await client.post(CHAT, content=body)
    assert answer.status_code == 402
    return answer.headers


def response_of(answer: httpx.Response) -> dict[str, Any]:
    """What PAYMENT-RESPONSE says."""
    found: dict[str, Any] = msgspec.json.decode(base64.b64decode(answer.headers["payment-response"]))
    return found


async def test_a_402_offers_every_way_in_order(runtime: MemoryRuntime, client: httpx.AsyncClient) -> None:
    """Channels first, one transaction a request last; payee, asset, amount are the offer's; never cached."""
    headers = await challenged(client)
    said = x402_payers.challenge_of(headers)
    ways = [(one["scheme"], one["extra"].get("assetTransferMethod")) for one in said["accepts"]]
    assert ways == [
        ("batch-settlement", "eip3009"),
        ("upto", "permit2"),
        ("exact", None),
        ("exact", "permit2"),
    ]
    assert (said["x402Version"], said["error"]) == (2, "payment_required")
    assert {one["payTo"] for one in said["accepts"]} == {runtime.configuration.payment}
    assert said["accepts"][0]["extra"]["receiverAuthorizer"] == hex0x(SETTLEMENT.address)
    assert said["accepts"][1]["extra"]["facilitatorAddress"] == hex0x(SENDER)
    assert said["resource"]["url"] == "https://node.invalid" + CHAT
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("pay", [exact, exact_permit, upto, channel])
async def test_each_way_pays(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient, check: Any, pay: Pay
) -> None:
    """A whole answer leaves when it is settled; the record names rail, payer, and what was signed."""
    headers = pay(await challenged(client), runtime.now() // 1000)
    answer = await client.post(CHAT, content=BODY, headers=headers)
    assert answer.status_code == 200, answer.text
    found = check(answer)
    record = Payment.decode(found.hallmark["documents"]["payment"].encode())
    due = found.receipt.tokens_in + 2 * found.receipt.tokens_out
    rail = {exact: "exact", exact_permit: "exact", upto: "upto", channel: "batch-settlement"}[pay]
    assert (record.rail, record.payer, record.account) == (rail, hex0x(PAYER.address), 0)
    assert int(record.charged) == (int(record.reserved) if rail == "exact" else due) > 0
    told = response_of(answer)
    assert (told["success"], told["payer"], told["network"]) == (True, hex0x(PAYER.address), "eip155:31337")
    payment = read_payment(decode(runtime.signed[-1].entry).attachments[4])
    assert payment.payer == PAYER.address
    if rail == "batch-settlement":
        assert told["transaction"] == ""
        assert told["extra"]["chargedAmount"] == record.charged
        assert told["extra"]["channelState"]["chargedCumulativeAmount"] == record.charged
        assert payment.channel is not None
        assert payment.channel.deposit is None
    else:
        assert len(unhex(told["transaction"])) == 32
        assert told["amount"] == record.charged
        assert list(host.due.values()) == [int(record.charged)]


@pytest.mark.parametrize("pay", [exact, exact_permit, upto])
async def test_one_payment_is_served_once(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient, pay: Pay
) -> None:
    """Of 64 copies at once; the others are told so, and none costs a transaction."""
    headers = pay(await challenged(client), runtime.now() // 1000)
    answers = await asyncio.gather(*(client.post(CHAT, content=BODY, headers=headers) for _ in range(64)))
    assert [answer.status_code for answer in answers].count(200) == len(runtime.signed) == len(host.due) == 1
    refused = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
    assert refused <= {"payment_reused", "node_busy"}
    again = await client.post(CHAT, content=BODY, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "payment_reused")


async def test_a_channel_goes_on(runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient) -> None:
    """Voucher after voucher; one that is out of step is told the state and goes on; then all is claimed."""
    now = runtime.now() // 1000
    headers = await challenged(client)
    accepted = x402_payers.chosen(headers, "batch-settlement")
    charged = 0
    for number in range(3):
        pays = x402_payers.voucher(PAYER, accepted, charged, deposit=0 if number else 10_000, now=now)
        answer = await client.post(CHAT, content=BODY, headers=pays)
        assert answer.status_code == 200, answer.text
        charged = int(response_of(answer)["extra"]["channelState"]["chargedCumulativeAmount"])
    wrong = await client.post(CHAT, content=BODY, headers=x402_payers.voucher(PAYER, accepted, charged + 5))
    assert wrong.status_code == 402
    told = x402_payers.chosen(wrong.headers, "batch-settlement")["extra"]
    assert told["channelState"]["chargedCumulativeAmount"] == str(charged)
    assert x402_payers.challenge_of(wrong.headers)["error"].endswith("cumulative_amount_mismatch")
    assert runtime.billing is not None
    (signed,) = runtime.billing.on_message(control.Settle(1, {}))
    assert isinstance(signed, control.SettlementSigned)
    assert signed.rows == b""
    (claims,) = runtime.billing.on_message(control.ClaimsWanted(1))
    assert isinstance(claims, control.ClaimsSigned)
    read = read_action(msgspec.Raw(claims.claims))
    assert isinstance(read, Claims)
    assert [one.total_claimed for one in read.claims] == [charged]
    name = digests.channel_id(read.claims[0].config, 31_337)
    assert runtime.billing.on_message(control.ClaimsWanted(2, (name,))) == (control.ClaimsSigned(2, b""),)
    runtime.billing.on_message(control.ChannelsClaimed({name: charged}))
    assert runtime.billing.on_message(control.ClaimsWanted(3)) == (control.ClaimsSigned(3, b""),)


async def test_a_payer_who_cannot_pay_gets_nothing(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient
) -> None:
    """Used already on the chain, too poor, a chain that is away, a settlement that fails: nothing is
    delivered, nothing is charged, and the answer says so.
    """
    headers = await challenged(client)
    now = runtime.now() // 1000
    changes: list[tuple[dict[str, Any], int, str]] = [
        ({"used": True}, 402, "payment_used"),
        ({"used": False, "available": 3}, 402, "insufficient_balance"),
        ({"available": 10**6, "reason": "chain_unreachable"}, 503, "payment_unavailable"),
        ({"reason": "", "not_settled": "balance_gone"}, 402, "payment_not_settled"),
    ]
    for number, (change, status, reason) in enumerate(changes):
        for name, value in change.items():
            setattr(host, name, value)
        accepted = x402_payers.chosen(headers, "upto")
        pays = x402_payers.permit(PAYER, accepted, now, number)
        answer = await client.post(CHAT, content=BODY, headers=pays)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, reason)
        assert answer.headers["hallmark-charged"] == "0"
    assert runtime.signed == []
    assert host.journal is not None
    assert host.journal.accounts.open_requests == 0
    assert sum(one.spent for one in host.journal.accounts.accounts.values()) == 0


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (lambda a: a.update(network="eip155:1"), 402, "payment_not_offered"),
        (lambda a: a.update(amount="1"), 402, "payment_not_offered"),
        (lambda a: a.update(asset="0x" + "77" * 20), 402, "payment_not_offered"),
        (lambda a: a.update(payTo="0x" + "77" * 20), 402, "payment_not_offered"),
        (lambda a: a.update(scheme="free"), 402, "payment_not_offered"),
    ],
)
async def test_what_was_not_offered_is_not_taken(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient, change: Any, status: int, reason: str
) -> None:
    """Another chain, amount, asset, payee or scheme: nothing is looked up, nothing runs."""
    accepted = x402_payers.chosen(await challenged(client), "exact", "")
    change(accepted)
    pays = x402_payers.exact(PAYER, accepted, runtime.now() // 1000, b"\2" * 32)
    answer = await client.post(CHAT, content=BODY, headers=pays)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, reason)
    assert "payment-required" in answer.headers
    assert (host.asked, runtime.signed) == ([], [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("garbage!", "bad_payment_header"),
        ("A" * 16_384, "payment_header_too_large"),
        (base64.b64encode(b'{"x402Version":1}').decode(), "x402_version"),
    ],
)
async def test_garbage_is_refused(client: httpx.AsyncClient, value: str, reason: str) -> None:
    """With 400 and a reason."""
    answer = await client.post(CHAT, content=BODY, headers={"payment-signature": value})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, reason)


async def test_a_stream_is_not_held_back(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient, check: Any
) -> None:
    """It ends before its payment is settled; its last event says that it is under way."""
    body = json.dumps(HELLO | {"stream": True}).encode()
    accepted = x402_payers.chosen(await challenged(client, body), "upto")
    pays = x402_payers.permit(PAYER, accepted, runtime.now() // 1000, 9)
    found = check(await client.post(CHAT, content=body, headers=pays))
    told = msgspec.json.decode(base64.b64decode(found.hallmark["payment_response"]))
    assert (told["success"], told["transaction"], told["extra"]["status"]) == (True, "", "pending")
    assert list(host.due.values()) == [found.receipt.charged]


async def test_who_may_be_charged_gets_the_answer(
    runtime: MemoryRuntime, make_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that cannot say in time what became of a payment may still settle it: the answer leaves, and
    says that its payment is under way.
    """
    monkeypatch.setattr(x402_billing, "HOST_TIMEOUT_S", 0.02)
    made = MemoryHost()
    made.waits = True
    runtime.billing = made.bill(runtime.configuration, runtime.now)
    entry = offer_entry(runtime.configuration, runtime.now())
    runtime.billing.on_message(control.Terms(entry, SENDER, 900, permit2=True))
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        pays = upto(await challenged(client), runtime.now() // 1000)
        answer = await client.post(CHAT, content=BODY, headers=pays)
    assert answer.status_code == 200, answer.text
    told = response_of(answer)
    assert (told["success"], told["transaction"], told["extra"]["status"]) == (True, "", "pending")
    assert list(made.due.values()) == [int(told["amount"])]


@pytest.mark.parametrize("pay", [exact, upto, channel])
@pytest.mark.parametrize("reason", ["outbox_full", "receipt_not_stored"])
async def test_what_cannot_be_handed_out_says_what_it_costs(
    runtime: MemoryRuntime,
    host: MemoryHost,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    *,
    pay: Pay,
    reason: str,
) -> None:
    """No room for a receipt is found before money moves; a receipt that may be in the log is charged for."""
    opened = runtime.open_meter

    async def full_meanwhile(asked: Any) -> Any:
        meter = await opened(asked)
        runtime.refuse = reason
        return meter

    headers = pay(await challenged(client), runtime.now() // 1000)
    monkeypatch.setattr(runtime, "open_meter", full_meanwhile)
    answer = await client.post(CHAT, content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, reason)
    charged = int(answer.headers["hallmark-charged"])
    assert bool(charged) == (reason == "receipt_not_stored")
    assert host.journal is not None
    (account,) = host.journal.accounts.accounts.values()
    assert (account.spent, account.reserved) == (charged, 0)
    if pay is not channel:
        assert list(host.due.values()) == [charged]


async def test_a_chain_without_channels_offers_none(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient
) -> None:
    """Nor what needs Permit2 where that is missing."""
    assert runtime.billing is not None
    entry = offer_entry(runtime.configuration, runtime.now())
    runtime.billing.on_message(control.Terms(entry, SENDER, 0, permit2=False))
    said = x402_payers.challenge_of(await challenged(client))
    assert [one["scheme"] for one in said["accepts"]] == ["exact"]


async def test_what_was_open_is_settled_after_a_crash(
    runtime: MemoryRuntime, host: MemoryHost, client: httpx.AsyncClient
) -> None:
    """The next enclave tells the host what each payment came to, so that it can be settled then."""
    headers = upto(await challenged(client), runtime.now() // 1000)
    await client.post(CHAT, content=BODY, headers=headers)
    again = MemoryHost(host.file)
    again.bill(runtime.configuration, runtime.now)
    assert again.due == host.due
