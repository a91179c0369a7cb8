"""What a host brings its enclave before anybody may ask it: upstreams' keys, the issuer's key sets."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Receive, Scope, Send, respond_json
from hallmark.http.serve import Service
from hallmark.services.enclave import control
from hallmark.services.node.key_sealing import KeySealing
from hallmark.services.node.node import Node
from hallmark.services.node.token_desk import TokenDesk
from hallmark.services.node.token_store import TokenStore
from hallmark.store.raw import RawDatabase
from hallmark.store.urls import sqlite_url
from hallmark.testing.listening import listening
from hallmark.testing.network import LittleNetwork

SEALER = "import json, sys; json.load(sys.stdin); print(json.dumps({'keys': {'large': 'c2VhbGVk'}}))"


class Enclave:
    """As much of a running enclave as these deliveries touch; `sent` is what its link carried."""

    def __init__(self) -> None:
        self.attested = control.Attested(b"{}", b"", b"", b"")
        self.address = self.bundle_digest = ""
        self.link = self
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        """One message."""
        self.sent.append(message)


def sealing(program: str) -> KeySealing:
    """With this program as the operator's sealer."""
    return KeySealing((sys.executable, "-c", program), ("large",))


async def test_keys_are_given_once_before_they_are_followed() -> None:
    """Following an enclave that has its keys gives none again."""
    keys, enclave = sealing(SEALER), Enclave()
    assert await keys.give(enclave) == ""  # type: ignore[arg-type]  # a double
    assert enclave.sent == [control.UpstreamKey("large", b"sealed")]
    following = asyncio.create_task(keys.follow(enclave))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    following.cancel()
    assert len(enclave.sent) == 1


async def test_a_sealer_that_failed_is_run_again_while_the_enclave_serves() -> None:
    """It says why meanwhile; what it gives in the end arrives."""
    keys, enclave = sealing("print('nothing')"), Enclave()
    assert await keys.give(enclave) == "sealer_failed"  # type: ignore[arg-type]
    assert keys.states["large"].state == "sealer_failed"
    keys._sealer = (sys.executable, "-c", SEALER)
    following = asyncio.create_task(keys.follow(enclave))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        while not enclave.sent:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    following.cancel()


class LateIssuer:
    """Its key sets are asked for, and cannot be had yet."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("issuer_starting", "Not yet.")
        await respond_json(send, {"issuer": "0x", "sealing": "0x", "sealing_signature": "0x", "sets": []})


async def test_the_issuer_is_asked_before_anybody_comes(tmp_path: Path) -> None:
    """Each enclave anew. An issuer that fails counts as asked: nobody else waits for it."""
    issuer = LateIssuer()
    async with listening(Service(issuer), socket.create_server(("127.0.0.1", 0))) as url:
        desk = TokenDesk(url, TokenStore(RawDatabase(sqlite_url(tmp_path / "node.db"))))
        desk.start()
        try:
            for _ in range(2):
                before = issuer.asked
                desk.begin(lambda _message: None)
                assert not desk.asked.is_set()
                async with asyncio.timeout(60):
                    await desk.asked.wait()
                assert issuer.asked > before
        finally:
            await desk.close(0)


async def test_an_enclave_is_registered_with_what_it_needs() -> None:
    """Registration is what lets clients in, so what they need comes first."""
    order: list[str] = []
    enclave = Enclave()

    class Sealing:
        async def give(self, _running: object) -> str:
            await asyncio.sleep(0)
            order.append("keys")
            return ""

    class Payments:
        async def begin(self, *_callbacks: object) -> None:
            return None

        def serving(self, _key: bytes) -> None:
            order.append("offer")

        async def prepared(self) -> None:
            await asyncio.sleep(0)
            order.append("key sets")

    class Registered(Node):
        async def _register(self, _attested: object) -> None:
            order.append("registered")
            raise Unavailable("enough", "The test has seen it.")

    node = Registered.__new__(Registered)
    enclave.attested = control.Attested(_bundle(), b"", b"", b"")
    node.sealing, node.payments = Sealing(), Payments()  # type: ignore[assignment]  # doubles
    node._cargo, node._log, node._outbox = mock.Mock(), mock.AsyncMock(), mock.AsyncMock()
    node._starter = mock.Mock(start=mock.AsyncMock(return_value=enclave))
    with pytest.raises(Unavailable, match="The test has seen it"):
        await node._one_life()
    assert order == ["offer", "keys", "key sets", "registered"]


def _bundle() -> bytes:
    named = LittleNetwork().nodes[0].bundle
    assert named is not None
    return named.encode()
