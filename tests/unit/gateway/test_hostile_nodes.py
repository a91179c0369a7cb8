"""Whatever a node answers with, and however its connection breaks, a client is told a reason, never a bug."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Disconnected, Message
from hallmark.http.connection import Connection
from hallmark.services.gateway.disconnect import until_disconnect
from hallmark.testing.local_network import LocalNetwork

DEEP = b"[" * 100_000 + b"]" * 100_000
JSON = b"application/json"
SSE = b"text/event-stream"
OBJECT = b'"hallmark":{"id":"0x","receipt":{},"signature":"0x","salts":{},"documents":'
UNSIGNED, CUT, NO_NODE = (422, "answer_unsigned"), (200, "answer_unsigned"), (503, "no_node")


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    """Recursion as deep as in a service: oracles of other tests raise the limit for the whole process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ((200, JSON, b""), UNSIGNED),
        ((200, JSON, b"\xff"), UNSIGNED),
        ((200, JSON, DEEP), UNSIGNED),
        ((200, JSON, b'{"x":' + DEEP + b',"hallmark":{}}'), UNSIGNED),
        ((200, JSON, b"{" + OBJECT + b'{"bundle":' + DEEP + b"}}}"), UNSIGNED),
        ((200, JSON, b"{" + OBJECT + b'{"bundle":}}}'), UNSIGNED),
        ((200, JSON, b"{" + OBJECT + b'{"bundle":"\\ud800"}}}'), UNSIGNED),
        ((200, SSE, b"data: {" + OBJECT + b'{"bundle":' + DEEP + b"}}}\n\ndata: [DONE]\n\n"), CUT),
        ((200, SSE, b"data: {" + OBJECT + b"\n\ndata: [DONE]\n\n"), CUT),
        ((200, SSE, b'data: {"error":{"code":"x","z":' + DEEP + b"}}\n\n"), (502, "node_failed")),
        ((200, SSE, b'data: {"error":' + DEEP + b"\n\n"), (502, "node_failed")),
        ((500, JSON, b'{"error":{"code":' + DEEP + b"}}"), NO_NODE),
        ((500, JSON, b"\xff\xfe"), NO_NODE),
        ((503, JSON, b'{"error":{"code":"\\ud800"}}'), NO_NODE),
    ],
)
async def test_what_a_node_says(
    ask: Any, local: LocalNetwork, says: tuple[int, bytes, bytes], expected: tuple[int, str]
) -> None:
    """Nothing, bytes that are no text, JSON that is nested too deeply or cut: each has its reason."""
    for node in local.nodes:
        node.behaviour, node.says = "says", says
    status, _, body = await ask.chat(stream=says[1] == SSE)
    # A stream that has begun ends with its error.
    assert (status, json.loads(body.rpartition(b"data: ")[2])["error"]["code"]) == expected


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_that_has_just_gone(
    ask: Any, local: LocalNetwork, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transport that raises instead of writing is a node that cannot be reached."""
    written = Connection.write

    async def broken(self: Connection, data: bytes) -> None:
        if b"hallmark-ticket" in data:
            self._transport = _Gone()  # type: ignore[assignment]
        await written(self, data)

    monkeypatch.setattr(Connection, "write", broken)
    status, _, body = await ask.chat(stream=stream)
    error = json.loads(body)["error"]
    assert (status, error["code"]) == NO_NODE
    assert "2 connection_lost" in error["message"]


class _Gone:
    """A transport of uvloop whose handle was closed a moment ago."""

    def is_closing(self) -> bool:
        return False

    def write(self, _data: bytes) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")

    def abort(self) -> None:
        pass


async def test_work_that_somebody_else_cancels() -> None:
    """A client that is still there is told that its answer was lost; one that left is told nothing."""
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable) as caught:
        await until_disconnect(receive, cancelled())
    assert caught.value.reason == "answer_lost"
    gone.set()
    with pytest.raises(Disconnected):
        await until_disconnect(receive, asyncio.sleep(60))
