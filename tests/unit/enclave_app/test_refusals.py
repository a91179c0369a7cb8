"""What cannot be honoured is refused by name, in OpenAI's shape, before any work and without a receipt."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy

from hallmark.core.document import hex0x
from hallmark.core.model_names import pinned
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.tiny_models import CONTEXT

CHAT, COMPLETIONS, INFER = "/v1/chat/completions", "/v1/completions", "/v1/hallmark/infer"
USER = {"role": "user", "content": "hello"}
HELLO: dict[str, Any] = {"model": "tiny", "messages": [USER]}
RAW: dict[str, Any] = {"model": "tiny", "prompt": "H"}


def refused(response: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    """An error as OpenAI shapes it, with this code and parameter."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert (error["code"], error["param"]) == (code, param)
    assert isinstance(error["type"], str)
    assert "hallmark-receipt" not in response.headers


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"nonsense", "bad_json"),
        (b'{"model":"tiny","messages":[]} trailing', "bad_json"),
        (b'{"model":"tiny","temperature":NaN,"messages":[]}', "bad_json"),
        (b'{"model":"tiny","messages":' + b"[" * 20_000, "bad_json"),
        (b'{"model":"tiny","messages":[{"role":"user","content":"\xff\xfe"}]}', "bad_utf8"),
        (b'{"model":"tiny","messages":[{"role":"user","content":"\\ud800"}]}', "bad_json"),
        (b"\xff", "bad_utf8"),
        (b'{"model":"tiny","messages":[],"ignored":"\xc3"}', "bad_utf8"),
    ],
)
async def test_what_is_not_json_is_refused(client: httpx.AsyncClient, body: bytes, code: str) -> None:
    """Broken JSON, NaN, invalid UTF-8, lone surrogates and bottomless nesting have reasons."""
    refused(await client.post(CHAT, content=body), 400, code)
    for path in (COMPLETIONS, INFER, "/v1/embeddings"):
        assert (await client.post(path, content=body)).status_code == 400


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"n": 2}, "unsupported_parameter", "n"),
        ({"min_p": 0.1}, "unsupported_parameter", "min_p"),
        ({"guided_choice": ["a", "b"]}, "unsupported_parameter", "guided_choice"),
        ({"guided_json": {}}, "unsupported_parameter", "guided_json"),
        ({"reasoning_effort": "low"}, "unsupported_parameter", "reasoning_effort"),
        ({"store": True}, "unsupported_parameter", "store"),
        ({"service_tier": "priority"}, "unsupported_parameter", "service_tier"),
        ({"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
        ({"made_up": False}, "unsupported_parameter", "made_up"),
        ({"\u00e9" * 80: 1}, "unsupported_parameter", "\\xe9" * 64),
        (
            {"stream_options": {"continuous_usage_stats": True}},
            "unsupported_parameter",
            "stream_options.continuous_usage_stats",
        ),
        ({"logit_bias": {"5": 10}}, "unsupported_parameter", "logit_bias"),
        ({"logprobs": True}, "unsupported_parameter", "logprobs"),
        ({"top_logprobs": 3}, "unsupported_parameter", "top_logprobs"),
        ({"presence_penalty": 0.5}, "unsupported_parameter", "presence_penalty"),
        ({"frequency_penalty": -1}, "unsupported_parameter", "frequency_penalty"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "unsupported_parameter",
            "response_format",
        ),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format"),
        ({"modalities": ["text", "audio"]}, "unsupported_parameter", "modalities"),
        ({"audio": {"voice": "x"}}, "unsupported_parameter", "audio"),
        ({"web_search_options": {"a": 1}}, "unsupported_parameter", "web_search_options"),
        ({"tools": [], "tool_choice": "required"}, "unsupported_parameter", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "unsupported_parameter", "tool_choice"),
        ({"function_call": {"name": "f"}}, "unsupported_parameter", "function_call"),
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": -0.1}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"top_p": 1.5}, "invalid_value", "top_p"),
        ({"top_k": -5}, "invalid_value", "top_k"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": -1}, "invalid_value", "max_completion_tokens"),
        ({"stop": ["1", "2", "3", "4", "5"]}, "invalid_value", "stop"),
        ({"stop": ""}, "invalid_value", "stop"),
        ({"stop": 5}, "invalid_type", "stop"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": "hello"}, "invalid_type", "messages"),
        ({"messages": [{"content": "x"}]}, "missing_parameter", "messages[0].role"),
        ({"messages": [{"role": "king", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [USER, {"role": "user"}]}, "invalid_value", "messages[1].content"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
                ]
            },
            "unsupported_parameter",
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": "x\0y"}]}, "nul_in_text", None),
        ({"messages": [{"role": "user", "content": "x" * CONTEXT}]}, "context_length_exceeded", None),
        ({"model": 5}, "invalid_type", "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_chat_parameters_are_refused_by_name(
    client: httpx.AsyncClient,
    runtime: MemoryRuntime,
    change: dict[str, Any],
    code: str,
    param: str | None,
    stream: bool,
) -> None:
    """Each parameter that cannot be honoured is named; a stream has not begun when it is refused."""
    response = await client.post(CHAT, json=HELLO | {"stream": stream} | change)
    refused(response, 400, code, param)
    assert response.headers["content-type"] == "application/json"
    assert runtime.signed == []


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "logprobs": False},
        {
            "response_format": {"type": "text"},
            "modalities": ["text"],
            "stop": None,
            "seed": None,
            "user": "u",
        },
        {
            "tools": [],
            "tool_choice": "none",
            "parallel_tool_calls": True,
            "store": False,
            "metadata": {"a": "b"},
        },
        {
            "top_k": -1,
            "min_p": 0,
            "repetition_penalty": 1.0,
            "service_tier": "auto",
            "made_up": None,
            "prompt_cache_key": "k",
            "safety_identifier": "s",
        },
        {"stream_options": None, "temperature": None, "max_tokens": None},
    ],
)
async def test_what_clients_send_by_habit_is_accepted(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    """Neutral values, and what a client says about itself, do not stand in the way."""
    assert (await client.post(CHAT, json=HELLO | change)).status_code == 200


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"prompt": ["a", "b"]}, "unsupported_parameter", "prompt"),
        ({"prompt": [1, 2, 3]}, "unsupported_parameter", "prompt"),
        ({"prompt": 5}, "invalid_type", "prompt"),
        ({"prompt": ""}, "empty_prompt", None),
        ({"suffix": "x"}, "unsupported_parameter", "suffix"),
        ({"echo": True}, "unsupported_parameter", "echo"),
        ({"best_of": 3}, "unsupported_parameter", "best_of"),
        ({"logprobs": 2}, "unsupported_parameter", "logprobs"),
        ({"logprobs": 0}, "unsupported_parameter", "logprobs"),
        ({"min_tokens": 3}, "unsupported_parameter", "min_tokens"),
    ],
)
async def test_completion_parameters_are_refused_by_name(
    client: httpx.AsyncClient, change: dict[str, Any], code: str, param: str | None
) -> None:
    """The same for /v1/completions."""
    refused(await client.post(COMPLETIONS, json=RAW | change), 400, code, param)


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"x": [[1, 2, 3]]}, "wrong_shape"),
        ({"x": [[1, 2, 3, "4"]]}, "wrong_type"),
        ({"y": [[1, 2, 3, 4]]}, "unknown_input"),
        ({}, "missing_input"),
        ({"x": [[1e39, 2, 3, 4]]}, "not_finite"),
        ({"x": [[101, 2, 3, 4]]}, "out_of_range"),
    ],
)
async def test_wrong_tensors_are_refused(
    client: httpx.AsyncClient, runtime: MemoryRuntime, inputs: dict[str, Any], code: str
) -> None:
    """Wrong shapes, types, names and values have reasons, and no receipt is signed."""
    refused(await client.post(INFER, json={"model": "scores", "inputs": inputs}), 400, code)
    refused(await client.post(INFER, content=b'{"model":"scores","inputs":{"x":[[NaN]]}}'), 400, "bad_json")
    refused(
        await client.post(INFER, content=b'{"model":"scores","inputs":[]}'), 400, "invalid_type", "inputs"
    )
    assert runtime.signed == []


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({"x": np.ones((1, 3), "f4")}, "wrong_shape"),
        ({"x": np.ones((0, 4), "f4")}, "wrong_shape"),
        ({"x": np.ones((1, 4), "f8")}, "wrong_type"),
        ({"x": np.ones((1, 4), "f2")}, "wrong_type"),
        ({"y": np.ones((1, 4), "f4")}, "unknown_input"),
        ({"x": np.full((1, 4), np.nan, "f4")}, "not_finite"),
        ({"x": np.full((1, 4), 101, "f4")}, "out_of_range"),
    ],
)
async def test_wrong_safetensors_are_refused(
    client: httpx.AsyncClient, runtime: MemoryRuntime, tensors: dict[str, Any], code: str
) -> None:
    """As strictly as lists are; nothing is cast from one type to another."""
    data = safetensors.numpy.save(tensors)
    refused(await client.post(INFER, json={"model": "scores", "safetensors": in_base64(data)}), 400, code)
    for wrong in (in_base64(data[: len(data) // 2]), in_base64(data + b"\0"), "%", "", "é"):
        body = {"model": "scores", "safetensors": wrong}
        refused(await client.post(INFER, json=body), 400, "bad_safetensors")
    assert runtime.signed == []


async def test_tensors_come_in_one_way(client: httpx.AsyncClient, runtime: MemoryRuntime) -> None:
    """Neither both ways at once, nor none."""
    refused(await client.post(INFER, json={"model": "scores"}), 400, "missing_parameter")
    body = {"model": "scores", "inputs": {"x": [[1, 2, 3, 4]]}, "safetensors": "AAAA"}
    refused(await client.post(INFER, json=body), 400, "unsupported_parameter")
    assert runtime.signed == []


def in_base64(data: bytes) -> str:
    """As JSON carries it."""
    return base64.b64encode(data).decode()


async def test_a_model_that_fails_gives_no_answer(client: httpx.AsyncClient, runtime: MemoryRuntime) -> None:
    """An output that is infinite is a server error with a reason, and nothing is signed."""
    body = {"model": "ratio", "inputs": {"x": [[0, 1, 1, 1]]}}
    refused(await client.post(INFER, json=body), 500, "output_not_finite")
    assert runtime.signed == []


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, INFER, "/v1/embeddings"])
async def test_unknown_models_and_tasks_are_404(client: httpx.AsyncClient, path: str) -> None:
    """A model that is not here, and one that does not do this, are told apart."""
    body = HELLO | RAW | {"inputs": {}, "input": "text"}
    refused(await client.post(path, json=body | {"model": "nowhere"}), 404, "model_not_found", "model")
    other = "tiny" if path == INFER else "scores"
    refused(await client.post(path, json=body | {"model": other}), 404, "unsupported_endpoint")
    refused(await client.post(path, json={"messages": []}), 400, "missing_parameter", "model")


@pytest.mark.parametrize(
    ("path", "body"),
    [(CHAT, HELLO), (COMPLETIONS, RAW), (INFER, {"model": "scores", "inputs": {"x": [[1, 2, 3, 4]]}})],
)
async def test_a_pin_is_kept_inside(
    client: httpx.AsyncClient, runtime: MemoryRuntime, models: Any, path: str, body: dict[str, Any]
) -> None:
    """What is pinned to what runs is answered under its label; another pin, a pin on a label that
    is not here and one with a slip of the pen run nothing and sign nothing.
    """
    label = body["model"]
    other, artifact = pinned(label, hex0x(b"\7" * 32)), models[label].manifest.artifact
    refused(await client.post(path, json=body | {"model": other}), 412, "model_moved", "model")
    refused(await client.post(path, json=body | {"model": other[:-1]}), 404, "model_not_found", "model")
    refused(await client.post(path, json=body | {"model": f"no{other}"}), 404, "model_not_found", "model")
    refused(await client.get(f"/v1/models/{other}"), 412, "model_moved", "model")
    assert runtime.signed == []
    for form in (pinned(label, artifact), f"{label}@{artifact}"):
        answer = await client.post(path, json=body | {"model": form})
        assert (answer.status_code, answer.json()["model"]) == (200, label)
        assert (await client.get(f"/v1/models/{form}")).json()["id"] == label


async def test_paths_and_methods(client: httpx.AsyncClient) -> None:
    """Unknown paths and wrong methods are told apart."""
    refused(await client.get("/v1/nothing"), 404, "unknown_path")
    refused(wrong := await client.get(CHAT), 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    assert (await client.post(f"{CHAT}/", json=HELLO)).status_code == 200
    packed = await client.post(CHAT, content=b"x", headers={"content-encoding": "gzip"})
    refused(packed, 415, "unsupported_encoding")
    refused(await client.delete("/v1/models"), 405, "method_not_allowed")
    refused(missing := await client.get("/v1/models/nowhere"), 404, "model_not_found", "model")
    message = missing.json()["error"]["message"]
    assert message.startswith("There is no model 'nowhere' here. There are: ")
    assert "tiny" in message


async def test_bodies_over_the_limit_are_refused(models: Any, make_app: Any) -> None:
    """A body over `body_bytes` is refused while it arrives, also when its length is not announced."""
    app = make_app(MemoryRuntime(models, limits={"body_bytes": 1000}))

    async def endless() -> Any:
        while True:
            yield b" " * 100

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        refused(await client.post(CHAT, content=json.dumps(HELLO) + " " * 1000), 413, "body_too_large")
        refused(await client.post(CHAT, content=endless()), 413, "body_too_large")
        assert (await client.post(CHAT, json=HELLO)).status_code == 200


@pytest.mark.parametrize("nonce", ["zz", "00", "0x" + "00" * 31, "00" * 33, ""])
async def test_bad_nonces_are_refused(client: httpx.AsyncClient, nonce: str) -> None:
    """A client nonce is 32 bytes or absent."""
    refused(await client.post(CHAT, json=HELLO, headers={"Hallmark-Nonce": nonce}), 400, "bad_nonce")
