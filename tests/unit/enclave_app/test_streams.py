"""Streams that do not end well: nothing is left without a receipt, nothing unsigned looks complete."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from hallmark.core.answer import split_hallmark_stream
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.receipt import response_digest, response_prefix
from hallmark.engines.protocol import (
    ChatRequest,
    CompletionRequest,
    Delta,
    Description,
    Sampling,
    Task,
    Unoffered,
)
from hallmark.services.enclave import streaming
from hallmark.services.enclave.app import App
from hallmark.services.enclave.streaming import COMMENT
from hallmark.testing.runtime import MemoryRuntime

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
STREAM = HELLO | {"stream": True}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event leaves by itself; `test_gathering` has those that do not."""
    monkeypatch.setattr(streaming, "GAP_S", 0.0)


class Script(Unoffered):
    """An engine that says what the test wrote; an exception in the script is raised, an event is awaited.

    `waiting` is released whenever an event is about to be awaited.
    """

    tasks = frozenset({Task.CHAT, Task.COMPLETION})

    def __init__(self, *script: str | Exception | asyncio.Event) -> None:
        self.script = script
        self.closed = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)

    def describe(self) -> Description:
        """Nothing to say."""
        return Description("script", "1")

    async def generate(
        self, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int
    ) -> AsyncGenerator[Delta, None]:
        """Say the script."""
        try:
            for n, line in enumerate(self.script):
                if isinstance(line, Exception):
                    raise line
                if isinstance(line, asyncio.Event):
                    self.waiting.release()
                    await line.wait()
                else:
                    yield Delta(line, 1, n + 1, 50)
            yield Delta("", 1, len(self.script), 50, "stop")
        finally:
            self.closed.set()

    def close(self) -> None:
        """Nothing to close."""


class Wire:
    """An ASGI connection in the test's hand: `leave` disconnects, `sent` is every body byte so far."""

    def __init__(self, body: dict[str, Any], path: str = CHAT) -> None:
        self.scope = {"type": "http", "path": path, "method": "POST", "headers": []}
        self.body = json.dumps(body).encode()
        self.sent = b""
        self.messages: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self._left = asyncio.Event()
        self._read = False

    async def receive(self) -> dict[str, Any]:
        """The body, then nothing until the client leaves."""
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Keep what is sent."""
        self.messages.append(message)
        self.sent += message.get("body", b"")
        if self.sent:
            self.arrived.set()

    def leave(self) -> None:
        """Disconnect."""
        self._left.set()


def app_of(runtime: MemoryRuntime, engine: Script) -> App:
    """An application whose model is a script."""
    return App(runtime, {"tiny": engine}, {})


async def post(app: App, body: dict[str, Any]) -> httpx.Response:
    """One request over httpx."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.post(CHAT, json=body)


async def test_leaving_mid_stream_stops_the_engine_and_signs_what_left(runtime: MemoryRuntime) -> None:
    """After a disconnect the engine is closed and a receipt over exactly the bytes sent is stored."""
    engine = Script("one", "two", asyncio.Event(), "never")
    wire = Wire(STREAM)
    task = asyncio.ensure_future(app_of(runtime, engine)(wire.scope, wire.receive, wire.send))  # type: ignore[arg-type]
    await engine.waiting.acquire()
    assert b"two" in wire.sent
    wire.leave()
    await task
    assert engine.closed.is_set()
    (draft,) = runtime.drafts
    salt = hashlib.shake_256(b"tests" + (1).to_bytes(8, "big")).digest(108)[32:64]
    assert draft.response == response_digest(salt, wire.sent)
    assert (draft.tokens_in, draft.tokens_out) == (1, 2)
    assert b"[DONE]" not in wire.sent
    assert [event for event, _ in runtime.logged] == ["client_disconnected", "partial_answer_signed"]
    assert runtime.logged[1][1] == {"receipt": hex0x(runtime.signed[0].receipt.digest())}


