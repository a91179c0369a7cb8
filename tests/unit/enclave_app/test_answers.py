"""Answers of every kind carry receipts that hold over their exact bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import safetensors.numpy

from hallmark.core.answer import sampling_seed
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import InputRecord, KeyBundle
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Mode
from hallmark.services.enclave.app import create_app, describe_engines
from hallmark.services.enclave.receipt_maker import UNMETERED
from hallmark.services.enclave.runtime import Model
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.tiny_models import CONTEXT, SCRIPT

HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"


def events(content: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream."""
    blocks = content.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


async def test_a_chat_answer_is_openai_with_a_receipt(
    client: httpx.AsyncClient, check: Any, runtime: Any
) -> None:
    """The body is OpenAI's object with the receipt as its last member; the header names the receipt."""
    response = await client.post(CHAT, json=HELLO)
    body = response.json()
    assert list(body) == ["id", "object", "created", "model", "choices", "usage", "hallmark"]
    assert body["choices"][0]["message"] == {"role": "assistant", "content": SCRIPT, "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}
    checked = check(response)
    assert response.headers["hallmark-receipt"] == checked.hallmark["id"]
    assert (checked.receipt.tokens_in, checked.receipt.tokens_out) == (7, 11)
    model = runtime.models["tiny"]
    assert checked.receipt.artifact == unhex(model.manifest.artifact)
    assert checked.receipt.manifest == model.manifest_digest
    assert checked.route.path == "direct"
    assert checked.route.saw_prompt == ("enclave",)
    assert checked.hallmark["marks"] == {
        "ran": "claimed", "model": "claimed", "route": "claimed", "inputs": "absent",
        "paid": "absent", "proved": "absent", "reviewed": "absent",
    }  # fmt: skip


async def test_a_streamed_chat_is_covered_byte_for_byte(client: httpx.AsyncClient, check: Any) -> None:
    """Role, texts, reason and usage are covered; the receipt rides on an empty chunk before [DONE]."""
    response = await client.post(
        CHAT, json=HELLO | {"stream": True, "stream_options": {"include_usage": True}}
    )
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = events(check(response).content)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == SCRIPT
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 18
    assert len({c["id"] for c in chunks}) == 1
    assert response.content.endswith(b"\n\ndata: [DONE]\n\n")


async def test_without_asking_there_is_no_usage_chunk(client: httpx.AsyncClient, check: Any) -> None:
    """A stream without stream_options has one choice in each chunk, also in the receipt's."""
    response = await client.post(CHAT, json=HELLO | {"stream": True})
    check(response)
    whole = events(response.content.removesuffix(b"data: [DONE]\n\n"))
    assert all(len(chunk["choices"]) == 1 and "usage" not in chunk for chunk in whole)
    assert whole[-1]["choices"][0]["delta"] == {}


async def test_completions_continue_raw_text(client: httpx.AsyncClient, check: Any) -> None:
    """A prompt is continued without a template, up to OpenAI's default of 16 tokens, streamed or not."""
    for prompt in ("H", ["H"]):
        response = await client.post("/v1/completions", json={"model": "tiny", "prompt": prompt})
        assert response.json()["choices"][0]["text"] == SCRIPT[1:]
        assert response.json()["object"] == "text_completion"
        assert check(response).parameters.max_tokens == 16
    response = await client.post("/v1/completions", json={"model": "tiny", "prompt": "H", "stream": True})
    assert "".join(c["choices"][0]["text"] for c in events(check(response).content)) == SCRIPT[1:]


async def test_tensors_are_inferred(client: httpx.AsyncClient, check: Any) -> None:
    """Named lists in, named lists and labels out, with a receipt that names the artifact."""
    body = {"model": "scores", "inputs": {"x": [[1, 2, 3, 4], [0.5, 0, 0, 0]]}}
    response = await client.post("/v1/hallmark/infer", json=body)
    answer = response.json()
    assert [len(row) for row in answer["outputs"]["scores"]] == [3, 3]
    assert answer["labels"] == ["a", "b", "c"]
    assert check(response).parameters.task == "tensor"


async def test_safetensors_are_answered_with_safetensors(client: httpx.AsyncClient, check: Any) -> None:
    """The same tensors give the same bits, whichever way they are written down."""
    rows = np.array([[1, 2, 3, 4], [0.5, 0, 0, 0]], dtype=np.float32)
    lists = await client.post("/v1/hallmark/infer", json={"model": "scores", "inputs": {"x": rows.tolist()}})
    file = base64.b64encode(safetensors.numpy.save({"x": rows})).decode()
    response = await client.post("/v1/hallmark/infer", json={"model": "scores", "safetensors": file})
    answer = response.json()
    outputs = safetensors.numpy.load(base64.b64decode(answer["safetensors"]))
    assert {name: array.tolist() for name, array in outputs.items()} == lists.json()["outputs"]
    assert outputs["scores"].dtype == np.float32
    assert "outputs" not in answer
    assert answer["labels"] == ["a", "b", "c"]
    assert check(response).parameters.task == "tensor"


async def test_parameters_are_those_applied(client: httpx.AsyncClient, check: Any) -> None:
    """What the receipt commits to is what ran: millionths, the cut token budget, stop strings, the engine."""
    asked = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "stop": "!", "max_completion_tokens": 9_999}
    said = check(await client.post(CHAT, json=HELLO | asked)).parameters
    assert (said.temperature, said.top_p, said.top_k, said.stop) == (700_000, 900_000, 5, ("!",))
    assert said.max_tokens == CONTEXT - 7
    assert said.engine.startswith("onnxruntime-genai/0.18.0 threads=1 ")
    default = check(await client.post(CHAT, json=HELLO)).parameters
    assert (default.temperature, default.top_p, default.top_k, default.stop) == (0, 1_000_000, 0, ())


