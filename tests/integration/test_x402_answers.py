"""Stock x402 clients at a network that prices everything: every way to pay, whole and streamed, from 402 to
money on the chain. Real enclaves, real chain, clients of PyPI and npm as they are.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from hallmark.core import x402_digests as digests
from hallmark.core.document import unhex
from hallmark.core.money import Payment
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract, approve_call, faucet_call
from hallmark.services.chain.x402_settlement import channel_state
from hallmark.testing import x402_payers
from hallmark.testing.anvil import fund, transact
from hallmark.testing.held_upstream import WORDS, HeldUpstream
from hallmark.testing.real_network import Network
from hallmark.testing.stock_x402 import command, pay

pytestmark = pytest.mark.integration

PATH = "/v1/chat/completions"
ASKED: dict[str, Any] = {
    "model": "pydoc",
    "max_tokens": 8,
    "messages": [{"role": "user", "content": "What does os.mkfifo do?"}],
}
BODY = json.dumps(ASKED).encode()
WAYS = ("exact", "permit2", "upto", "batch-settlement")
RAILS = ("exact", "upto", "batch-settlement")
POURED = 10_000_000
PATIENCE_S = 300
Change = Callable[[dict[str, Any]], object]


class Market:
    """The network's gateway and chain, and a payer who has money and lets Permit2 take it."""

    def __init__(self, network: Network) -> None:
        place = json.loads((network.home / "client.json").read_text())
        self.gateway: str = place["base_url"]
        self.rpc_url: str = place["chain"]["rpc_url"]
        self.rpc = RPC(self.rpc_url)
        self.token = TokenContract(self.rpc, unhex(place["chain"]["token"]))
        self.payer = Key.generate()
        self.since = 0
        self.http = httpx.AsyncClient(base_url=self.gateway, timeout=90)

    async def open(self) -> None:
        """Pour money, approve Permit2; wait until the chain has x402's contracts and the nodes know."""
        self.since = await self.rpc.head()
        await fund(self.rpc, self.payer)
        for call in (faucet_call(self.payer.address, POURED), approve_call(digests.PERMIT2, 2**256 - 1)):
            receipt = await transact(self.rpc, self.payer, self.token.address, call)
            assert receipt["status"] == "0x1"
        async with asyncio.timeout(PATIENCE_S):
            while len(x402_payers.challenge_of(await self.challenge())["accepts"]) < len(WAYS):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Let go of gateway and chain."""
        await self.http.aclose()
        await self.rpc.aclose()

    async def spent(self) -> int:
        """What the payer has less than at first."""
        return POURED - await self.token.balance(self.payer.address)

    async def taken(self) -> int:
        """How many transactions of others name the payer: what nodes sent for its money, failed ones too."""
        found, payer = 0, "0x" + self.payer.address.hex()
        for number in range(self.since + 1, await self.rpc.head() + 1):
            block = await self.rpc.call("eth_getBlockByNumber", hex(number), True)
            sent = [one for one in block["transactions"] if one["from"] != payer]
            found += sum(payer[2:] in one["input"] for one in sent)
        return found

    async def challenge(self, body: bytes = BODY) -> httpx.Headers:
        """The head of a 402."""
        answer = await self.http.post(PATH, content=body)
        assert answer.status_code == 402, answer.text
        assert answer.headers["cache-control"] == "no-store"
        return answer.headers

    async def ask(self, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
        """A request with a payment."""
        return await self.http.post(PATH, content=body, headers=headers)

    async def until(self, amount: int) -> None:
        """Until the payer has spent so much: what is settled later has come, and no more."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.spent() < amount:  # noqa: ASYNC110 - no event says that a chain moved money
                await asyncio.sleep(0.2)
        assert await self.spent() == amount


@pytest.fixture
async def market(paid_network: Network) -> AsyncIterator[Market]:
    """A payer at the network."""
    made = Market(paid_network)
    await made.open()
    yield made
    await made.close()


def hallmark_of(result: dict[str, Any]) -> dict[str, Any]:
    """The hallmark object of an answer, whole or in its last events."""
    text: str = result["body"]
    if text.startswith("data:"):
        events = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
        assert text.rstrip().endswith("[DONE]")
        said = next(event for event in map(json.loads, reversed(events)) if "hallmark" in event)
    else:
        said = json.loads(text)
    found: dict[str, Any] = said["hallmark"]
    return found


def record_of(result: dict[str, Any]) -> Payment:
    """The payment record that an answer brings."""
    return Payment.decode(hallmark_of(result)["documents"]["payment"].encode())


