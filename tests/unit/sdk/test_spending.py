"""Paying for requests: what a client signs, what it refuses to sign, and that nothing is paid twice."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hallmark import AsyncClient
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, Unavailable, VerificationFailed
from hallmark.core.money import FreeUse, Offer, Price
from hallmark.core.spending import SpendingAuthorization
from hallmark.payments.accounts import PaymentRequired
from hallmark.services.enclave import control
from hallmark.services.sdk.chain_account import Chain
from hallmark.services.sdk.offers import NodeOffer, read_offers
from hallmark.services.sdk.paid_request import PaidRequest
from hallmark.services.sdk.spending import CEILING_S, SPEND_MS, Limits, Spending
from hallmark.services.sdk.spending_store import DAY_MS, SpendingRefused, SpendingStore
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing import payments
from hallmark.testing.billing import PAYER, MemoryHost, MemoryVault
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.network import key
from hallmark.testing.ports import free_port
from hallmark.testing.stub_evidence import verify_stub_evidence

CHAIN = Chain(
    "http://127.0.0.1:9", payments.ASSET.chain_id, payments.ASSET.address, hex0x(payments.VAULT), True
)
# 1 atomic unit for a token in, 2 for one out; a request of this file costs at most some hundred.
PRICE = Price("digits", 1_000_000, 2_000_000)
ASKED: dict[str, Any] = {"model": "digits", "max_tokens": 8}


class Scene:
    """A network whose first node sells answers, and a client that pays."""

    def __init__(self, local: LocalNetwork, folder: Path) -> None:
        self.local, self.folder = local, folder
        self.vault, self.hosts = MemoryVault(), [MemoryHost(), MemoryHost()]
        self.verifier = Verifier(local.trust, verify_stub_evidence)
        self.client = AsyncClient(local.url, verifier=self.verifier, wallet=Wallet(PAYER), chain=CHAIN)
        self.store = SpendingStore(folder)

    async def sell(self, *, only: int | None = None, **changes: Any) -> Offer:
        """Both nodes' owners, or one, make this offer, in the log and to their enclaves."""
        net, made = self.local.net, []
        net.tick(1)
        parties = list(zip(self.local.nodes, net.nodes, self.hosts, strict=True))
        for node, party, host in parties if only is None else [parties[only]]:
            assert party.bundle is not None
            terms = payments.offer(
                net,
                **{
                    "prices": (PRICE,),
                    "owner": hex0x(party.owner.address),
                    "payee": party.bundle.payment,
                    **changes,
                },
            )
            entry = payments.price_offer(net, terms, party.owner)
            net.add(entry)
            if node.runtime.billing is None:
                node.runtime.billing = host.bill(
                    node.runtime.configuration, node.runtime.now, key=key("settlement")
                )
            taken = node.runtime.billing.on_message(control.Terms(entry.encode()))
            assert taken == (control.TermsTaken(terms.digest()),)
            made.append(terms)
        self.local.log.witness()
        await self.local.gateway.follower.reached(len(net.leaves), 5)
        return made[0]

    def spend(self, **changes: str) -> Spending:
        """Let the client pay, within these limits."""
        limits = Limits(**{"max_per_request": "0.01", "max_per_day": "0.1", **changes})
        self.client._spending = Spending(
            limits,
            Wallet(PAYER),
            CHAIN,
            store=self.store,
            vault=self.vault,
            listing=self.client.offers,
            clock=lambda: self.local.net.now,
        )
        return self.client._spending

    @property
    def sent(self) -> list[SpendingAuthorization]:
        """The payments that nodes got, in order for each node."""
        headers = [head for node in self.local.nodes for head in node.headers]
        values = [head[b"hallmark-payment"] for head in headers if b"hallmark-payment" in head]
        return [SpendingAuthorization.decode(base64.b64decode(value)[:-32]) for value in values]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A network that sells, and a client that has said nothing yet."""
    async with LocalNetwork() as local:
        scene = Scene(local, tmp_path)
        yield scene
        await scene.client.aclose()
        scene.store.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_paid_for(scene: Scene, stream: bool) -> None:
    """The enclave takes the payment; the draft says what was bought, and the home what was charged."""
    offer = await scene.sell()
    scene.spend()
    if stream:
        asked = scene.client.stream("Which?", **ASKED)
        assert "".join([piece async for piece in asked]) == "It is a seven."
        draft = asked.draft
    else:
        draft = await scene.client.ask("Which?", **ASKED)
    paid = draft.payment
    assert paid is not None
    assert paid == draft.receipt.payment
    # 3 tokens in, 3 out
    assert (paid.rail, paid.charged, paid.payer) == ("vault", 9, hex0x(PAYER.address))
    assert paid.words.startswith("0.000009 DEV (of 0.000")
    assert paid.words.endswith("reserved, development money)")
    assert paid.offer in {one.digest for one in await scene.client.offers()}
    assert offer.vault == CHAIN.vault
    (spent,) = await scene.store.newest(9)
    assert (spent.charged, spent.receipt, spent.model) == (9, draft.receipt.id, "digits")
    assert spent.maximum == paid.reserved
    (one,) = scene.sent
    assert one.spend.maximum == spent.maximum <= 10_000
    signed = [receipt.entry for node in scene.local.nodes for receipt in node.runtime.signed]
    assert signed == [draft.receipt.entry()]  # who hands the receipt in hands in all of it


async def test_a_payment_may_be_of_more_than_63_bits(scene: Scene) -> None:
    """Ten whole coins of a token with 18 decimals: payment, day's limit and ceiling hold it."""
    asset = replace(payments.ASSET, decimals=18)
    await scene.sell(asset=asset, prices=(replace(PRICE, call=2**63 - 1),))
    paying = scene.spend(max_per_request="10", max_per_day="100")
    paid = await paying.pay("/v1/chat/completions", msgspec.json.encode(ASKED))
    assert paid is not None
    assert 2**63 < paid.maximum < 10**19
    assert [one.maximum for one in await scene.store.newest(9)] == [paid.maximum]
    again = await paying.pay("/v1/chat/completions", msgspec.json.encode({**ASKED, "max_tokens": 9}))
    assert again is not None
    first, second = (
        SpendingAuthorization.decode(base64.b64decode(one.header)[:-32]) for one in (paid, again)
    )
    assert first.ceiling == second.ceiling
    assert first.ceiling.max_claimable == 100 * 10**18


