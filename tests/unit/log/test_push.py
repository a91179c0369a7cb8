"""The log pushes leaves with their checkpoint: one request a full node, the plain way for all else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import msgspec
import pytest
from tests.unit.log.test_publisher import LOG, started

from hallmark.core.entries import leaf
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.http.client import Pool
from hallmark.ledger import pushed
from hallmark.ledger.policy import Policy
from hallmark.ledger.pushed import PATH, Pushed
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.ledger.tiles import encode_bundle
from hallmark.services.log import witness_requests
from hallmark.services.log.publisher import Publisher, Round
from hallmark.services.log.witness_client import WitnessClient, WitnessRefused
from hallmark.store.raw import RawDatabase
from hallmark.testing.fullnodes import Fleet
from hallmark.testing.lying_log import witnesses
from hallmark.testing.witness_service import witness_app


class Pushing:
    """The real publisher and links over four full nodes in memory."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.network, self.pool = fleet, fleet.network, fleet.pool
        self.store = SQLLogStore(RawDatabase("sqlite://"))
        notary = fleet.log.notary
        self.publisher = Publisher(
            self.store, notary.log, Policy.parse(notary.policy_text), clock=lambda: self.network.now / 1000
        )
        requests = witness_requests.WitnessRequests(self.store)
        self.links = [
            WitnessClient(
                self.publisher,
                cast(Pool, self.pool),
                msgspec.structs.replace(party, url=f"http://{host}"),
                lambda *_: None,
                requests=requests,
            )
            for party, host in zip(self.publisher.policy.witnesses, fleet.nodes, strict=True)
        ]

    async def round(self) -> list[tuple[str, str]]:
        """Log what the network has more, let every full node cosign it; the requests that it took."""
        await self.store.append(self.network.leaves[self.store.size :])
        self.network.tick(1_000)
        self.publisher.advance()
        before, round_ = len(self.pool.requests), self.newest
        for link in self.links:
            self.publisher.accept(round_, link.witness, await link._cosign(round_))
        return self.pool.requests[before:]

    @property
    def newest(self) -> Round:
        """The round that is under way."""
        assert self.publisher.current is not None
        return self.publisher.current


@pytest.fixture
async def pushing() -> AsyncIterator[Pushing]:
    """A log whose four full nodes have cosigned the founding entries."""
    fleet = await Fleet().start()
    pushing = Pushing(fleet)
    await pushing.publisher.start()
    await pushing.round()
    yield pushing
    fleet.close()


async def test_a_checkpoint_costs_one_request_a_full_node(pushing: Pushing) -> None:
    """New leaves come with their checkpoint: four requests for three receipts, and none at the log."""
    for _ in range(3):
        pushing.network.add(pushing.network.receipt_entry(pushing.network.nodes[0]))
    urls = [f"http://{host}{PATH}" for host in pushing.fleet.nodes]
    assert await pushing.round() == [("POST", url) for url in urls]
    assert pushing.publisher.cosigned_size == pushing.network.tree.size
    assert {node.store.size for node in pushing.fleet.nodes.values()} == {pushing.network.tree.size}


async def test_who_is_elsewhere_is_pushed_what_it_lacks(pushing: Pushing) -> None:
    """A link that forgot where its witness is learns it by 409, and pushes from there."""
    pushing.links[0].known = 0
    pushing.network.add(pushing.network.receipt_entry(pushing.network.nodes[0]))
    requests = await pushing.round()
    assert [url for _, url in requests].count(f"http://fn0.test{PATH}") == 2
    assert len(requests) == 5
    assert pushing.publisher.cosigned_size == pushing.network.tree.size