async def test_a_stream_that_is_silent_gets_comments(
    runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an engine thinks, comments keep the connection alive; the receipt covers them like all else."""
    monkeypatch.setattr("hallmark.services.enclave.answers.KEEP_ALIVE_S", 0.0001)
    gate = asyncio.Event()
    wire = Wire(STREAM)
    task = asyncio.ensure_future(app_of(runtime, Script(gate, "text"))(wire.scope, wire.receive, wire.send))  # type: ignore[arg-type]
    await wire.arrived.wait()
    assert wire.sent.startswith(COMMENT)
    monkeypatch.setattr("hallmark.services.enclave.answers.KEEP_ALIVE_S", 60)
    gate.set()
    await task
    content, _ = split_hallmark_stream(wire.sent)
    assert content.startswith(COMMENT)
    assert b"text" in content
    assert runtime.drafts[0].response == hashlib.sha256(response_prefix(_salt(runtime)) + content).digest()


async def test_leaving_before_the_first_byte_leaves_nothing(runtime: MemoryRuntime) -> None:
    """When nothing was sent, nothing is signed, streamed or not, and the engine is closed."""
    for body in (STREAM, HELLO):
        engine = Script(asyncio.Event())
        wire = Wire(body)
        task = asyncio.ensure_future(app_of(runtime, engine)(wire.scope, wire.receive, wire.send))  # type: ignore[arg-type]
        await engine.waiting.acquire()
        wire.leave()
        await task
        assert engine.closed.is_set()
        assert wire.messages == []
    assert runtime.signed == []


async def test_a_server_that_stops_still_signs_what_left(runtime: MemoryRuntime) -> None:
    """When the server cancels a request in mid-stream, a receipt for its bytes is stored first."""
    wire = Wire(STREAM)
    app = app_of(runtime, Script("one", asyncio.Event()))
    task = asyncio.ensure_future(app(wire.scope, wire.receive, wire.send))  # type: ignore[arg-type]
    await wire.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(runtime.signed) == 1


async def test_storing_may_fail_while_a_stream_is_cut(runtime: MemoryRuntime) -> None:
    """A cancelled request stays cancelled, and the failure to sign is logged with its reason."""
    runtime.refuse = "receipt_not_stored"
    wire = Wire(STREAM)
    app = app_of(runtime, Script("one", asyncio.Event()))
    task = asyncio.ensure_future(app(wire.scope, wire.receive, wire.send))  # type: ignore[arg-type]
    await wire.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runtime.logged == [("answer_unsigned", {"reason": "receipt_not_stored"})]


async def test_a_receipt_that_cannot_be_stored_ends_the_stream_with_an_error(runtime: MemoryRuntime) -> None:
    """The stream ends with an error event and without [DONE]; nobody can take it for a complete answer."""
    runtime.refuse = "receipt_not_stored"
    response = await post(app_of(runtime, Script("text")), STREAM)
    last = json.loads(response.text.rstrip().split("\n\n")[-1][6:])
    assert last["error"]["code"] == "receipt_not_stored"
    assert "[DONE]" not in response.text
    assert "hallmark" not in response.text
    with pytest.raises(InvalidInput):
        split_hallmark_stream(response.content)


async def test_a_receipt_that_cannot_be_stored_withholds_a_json_answer(runtime: MemoryRuntime) -> None:
    """Without a stored receipt there is an error and not one byte of the answer."""
    runtime.refuse = "receipt_not_stored"
    response = await post(app_of(runtime, Script("secret")), HELLO)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert "secret" not in response.text


@pytest.mark.parametrize("error", [ValueError("secret detail"), Unavailable("gone", "It went.")])
async def test_an_engine_that_fails_in_mid_stream(runtime: MemoryRuntime, error: Exception) -> None:
    """What left is signed for, the client gets an error event, and the cause of a bug is not told."""
    response = await post(app_of(runtime, Script("text", error)), STREAM)
    last = json.loads(response.text.rstrip().split("\n\n")[-1][6:])
    assert last["error"]["code"] == getattr(error, "reason", "internal_error")
    assert "[DONE]" not in response.text
    assert "secret detail" not in response.text
    assert "secret detail" not in repr(runtime.logged)
    covered = response.content[: response.content.rindex(b"data: ")]
    assert runtime.drafts[0].response == hashlib.sha256(response_prefix(_salt(runtime)) + covered).digest()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_fails_at_once(runtime: MemoryRuntime, stream: bool) -> None:
    """A bug before the first byte is an ordinary error response; nothing is signed."""
    response = await post(app_of(runtime, Script(ValueError("secret detail"))), HELLO | {"stream": stream})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret detail" not in response.text
    (event, told), *rest = runtime.logged
    assert (event, told["kind"], rest) == ("internal_error", "value_error", [])
    assert re.search(r"/test_streams\.py:\d+$", str(told["where"]))
    assert runtime.signed == []


async def test_a_full_node_says_so_and_recovers(models: Any) -> None:
    """Over its capacity a node says node_busy with Retry-After, and answers again when a place is free."""
    runtime = MemoryRuntime(models, capacity=2)
    gate = asyncio.Event()
    engine = Script("a", gate, "b")
    app = app_of(runtime, engine)
    running = [asyncio.ensure_future(post(app, STREAM)) for _ in range(2)]
    await asyncio.gather(*(engine.waiting.acquire() for _ in running))
    refused = await post(app, STREAM)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "node_busy")
    assert refused.headers["retry-after"] == "1"
    gate.set()
    for response in await asyncio.gather(*running):
        assert "[DONE]" in response.text
    assert (await post(app, STREAM)).status_code == 200
    assert app._busy == 0


async def test_places_come_back_after_every_kind_of_end(runtime: MemoryRuntime) -> None:
    """Failures, refusals and disconnects all free their place."""
    app = app_of(runtime, Script(ValueError("x")))
    for body in (HELLO, STREAM, HELLO | {"n": 2}, {"model": "nowhere"}):
        await post(app, body)
    assert app._busy == 0


def _salt(runtime: MemoryRuntime) -> bytes:
    """The response salt of the first request: MemoryRuntime's randomness is known."""
    return hashlib.shake_256(b"tests" + (1).to_bytes(8, "big")).digest(108)[32:64]