async def test_what_is_free_everywhere_is_sent_without_payment(scene: Scene) -> None:
    """No header goes out, and the chain is not asked."""
    await scene.sell(free=FreeUse(models=("digits",)))
    scene.spend()
    draft = await scene.client.ask("Which?", **ASKED)
    assert draft.payment is not None
    assert (draft.payment.rail, draft.payment.words) == ("free", "free by the node's offer")
    assert (scene.sent, scene.vault.read) == ([], 0)


async def test_where_only_some_charge_the_free_one_is_asked(scene: Scene) -> None:
    """With a payment of nothing, which leads there: without one, the gateway might ask the other."""
    await scene.sell()
    await scene.sell(only=1, free=FreeUse(everything=True), prices=(), asset=payments.ASSET)
    scene.spend()
    for _ in range(4):
        draft = await scene.client.ask("Which?", **ASKED)
        assert draft.payment is not None
        assert draft.payment.rail == "free"
    assert {one.spend.maximum for one in scene.sent} == {0}
    assert [len(node.headers) for node in scene.local.nodes] == [0, 4]


async def test_without_limits_nothing_is_paid(scene: Scene) -> None:
    """A client that was not told to pay is told what it would cost."""
    await scene.sell()
    with pytest.raises(PaymentRequired) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "payment_required"
    assert scene.sent == []


async def test_over_the_limit_of_a_request(scene: Scene) -> None:
    """The client signs its own limit and no more; the node refuses, once, and nothing is drawn."""
    await scene.sell()
    scene.spend(max_per_request="0.00002")
    with pytest.raises(PaymentRequired) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "payment_short"
    assert [one.spend.maximum for one in scene.sent] == [20]
    assert [spent.charged for spent in await scene.store.newest(9)] == [0]
    await scene.sell(prices=(Price("digits", call=21),), until=scene.local.net.now + 9_999_999)
    scene.client._spending._listed_at = 0  # type: ignore[union-attr]  # the list of offers is old
    with pytest.raises(SpendingRefused) as refused:
        await scene.client.ask("Which?", **ASKED)
    assert (refused.value.reason, len(scene.sent)) == ("over_max_per_request", 1)