async def test_the_seed_is_from_both_nonces_and_the_draw_from_the_seed(
    client: httpx.AsyncClient, check: Any, engines: Any
) -> None:
    """A sampled answer is what the engine says for the seed in the receipt, which both nonces give."""
    nonce = hashlib.sha256(b"mine").digest()
    body = HELLO | {"temperature": 2, "max_tokens": 30}
    response = await client.post(CHAT, json=body, headers={"Hallmark-Nonce": "0x" + nonce.hex()})
    checked = check(response)
    assert checked.receipt.client_nonce == nonce
    said = checked.parameters
    assert said.seed == sampling_seed(nonce, unhex(said.node_nonce))
    from hallmark.engines.protocol import ChatRequest, Message, Sampling

    sampling = Sampling(said.max_tokens, said.temperature, said.top_p, said.top_k, said.stop)
    again = engines["tiny"].steps(ChatRequest((Message("user", "hello"),)), sampling, said.seed)
    assert "".join(delta.text for delta in again) == response.json()["choices"][0]["message"]["content"]


async def test_a_clients_seed_repeats_its_answer(client: httpx.AsyncClient, check: Any) -> None:
    """Equal seeds give equal answers, other seeds and no seed others; the receipt shows the seed."""
    body = HELLO | {"temperature": 2, "max_tokens": 30}

    async def answer(**more: Any) -> tuple[str, int]:
        response = await client.post(CHAT, json=body | more)
        return response.json()["choices"][0]["message"]["content"], check(response).parameters.seed

    assert await answer(seed=5) == await answer(seed=5)
    assert len({await answer(seed=5), await answer(seed=-6), await answer(), await answer()}) == 4


async def test_content_parts_roles_and_tools(client: httpx.AsyncClient, check: Any) -> None:
    """Text parts are joined, tool results and their like are recorded as inputs, tools are tolerated."""
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "q", "name": "someone"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "content": "42 degrees", "tool_call_id": "1"},
    ]
    extra = {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "unknown": None,
    }
    checked = check(await client.post(CHAT, json={"model": "tiny", "messages": messages} | extra))
    assert checked.receipt.tokens_in == (1 + 3) + (1 + 1) + 1 + (1 + 10) + 1
    (record,) = [InputRecord.decode(text.encode()) for text in checked.hallmark["documents"]["inputs"]]
    salt = unhex(checked.hallmark["salts"]["request"])
    digest = hashlib.sha256(b"hallmark/input-content/v1\0" + salt + b"42 degrees").digest()
    assert record == InputRecord("tool_result", hex0x(digest), "client")
    assert checked.hallmark["marks"]["inputs"] == "claimed"


