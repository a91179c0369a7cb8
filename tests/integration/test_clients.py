"""Clients that know nothing of us, unchanged: the OpenAI SDK for JavaScript, `llm`, LiteLLM."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hallmark.testing.real_network import Network
from hallmark.testing.stock_clients import litellm, llm, openai_for_javascript

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_openai_sdk_for_javascript(network: Network) -> None:
    """Chat, streaming, models and errors; the receipt is on the answer and in the stream's last event."""
    said = openai_for_javascript(f"{network.gateway}/v1")
    assert "fifo" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["id"].startswith("0x")
    assert said["receipt"].startswith("0x")
    assert said["refusal"] == "model_not_found"
    assert {"pydoc", "digits"} <= set(said["models"])


def test_llm_on_the_command_line(network: Network, tmp_path: Path) -> None:
    """`llm -m ...` with the gateway as an OpenAI-compatible server."""
    for options in ([], ["--no-stream"]):
        assert "fifo" in llm(f"{network.gateway}/v1", tmp_path, *options)


def test_litellm(network: Network) -> None:
    """Answer, stream and a refusal; the receipt is on the answer."""
    said = litellm(f"{network.gateway}/v1")
    assert "fifo" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["hallmark"]["id"].startswith("0x")
    assert "There is no model 'nothing' here" in said["refusal"]


def test_what_curl_and_the_openai_sdk_saved_is_verified(network: Network, tmp_path: Path) -> None:
    """`hallmark receipt FILE --from REQUEST --save` and `hallmark verify` on an answer, a stream, and what an
    SDK wrote again; another request is not shown; an id alone finds the receipt.
    """
    asked = {"model": "pydoc", "messages": [{"role": "user", "content": "What does os.mkfifo do?"}]}
    url = f"{network.gateway}/v1/chat/completions"
    request, other = tmp_path / "request.json", tmp_path / "other.json"
    other.write_text(json.dumps({**asked, "model": "other"}))
    for stream in (False, True):
        request.write_text(json.dumps({**asked, "stream": stream}))
        answer, head, saved = (tmp_path / f"{name}-{stream}" for name in ("answer", "head", "r.json"))
        curl = ["curl", "-sS", "-D", str(head), "-o", str(answer), "-H", "content-type: application/json"]
        subprocess.run([*curl, "--data-binary", f"@{request}", url], check=True, timeout=600)
        done = network.run("verify", str(answer), "--request", str(request))
        assert "byte for byte, sent to /v1/chat/completions" in done.stdout
        assert "No proof from the log is in this file" in " ".join(done.stdout.split())
        done = network.run("receipt", str(answer), "--from", str(request), "--save", str(saved))
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert network.run("verify", str(saved)).returncode == 0
        refused = network.run("receipt", str(answer), "--from", str(other))
        assert (refused.returncode, "NOT the request" in refused.stdout) == (1, True)
        heads = dict(line.split(": ", 1) for line in head.read_text().splitlines() if ": " in line)
        name = heads["x-request-id"]
        assert network.run("receipt", name).returncode == 0
    request.write_text(json.dumps(asked))
    client = openai.OpenAI(base_url=f"{network.gateway}/v1", api_key="unused")
    said = client.chat.completions.create(**asked)  # type: ignore[call-overload]
    again = tmp_path / "again.json"
    again.write_text(said.model_dump_json())
    done = network.run("receipt", str(again), "--from", str(request), "--save", str(tmp_path / "r2.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "written again in the enclave's own form" in " ".join(done.stdout.split())
    assert network.run("receipt", said.id).returncode == 0


def test_exact_bytes_are_kept_under_the_openai_sdk(network: Network, tmp_path: Path) -> None:
    """The example's transport writes request and answer as they were on the wire, for their owner alone."""
    spec = importlib.util.spec_from_file_location("keep_answers", EXAMPLES / "keep_answers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = tmp_path / "kept"
    http = httpx.Client(transport=module.Keep(kept))
    client = openai.OpenAI(base_url=f"{network.gateway}/v1", api_key="unused", http_client=http)
    asked: Any = [{"role": "user", "content": "What does os.mkfifo do?"}]
    said = client.chat.completions.create(model="pydoc", messages=asked)
    pieces = list(client.chat.completions.create(model="pydoc", messages=asked, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == (
        said.choices[0].message.content
    )
    assert asyncio.run(_streamed(network, module.Keep(kept), asked)) == said.choices[0].message.content
    answers = sorted(kept.glob("*.answer"))
    assert len(answers) == 3
    assert kept.stat().st_mode & 0o077 == 0
    for answer in answers:
        assert answer.stat().st_mode & 0o077 == 0
        done = network.run("receipt", str(answer), "--from", str(answer.with_suffix(".request.json")))
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("what was signed, byte for byte") == 2


async def _streamed(network: Network, transport: httpx.AsyncBaseTransport, asked: Any) -> str:
    """The text of a stream by the asynchronous client, which drains a body that it has read to its end."""
    http = httpx.AsyncClient(transport=transport)
    client = openai.AsyncOpenAI(base_url=f"{network.gateway}/v1", api_key="unused", http_client=http)
    text = ""
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(
        model="pydoc", messages=asked, stream=True, stream_options=options
    )
    async for piece in stream:
        text += "".join(choice.delta.content or "" for choice in piece.choices)
    return text


def test_a_stopped_answer_gets_its_receipt(network: Network) -> None:
    """Whoever stops reading finds what had left, by the name in the stream's head, in the log."""
    asked = {"model": "pydoc", "messages": [{"role": "user", "content": "What does os.mkfifo do?"}]}
    url = f"{network.gateway}/v1/chat/completions"
    with httpx.stream("POST", url, json={**asked, "stream": True}, timeout=60) as response:
        next(response.iter_bytes())
        at = response.headers["hallmark-receipt-at"]
    found = httpx.get(f"{network.gateway}{at}?wait=witnessed&timeout=20000", timeout=60)
    assert found.status_code == 200, found.text
    assert found.json()["stage"] in ("witnessed", "anchored")
    assert found.json()["salts"] == {"request": None, "response": None}
