"""What becomes of tokens when something dies while they are away, on a whole network that prices everything:
each failure ends in the right error at the client, no unit of money is lost, and nothing is asked plain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hallmark.compose.home import Home
from hallmark.core.errors import HallmarkError
from hallmark.services.sdk import token_request
from hallmark.testing.chaos import NODES, pid_of
from hallmark.testing.gated_upstream import PIECES, GatedUpstream
from hallmark.testing.real_network import Network, hallmark, start_network
from hallmark.testing.token_market import PATIENCE_S, Market

pytestmark = pytest.mark.integration

BOUGHT, CAP = "0.4", "0.1"
UNITS = 400_000
MOST = 500
"""Tokens of text that are paid for and never come: so there is change."""
AWAY = (
    "no_node",
    "gateway_starting",
    "no_sealed_node",
    "node_not_shown",
    "relay_undelivered",
    "answer_lost",
    "token_held",
)
"""What a client may meet while a node begins anew, or a hold has come after its release: that is said again
within seconds, far sooner than a hold runs out.
"""
UNHEARD = ("connect_failed", "connection_lost", "timed_out")
"""What an issuer that stands still is to who asks it."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[GatedUpstream]:
    """A provider whose streams stop in the middle."""
    with GatedUpstream().running() as server:
        yield server


@pytest.fixture(scope="module")
def network(upstream: GatedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network of its own, as its processes die here. Nobody asks plain, so its gateway sees nothing."""
    home = tmp_path_factory.mktemp("tokens") / "home"
    start_network(home, "--paid", "--no-ask", "--upstream", f"gated={upstream.url}")
    running = Network(home)
    yield running
    counted = httpx.get(f"{running.gateway}/metrics", timeout=30).text
    plain = sum(float(found) for found in re.findall(r"^gateway_attempts_total\{.*\} (\S+)$", counted, re.M))
    stopped = hallmark(home, "down")
    assert stopped.returncode == 0, stopped.stderr
    assert plain == 0, "something was asked plain"


@pytest.fixture
async def market(network: Network, upstream: GatedUpstream, tmp_path: Path) -> AsyncIterator[Market]:
    """A payer with tokens."""
    made = Market(network, tmp_path / "home")
    await made.open()
    assert await made.buy(BOUGHT) == UNITS
    made.sealed.spend_tokens(max_per_request=CAP)
    upstream.close()
    yield made
    upstream.go_on.set()
    await made.close()


@contextlib.contextmanager
def frozen(network: Network, name: str) -> Iterator[None]:
    """A service stands still inside the block."""
    pid = pid_of(Home(network.home), name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def begun(market: Market, upstream: GatedUpstream) -> AsyncIterator[Any]:
    """A streamed answer that tokens pay for, of which the first piece has come."""
    stream = market.sealed.stream("Which?", model="gated", max_tokens=MOST)
    pieces = aiter(stream)
    assert await anext(pieces) == PIECES[0]
    assert await asyncio.to_thread(upstream.begun.wait, 60)  # its thread may say so after the piece came
    return pieces


async def broken(pieces: AsyncIterator[Any]) -> str:
    """Read on to the end; the reason that it ends with."""
    with pytest.raises(HallmarkError) as error:
        _ = [piece async for piece in pieces]
    return error.value.reason


async def reason_of(market: Market) -> str:
    """Ask; the reason that there is no answer."""
    with pytest.raises(HallmarkError) as error:
        await market.sealed.ask("Which?", model="gated", max_tokens=MOST)
    return error.value.reason


async def answered(market: Market) -> int:
    """Ask once more, as soon as somebody can answer; what it earned the payee, atomic units."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                draft = await market.sealed.ask("Which?", model="gated", max_tokens=8)
                assert draft.payment is not None
                assert (draft.payment.rail, draft.payment.payer) == ("token", None)
                return -(-draft.payment.charged // 100) * 100
            except HallmarkError as error:
                if error.reason not in AWAY:
                    raise
            await market.plain.tokens.recover()  # a capsule that a relay could not deliver held nothing
            await asyncio.sleep(0.5)


async def back(market: Market) -> int:
    """What is ready, atomic units, once nothing is away: a hold that came late is released late, and an
    issuer that stood still is heard again when it is.
    """
    async with asyncio.timeout(PATIENCE_S):
        while (await market.sealed.tokens.balance()).away:
            try:
                await market.plain.tokens.recover()
            except HallmarkError as error:
                if error.reason not in UNHEARD:
                    raise
            await asyncio.sleep(0.5)
    return (await market.sealed.tokens.balance()).ready


async def served(market: Market) -> int:
    """What is ready, atomic units, once somebody has answered: so the next question finds a node."""
    await answered(market)
    return await back(market)


async def recovered(market: Market, state: str) -> None:
    """Ask the issuer about what is away until the one request that has it is in this state."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await market.plain.tokens.recover())[state]:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def test_tokens_of_an_enclave_that_dies_are_good_again_when_their_hold_runs_out(
    market: Market, network: Network, upstream: GatedUpstream
) -> None:
    """The client has a broken answer and no receipt; its tokens are held for a while, and then spent anew."""
    asked, pieces = upstream.asked, await begun(market, upstream)
    for node in NODES:
        os.kill(pid_of(Home(network.home), f"enclave of {node}"), signal.SIGKILL)
    assert await broken(pieces) in ("answer_lost", "sealed_truncated")
    upstream.go_on.set()
    assert upstream.asked == asked + 1, "a question that was paid for was asked again"
    away = (await market.sealed.tokens.balance()).away
    assert away > 0
    found = await market.plain.tokens.recover()
    assert found["spent"] == 0
    if found["held"]:
        # Fifteen minutes pass, by the issuer's own books.
        with contextlib.closing(
            sqlite3.connect(network.home / "services" / "issuer" / "store.db", timeout=60)
        ) as books:
            with books:
                books.execute("UPDATE holds SET until = 1 WHERE state = 'held'")
        await recovered(market, "good")
    assert (await market.sealed.tokens.balance()).ready == UNITS
    earned = await answered(market)
    assert await back(market) == UNITS - earned


async def test_an_issuer_that_stands_still(market: Market, network: Network, upstream: GatedUpstream) -> None:
    """An answer under way ends in an error without a receipt, and the issuer gives its change once it goes
    on. For what is asked meanwhile no work is done and nothing is spent; neither is anything sold.
    """
    had = await served(market)
    pieces = await begun(market, upstream)
    asked = upstream.asked
    with frozen(network, "issuer"):
        upstream.go_on.set()
        ended, refused = await asyncio.gather(broken(pieces), reason_of(market))
        assert (ended, refused) == ("change_unavailable", "issuer_unavailable")
        assert upstream.asked == asked
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await market.plain.tokens.buy("0.1", (0.0, 0.0))
        away = (await market.sealed.tokens.balance()).away
        assert away > 0
    ready = await back(market)
    assert had - away < ready < had
    earned = await answered(market)
    assert await back(market) == ready - earned


async def test_change_that_is_short_is_noticed(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is refused, and what is due is asked of the issuer, who signed it: nothing is lost."""
    had = await served(market)
    whole = token_request.change_of
    monkeypatch.setattr(token_request, "change_of", lambda *a, **k: whole(*a, **k)[:-257])
    assert await reason_of(market) == "change_short"
    away = (await market.sealed.tokens.balance()).away
    assert away > 0
    assert had - away < await back(market) < had