async def test_receipts_form_a_chain(client: httpx.AsyncClient, check: Any, runtime: Any) -> None:
    """Each answer's receipt follows the one before; salts and node nonces never repeat."""
    checked = [check(await client.post(CHAT, json=HELLO)) for _ in range(3)]
    receipts = [item.receipt for item in checked]
    assert [receipt.sequence for receipt in receipts] == [0, 1, 2]
    assert [receipt.previous for receipt in receipts] == [ZERO32, receipts[0].digest(), receipts[1].digest()]
    salts = {value for item in checked for value in item.hallmark["salts"].values()}
    assert len(salts | {item.parameters.node_nonce for item in checked}) == 9


async def test_an_asked_mode_is_the_receipts_or_refused(client: httpx.AsyncClient, check: Any) -> None:
    """Asked for what it is, a node answers; for anything else it refuses before any work."""
    response = await client.post(CHAT, json=HELLO, headers={"hallmark-mode": "TEE"})
    assert check(response).receipt.mode == Mode.TEE
    for name in ("vanilla", "replay", "zkml"):
        for path, body in ((CHAT, HELLO), ("/v1/hallmark/infer", {"model": "scores", "inputs": {}})):
            refused = await client.post(path, json=body, headers={"hallmark-mode": name})
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "mode_unavailable")
            assert f"in the mode {name}; its modes are: tee." in error["message"]
    unknown = await client.post(CHAT, json=HELLO, headers={"hallmark-mode": "sure"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "bad_mode")
    assert check(await client.post(CHAT, json=HELLO)).receipt.sequence == 1


async def test_without_a_trace_nothing_is_signed_as_replay(
    client: httpx.AsyncClient, runtime: MemoryRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest may promise integers; a run without a trace gets no receipt of mode replay, and is free."""
    tiny = runtime.models["tiny"]
    exact = msgspec.structs.replace(tiny.manifest, format="integer-exact")
    monkeypatch.setitem(runtime.models, "tiny", msgspec.structs.replace(tiny, manifest=exact))
    charged: list[str] = []
    for step in ("collect", "close", "change"):
        monkeypatch.setattr(UNMETERED, step, lambda *_, step=step: charged.append(step), raising=False)
    refused = await client.post(CHAT, json=HELLO, headers={"hallmark-mode": "replay"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "mode_unavailable")
    assert (runtime.signed, charged) == ([], [])


async def test_models_and_identity_are_listed(client: httpx.AsyncClient, runtime: Any) -> None:
    """Models name their artifact and tasks; the identity gives bundle and evidence."""
    listed = (await client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["ratio", "scores", "tiny"]
    one = (await client.get("/v1/models/tiny")).json()
    assert one == listed["data"][2]
    assert one["hallmark"]["tasks"] == ["chat", "completion"]
    assert one["hallmark"]["artifact"] == runtime.models["tiny"].manifest.artifact
    identity = (await client.get("/v1/hallmark/identity")).json()
    assert unhex(identity["bundle_digest"]) == digest_of(KeyBundle, identity["bundle"].encode())
    assert identity["address"] == hex0x(runtime.address)
    limits = (await client.get("/v1/hallmark/clock")).json()["limits"]
    assert limits == {"request_ms": 570_000, "keep_alive_ms": 15_000}


async def test_create_app_loads_every_model(models: dict[str, Model], tmp_path: Path) -> None:
    """From the runtime alone comes a working application, which leaves nothing on its scratch."""
    runtime = MemoryRuntime(models, limits={"engine_threads": 1})
    app = create_app(runtime, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.post(CHAT, json=HELLO)).status_code == 200
    line = describe_engines(runtime.configuration, models)
    assert [part.split("/")[0] for part in line.split("; ")] == ["onnxruntime", "onnxruntime-genai"]
    assert tempfile.gettempdir() not in line


async def test_greedy_answers_repeat(client: httpx.AsyncClient, check: Any) -> None:
    """Two greedy streams differ in their ids, times and receipts, and in nothing else."""
    contents = [
        events(check(await client.post(CHAT, json=HELLO | {"stream": True})).content) for _ in range(2)
    ]
    assert contents[0] != contents[1]
    for chunks in contents:
        for chunk in chunks:
            assert chunk.pop("id")
            assert chunk.pop("created")
    assert contents[0] == contents[1]
