"""The flow of x402's own end-to-end clients, with their spending caps on: one GET of a priced page on Base
Sepolia. What is asked here is a POST whose body is what is paid for, so a shim of this test stands between:
it turns the GET of a page into that POST and lets headers through. A page offers one way to pay, as
upstream's do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.money import Payment
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind
from hallmark.testing.base_sepolia import BASE_SEPOLIA, Seller, seller
from hallmark.testing.listening import listening
from hallmark.testing.ports import free_port
from hallmark.testing.stock_x402 import command, pay
from hallmark.testing.x402 import PAYER

pytestmark = pytest.mark.integration

ASKED = {"model": "digits", "max_tokens": 16, "messages": [{"role": "user", "content": "Which?"}]}
PAGES: Final[dict[str, tuple[str, str | None] | None]] = {
    "/exact": ("exact", None),
    "/permit2": ("exact", "permit2"),
    "/upto": ("upto", "permit2"),
    "/all": None,
    "/dear": None,
}
RAILS: Final = {"/exact": "exact", "/permit2": "exact", "/upto": "upto"}
DEAR: Final = 600_000
"""So many tokens cost more than the dollar that stock clients pay at most."""
HOP: Final = frozenset((b"host", b"content-length", b"connection", b"transfer-encoding"))
CLIENTS: Final = {
    "httpx": ("flow.py", ()),
    "fetch": ("flow.mjs", ("fetch",)),
    "axios": ("flow.mjs", ("axios",)),
}


class Shim:
    """See the module docstring."""

    def __init__(self, gateway: str, pool: Pool) -> None:
        self._url, self._pool = gateway + "/v1/chat/completions", pool

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """One page."""
        assert scope["method"] == "GET"
        sent = [pair for pair in scope["headers"] if pair[0] not in HOP]
        asked = {**ASKED, "max_tokens": DEAR} if scope["path"] == "/dear" else ASKED
        body = json.dumps(asked).encode()
        async with self._pool.request("POST", self._url, sent, body) as answer:
            told = [pair for pair in answer.headers if pair[0].lower() not in HOP]
            content = await answer.read()
        told = [
            (name, _narrowed(value, scope["path"]) if name == b"payment-required" else value)
            for name, value in told
        ]
        await respond(send, answer.status, content, [pair for pair in told if pair[0] != b"content-type"])


def _narrowed(header: bytes, page: str) -> bytes:
    """The 402 of a page that offers one way."""
    way = PAGES[page]
    if way is None:
        return header
    said = msgspec.json.decode(base64.b64decode(header))
    said["accepts"] = [
        one for one in said["accepts"] if (one["scheme"], one["extra"].get("assetTransferMethod")) == way
    ]
    assert len(said["accepts"]) == 1
    return base64.b64encode(msgspec.json.encode(said))


@pytest.fixture
async def sold(tmp_path: Path) -> AsyncIterator[Seller]:
    """A node whose answers cost USDC of Base Sepolia."""
    async with seller(tmp_path) as made:
        yield made


@contextlib.asynccontextmanager
async def shim(gateway: str) -> AsyncIterator[str]:
    """Its URL, inside the block."""
    pool = Pool()
    try:
        async with listening(Service(Shim(gateway, pool)), bind(Listen(free_port()))) as url:
            yield url
    finally:
        await pool.aclose()


def run(client: str, server: str, page: str, rpc: str) -> dict[str, Any]:
    """What a client's last line says."""
    script, arguments = CLIENTS[client]
    environment = {
        **os.environ,
        "EVM_PRIVATE_KEY": hex0x(PAYER.secret),
        "EVM_RPC_URL": rpc,
        "RESOURCE_SERVER_URL": server,
        "ENDPOINT_PATH": page,
    }
    done = subprocess.run(
        [*command(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


async def test_upstreams_flow_pays_under_its_own_caps(sold: Seller) -> None:
    """httpx, fetch and axios at each page: paid, delivered, and charged what the receipt says."""
    owed = 0
    async with shim(sold.gateway) as server:
        for client in CLIENTS:
            for page, rail in RAILS.items():
                said = await asyncio.to_thread(run, client, server, page, sold.rpc_url)
                owed += int(_record(said, rail).charged)
                assert len(said["payment_response"]["transaction"]) == 66
                assert await sold.spent() == owed
        # A page that offers everything is paid by the first way, which is a channel.
        said = await asyncio.to_thread(run, "httpx", server, "/all", sold.rpc_url)
        _record(said, "batch-settlement")
        owed += int(said["payment_response"]["extra"]["channelState"]["balance"])
        assert await sold.spent() == owed


async def test_what_is_above_the_cap_is_not_paid(sold: Seller) -> None:
    """The caps are on: an answer that may cost more than a dollar gets no signature from any client."""
    async with shim(sold.gateway) as server:
        for client in CLIENTS:
            said = await asyncio.to_thread(run, client, server, "/dear", sold.rpc_url)
            assert not said["success"]
            assert "spend" in said["error"].lower(), said
    assert await sold.spent() == 0


async def test_parallel_requests_take_a_channel_each(sold: Seller, tmp_path: Path) -> None:
    """A stock client with as many salts as requests has them all answered at once: every one of them is open
    before the first may end.
    """
    sold.node.behaviour = "slow_midway"
    salts = [f"0x{number:064x}" for number in range(1, 6)]
    order = {
        "url": f"{sold.gateway}/v1/chat/completions",
        "method": "POST",
        "way": "batch-settlement",
        "json": {**ASKED, "stream": True},
        "salts": salts,
    }
    paying = asyncio.to_thread(pay, "pay.py", tmp_path, PAYER.secret, sold.rpc_url, [order])
    task = asyncio.create_task(paying)
    async with asyncio.timeout(300):
        while sold.accounts.open_requests < len(salts):
            assert not task.done(), task.result()
            await asyncio.sleep(0.02)
    sold.node.release.set()
    (answers,) = await task
    assert [one["status"] for one in answers] == [200] * len(salts)
    events = [json.loads(one["body"].split("data: ")[-2]) for one in answers]
    told = [json.loads(base64.b64decode(event["hallmark"]["payment_response"])) for event in events]
    assert len({one["extra"]["channelState"]["channelId"] for one in told}) == len(salts)


def _record(said: dict[str, Any], rail: str) -> Payment:
    """The payment record of an answer that was paid on this rail."""
    assert said["success"], said
    assert said["payment_response"]["success"], said
    record = Payment.decode(said["data"]["hallmark"]["documents"]["payment"].encode())
    assert (record.rail, record.payer) == (rail, hex0x(PAYER.address))
    assert record.asset is not None
    assert record.asset.chain_id == BASE_SEPOLIA
    return record
