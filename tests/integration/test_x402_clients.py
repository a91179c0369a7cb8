"""Stock x402 on both ends, our facilitator between them: the servers of PyPI and npm point at it unchanged,
their clients pay, and the money arrives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hallmark.core.document import hex0x
from hallmark.core.eip3009 import TokenDomain
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.stock_x402 import pay, shop
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import (
    NETWORK,
    PAYEE,
    SECRET,
    SIGNER,
    facilitator_settings,
    running_facilitator,
    x402_chain,
)

pytestmark = pytest.mark.integration

PRICE, CHARGED = 5_000, 2_350
PAYERS = {name: named_key(f"x402 stock payer {name}") for name in ("pay.py", "pay.mjs")}
WAYS = (("exact", "/exact"), ("permit2", "/permit2"), ("upto", "/upto"), ("batch-settlement", "/batch"))


@pytest.fixture(scope="module")
def rpc_url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture(scope="module")
def domain(rpc_url: str) -> TokenDomain:
    """The token, of which payers have a million, with Permit2 approved by each."""

    async def prepare() -> TokenDomain:
        async with x402_chain(rpc_url) as chain:
            await fund(chain.rpc, SIGNER)
            for key in PAYERS.values():
                await chain.pour(key.address, 1_000_000)
                await chain.approve(key)
            return chain.domain

    return asyncio.run(prepare())


@pytest.fixture(scope="module")
def settings(rpc_url: str, domain: TokenDomain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A facilitator's address and what a shop sells, as the shops read it."""
    folder = tmp_path_factory.mktemp("facilitator")
    with running_facilitator(folder, facilitator_settings(folder, rpc_url, domain)) as url:
        yield {
            "facilitator": url,
            "secret": SECRET,
            "payTo": hex0x(PAYEE.address),
            "asset": hex0x(domain.token),
            "network": NETWORK,
            "extra": {"name": domain.name, "version": domain.version},
            "price": str(PRICE),
            "charged": str(CHARGED),
        }


def balance(rpc_url: str, domain: TokenDomain, holder: bytes) -> int:
    """What somebody has."""

    async def ask() -> int:
        rpc = RPC(rpc_url)
        try:
            return await TokenContract(rpc, domain.token).balance(holder)
        finally:
            await rpc.aclose()

    return asyncio.run(ask())


def orders(url: str, script: str) -> list[dict[str, Any]]:
    """Each way of paying once, a channel three times; npm's by fetch, and `exact` by axios as well."""
    ordered = [
        {"url": url + path, "way": way, "times": 3 if path == "/batch" else 1, "client": "fetch"}
        for way, path in WAYS
    ]
    return [*ordered, {**ordered[0], "client": "axios"}] if script == "pay.mjs" else ordered


@pytest.mark.parametrize(
    ("server", "script"), [("shop.py", "pay.py"), ("shop.mjs", "pay.mjs"), ("shop.py", "pay.mjs")]
)
def test_stock_servers_and_clients_meet_at_our_facilitator(
    server: str, script: str, settings: Any, rpc_url: str, domain: TokenDomain, tmp_path: Path
) -> None:
    """Every way of paying, from 402 to money: what was asked for arrives, what was not charged stays, and a
    channel's rest comes back. A channel that was emptied is opened again under the same name, and counts on.
    """
    payer, before = PAYERS[script], balance(rpc_url, domain, PAYEE.address)
    had = balance(rpc_url, domain, payer.address)
    with shop(server, tmp_path, settings) as url:
        paid = pay(script, tmp_path, payer.secret, rpc_url, orders(url, script))
        for done in paid:
            for one in done:
                assert (one["status"], json.loads(one["body"])) == (200, {"answer": 42}), one
                assert one["payment"]["success"] is True
        exact, permit2, upto, channel, *rest = paid
        assert all(len(one["payment"]["transaction"]) == 66 for one in (exact[0], permit2[0], upto[0]))
        assert channel[0]["payment"]["transaction"] != ""
        assert [one["payment"]["transaction"] for one in channel[1:]] == ["", ""]
        charged = [int(one["payment"]["extra"]["channelState"]["chargedCumulativeAmount"]) for one in channel]
        assert charged == [charged[0] + number * CHARGED for number in range(3)]
        claimed = httpx.post(f"{url}/claim", timeout=60)
        assert claimed.json() == {"claims": 1, "refunds": 1}, claimed.text
    earned = (2 + len(rest)) * PRICE + 4 * CHARGED
    assert balance(rpc_url, domain, PAYEE.address) == before + earned
    assert balance(rpc_url, domain, payer.address) == had - earned
