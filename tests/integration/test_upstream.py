"""An OpenAI-compatible server as an engine, and what an authority declares, on a network of their own."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

import hallmark as product
from hallmark.core.marks import Question, State
from hallmark.testing.running import Network, hallmark, logs

pytestmark = pytest.mark.integration


class Server(BaseHTTPRequestHandler):
    """A small OpenAI-compatible server that asserts to be `provider/large-model`."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, object]] = []

    def do_POST(self) -> None:
        """Answer a chat completion, streamed or whole; tools come back as they were offered."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Server.seen.append(asked)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        common = {"id": "chatcmpl-up", "created": 1, "model": "provider/large-model"}
        if asked.get("stream"):
            delta = {
                "index": 0,
                "delta": {"role": "assistant", "content": "from upstream"},
                "finish_reason": None,
            }
            events = [{**common, "object": "chat.completion.chunk", "choices": [delta]}]
            events.append({**common, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
            self._send(body + b"data: [DONE]\n\n", "text/event-stream")
            return
        message: dict[str, object] = {"role": "assistant", "content": "from upstream"}
        if "tools" in asked:
            call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
        self._send(json.dumps(answer).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def with_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network whose nodes also offer the label `large`, which the small server asserts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = tmp_path_factory.mktemp("upstream") / "home"
    address = f"large=http://127.0.0.1:{server.server_address[1]}/v1#provider/large-model"
    started = hallmark(home, "up", "--detach", "--no-ask", "--port", "25500", "--upstream", address)
    assert started.returncode == 0, started.stdout + started.stderr + logs(home)
    yield Network(home)
    assert hallmark(home, "down").returncode == 0
    server.shutdown()


def test_an_asserted_model_is_never_more_than_a_claim(with_upstream: Network, tmp_path: Path) -> None:
    """The answer comes through; `model` stays claimed and names who asserts it; `witnessed` is not met."""
    with product.Client(home=with_upstream.home) as client:
        draft = client.ask("hello", model="large")
        assert draft.text == "from upstream"
        with pytest.raises(product.Held) as caught:
            draft.receipt.wait("witnessed", timeout=6)
        marks = draft.receipt.marks()
        saved = draft.receipt.save(tmp_path / "r.json")
    assert "model claimed" in str(caught.value)
    assert marks[Question.PROVED].state is State.WITNESSED
    assert marks[Question.RAN].state is State.WITNESSED
    model = marks[Question.MODEL]
    assert model.state is State.CLAIMED
    assert "asserted by" in model.shows
    assert "artifact" not in model.shows
    done = with_upstream.run("verify", str(saved))
    assert done.returncode == 1
    assert "asserted by" in " ".join(done.stdout.split())


def test_tools_and_streams_pass_through(with_upstream: Network) -> None:
    """Tool definitions reach the server, its tool calls come back, and a stream carries a receipt."""
    url = f"{with_upstream.gateway}/v1/chat/completions"
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    body = {"model": "large", "messages": [{"role": "user", "content": "use a tool"}], "tools": tools}
    answer = httpx.post(url, json=body, timeout=30).json()
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert Server.seen[-1]["tools"] == tools
    assert Server.seen[-1]["model"] == "provider/large-model"
    text = httpx.post(url, json={**body, "stream": True}, timeout=30).text
    assert "from upstream" in text
    assert '"hallmark":' in text
    assert text.endswith("data: [DONE]\n\n")


def test_a_revoked_measurement_stops_nodes_and_shows(with_upstream: Network, tmp_path: Path) -> None:
    """After a revocation no node is eligible, and offline verification says revoked from there on."""
    saved = tmp_path / "before.json"
    done = with_upstream.run("ask", "What does os.mkfifo do?", "--save", str(saved))
    assert done.returncode == 0, done.stderr
    index = json.loads(saved.read_text())["entry"]["index"]
    network = httpx.get(f"{with_upstream.gateway}/v1/hallmark/network", timeout=10).json()
    trust = tomllib.loads(with_upstream.trust.read_text())
    assert len(trust["measurement"]) == 1
    digest = next(iter(network["measurements"]))["digest"]
    done = with_upstream.run(
        "declare", "revoke-measurement", digest, "--reason", "test", "--since", str(index)
    )
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 20
    while (refused := with_upstream.run("ask", "What does os.mkfifo do?")).returncode == 0:
        assert time.monotonic() < deadline, "the gateway never heard of the revocation"
    assert refused.returncode == 3
    assert "measurement_revoked" in refused.stderr
    verified = with_upstream.run("verify", str(saved))
    assert verified.returncode == 1
    assert "revoked" in verified.stdout
