"""Stock x402 clients of PyPI and npm pay Hallmark itself: given an address they pay in every way that a 402
offers, and get whole answers and streams with a payment record.
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from hallmark.testing.real_network import Network
from hallmark.testing.stock_x402 import pay
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import x402_chain

pytestmark = pytest.mark.integration

ASKED = {
    "model": "pydoc",
    "messages": [{"role": "user", "content": "What does os.mkfifo do?"}],
    "max_tokens": 40,
}
WAYS = {"exact": "exact", "permit2": "exact", "upto": "upto", "batch-settlement": "batch-settlement"}


def chain_url(paid_network: Network) -> str:
    """The network's own chain."""
    port = json.loads((paid_network.home / "network.json").read_text())["chain_port"]
    return f"http://127.0.0.1:{port}"


def payer_with_money(rpc: str, name: str) -> bytes:
    """A new payer's secret; it has development money and has approved Permit2."""
    key = named_key(f"x402 hallmark {name}")

    async def prepare() -> None:
        async with x402_chain(rpc, poured=0) as chain:
            await chain.pour(key.address, 10_000_000)
            await chain.approve(key)

    asyncio.run(prepare())
    return key.secret


def record_of(body: str) -> dict[str, Any]:
    """The payment record in an answer, or in a stream's events."""
    parts = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: {")] or [
        body
    ]
    (told,) = [json.loads(part)["hallmark"] for part in parts if '"hallmark"' in part]
    record: dict[str, Any] = json.loads(told["documents"]["payment"])
    return record


def test_every_way_is_offered_in_order(paid_network: Network) -> None:
    """Without a payment: 402, the four ways with the channel first, and no null that stock clients refuse."""
    refused = httpx.post(f"{paid_network.gateway}/v1/chat/completions", json=ASKED, timeout=60)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "payment_required")
    text = base64.b64decode(refused.headers["payment-required"]).decode()
    told = json.loads(text)
    assert [one["scheme"] for one in told["accepts"]] == ["batch-settlement", "upto", "exact", "exact"]
    assert "null" not in text


@pytest.mark.parametrize(
    ("script", "client"), [("pay.py", "httpx"), ("pay.mjs", "fetch"), ("pay.mjs", "axios")]
)
def test_stock_clients_pay_for_answers_and_streams(
    script: str, client: str, paid_network: Network, tmp_path: Path
) -> None:
    """Every way, whole and streamed; a channel twice in a row. A whole answer's head says what was paid, a
    stream's last event does, and both have a payment record of that way.
    """
    rpc, url = chain_url(paid_network), f"{paid_network.gateway}/v1/chat/completions"
    orders = [
        {
            "url": url,
            "way": way,
            "method": "POST",
            "json": {**ASKED, "stream": stream},
            "times": 2 if way == "batch-settlement" and client != "axios" else 1,
            "client": client,
        }
        for way in WAYS
        for stream in (False, True)
        # @x402/axios 2.11.0 reads neither PAYMENT-RESPONSE nor a corrective 402: one request for a channel.
        if not (client == "axios" and way == "batch-settlement" and stream)
    ]
    paid = pay(script, tmp_path, payer_with_money(rpc, client), rpc, orders)
    for order, done in zip(orders, paid, strict=True):
        for one in done:
            assert one["status"] == 200, one
            assert "fifo" in one["body"]
            record = record_of(one["body"])
            assert record["rail"] == WAYS[str(order["way"])], record
            assert int(record["charged"]) > 0
            if order["json"]["stream"]:  # type: ignore[index]
                assert one["payment"] is None
            else:
                assert one["payment"]["success"] is True
