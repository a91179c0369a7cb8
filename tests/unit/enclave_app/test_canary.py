"""What people ask and are told stays out of logs, of the log's entries, and of the process's output."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx
import pytest

from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.tiny_models import CONTEXT, SCRIPT
from hallmark.testing.upstream import FakeUpstream, json_answer

CANARY = "CANARY4711"
CHAT = "/v1/chat/completions"


def tensors(name: str, dtype: str) -> str:
    """A safetensors file of one tensor, in base64."""
    header = json.dumps({name: {"dtype": dtype, "shape": [1], "data_offsets": [0, 4]}}).encode()
    return base64.b64encode(struct.pack("<Q", len(header)) + header + bytes(4)).decode()


def requests() -> list[tuple[str, dict[str, Any]]]:
    """Requests of every kind with a canary in every place, good and bad ones."""
    user = [{"role": "user", "content": CANARY}]
    tool = [*user, {"role": "tool", "content": CANARY, "tool_call_id": CANARY}]
    chat = {"model": "tiny", "messages": user}
    return [
        (CHAT, chat),
        (CHAT, chat | {"stream": True, "user": CANARY, "metadata": {"a": CANARY}}),
        (CHAT, chat | {"messages": tool, "tools": [{"name": CANARY}]}),
        (CHAT, chat | {"stop": [CANARY], "temperature": 1}),
        (CHAT, chat | {"messages": [{"role": CANARY, "content": CANARY}]}),
        (CHAT, chat | {"messages": [{"role": "user", "content": {"text": CANARY}}]}),
        (CHAT, chat | {"temperature": CANARY}),
        (CHAT, chat | {"messages": [{"role": "user", "content": CANARY * CONTEXT}]}),
        (CHAT, chat | {"messages": [{"role": "user", "content": CANARY + "\0"}]}),
        (CHAT, {"model": CANARY, "messages": user}),
        ("/v1/completions", {"model": "tiny", "prompt": CANARY, "stream": True}),
        ("/v1/completions", {"model": "tiny", "prompt": CANARY, "suffix": CANARY}),
        ("/v1/hallmark/infer", {"model": "scores", "inputs": {CANARY: [[1]]}}),
        ("/v1/hallmark/infer", {"model": "scores", "inputs": {"x": [[CANARY, 1, 1, 1]]}}),
        ("/v1/hallmark/infer", {"model": "scores", "safetensors": CANARY}),
        ("/v1/hallmark/infer", {"model": "scores", "safetensors": tensors(CANARY, "F32")}),
        ("/v1/hallmark/infer", {"model": "scores", "safetensors": tensors("x", CANARY)}),
        ("/v1/embeddings", {"model": "up", "input": CANARY}),
        (CHAT, {"model": "up", "messages": tool, "seed": 5}),
        (CHAT, {"model": "up", "messages": user, "stream": True}),
    ]


async def test_no_content_leaves_but_to_its_owner(
    models: Any, make_app: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Over good, bad and failing requests no canary is in a log line, a log entry, or on standard output."""
    answer = json.dumps({"id": "1", "model": "m", "choices": [{"text": CANARY}], "error": None}).encode()
    server = FakeUpstream(json_answer(answer))
    runtime = MemoryRuntime(models, upstreams={"up": "http://up.invalid/v1"}, dialer=server.dial)
    transport = httpx.ASGITransport(make_app(runtime))
    statuses = set()
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        for path, body in requests():
            statuses.add((await client.post(path, json=body)).status_code)
        await client.post(CHAT, content=f'{{"model":"tiny","messages":"{CANARY}'.encode())
        runtime.refuse = "receipt_not_stored"
        for path, body in requests()[:3]:
            await client.post(path, json=body)
    assert {200, 400, 404} <= statuses
    assert len(runtime.signed) >= 7
    assert runtime.logged
    entries = b"".join(signed.entry for signed in runtime.signed)
    written = capfd.readouterr()
    for text in (repr(runtime.logged), written.out, written.err):
        assert CANARY not in text
        assert SCRIPT not in text
    assert CANARY.encode() not in entries
    assert SCRIPT.encode() not in entries


async def test_errors_do_not_quote_the_request(make_app: Any, runtime: MemoryRuntime) -> None:
    """Error bodies name parameters and rules, never what was sent: gateways and clients log them.

    The one exception is the name of a model that is not there: a client must see which one it asked for.
    """
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        for path, body in requests():
            response = await client.post(path, json=body)
            if response.status_code != 200:
                allowed = f"There is no model '{CANARY}' here." if body["model"] == CANARY else ""
                assert CANARY not in response.text.replace(allowed, ""), path