async def test_stock_clients_pay(paid_network: Network, held: HeldUpstream, tmp_path: Path) -> None:
    """PyPI's over httpx, npm's over fetch and axios, beside each other, each with its own payer. What nodes
    were charged for is what `hallmark node earnings` then says by each rail, and whose word it is.
    """
    before, tasks = await earned(paid_network), list[asyncio.Task[dict[str, int]]]()
    async with asyncio.TaskGroup() as group:
        for script, client in (("pay.py", "httpx"), ("pay.mjs", "fetch"), ("pay.mjs", "axios")):
            folder = tmp_path / client
            folder.mkdir()
            tasks.append(group.create_task(_pays(Market(paid_network), held, folder, script, client)))
    charged = {way: sum(task.result()[way] for task in tasks) for way in RAILS}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = await earned(paid_network)
            if not now["due"] and now["batch-settlement"] == now["claimed on the chain"]:
                break
            await asyncio.sleep(1)
    assert {way: now[way] - before[way] for way in ("exact", "upto")} == {
        way: charged[way] for way in ("exact", "upto")
    }
    assert now["batch-settlement"] - before["batch-settlement"] >= charged["batch-settlement"]
    said = await asyncio.to_thread(paid_network.run, "node", "earnings")
    assert said.returncode == 0, said.stderr
    for way in ("exact", "upto"):
        lines = [line for line in said.stdout.splitlines() if line.strip().startswith(f"x402 {way}")]
        assert lines
        assert all("by the host's own books" in line for line in lines)
    assert "compared with the chain" in said.stdout


async def earned(network: Network) -> dict[str, int]:
    """What all nodes together say that they earned by x402, by the command; what is due of it; and what the
    chain has of their channels.
    """
    done = await asyncio.to_thread(network.run, "node", "earnings", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)

    def total(rail: str, part: str) -> int:
        rails = [one["rails"]["rails"] for one in shown if one["rails"]]
        return sum(int(each[rail][part]["amount"]) for each in rails if rail in each)

    return {
        **{rail: total(rail, "settled") + total(rail, "due") for rail in ("exact", "upto")},
        "due": total("exact", "due") + total("upto", "due"),
        "batch-settlement": sum(int(one["rails"]["claimed"]["amount"]) for one in shown if one["rails"]),
        "claimed on the chain": sum(int(one["paid"]["channels_claimed"] or 0) for one in shown),
    }


def _orders(gateway: str, held: HeldUpstream, client: str) -> list[dict[str, Any]]:
    """Every way to pay, whole and streamed. A stream goes on only as its client says that it has the piece
    before.
    """
    orders = []
    for way, stream in itertools.product(WAYS, (False, True)):
        name = f"{client} {way}"
        asked = ASKED
        if stream:
            asked = {
                **ASKED,
                "model": "held",
                "messages": [{"role": "user", "content": name}],
                "stream": True,
            }
        # axios reads neither PAYMENT-RESPONSE nor a corrective 402: its second voucher is out of step
        channel = way == "batch-settlement"
        if channel and client == "axios" and not stream:
            continue
        order = {
            "url": gateway + PATH,
            "method": "POST",
            "way": way,
            "json": asked,
            "client": client,
            "times": 3 if channel and client != "axios" else 1,
            "arrived": f"{held.origin}/arrived/{quote(name)}" if stream else "",
        }
        orders.append(order)
    return orders


async def _pays(market: Market, held: HeldUpstream, folder: Path, script: str, client: str) -> dict[str, int]:
    """Unmodified, in every way that it knows; what is settled on the chain is what the receipts say. What was
    charged, by rail.
    """
    await market.open()
    orders = _orders(market.gateway, held, client)
    key, rpc = market.payer.secret, market.rpc_url
    paid = await asyncio.to_thread(pay, script, folder, key, rpc, orders)
    for order in orders:
        if order["arrived"]:
            assert held.ended[order["json"]["messages"][0]["content"]] == order["times"], paid
    channels, charged = dict[str, int](), dict.fromkeys(RAILS, 0)
    for order, done in zip(orders, paid, strict=True):
        for one in done:
            assert one["status"] == 200, one
            record, told = record_of(one), one["payment"]
            rail = "exact" if order["way"] == "permit2" else order["way"]
            assert (record.rail, record.payer) == (rail, "0x" + market.payer.address.hex())
            assert 0 < int(record.charged) <= int(record.reserved)
            charged[rail] += int(record.charged)
            if order["arrived"]:
                assert told is None
                assert one["chunks"] >= len(WORDS), "pieces were gathered on the way"
                assert one["first"] > 0
                assert one["body"].count("data: ") > len(WORDS)
                told = json.loads(base64.b64decode(hallmark_of(one)["payment_response"]))
            elif rail != "batch-settlement":
                assert told["amount"] == record.charged
                assert len(told["transaction"]) == 66
            if rail == "batch-settlement":  # a channel is one node's: whose is the gateway's choice
                state = told["extra"]["channelState"]
                assert told["extra"]["chargedAmount"] == record.charged
                channels[state["channelId"]] = int(state["balance"])
    await market.until(charged["exact"] + charged["upto"] + sum(channels.values()))
    async with asyncio.timeout(PATIENCE_S):
        while True:
            states = [await channel_state(market.rpc, unhex(name)) for name in channels]
            if sum(state.total_claimed for state in states) >= charged["batch-settlement"]:
                break
            await asyncio.sleep(0.5)
    assert sum(state.total_claimed for state in states) == charged["batch-settlement"]
    assert sum(state.balance for state in states) == sum(channels.values())
    await market.close()
    return charged