async def test_more_than_one_push_holds_is_fetched(pushing: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a full node is asked as C2SP says, and fetches from the log."""
    monkeypatch.setattr(witness_requests, "MAX_BUNDLE", 10)
    pushing.network.add(pushing.network.receipt_entry(pushing.network.nodes[0]))
    requests = await pushing.round()
    assert [url for method, url in requests if method == "POST"] == [
        f"http://{host}/add-checkpoint" for host in pushing.fleet.nodes
    ]
    assert sum(url.startswith("http://log.test/") for _, url in requests) >= 4
    assert pushing.publisher.cosigned_size == pushing.network.tree.size


async def test_leaves_that_do_not_give_the_root_are_fetched(pushing: Pushing) -> None:
    """A log that pushes other leaves than it signed gains nothing: what is judged is what has the root."""
    net, node = pushing.network, pushing.fleet.nodes["fn0.test"]
    net.add(net.receipt_entry(net.nodes[0]))
    request = pushing.fleet.log.request(node.store.size)
    lies = (encode_bundle([net.leaves[-1][:-1] + b"\0"]), encode_bundle(net.leaves[-2:]), b"\xff", b"")
    for bundle in lies[:1]:
        before = len(pushing.pool.requests)
        await node.add_checkpoint(request, bundle)
        assert any(url.startswith("http://log.test/") for _, url in pushing.pool.requests[before:])
    assert await node.store.leaves(net.tree.size - 1, net.tree.size) == net.leaves[-1:]
    for bundle in lies[1:]:
        net.add(net.receipt_entry(net.nodes[0]))
        await node.add_checkpoint(pushing.fleet.log.request(node.store.size), bundle)
    assert await node.store.leaves(0, net.tree.size) == net.leaves


async def test_what_a_stranger_pushes_is_not_even_read(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the log's signature no leaf of a push is looked at, and nothing of it is kept."""
    read: list[bytes] = []
    monkeypatch.setattr(pushed, "decode_bundle", read.append)
    stranger = LOG.request(0)
    body = Pushed(stranger, encode_bundle([b"x" * 60_000] * 50)).encode()
    for data in (body, body[:3], b"\xff\xff\xff\xff" + body, b"\0\1\0\0" + body):
        async with pushing.pool.request("POST", f"http://fn0.test{PATH}", (), data) as response:
            assert response.status in (400, 404)
    assert read == []


async def test_a_stock_witness_is_asked_as_c2sp_says() -> None:
    """One that knows only add-checkpoint is asked twice at first, then once a round."""
    bench = await started()
    fleet = Fleet()
    stock = witnesses(LOG, 4)["w1"]
    party = next(p for p in bench.publisher.policy.witnesses if p.name == "w1")
    url = fleet.pool.mount("stock.test", witness_app(stock))
    link = WitnessClient(
        bench.publisher,
        cast(Pool, fleet.pool),
        msgspec.structs.replace(party, url=url),
        lambda *_: None,
    )
    for size in (1, 2):
        await bench.store.append([leaf(size, bytes([size]) * 8)])
        bench.clock.seconds += 1
        bench.publisher.advance()
        assert bench.publisher.current is not None
        await link._cosign(bench.publisher.current)
    paths = [url.removeprefix("http://stock.test") for _, url in fleet.pool.requests]
    assert paths == [PATH, "/add-checkpoint", "/add-checkpoint"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 501])
async def test_any_way_to_say_no_such_path_falls_back(status: int) -> None:
    """What a witness answers to a path that it does not know is not its answer to the checkpoint."""
    bench, fleet = await started(), Fleet()
    stock = witness_app(witnesses(LOG, 4)["w1"])
    party = next(p for p in bench.publisher.policy.witnesses if p.name == "w1")
    url = fleet.pool.mount("stock.test", _refusing(PATH, status, stock))
    link = WitnessClient(
        bench.publisher, cast(Pool, fleet.pool), msgspec.structs.replace(party, url=url), lambda *_: None
    )
    await bench.store.append([leaf(1, bytes(8))])
    bench.clock.seconds += 1
    bench.publisher.advance()
    assert bench.publisher.current is not None
    assert (await link._cosign(bench.publisher.current)).name == "w1"


async def test_a_refusal_of_the_checkpoint_stays_one() -> None:
    """503 and 422 are answers to the checkpoint: they are not asked for again."""
    for status in (422, 503):
        bench, fleet = await started(), Fleet()
        party = bench.publisher.policy.witnesses[0]
        url = fleet.pool.mount("no.test", _refusing(PATH, status, witness_app(witnesses(LOG, 4)["w0"])))
        link = WitnessClient(
            bench.publisher, cast(Pool, fleet.pool), msgspec.structs.replace(party, url=url), lambda *_: None
        )
        await bench.store.append([leaf(1, bytes(8))])
        bench.clock.seconds += 1
        bench.publisher.advance()
        assert bench.publisher.current is not None
        with pytest.raises(WitnessRefused):
            await link._cosign(bench.publisher.current)
        assert len(fleet.pool.requests) == 1


def _refusing(path: str, status: int, otherwise: ASGIApp) -> ASGIApp:
    """Answers one path with a status, everything else as `otherwise` does."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != path:
            await otherwise(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"no\n"})

    return app
