"""What a relay passes on, what it refuses, and what it says of itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from hallmark.core.beacon import network_id
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.services.log.settings import Quota
from hallmark.services.relay.info import CHUNKED_REQUEST, CHUNKED_RESPONSE, REQUEST, RESPONSE, RelayInfo
from hallmark.testing.relay_network import ORIGIN, RelayScene, listed, relay_scene

ONE, TWO, PLAIN, NOBODY = (bytes([n]) * 20 for n in (1, 2, 3, 4))


class Node:
    """Answers with what it was sent, in pieces; remembers the heads of requests."""

    def __init__(self, name: bytes) -> None:
        self.name, self.heads = name, list[dict[bytes, bytes]]()
        self.gate, self.reached, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.status, self.kind = 200, CHUNKED_RESPONSE
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert (scope["method"], scope["path"]) == ("POST", "/v1/hallmark/sealed")
        self.heads.append(dict(scope["headers"]))
        if self.kind == b"flood":
            await self._flood(receive, send)
            return
        body = await read_body(receive, 1 << 26)
        headers = [(b"content-type", self.kind), (b"set-cookie", b"you=1"), (b"x-node", self.name)]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.name, "more_body": True})
        self.reached.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.gone.set()
            raise
        await send({"type": "http.response.body", "body": body})

    async def _flood(self, receive: Receive, send: Send) -> None:
        """Answers without end, until the reader stops."""
        await read_body(receive, 1 << 26)
        head = [(b"content-type", CHUNKED_RESPONSE)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        watch = asyncio.ensure_future(receive())
        while not watch.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            self.sent += 65_536
            self.reached.set()
            await asyncio.sleep(0)
        self.gone.set()


async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """The gateway's own door for capsules."""
    body = await read_body(receive, 1 << 20)
    await respond(send, 200, b"gateway " + body, content_type=CHUNKED_RESPONSE)