@pytest.mark.parametrize("way", ["exact", "upto", "batch-settlement"])
async def test_one_payment_sent_64_times_is_served_once(market: Market, way: str) -> None:
    """The others get the receipt of the one, or a clear error; none costs a transaction."""
    accepted = x402_payers.chosen(await market.challenge(), way)
    now = int(time.time())
    if way == "exact":
        pays = x402_payers.exact(market.payer, accepted, now, secrets.token_bytes(32))
    elif way == "upto":
        pays = x402_payers.permit(market.payer, accepted, now, secrets.randbits(200))
    else:
        pays = x402_payers.voucher(market.payer, accepted, 0, deposit=5_000, now=now)
    answers = await asyncio.gather(*(market.ask(pays) for _ in range(64)))
    served = [answer for answer in answers if answer.status_code == 200]
    assert len(served) == 1
    refused = {answer.json()["error"]["code"] for answer in answers if answer.status_code != 200}
    assert refused <= {"payment_reused", "channel_busy", "channel_out_of_step", "no_node", "node_busy"}
    again = await market.ask(pays)
    assert again.status_code in (402, 409)
    if way != "batch-settlement":
        assert again.json()["error"]["code"] == "payment_reused"
        assert served[0].json()["hallmark"]["id"] in again.json()["error"]["message"]
    charged = int(record_of({"body": served[0].text}).charged)
    await market.until(5_000 if way == "batch-settlement" else charged)
    assert await market.taken() == 1


async def test_offers_and_receipt_verify_with_the_stock_extension(market: Market, tmp_path: Path) -> None:
    """@x402/extensions finds one signer for every way to pay and for the receipt: the settlement key that the
    attested key bundle names. A stream brings its receipt in the last event.
    """
    streamed = json.dumps({**ASKED, "stream": True}).encode()
    for body in (BODY, streamed):
        headers = await market.challenge(body)
        accepted = x402_payers.chosen(headers, "exact", "")
        pays = x402_payers.exact(market.payer, accepted, int(time.time()), secrets.token_bytes(32))
        said = hallmark_of({"body": (await market.ask(pays, body)).text})
        payer = "0x" + market.payer.address.hex()
        file = tmp_path / "headers.json"
        told = {"required": headers["payment-required"], "response": said["payment_response"], "payer": payer}
        file.write_text(json.dumps(told))
        done = await asyncio.to_thread(
            subprocess.run, [*command("receipts.mjs"), str(file)], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        settlement = json.loads(said["documents"]["bundle"])["settlement"]
        assert set(found["signers"]) == {settlement}
        assert found["schemes"] == ["batch-settlement", "upto", "exact", "exact"]
        assert found["matches"] == [True] * 4
        assert found["receipt"]["payer"] == payer
        assert (len(found["receipt"]["transaction"]) == 66) == (body == BODY)


async def test_payments_that_are_not_taken(market: Market) -> None:
    """Another chain, expired, short, a foreign asset, garbage, 16 KB, version 1, no money, a reused nonce:
    402 or 400 with a reason, nothing runs and nothing is drawn.
    """
    headers, now = await market.challenge(), int(time.time())
    accepted = x402_payers.chosen(headers, "exact", "")
    nonce = secrets.token_bytes(32)

    def exact(change: Change, at: int = now, key: Key = market.payer) -> dict[str, str]:
        one = dict(accepted)
        change(one)
        return x402_payers.exact(key, one, at, nonce)

    cases = {
        "chain": exact(lambda one: one.update(network="eip155:1")),
        "expired": exact(lambda one: one, now - 400),
        "short": exact(lambda one: one.update(amount="1")),
        "asset": exact(lambda one: one.update(asset="0x" + "77" * 20)),
        "poor": exact(lambda one: one, key=Key.generate()),
        "garbage": {"payment-signature": "garbage!"},
        "long": {"payment-signature": "A" * 16_384},
        "version": {"payment-signature": base64.b64encode(b'{"x402Version":1}').decode()},
    }
    told = {}
    for name, sent in cases.items():
        answer = await market.ask(sent)
        told[name] = (answer.status_code, answer.json()["error"]["code"])
        assert answer.headers.get("hallmark-charged", "0") == "0"
    assert told == {
        "chain": (402, "payment_not_offered"),
        "expired": (402, "payment_expired"),
        "short": (402, "payment_not_offered"),
        "asset": (402, "payment_not_offered"),
        "poor": (402, "insufficient_balance"),
        "garbage": (400, "bad_payment_header"),
        "long": (400, "payment_header_too_large"),
        "version": (400, "bad_payment_header"),
    }
    assert await market.spent() == 0
    good = await market.ask(exact(lambda one: one))
    assert good.status_code == 200, good.text
    other = msgspec.json.encode({**ASKED, "max_tokens": 9})
    reused = await market.ask(x402_payers.exact(market.payer, accepted, now + 1, nonce), other)
    assert reused.status_code == 402, reused.text
    assert await market.spent() == int(record_of({"body": good.text}).charged)
