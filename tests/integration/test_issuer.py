"""An issuer as a process on a real chain: tokens bought, spent, changed, spent again; and every unit of money
is with payer, issuer or payee, whoever was killed when.

The enclave's side is its own code for tokens and its journal; the host's side is the host's.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.eip3009 import TokenDomain
from hallmark.core.errors import Conflict, HallmarkError, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.money import FreeUse, Offer, Price
from hallmark.core.prices import Use
from hallmark.http.client import Pool
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.issuing import Exchanged
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.metering import Paid
from hallmark.services.enclave.offers import OfferInForce
from hallmark.services.enclave.token_billing import TokenBilling
from hallmark.services.node.token_desk import TokenDesk
from hallmark.services.node.token_store import TokenStore
from hallmark.services.sdk.issuer_client import IssuerClient
from hallmark.services.sdk.tokens import Leaving, Tokens
from hallmark.services.sdk.wallet import Wallet
from hallmark.store.raw import RawDatabase
from hallmark.store.urls import sqlite_url
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.issuers import (
    ISSUER,
    NETWORK,
    UNIT,
    IssuerProcess,
    asset_of,
    issuer_settings,
    running_issuer,
    taking_log,
    tokens_of_home,
)
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import Chain, x402_chain

pytestmark = pytest.mark.integration

PAYER = Wallet(named_key("buyer of tokens"))
PAYEES = [named_key(f"paid with tokens {number}").address for number in range(2)]
PRICE = Price("tiny", million_tokens_out=1_000_000)
POURED = 10**9
NOW_WAIT = (0.0, 0.0)
FAR_MS = 400 * 86_400_000


@pytest.fixture(scope="module")
def rpc_url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture(scope="module")
def domain(rpc_url: str) -> TokenDomain:
    """The token, on a chain where issuer and payer have what they need."""
    return asyncio.run(prepared(rpc_url))


async def prepared(rpc_url: str) -> TokenDomain:
    """A token on this chain; issuer and payer have what they need."""
    async with x402_chain(rpc_url) as chain:
        await fund(chain.rpc, ISSUER)
        await chain.pour(PAYER.key.address, POURED)
        return chain.domain


@pytest.fixture(scope="module")
def log_url() -> Iterator[str]:
    """A log."""
    with taking_log() as url:
        yield url


@pytest.fixture(scope="module")
def issuer(
    rpc_url: str, log_url: str, domain: TokenDomain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[IssuerProcess]:
    """An issuer that several tests ask."""
    folder = tmp_path_factory.mktemp("issuer")
    with running_issuer(folder, issuer_settings(folder, rpc_url, log_url, domain)) as issuer:
        yield issuer


@pytest.fixture
async def chain(rpc_url: str, domain: TokenDomain) -> AsyncIterator[Chain]:
    """The chain as a test speaks to it."""
    rpc = RPC(rpc_url)
    yield Chain(rpc, TokenContract(rpc, domain.token), domain)
    await rpc.aclose()


class Node:
    """An enclave's money code with its host's desk, until both are gone. `number` says whose payee it is."""

    def __init__(self, folder: Path, issuer: str, domain: TokenDomain, number: int) -> None:
        folder.mkdir(exist_ok=True)
        self.payee = PAYEES[number]
        self.key = named_key(f"enclave with tokens {number}")
        configuration = EnclaveConfiguration(
            network=hex0x(NETWORK),
            chain_id=CHAIN_ID,
            owner=hex0x(self.payee),
            endpoint="https://node.invalid",
            payment=hex0x(self.payee),
            mode=1,
            capacity=8,
            models={},
            upstreams={},
            limits={},
        )
        self.desk = TokenDesk(issuer, TokenStore(RawDatabase(sqlite_url(folder / "node.db"))))
        self.known = asyncio.Event()
        chance = random.Random(time.perf_counter_ns())
        self.journal, _ = AccountJournal.begin(b"", b"\x13" * 32, self._send, chance.randbytes, now=0)
        self.billing = TokenBilling(self.key, self.journal, self._send, _now, configuration)
        offer = Offer(
            network=hex0x(NETWORK),
            owner=hex0x(self.payee),
            payee=hex0x(self.payee),
            asset=asset_of(domain),
            vault=None,
            prices=(PRICE,),
            free=FreeUse(),
            since=1,
            until=2**60,
        )
        self.offer = OfferInForce(offer, offer.encode(), 1)

    async def begin(self) -> None:
        """Until it knows what the issuer sells."""
        self.desk.start()
        self.desk.begin(self._hear)
        async with asyncio.timeout(180):
            await self.known.wait()

    def _send(self, message: control.FromEnclave) -> None:
        if isinstance(message, control.Frame):
            asyncio.get_running_loop().call_soon(lambda: self.journal.on_kept(message.position))
        elif isinstance(message, control.HoldWanted | control.TokensDue):
            self.desk.take(message)

    def _hear(self, message: control.ToEnclave) -> None:
        assert isinstance(message, control.TokenKeys | control.IssuerAnswer)
        self.billing.on_message(message)
        if isinstance(message, control.TokenKeys):
            self.known.set()

    async def serve(self, header: str, most: int, used: int) -> tuple[int, int, bytes]:
        """Answer one request: reserved, charged, change."""
        request = sha256(random.Random(time.perf_counter_ns()).randbytes(16))
        meter = await self.billing.open(Paid(self.offer, PRICE, most), header.encode(), request)
        bill = meter.close(request, Use(tokens_out=used))
        change = await meter.change()
        await meter.kept()
        return meter._paid.most, bill.charged, change

    async def kill(self) -> None:
        """Whatever was under way is forgotten; what was written down is not."""
        await self.desk.close(0)


async def asked(tokens: Tokens, node: Node, domain: TokenDomain, most: int, used: int) -> int:
    """One request that is paid for and answered; what it was charged."""
    leaving = await tokens.leave(most, asset_of(domain))
    reserved, charged, change = await node.serve(leaving.header, most, used)
    await tokens.change(leaving, reserved, charged, change)
    return charged


async def spread(chain: Chain, issuer: IssuerProcess) -> dict[str, int]:
    """Where the money is."""
    balances = {
        "payer": await chain.token.balance(PAYER.key.address),
        "issuer": await chain.token.balance(ISSUER.address),
        "payees": sum([await chain.token.balance(payee) for payee in PAYEES]),
    }
    async with httpx.AsyncClient() as client:
        told = (await client.get(f"{issuer.url}/healthz")).json()
    return balances | {"state": told["state"]}


async def paid_out(chain: Chain, before: int, earned: int) -> None:
    """Until the payees have what they earned, and no more."""
    async with asyncio.timeout(180):
        while sum([await chain.token.balance(payee) for payee in PAYEES]) < before + earned:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert sum([await chain.token.balance(payee) for payee in PAYEES]) == before + earned


def rounded(charged: int) -> int:
    """What a payee earns: what is less than a unit does not come back."""
    return -(-charged // UNIT) * UNIT


async def worth(tokens: Tokens) -> int:
    """Of the tokens that are good."""
    balance = await tokens.balance()
    return balance.ready + balance.waiting


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """Connections."""
    made = Pool()
    yield made
    await made.aclose()


async def test_bought_spent_changed_and_spent_again(
    chain: Chain, issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """And the chain has what payer, issuer and payee say."""
    tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
    before = await spread(chain, issuer)
    assert await tokens.buy("0.01", NOW_WAIT) == 10_000
    assert await worth(tokens) == 10_000
    node = Node(tmp_path / "node", issuer.url, domain, 0)
    await node.begin()
    charged = [
        await asked(tokens, node, domain, most, used) for most, used in ((700, 123), (5_000, 77), (30, 30))
    ]
    assert charged == [123, 77, 30]
    earned = sum(map(rounded, charged))
    assert await worth(tokens) == 10_000 - earned
    await paid_out(chain, before["payees"], earned)
    after = await spread(chain, issuer)
    assert before["payer"] - after["payer"] == 10_000
    assert after["issuer"] - before["issuer"] == await worth(tokens)
    await node.kill()


async def test_a_token_is_served_once(
    issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """Two nodes at once: one serves. Later: nobody does."""
    tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
    await tokens.buy("0.002", NOW_WAIT)
    nodes = [Node(tmp_path / str(number), issuer.url, domain, number) for number in range(2)]
    for node in nodes:
        await node.begin()
    leaving = await tokens.leave(500, asset_of(domain))
    tries = [node.serve(leaving.header, 500, 100) for node in nodes]
    told = await asyncio.gather(*tries, return_exceptions=True)
    served = [one for one in told if isinstance(one, tuple)]
    (refused,) = [one for one in told if not isinstance(one, tuple)]
    assert len(served) == 1
    assert isinstance(refused, Conflict)
    assert refused.reason in ("token_held", "token_spent")
    await tokens.change(leaving, *served[0])
    for node in nodes:
        with pytest.raises(Conflict, match="token_spent"):
            await node.serve(leaving.header, 500, 100)
        await node.kill()


async def test_a_payment_buys_once_however_often_it_is_sent(
    chain: Chain, issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """Thirty at once and after a kill get the same signatures, one transfer; other messages get nothing."""
    tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
    kept = []

    async def caught(order: object) -> None:
        kept.append(order)
        raise asyncio.CancelledError

    tokens._store.order, real = caught, tokens._store.order  # type: ignore[method-assign,assignment]
    with pytest.raises(asyncio.CancelledError):
        await tokens.buy("0.001", NOW_WAIT)
    tokens._store.order = real  # type: ignore[method-assign]
    (order,) = kept
    await real(order)  # type: ignore[arg-type]
    before = await spread(chain, issuer)
    url, headers = f"{issuer.url}/v1/issuer/tokens", {"payment-signature": order.header}  # type: ignore[attr-defined]
    async with httpx.AsyncClient(timeout=60) as client:
        posts = [client.post(url, content=order.body, headers=headers) for _ in range(30)]  # type: ignore[attr-defined]
        answers = await asyncio.gather(*posts)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        body = msgspec.json.decode(order.body)  # type: ignore[attr-defined]
        body["blinded"] = body["blinded"][::-1]
        other = await client.post(url, json=body, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (409, "purchase_differs")
        challenge = await client.post(url, content=order.body)  # type: ignore[attr-defined]
        assert challenge.status_code == 402
        assert "payment-required" in challenge.headers
    assert await tokens.finish_orders(NOW_WAIT) == 1
    assert await worth(tokens) == 1_000
    after = await spread(chain, issuer)
    # What payees of other tests earned may be on its way to them.
    taken = [after[who] - before[who] for who in ("issuer", "payees")]
    assert (before["payer"] - after["payer"], sum(taken)) == (1_000, 1_000)


async def test_who_has_no_money_buys_nothing(
    issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """And has no tokens, and no open order."""
    poor = Wallet(named_key("poor buyer of tokens"))
    tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=poor, pool=pool)
    with pytest.raises(PaymentRequired, match="payment_not_settled"):
        await tokens.buy("0.001", NOW_WAIT)
    assert await worth(tokens) == 0
    assert await tokens._store.orders() == []


async def test_a_hold_that_nobody_settles_gives_the_tokens_back(
    issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """The enclave that was cut off releases; the owner asks, and has them again."""
    tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
    await tokens.buy("0.001", NOW_WAIT)
    node = Node(tmp_path / "node", issuer.url, domain, 0)
    await node.begin()
    leaving = await tokens.leave(500, asset_of(domain))
    request = sha256(b"cut off")
    meter = await node.billing.open(Paid(node.offer, PRICE, 500), leaving.header.encode(), request)
    assert (await tokens.recover())["held"] == 1
    meter.cancel()
    await node.desk.close(10)
    assert (await tokens.recover())["good"] == 1
    assert await worth(tokens) == 1_000


async def test_change_that_never_came_is_asked_for(
    issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """The answer was lost on its way; the issuer has the change for whoever made the blanks."""
    tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
    await tokens.buy("0.001", NOW_WAIT)
    node = Node(tmp_path / "node", issuer.url, domain, 0)
    await node.begin()
    leaving = await tokens.leave(500, asset_of(domain))
    _, charged, _ = await node.serve(leaving.header, 500, 90)
    assert (await tokens.recover())["spent"] == 1
    assert await worth(tokens) == 1_000 - rounded(charged)
    await node.kill()


async def test_tokens_are_exchanged_whoever_is_killed_when(
    issuer: IssuerProcess, domain: TokenDomain, rpc_url: str, pool: Pool, tmp_path: Path
) -> None:
    """The issuer sells from another key set now. It is killed before an exchange is on its way, on its way,
    and when it is done and its answer lost: each time as much is there once, and what was given is spent.
    """
    homes = {
        moment: tokens_of_home(tmp_path / moment, issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
        for moment in ("before", "meanwhile", "afterwards")
    }
    for tokens in homes.values():
        await tokens.buy("0.001", NOW_WAIT)
    (old,) = {one.keys for tokens in homes.values() for one in await tokens._store.tokens()}
    issuer.kill()
    # Shorter epochs have higher numbers, and so a set of their own that is sold from.
    issuer.settings = replace(issuer.settings, epoch_ms=issuer.settings.epoch_ms // 2)
    issuer.start()
    async with asyncio.timeout(180):
        while (await homes["before"]._issuer().on_sale())[0].digest == old:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    for moment, tokens in homes.items():
        client, given = tokens._issuer(), await tokens._store.tokens()
        client.exchange = Cut(issuer, client, moment).exchange  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="cut_off"):
            await tokens.exchange(NOW_WAIT, FAR_MS)
        balance = await tokens.balance()
        assert (balance.ready, balance.away) == (0, 1_000)
        issuer.start()
        del client.exchange  # type: ignore[method-assign]
        assert await tokens.finish_orders(NOW_WAIT) == 1
        assert await worth(tokens) == 1_000
        kept = await tokens._store.tokens()
        assert old not in {one.keys for one in kept}
        assert {(await client.fate(one.nullifier)).state for one in given} == {"spent"}
        assert {(await client.fate(one.nullifier)).state for one in kept} == {"good"}


class Cut:
    """A way to an issuer that is killed before an exchange is asked for, meanwhile, or afterwards."""

    def __init__(self, issuer: IssuerProcess, client: IssuerClient, moment: str) -> None:
        self._issuer, self._real, self._moment = issuer, client.exchange, moment

    async def exchange(self, body: bytes) -> Exchanged:
        """Ask, and never hear."""
        if self._moment == "before":
            self._issuer.kill()
        asked = asyncio.create_task(self._real(body))
        if self._moment == "meanwhile":
            await asyncio.sleep(0.02)
        else:
            await asyncio.wait([asked])
        self._issuer.kill()
        await asyncio.gather(asked, return_exceptions=True)
        raise Unavailable("cut_off", "Cut off.")


class Market:
    """Payers and nodes at an issuer that is killed now and then."""

    def __init__(self, tokens: Tokens, domain: TokenDomain, seed: int) -> None:
        self.tokens, self.domain, self.chance = tokens, domain, random.Random(seed)
        self.lost: list[Leaving] = []

    async def request(self, node: Node) -> None:
        """One request, whatever comes of it."""
        most = self.chance.randrange(20, 900)
        leaving = await self.tokens.leave(most, asset_of(self.domain))
        await asyncio.sleep(self.chance.random() / 4)
        reserved, charged, change = await node.serve(leaving.header, most, self.chance.randrange(1, most))
        await self.tokens.change(leaving, reserved, charged, change)


@pytest.mark.parametrize("seed", range(1))
async def test_every_unit_adds_up_after_kills(log_url: str, pool: Pool, tmp_path: Path, seed: int) -> None:
    """Issuer, host and enclave killed at random points of purchases, requests and payouts: what the payer has
    not any more is with the issuer, as tokens that are good or money that is owed, or with payees.

    On a chain of its own: two issuers with one key take each other's transfers for theirs.
    """
    with running_anvil() as rpc_url:
        domain, rpc = await prepared(rpc_url), RPC(rpc_url)
        chain = Chain(rpc, TokenContract(rpc, domain.token), domain)
        await _adds_up(chain, rpc_url, log_url, pool, tmp_path, seed)
        await rpc.aclose()


async def _adds_up(chain: Chain, rpc_url: str, log_url: str, pool: Pool, tmp_path: Path, seed: int) -> None:
    domain = chain.domain
    settings = issuer_settings(tmp_path, rpc_url, log_url, domain)
    chance = random.Random(seed)
    with running_issuer(tmp_path, settings) as issuer:
        tokens = tokens_of_home(tmp_path / "home", issuer.url, rpc_url, domain, payer=PAYER, pool=pool)
        market, before = Market(tokens, domain, seed), await spread(chain, issuer)
        for _ in range(3):
            nodes = [Node(tmp_path / f"node{number}", issuer.url, domain, number) for number in range(2)]
            for node in nodes:
                await node.begin()
            work = [market.request(chance.choice(nodes)) for _ in range(8)]
            work += [tokens.buy("0.002", NOW_WAIT) for _ in range(3)]  # type: ignore[list-item]
            tasks = [asyncio.create_task(one) for one in work]
            await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(tasks, timeout=chance.uniform(0.05, 0.8))
            issuer.kill()
            for task in tasks:
                task.cancel()
            for told in await asyncio.gather(*tasks, return_exceptions=True):
                assert told is None or isinstance(told, int | HallmarkError | asyncio.CancelledError), repr(
                    told
                )
            for node in nodes:
                await node.kill()
            issuer.start()
            with_orders = await tokens._store.orders()
            assert await tokens.finish_orders(NOW_WAIT) == len(with_orders)
        # The hosts come back and settle what was due; then every request is settled, released or held.
        nodes = [Node(tmp_path / f"node{number}", issuer.url, domain, number) for number in range(2)]
        for node in nodes:
            await node.begin()
        async with asyncio.timeout(180):
            while any(node.desk.status()["waiting"] for node in nodes):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await tokens.recover()
        balance = await tokens.balance()
        mine = balance.ready + balance.waiting + balance.away
        bought = before["payer"] - await chain.token.balance(PAYER.key.address)
        await paid_out(chain, before["payees"], bought - mine)
        after = await spread(chain, issuer)
        assert after["issuer"] - before["issuer"] == mine
        assert bought >= mine > 0
        for node in nodes:
            await node.kill()


def _now() -> int:
    return time.time_ns() // 1_000_000