class Scene:
    """A relay in front of two nodes."""

    def __init__(self, scene: RelayScene, one: Node, two: Node) -> None:
        self.scene, self.one, self.two, self.url = scene, one, two, scene.url

    async def post(
        self, where: str, body: Any = b"capsule", *, kind: bytes = CHUNKED_REQUEST, **headers: str
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of a capsule's answer."""
        pairs = [(b"content-type", kind), *((k.encode(), v.encode()) for k, v in headers.items())]
        pool = Pool()
        async with pool.request("POST", where, pairs, body) as response:
            found = response.status, dict(response.headers), await response.read()
        await pool.aclose()
        return found

    async def refused(self, where: str, **options: Any) -> tuple[int, str]:
        """Status and reason of a refusal that is the relay's own."""
        status, headers, body = await self.post(where, **options)
        assert b"error=" in headers[b"proxy-status"]
        return status, json.loads(body)["error"]["code"]


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[Scene]:
    """The scene, with changed settings."""
    one, two = Node(b"one:"), Node(b"two:")
    async with relay_scene({ONE: one, TWO: two}, gateway, **changes) as scene:
        yield Scene(scene, one, two)


async def test_capsules_reach_the_node_that_is_named_and_nothing_else_does() -> None:
    """Media type, length and bytes go on; of the answer status, type and body come back."""
    async with running() as scene:
        where = scene.scene.to(ONE)
        status, headers, body = await scene.post(
            where,
            cookie="me",
            authorization="Bearer me",
            **{"user-agent": "mine", "x-forwarded-for": "9.9.9.9"},
        )
        assert (status, body) == (200, b"one:capsule")
        assert set(scene.one.heads[0]) == {b"host", b"content-type", b"content-length"}
        assert headers[b"content-type"] == CHUNKED_RESPONSE
        assert headers[b"proxy-status"] == b"hallmark-relay; received-status=200"
        assert not {b"set-cookie", b"x-node"} & set(headers)
        scene.two.kind = RESPONSE
        assert (await scene.post(scene.scene.to(TWO), kind=REQUEST))[2] == b"two:capsule"
        assert scene.two.heads[0][b"content-type"] == REQUEST
        assert (await scene.post(f"{scene.url}/v1/relay/gateway"))[2] == b"gateway capsule"


async def test_a_nodes_refusal_is_told_from_the_relays_own() -> None:
    """Proxy-Status says received-status for a node's word, error for the relay's."""
    async with running() as scene:
        scene.one.status, scene.one.kind = 400, b"application/json"
        status, headers, _ = await scene.post(scene.scene.to(ONE))
        assert (status, headers[b"proxy-status"]) == (400, b"hallmark-relay; received-status=400")
        scene.one.kind = b"text/html"
        assert await scene.refused(scene.scene.to(ONE)) == (503, "relay_answer_type")


async def test_only_the_directory_is_contacted() -> None:
    """No other node, no plain one, no path and no media type beside those of capsules; no method but POST."""
    async with running() as scene:
        scene.scene.gateway.nodes.append(listed(PLAIN, "https://127.0.0.1:1", bytes(32), sealed=False))
        scene.scene.gateway.nodes.append(listed(NOBODY, "http://127.0.0.1:1", bytes(32)))
        await scene.scene.relay.directory.fetch()
        to = scene.scene.to
        assert await scene.refused(to(PLAIN)) == (404, "relay_node_plain")
        assert await scene.refused(to(NOBODY)) == (404, "relay_unknown_node")
        assert await scene.refused(to(ONE), kind=b"application/json") == (415, "relay_media_type")
        for path in ("/v1/relay/http://127.0.0.1:1", "/v1/hallmark/route", "/v1/relay/0x12"):
            assert await scene.refused(scene.url + path) == (404, "relay_unknown_path")
        async with Pool().request("GET", to(ONE)) as response:
            assert response.status == 405
        assert scene.one.heads == []


async def test_another_key_at_a_nodes_address_gets_nothing() -> None:
    """The TLS key is that of the directory, or not a byte goes out."""
    async with running() as scene:
        first, second = scene.scene.gateway.nodes
        first["tls_spki"] = second["tls_spki"]
        await scene.scene.relay.directory.fetch()
        assert await scene.refused(scene.scene.to(ONE)) == (503, "relay_peer_away")
        assert scene.one.heads == []


async def test_a_new_node_is_found_when_it_is_asked_for() -> None:
    """A name that the directory lacks makes the relay look again, at most once a second."""
    async with running() as scene:
        relay, nodes = scene.scene.relay.directory, scene.scene.gateway.nodes
        known = nodes.pop(0)
        await relay.fetch()
        nodes.append(known)
        asked = scene.scene.gateway.asked
        assert await scene.refused(scene.scene.to(ONE)) == (404, "relay_unknown_node")
        assert scene.scene.gateway.asked == asked
        looking = asyncio.create_task(relay.run())
        relay._last = float("-inf")
        assert (await scene.post(scene.scene.to(ONE)))[0] == 200
        looking.cancel()


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """A gateway that cannot open what it gets."""
    await read_body(receive, 1 << 20)
    await respond(send, 400, b"{}")


async def test_a_gateway_that_began_anew_is_asked_for_its_keys() -> None:
    """Before its refusal goes on, so who then asks the relay for the gateway's keys gets those in force; at
    most once a second.
    """
    async with running() as scene:
        relay, gateway = scene.scene.relay.directory, scene.scene.gateway
        looking = asyncio.create_task(relay.run())
        async with relay._done:
            await relay._done.wait_for(lambda: relay.fetched > 1)
        gateway.sealed, gateway.keys = refusing, b"anew"
        assert (await scene.post(f"{scene.url}/v1/relay/gateway"))[0] == 400
        assert relay.keys == b"configurations"
        relay._last = float("-inf")
        assert (await scene.post(f"{scene.url}/v1/relay/gateway"))[0] == 400
        assert relay.keys == b"anew"
        looking.cancel()


async def test_answers_stream_and_a_client_that_leaves_is_noticed() -> None:
    """The first bytes come before the last are made; who leaves lets the node know."""
    async with running() as scene:
        scene.one.gate.clear()
        pool = Pool()
        headers = ((b"content-type", CHUNKED_REQUEST),)
        async with pool.request("POST", scene.scene.to(ONE), headers, b"x") as response:
            assert await response.__anext__() == b"one:"
            assert scene.scene.relay.sources.under_way == 1
        await asyncio.wait_for(_until(lambda: scene.scene.relay.sources.under_way == 0), 60)
        await pool.aclose()


async def _until(holds: Any) -> None:
    while not holds():  # noqa: ASYNC110 - it is a number that changes
        await asyncio.sleep(0.01)


async def test_long_capsules_stream_on() -> None:
    """What is over the buffer arrives whole all the same, with and without a length."""
    async with running() as scene:
        long = bytes(range(256)) * 4096

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(long), 50_000):
                yield long[at : at + 50_000]

        assert (await scene.post(scene.scene.to(ONE), long))[2] == b"one:" + long
        assert (await scene.post(scene.scene.to(ONE), pieces()))[2] == b"one:" + long
        assert set(scene.one.heads[1]) == {b"host", b"content-type", b"transfer-encoding"}


