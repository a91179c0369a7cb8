"""A network that prices everything, asked sealed and paid with tokens: real enclave, relay, issuer, chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.marks import Question, State
from hallmark.http.client import Pool
from hallmark.testing.real_network import Network
from hallmark.testing.token_market import NOW, PATIENCE_S, POURED, Market

pytestmark = pytest.mark.integration

CAP = "0.05"


@pytest.fixture
async def market(paid_network: Network, tmp_path: Path) -> AsyncIterator[Market]:
    """A payer at the network."""
    made = Market(paid_network, tmp_path / "home")
    await made.open()
    yield made
    await made.close()


async def test_sealed_questions_are_paid_without_a_payer(market: Market) -> None:
    """Whole and streamed: the receipt names nobody, full nodes witness it, change is spent again, and the
    payees get what the answers cost.
    """
    assert await market.buy("0.1") == 100_000
    assert await market.token.balance(market.wallet.key.address) == POURED - 100_000
    client, cost, payees = market.sealed, 0, dict[str, int]()
    client.spend_tokens(max_per_request=CAP)
    for number in range(3):
        if number == 1:
            stream = client.stream("What does os.mkfifo do?", model="pydoc", max_tokens=8)
            assert [piece async for piece in stream]
            draft = stream.draft
        else:
            draft = await client.ask("What does os.mkfifo do?", model="pydoc", max_tokens=8)
        paid = draft.payment
        assert paid is not None
        assert (paid.rail, paid.payer) == ("token", None)
        assert 0 < paid.charged <= paid.reserved
        earned = -(-paid.charged // 100) * 100
        cost += earned
        payees[paid.payee] = payees.get(paid.payee, 0) + earned
        balance = await client.tokens.balance()
        assert (balance.ready, balance.away) == (100_000 - cost, 0)
    async with asyncio.timeout(PATIENCE_S):
        while draft.receipt.verify().marks[Question.PAID].state < State.WITNESSED:
            await draft.receipt.refresh("witnessed", 1_000)
    for payee, earned in payees.items():
        assert await _received(market, payee) >= earned


async def _received(market: Market, payee: str) -> int:
    """What the issuer has paid a payee, once it has paid it something."""
    topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    keys = msgspec.json.decode(await _page(market))
    asked = {
        "address": hex0x(market.token.address),
        "topics": [topic, hex0x(bytes(12) + unhex(keys["issuer"])), hex0x(bytes(12) + unhex(payee))],
        "fromBlock": "0x0",
        "toBlock": "latest",
    }
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await market.rpc.call("eth_getLogs", asked)):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return sum(int(one["data"], 16) for one in found)


async def _page(market: Market) -> bytes:
    pool = Pool()
    try:
        async with pool.request("GET", f"{market.issuer}/v1/issuer/keys") as response:
            return await response.read(1 << 20)
    finally:
        await pool.aclose()


async def test_tokens_stay_on_the_sealed_way(market: Market) -> None:
    """A plain client spends none, a sealed one buys none."""
    with pytest.raises(InvalidInput, match="tokens_need_sealing"):
        market.plain.spend_tokens(max_per_request=CAP)
    with pytest.raises(InvalidInput, match="not_on_the_sealed_way"):
        await market.sealed.tokens.buy("0.01", NOW)


async def test_without_tokens_nothing_is_asked(market: Market) -> None:
    """Refused here, before anything leaves."""
    market.sealed.spend_tokens(max_per_request=CAP)
    with pytest.raises(HallmarkError, match="tokens_insufficient"):
        await market.sealed.ask("What does os.mkfifo do?", model="pydoc", max_tokens=8)
