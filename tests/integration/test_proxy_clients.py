"""Clients that know nothing of us, unchanged, through `hallmark proxy`: sealed, streamed, with tools."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hallmark.testing.ports import free_port
from hallmark.testing.processes import patiently
from hallmark.testing.real_network import Network
from hallmark.testing.stock_clients import litellm, llm, openai_for_javascript

pytestmark = pytest.mark.integration

ASKED: Any = [{"role": "user", "content": "What does os.mkfifo do?"}]
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def proxy(tool_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A proxy of the network, as a process; its address."""
    port, log = free_port(), tmp_path_factory.mktemp("proxy") / "log.jsonl"
    command = [sys.executable, "-m", "hallmark.apps.cli.main", "--home", str(tool_network.home)]
    with log.open("wb") as out:
        running = subprocess.Popen(
            [*command, "proxy", "--listen", f"127.0.0.1:{port}"], stdout=out, stderr=out
        )
        url = f"http://127.0.0.1:{port}"
        patiently(lambda: httpx.get(f"{url}/index.json", timeout=2).status_code == 200, "proxy")
        yield url
        running.terminate()
        assert running.wait(30) == 0
    assert "mkfifo" not in log.read_text()


def test_the_openai_sdk_for_python(proxy: str) -> None:
    """Answer, stream, tools whole and streamed, models, refusals; every receipt says sealed."""
    client = openai.OpenAI(base_url=f"{proxy}/v1", api_key="unused", max_retries=0)
    said = client.chat.completions.create(model="pydoc", messages=ASKED)
    assert said.model_extra is not None
    assert said.model_extra["hallmark"]["marks"]["route"]["detail"]["path"] == "sealed"
    chunks = list(client.chat.completions.create(model="pydoc", messages=ASKED, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == said.choices[0].message.content
    assert "fifo" in text
    whole = client.chat.completions.create(model="big", messages=ASKED, tools=[TOOL])
    assert whole.choices[0].message.tool_calls
    saw = whole.model_extra["hallmark"]["marks"]["route"]["detail"]["saw_prompt"]  # type: ignore[index]
    assert saw == "enclave, upstream"
    pieces = list(client.chat.completions.create(model="big", messages=ASKED, tools=[TOOL], stream=True))
    calls = [p.choices[0].delta.tool_calls for p in pieces if p.choices and p.choices[0].delta.tool_calls]
    assert calls
    assert calls[0][0].function is not None
    assert calls[0][0].function.name == "look"
    assert {"pydoc", "digits", "big"} <= {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nothing", messages=ASKED)
    assert unknown.value.code == "model_not_found"


def test_the_openai_sdk_for_javascript(proxy: str) -> None:
    """The same script as against a gateway."""
    said = openai_for_javascript(f"{proxy}/v1")
    assert "fifo" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["receipt"].startswith("0x")
    assert said["refusal"] == "model_not_found"


def test_llm_on_the_command_line(proxy: str, tmp_path: Path) -> None:
    """`llm -m ...`, streamed and not."""
    for options in ([], ["--no-stream"]):
        assert "fifo" in llm(f"{proxy}/v1", tmp_path, *options)


def test_litellm(proxy: str) -> None:
    """Answer, stream, a tool call whole and streamed, a refusal; the receipt says sealed."""
    said = litellm(f"{proxy}/v1", "big")
    assert "fifo" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["hallmark"]["marks"]["route"]["detail"]["path"] == "sealed"
    assert (said["tool"], said["tool_streamed"]) == ("look", "look")
    assert "There is no model 'nothing' here" in said["refusal"]


def test_marks_follow(proxy: str) -> None:
    """The proxy follows an answer's proof through the relay, and its page shows it."""
    client = openai.OpenAI(base_url=f"{proxy}/v1", api_key="unused", max_retries=0)
    said = client.chat.completions.create(model="pydoc", messages=ASKED)
    name = said.model_extra["hallmark"]["id"]  # type: ignore[index]

    def witnessed() -> bool:
        shown = httpx.get(f"{proxy}/v1/hallmark/receipts/{name}", timeout=5).json()
        return any(m["question"] == "proved" and m["state"] == "witnessed" for m in shown["marks"])

    patiently(witnessed, "proof")


def test_ask_sealed(tool_network: Network) -> None:
    """`hallmark ask --sealed` meets `witnessed` and says what each party saw."""
    done = tool_network.run("ask", "--sealed", "What does os.mkfifo do?")
    assert done.returncode == 0, done.stdout + done.stderr
    text = " ".join(done.stdout.split())
    assert "sealed to node" in text
    assert "the gateway saw a route request" in text
    assert "meets witnessed" in text
    refused = tool_network.run("ask", "--relay", "http://127.0.0.1:9", "x")
    assert (refused.returncode, "relay_for_plain" in refused.stderr) == (2, True)
