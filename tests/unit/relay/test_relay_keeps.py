"""After traffic: no address, no node and no piece of a capsule in log lines, metrics or rows of the store."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Receive, Scope, Send, read_body
from hallmark.http.client import Pool
from hallmark.services.log.settings import Quota
from hallmark.services.relay.info import CHUNKED_REQUEST, CHUNKED_RESPONSE
from hallmark.services.relay.sources import Sources
from hallmark.store import sqlite_url
from hallmark.telemetry.logs import configure
from hallmark.testing.relay_network import listed, relay_scene

NODE, AWAY, LOST = b"\xa1" * 20, b"\xa2" * 20, b"\xa3" * 20
CANARY = b"canary-of-a-capsule"
ADDRESSES = ("192.0.2.77", "198.51.100.5", "2001:db8:77::5")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that the process logs."""
    stream = io.StringIO()
    configure("relay", stream=stream)
    yield stream
    structlog.reset_defaults()


async def node(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the canary; breaks off where it is told to."""
    body = await read_body(receive, 1 << 20)
    head = [(b"content-type", CHUNKED_RESPONSE)]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if b"break" in body:
        raise RuntimeError(CANARY.decode())
    await send({"type": "http.response.body", "body": CANARY})


async def test_nothing_of_who_asked_what_of_whom_is_left(tmp_path: Path, lines: io.StringIO) -> None:
    """Answers, refusals of each sort, nodes that are away and that break off, a client that leaves."""
    url = sqlite_url(tmp_path / "store.db")
    changes = {"database": url, "by_address": Quota(0.01, 4), "answer_s": 2.0}
    async with relay_scene({NODE: node}, node, **changes) as scene:
        scene.gateway.nodes.append(listed(AWAY, "https://127.0.0.1:9", bytes(32)))
        scene.gateway.nodes.append(
            {**scene.gateway.nodes[0], "node": f"0x{LOST.hex()}", "tls_spki": "0x" + "11" * 32}
        )
        await scene.relay.directory.fetch()
        pool = Pool()
        for address in ADDRESSES:
            for target in (NODE, AWAY, LOST, b"\xa4" * 20, NODE, NODE):
                for body in (CANARY, CANARY + b"break"):
                    kind = CHUNKED_REQUEST if target != LOST or b"break" not in body else b"text/plain"
                    headers = ((b"content-type", kind), (b"x-forwarded-for", address.encode()))
                    with contextlib.suppress(Unavailable):
                        async with pool.request("POST", scene.to(target), headers, body) as response:
                            await response.read()
        scene.gateway.fail = True
        await scene.relay.directory.fetch()
        async with pool.request("GET", f"{scene.url}/metrics") as response:
            metrics = (await response.read()).decode()
        async with pool.request("GET", f"{scene.url}/v1/relay") as response:
            info = (await response.read()).decode()
        await pool.aclose()
    rows = "\n".join(sqlite3.connect(tmp_path / "store.db").iterdump())
    assert re.search(r'outcome="passed_on"} \d', metrics)
    assert 'outcome="relay_rate"' in metrics
    assert 'outcome="relay_peer_away"' in metrics
    assert "directory_problem" in lines.getvalue()
    for text in (lines.getvalue(), metrics, rows):
        for one in (*ADDRESSES, "127.0.0.1"):
            assert one not in text
        for key in (NODE, AWAY, LOST):
            assert key.hex() not in text
        assert CANARY.decode() not in text
        assert base64.b64encode(CANARY).decode()[:16] not in text
    for address in ADDRESSES:
        assert address not in info


async def test_hashes_of_addresses_are_forgotten_with_their_key() -> None:
    """Within the stated time, without any further traffic; the same address then has another hash."""
    keys = iter(range(1, 100))
    sources = Sources(Quota(1, 10), 0.05, lambda n: bytes([next(keys)]) * n, at_once=9, by_address=9)
    first = sources.name("192.0.2.1")
    assert sources.name("192.0.2.1") == first != sources.name("192.0.2.2")
    assert sources.name("2001:db8::1") == sources.name("2001:db8::2") != sources.name("2001:db8:0:1::1")
    sources.take(first, 0.0)
    assert len(sources) == 1
    forgotten = asyncio.Event()
    begin = sources._begin

    def begun() -> None:
        begin()
        forgotten.set()

    sources._begin = begun  # type: ignore[method-assign]
    await asyncio.wait_for(forgotten.wait(), 60)
    assert len(sources) == 0
    assert sources.name("192.0.2.1") != first
    sources.forget()