async def test_a_reader_that_stands_still_stops_the_node() -> None:
    """Back-pressure reaches the node; after a while the stuck reader is dropped."""
    async with running(stuck_s=0.3) as scene:
        scene.one.kind = b"flood"
        host, port = scene.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(
            f"POST /v1/relay/0x{ONE.hex()} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n"
            f"content-type: {CHUNKED_REQUEST.decode()}\r\n\r\nx".encode()
        )
        await asyncio.wait_for(scene.one.gone.wait(), 20)
        assert scene.one.sent < 48 * 1024 * 1024
        await asyncio.wait_for(_until(lambda: scene.scene.relay.sources.under_way == 0), 60)
        writer.close()
        assert reader is not None


async def test_what_is_too_long_too_slow_or_too_much_is_refused() -> None:
    """413, 408, 429 and 503, each with its reason; an answer over the limit ends in a broken connection."""
    small = {"capsule": 1000, "answer": 2000, "body_s": 0.1, "at_once": 2, "at_once_by_address": 1}
    async with running(**small) as scene:
        to = scene.scene.to(ONE)
        assert await scene.refused(to, body=bytes(1001)) == (413, "body_too_large")

        async def slow() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(30)

        host, port = scene.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /v1/relay/0x{ONE.hex()} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n"
            f"content-type: {CHUNKED_REQUEST.decode()}\r\n\r\nx".encode()
        )
        assert b"408" in await asyncio.wait_for(reader.readline(), 60)
        writer.close()
        assert scene.one.heads == []
        await asyncio.wait_for(_until(lambda: scene.scene.relay.sources.under_way == 0), 60)
        scene.one.gate.clear()
        first = asyncio.create_task(scene.post(to))
        await scene.one.reached.wait()
        assert await scene.refused(to) == (429, "relay_at_once")
        others = {"x-forwarded-for": "192.0.2.1"}
        second = asyncio.create_task(scene.post(scene.scene.to(TWO), **others))
        await scene.two.reached.wait()
        third = {"x-forwarded-for": "192.0.2.2"}
        scene.two.gate.clear()
        await second
        scene.two.reached.clear()
        second = asyncio.create_task(scene.post(scene.scene.to(TWO), **others))
        await scene.two.reached.wait()
        assert await scene.refused(to, **third) == (503, "relay_busy")
        scene.one.gate.set()
        scene.two.gate.set()
        assert (await first)[0] == (await second)[0] == 200


async def test_an_answer_over_the_limit_is_cut() -> None:
    """The connection is dropped: an unfinished answer never reads as a whole one."""
    async with running(answer=200_000) as scene:
        scene.one.kind = b"flood"
        with pytest.raises(Exception, match="connection_lost"):
            await scene.post(scene.scene.to(ONE))


async def test_quotas_by_address() -> None:
    """429 with Retry-After once the burst is used; another address, and another /64, have their own."""
    async with running(by_address=Quota(0.001, 2)) as scene:
        to = scene.scene.to(ONE)
        for address, same in (("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::2")):
            for _ in range(2):
                assert (await scene.post(to, **{"x-forwarded-for": address}))[0] == 200
            status, headers, body = await scene.post(to, **{"x-forwarded-for": same})
            assert (status, json.loads(body)["error"]["code"]) == (429, "relay_rate")
            assert int(headers[b"retry-after"]) > 100
        assert (await scene.post(to, **{"x-forwarded-for": "2001:db8:0:1::1"}))[0] == 200
        scene.scene.relay.sources.forget()
        assert len(scene.scene.relay.sources) == 0
        assert (await scene.post(to, **{"x-forwarded-for": "192.0.2.1"}))[0] == 200