async def test_a_day_is_one_limit_for_all_processes(scene: Scene) -> None:
    """What another process of the home signed counts at its maximum, and the real charge when it is known;
    after a day it is over.
    """
    await scene.sell(until=scene.local.net.now + 3 * DAY_MS)
    spending = scene.spend(max_per_day="0.00028")
    body = b'{"model":"digits","max_tokens":50,"messages":[]}'
    first = await spending.pay("/v1/chat/completions", body)
    assert first is not None
    other = SpendingStore(scene.folder)
    assert await other.since(spending._asset, 0) == first.maximum == 100 + len(body)
    more = (spending.pay("/v1/chat/completions", body + b" " * n) for n in (1, 2))
    for refused in await asyncio.gather(*more, return_exceptions=True):
        assert isinstance(refused, SpendingRefused)
        assert refused.reason == "over_max_per_day"
    await other.settle(first.name, 9)
    other.close()
    assert await spending.pay("/v1/chat/completions", body) is not None
    with pytest.raises(SpendingRefused):
        await spending.pay("/v1/chat/completions", body)
    scene.local.net.tick(DAY_MS)
    assert await spending.pay("/v1/chat/completions", body) is not None


@pytest.mark.parametrize(
    ("change", "limits", "reason"),
    [
        ({"asset": replace(payments.ASSET, address="0x" + "99" * 20)}, {}, "unknown_asset"),
        ({"asset": replace(payments.ASSET, chain_id=1)}, {}, "other_chain"),
        ({"vault": "0x" + "99" * 20}, {}, "other_vault"),
        ({}, {"pay_to": "0x" + "99" * 20}, "other_payee"),
        ({"prices": (Price("other", call=1),)}, {}, "no_price"),
    ],
)
async def test_what_is_not_signed(
    scene: Scene, change: dict[str, Any], limits: dict[str, str], reason: str
) -> None:
    """Another token, chain, vault or payee than those that are known, and no price: each has its reason."""
    await scene.sell(**change)
    scene.spend(**limits)
    with pytest.raises(HallmarkError) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert (caught.value.reason, scene.sent) == (reason, [])
    assert scene.vault.read == 0


async def test_a_payee_that_the_log_does_not_show(scene: Scene) -> None:
    """A gateway that names its own payee, an offer of its own, or no proof is not paid."""
    await scene.sell()
    whole = await scene.client.get_json("/v1/hallmark/offers?proofs=true")
    assert [one.proven for one in read_offers(whole, scene.verifier)] == [True, True]
    theirs, owner = "0x" + "99" * 20, whole["offers"][0]["owner"]

    def forged(change: Any) -> tuple[NodeOffer, ...]:
        """What is proven of a list that was changed."""
        listed = msgspec.json.decode(msgspec.json.encode(whole))
        for one in listed["offers"]:
            change(one)
        return tuple(one for one in read_offers(listed, scene.verifier) if one.proven)

    # what only the list says is not taken from it
    assert theirs not in {one.offer.payee for one in forged(lambda one: one.update(payee=theirs))}
    assert forged(lambda one: one.update(entry=None)) == ()
    assert forged(lambda one: one["entry"].update(index=0)) == ()
    assert forged(lambda one: one["nodes"][0].pop("registration")) == ()
    assert forged(lambda one: one["nodes"][0].update(node=theirs)) == ()
    swapped = [one["nodes"][0]["registration"] for one in whole["offers"]]
    assert forged(lambda one: one["nodes"][0].update(registration=swapped[one["owner"] == owner])) == ()
    assert {one.proven for one in read_offers(whole, None)} == {False}
    scene.client._verifier = None
    scene.spend()
    with pytest.raises(SpendingRefused) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert (caught.value.reason, scene.sent) == ("payee_not_registered", [])
    with pytest.raises(InvalidInput):
        read_offers({"offers": [{}]}, None)


