"""The enclave's own way to stop: a real engine stops midway, and the receipt is over exactly what left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from hallmark.core.answer import split_hallmark_stream
from hallmark.core.receipt import Receipt, response_digest

NONCE = "ab" * 32
STOP = "/v1/hallmark/stop"
ASKED = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


async def _stopped(app: Any, asked: dict[str, Any]) -> bytes:
    """The body of a stream whose owner stops it while its first event is on its way."""
    transport = httpx.ASGITransport(app)
    body = json.dumps(asked).encode()
    left: list[bytes] = []

    async def send(message: Any) -> None:
        left.append(message.get("body", b""))
        if len(left) == 2:
            async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
                answer = await client.post(STOP, headers={"hallmark-nonce": NONCE})
            assert (answer.status_code, answer.json()) == (200, {"stopped": 1})

    async with _request(body) as receive:
        headers = [(b"content-type", b"application/json"), (b"hallmark-nonce", NONCE.encode())]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        await app(scope, receive, send)
    return b"".join(left)


@asynccontextmanager
async def _request(body: bytes) -> AsyncIterator[Any]:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()

    yield receive


async def test_an_engine_stops_midway_with_a_receipt(runtime: Any, make_app: Any) -> None:
    """The answer lacks its end, says no reason why it ended, and its digest holds over what left."""
    app = make_app(runtime)
    whole = {**ASKED, "stream_options": {"include_usage": True}}
    for asked in (ASKED, whole):
        content, raw = split_hallmark_stream(await _stopped(app, asked))
        owned = json.loads(raw)
        receipt = Receipt.from_json(owned["receipt"])
        assert receipt.response == response_digest(bytes.fromhex(owned["salts"]["response"][2:]), content)
        assert receipt.client_nonce.hex() == NONCE
        assert b'"finish_reason":"' not in content
        assert receipt.tokens_out < 11


async def test_only_what_is_under_way_is_stopped(client: httpx.AsyncClient) -> None:
    """An unknown nonce, a zero one and a bad one are errors; a GET is not allowed."""
    for nonce, expected in ((NONCE, "nothing_to_stop"), ("00" * 32, "nothing_to_stop"), ("x", "bad_nonce")):
        answer = await client.post(STOP, headers={"hallmark-nonce": nonce})
        assert answer.json()["error"]["code"] == expected
    assert (await client.get(STOP)).status_code == 405