async def test_what_a_relay_says_of_itself() -> None:
    """Name, network, the gateway's keys with their digest, limits, what is kept, nodes; the same for all."""
    async with running(name="ours") as scene:
        answers = []
        for agent in (b"a", b"b"):
            async with Pool().request("GET", f"{scene.url}/v1/relay", ((b"user-agent", agent),)) as response:
                assert response.header(b"access-control-allow-origin") == b"*"
                answers.append(await response.read())
        assert answers[0] == answers[1]
        info = msgspec.json.decode(answers[0], type=RelayInfo)
        assert (info.name, info.network) == ("ours", f"0x{network_id(ORIGIN).hex()}")
        assert info.keys == b"configurations"
        assert info.digest == f"0x{hashlib.sha256(b'configurations').hexdigest()}"
        assert [(node.node, node.epoch) for node in info.nodes] == [(f"0x{n.hex()}", 7) for n in (ONE, TWO)]
        assert (info.kept.address_hashes_s, info.kept.pairs_s, info.tokens) == (600, 0, None)


async def test_pages_of_any_site_may_seal() -> None:
    """A preflight is answered, without credentials; refusals can be read by the page."""
    async with running() as scene:
        headers = ((b"origin", b"https://app.example"), (b"access-control-request-method", b"POST"))
        async with Pool().request("OPTIONS", scene.scene.to(ONE), headers) as response:
            assert response.status == 204
            assert response.header(b"access-control-allow-origin") == b"*"
            assert response.header(b"access-control-allow-credentials") is None
            assert b"content-type" in (response.header(b"access-control-allow-headers") or b"")
        _, said, _ = await scene.post(f"{scene.url}/v1/relay/nowhere", kind=CHUNKED_REQUEST)
        assert said[b"access-control-allow-origin"] == b"*"


async def test_health_follows_the_directory() -> None:
    """Ready with a directory; degraded, and still at work by the last one, when the gateway is away."""
    async with running() as scene:
        directory = scene.scene.relay.directory
        async with Pool().request("GET", f"{scene.url}/readyz") as response:
            assert response.status == 200
        scene.scene.gateway.fail = True
        for _ in range(3):
            await directory.fetch()
        assert (directory.health.state, directory.health.reason) == ("degraded", "relay_gateway_away")
        async with Pool().request("GET", f"{scene.url}/readyz") as response:
            assert response.status == 503
        assert (await scene.post(scene.scene.to(ONE)))[0] == 200


async def test_a_node_that_breaks_off_is_not_asked_twice() -> None:
    """What may have begun is not repeated: the client is told, and that asking the same again cannot help."""
    async with running(answer_s=0.2) as scene:

        async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
            await read_body(receive, 100)
            scene.one.heads.append({})
            await asyncio.sleep(30)

        scene.scene.gateway.sealed = silent
        status, headers, body = await scene.post(f"{scene.url}/v1/relay/gateway")
        assert (status, json.loads(body)["error"]["code"]) == (503, "relay_peer_silent")
        assert headers[b"x-should-retry"] == b"false"
        assert len(scene.one.heads) == 1


async def test_metrics_are_for_this_machine_alone() -> None:
    """Whoever could watch the counters from elsewhere would learn when a capsule of which size passed."""
    async with running() as scene:
        for headers, status in (((), 200), (((b"x-forwarded-for", b"192.0.2.1"),), 404)):
            async with Pool().request("GET", f"{scene.url}/metrics", headers) as response:
                assert response.status == status
                assert (b"hallmark_relay" in await response.read()) == (status == 200)


async def test_slow_senders_take_nobodys_place() -> None:
    """While capsules arrive slowly, others pass; of those that arrive there is a bound as well."""
    async with running(at_once=1) as scene:
        host, port = scene.url.removeprefix("http://").split(":")
        sources, writers = scene.scene.relay.sources, []
        for number in range(1, 4):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST /v1/relay/0x{ONE.hex()} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n"
                f"content-type: {CHUNKED_REQUEST.decode()}\r\n\r\nx".encode()
            )
            writers.append(writer)
            await asyncio.wait_for(_until(lambda n=number: sources.begun == n), 60)
        assert sources.under_way == 0
        assert (await scene.post(scene.scene.to(TWO)))[0] == 200
        scene.two.gate.clear()
        scene.two.reached.clear()
        last = asyncio.create_task(scene.post(scene.scene.to(TWO)))
        await scene.two.reached.wait()
        assert await scene.refused(scene.scene.to(TWO)) == (503, "relay_busy")
        scene.two.gate.set()
        assert (await last)[0] == 200
        for writer in writers:
            writer.close()
        await asyncio.wait_for(_until(lambda: sources.begun == 0), 60)