async def test_nothing_is_signed_without_an_account(scene: Scene) -> None:
    """Who has not deposited is told so, and the day's limit is as it was."""
    await scene.sell()
    scene.vault.free = 0
    spending = scene.spend()
    with pytest.raises(SpendingRefused) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "no_account"
    assert await scene.store.since(spending._asset, 0) == 0


async def test_one_ceiling_serves_many_requests(scene: Scene) -> None:
    """The wallet signs once for a payee; anew when the limit changes or a day is left, with a higher nonce,
    and never above what is charged by now and a day's limit.
    """
    await scene.sell(until=scene.local.net.now + 9 * DAY_MS)
    spending = scene.spend(pay_to=hex0x(scene.local.net.nodes[0].owner.address))

    async def ceiling() -> Any:
        body = b'{"model":"digits","max_tokens":8,"messages":[]}'
        paid = await spending.pay("/v1/chat/completions", body)
        assert paid is not None
        await spending.refused(paid)
        return SpendingAuthorization.decode(base64.b64decode(paid.header)[:-32]).ceiling

    first = await ceiling()
    assert (first.nonce, first.max_claimable) == (1, 100_000)
    assert first.valid_until == scene.local.net.now // 1000 + CEILING_S
    assert [await ceiling() for _ in range(3)] == [first] * 3
    assert scene.vault.read == 1
    scene.vault.known = replace(scene.vault.known, nonce=6, committed=70)
    scene.local.net.tick(CEILING_S * 500 + 1_000)
    second = await ceiling()
    assert (second.nonce, second.max_claimable) == (7, 100_070)
    assert second.session != first.session
    spending = scene.spend(max_per_day="0.2", pay_to=hex0x(scene.local.net.nodes[0].owner.address))
    assert (await ceiling()).max_claimable == 200_070


async def test_a_ceiling_that_the_chain_refuses_is_signed_anew(scene: Scene) -> None:
    """Another home of the same wallet has signed a newer one: one request fails, the next has a higher nonce
    than the chain's.
    """
    await scene.sell()
    scene.spend(pay_to=hex0x(scene.local.net.nodes[0].owner.address))
    scene.hosts[0].reason = "ceiling_refused"
    with pytest.raises(PaymentRequired) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "ceiling_refused"
    scene.hosts[0].reason, scene.vault.known = "", replace(scene.vault.known, nonce=4)
    await scene.client.ask("Which?", **ASKED)
    assert [one.ceiling.nonce for one in scene.sent] == [1, 5]


async def test_a_payment_whose_fate_is_unknown_is_sent_again(scene: Scene) -> None:
    """A node that dies leaves the question open: the very same payment goes with the very same request."""
    await scene.sell()
    scene.spend(pay_to=hex0x(scene.local.net.nodes[0].owner.address))
    scene.local.nodes[0].behaviour = "die"
    with pytest.raises(Unavailable) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "answer_lost"
    (open_one,) = await scene.store.newest(9)
    assert open_one.charged is None
    scene.local.nodes[0].behaviour = "ok"
    scene.local.gateway.loads.of(scene.local.nodes[0].party.address).avoid_until = 0
    await scene.client.ask("Which?", **ASKED)
    assert len({one.encode() for one in scene.sent}) == 1
    assert [spent.charged for spent in await scene.store.newest(9)] == [9]
    await scene.client.ask("Which?", **ASKED)
    assert len({one.encode() for one in scene.sent}) == 2


async def test_a_payment_that_was_used_tells_its_receipt(scene: Scene) -> None:
    """When the lost answer had been made, the second try says which receipt it was paid for; the home knows
    the charge, and the next request is a new one.
    """
    await scene.sell()
    spending = scene.spend(pay_to=hex0x(scene.local.net.nodes[0].owner.address))
    path, body = "/v1/chat/completions", b'{"model":"digits","max_tokens":8,"messages":[]}'
    async with PaidRequest(spending, path, body, scene.client.receipt) as paid:
        url = scene.local.url + path
        head = (*paid.headers, (b"content-type", b"application/json"))
        async with scene.client._way._pool.request("POST", url, head, body) as response:
            assert response.status == 200
            await response.read()
    scene.local.log.witness()
    with pytest.raises(Conflict) as caught:
        await scene.client._post(path, body, "m")
    assert caught.value.reason == "payment_reused"
    (spent,) = await scene.store.newest(9)
    assert (spent.charged, len(spent.receipt)) == (9, 66)
    assert (await scene.client._post(path, body, "m")).payment is not None
    assert len({one.spend.nonce for one in scene.sent}) == 2


async def test_a_broken_connection_gets_the_same_payment(scene: Scene) -> None:
    """Sent three times as it is, never signed anew; then the error says what to do."""
    await scene.sell()
    scene.spend()
    seen: list[bytes] = []

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(next(line for line in head.split(b"\r\n") if line.startswith(b"hallmark-payment")))
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    await scene.client._spending._offers()  # type: ignore[union-attr]
    real = scene.client.base_url
    scene.client._way.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(Unavailable) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "payment_fate_unknown"
    assert (len(seen), len(set(seen))) == (3, 1)
    server.close()
    scene.client._way.base_url = real
    await scene.client.ask("Which?", **ASKED)
    assert seen[0].partition(b": ")[2] in {
        head.get(b"hallmark-payment") for node in scene.local.nodes for head in node.headers
    }


async def test_a_gateway_that_is_not_there_costs_nothing(scene: Scene) -> None:
    """What never left counts for nothing of the day's limit."""
    await scene.sell()
    spending = scene.spend()
    await spending._offers()
    scene.client._way.base_url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable) as caught:
        await scene.client.ask("Which?", **ASKED)
    assert caught.value.reason == "connect_failed"
    assert await scene.store.since(spending._asset, 0) == 0


async def test_a_record_that_is_not_what_was_signed(scene: Scene) -> None:
    """An answer that charges for another payment, or more than was signed, is not handed out."""
    await scene.sell()
    spending = scene.spend()
    body = b'{"model":"digits","max_tokens":8,"messages":[]}'
    draft = await scene.client.ask("Which?", **ASKED)
    other = await spending.pay("/v1/chat/completions", body)
    assert other is not None
    record = draft.receipt.dossier.documents.payment
    assert record is not None
    opened, named = draft.receipt.dossier.opened(), unhex(msgspec.json.decode(record)["authorization"])
    for paid, text, reason in (
        (other, record, "payment_record_other"),
        (other, record.replace('"rail":"vault"', '"rail":"free"'), "payment_record_other"),
        (other, None, "payment_record_other"),
        (replace(other, name=named, maximum=8), record, "charged_over_signed"),
    ):
        with pytest.raises(VerificationFailed) as caught:
            await spending.delivered(paid, text, opened, draft.receipt.id)
        assert caught.value.reason == reason


async def test_many_at_once_on_one_account(scene: Scene) -> None:
    """Parallel requests are parallel payments: none waits for another, and the day's limit holds for all."""
    await scene.sell()
    scene.spend()
    drafts = await asyncio.gather(*(scene.client.ask(f"Which {n}?", **ASKED) for n in range(12)))
    assert {draft.payment.charged for draft in drafts if draft.payment} == {9}
    assert len({one.spend.nonce for one in scene.sent}) == len(scene.sent) == 12
    assert len({one.ceiling.pack() for one in scene.sent}) <= 2


@pytest.mark.parametrize(
    "limits",
    [
        {"max_per_request": "free"},
        {"max_per_day": "-1"},
        {"max_per_day": "0"},
        {"pay_to": "anybody"},
        {"pay_to": "0x12"},
    ],
)
def test_limits_that_cannot_be_meant(limits: dict[str, str]) -> None:
    """No amount, nothing at all, nobody: refused when they are said."""
    with pytest.raises(InvalidInput):
        Limits(**{"max_per_request": "1", "max_per_day": "1", **limits}).check()


def test_a_payment_lasts_no_longer_than_a_minute_or_so() -> None:
    """What was signed and lost can be presented for five minutes."""
    assert SPEND_MS == 5 * 60_000
