"""An OpenAI-compatible server as an engine, a model that draws, and what an authority declares, on a network
of their own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import openai
import pytest

import hallmark as product
from hallmark.core.marks import Question, State
from hallmark.http.multipart import read_form
from hallmark.services.sdk.saved import open_answer, read_answer
from hallmark.testing.real_network import Network, hallmark, start_network

pytestmark = pytest.mark.integration


SHAPES = Path(__file__).parents[2] / "models" / "shapes"
DRAWN = base64.b64encode(b"\x89PNG\r\n\x1a\n a circle").decode()


class Server(BaseHTTPRequestHandler):
    """A small OpenAI-compatible server that asserts to be `provider/large-model`."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, object]] = []
    keys: list[str] = []
    wanted = ""

    def do_POST(self) -> None:
        """Answer a chat completion, streamed or whole; tools come back as they were offered."""
        body = self.rfile.read(int(self.headers["content-length"]))
        edits = self.path.endswith("/images/edits")
        asked = dict(read_form(self.headers["content-type"].encode(), body)) if edits else json.loads(body)
        Server.seen.append(asked)
        Server.keys.append(self.headers.get("authorization", ""))
        if Server.wanted and Server.keys[-1] != f"Bearer {Server.wanted}":
            error = {"message": f"Incorrect API key: {Server.keys[-1]}", "code": "invalid_api_key"}
            self._send(json.dumps({"error": error}).encode(), "application/json", 401)
            return
        if edits or self.path.endswith("/images/generations"):
            images = [{"b64_json": DRAWN}] * int(asked.get("n", 1))
            self._send(json.dumps({"created": 1, "data": images}).encode(), "application/json")
            return
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

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
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
    draws = f"shapes={SHAPES}"
    start_network(home, "--no-ask", "--port", "25500", "--upstream", address, "--model", draws, "--free")
    yield Network(home)
    assert hallmark(home, "down").returncode == 0
    server.shutdown()


def test_an_asserted_model_is_never_more_than_a_claim(with_upstream: Network, tmp_path: Path) -> None:
    """The answer comes through; `model` stays claimed and names who asserts it; `witnessed` is not met."""
    with product.Client(home=with_upstream.home) as client:
        draft = client.ask("hello", model="large")
        assert draft.text == "from upstream"
        deadline = time.monotonic() + 240
        while draft.receipt.marks()[Question.PROVED].state is not State.WITNESSED:
            assert time.monotonic() < deadline, "it was never proved"
            draft.receipt.refresh("witnessed", 200)
        with pytest.raises(product.Held) as caught:
            draft.receipt.wait("witnessed", timeout=1)
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


def test_a_providers_images_have_a_receipt(with_upstream: Network) -> None:
    """A stock client gets them as the provider gave them, base64 and all, with a receipt for their bytes; who
    made them is the provider's word.
    """
    with openai.OpenAI(base_url=f"{with_upstream.gateway}/v1", api_key="none") as stock:
        answer = stock.images.generate(model="large", prompt="a red circle", n=2)
    assert answer.data is not None
    assert [image.b64_json for image in answer.data] == [DRAWN, DRAWN]
    told = answer.model_extra or {}
    with product.Client(home=with_upstream.home) as client:
        model = client.receipt(told["hallmark"]["id"]).marks()[Question.MODEL]
    assert model.state is State.CLAIMED
    assert "asserted by" in model.shows
    linked = {"model": "large", "prompt": "a red circle", "response_format": "url"}
    refused = httpx.post(f"{with_upstream.gateway}/v1/images/generations", json=linked, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")


def test_a_changed_image_has_a_receipt_for_the_form(with_upstream: Network, tmp_path: Path) -> None:
    """A stock client's form reaches the provider under its own name of the model; offline the receipt is
    shown to be about the exact form and answer, and about no form with one letter changed.
    """
    picture = b"\x89PNG\r\n\x1a\n \xff a square"
    with openai.OpenAI(base_url=f"{with_upstream.gateway}/v1", api_key="none") as stock:
        raw = stock.images.with_raw_response.edit(
            model="large", image=("a.png", picture), prompt="make it round", n=2, response_format="b64_json"
        )
        with pytest.raises(openai.NotFoundError, match="changes no images"):
            stock.images.edit(model="shapes", image=("a.png", picture), prompt="make it round")
    assert [image.b64_json for image in raw.parse().data or ()] == [DRAWN, DRAWN]
    assert Server.seen[-1] == {
        "model": b"provider/large-model",
        "prompt": b"make it round",
        "n": b"2",
        "response_format": b"b64_json",
        "image": picture,
    }
    form, answer = tmp_path / "form", tmp_path / "answer.json"
    form.write_bytes(sent := raw.http_response.request.read())
    answer.write_bytes(raw.http_response.content)
    saved = read_answer(answer.read_bytes())
    assert open_answer(saved, sent).complete
    assert not open_answer(saved, sent.replace(b"a square", b"a sphere")).complete
    done = with_upstream.run("verify", str(answer), "--from", str(form))
    told = " ".join(done.stdout.split())
    assert "what was signed, byte for byte, sent to /v1/images/edits" in told, done.stdout + done.stderr


def test_the_embedded_generators_images_are_verified_offline(with_upstream: Network, tmp_path: Path) -> None:
    """A stock client gets an image from the model that draws; its receipt verifies with the answer's bytes,
    the model witnessed, and an answer with one letter of the image changed is refused.
    """
    with openai.OpenAI(base_url=f"{with_upstream.gateway}/v1", api_key="none") as stock:
        raw = stock.images.with_raw_response.generate(model="shapes", prompt="a small red circle on white")
    image = base64.b64decode(raw.parse().data[0].b64_json or "")
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    asked, answer = tmp_path / "request.json", tmp_path / "answer.json"
    asked.write_bytes(raw.http_response.request.content)
    answer.write_bytes(raw.http_response.content)
    saved = tmp_path / "saved.json"
    read = ("--from", str(asked), "--save", str(saved))
    done = with_upstream.run("receipt", str(answer), *read)
    assert done.returncode == 0, done.stdout + done.stderr
    verified = with_upstream.run("verify", str(saved))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    identifier = json.loads(answer.read_bytes())["hallmark"]["id"]
    deadline = time.monotonic() + 240
    with product.Client(home=with_upstream.home) as client:
        while (found := client.receipt(identifier).marks())[Question.MODEL].state is not State.WITNESSED:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
    content = answer.read_bytes()
    at = content.index(b"b64_json") + 60
    answer.write_bytes(content[:at] + (b"B" if content[at : at + 1] == b"A" else b"A") + content[at + 1 :])
    assert with_upstream.run("receipt", str(answer), *read).returncode != 0


CANARIES = ("sk-canary-sings-at-dawn", "sk-canary-sings-at-noon")


def _key(network: Network, *arguments: str, stdin: str = "") -> str:
    done = network.run("upstream", "key", *arguments, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _refused(network: Network) -> tuple[str, str]:
    """The code and the text of a refused question."""
    body = {"model": "large", "messages": [{"role": "user", "content": "hello"}]}
    response = httpx.post(f"{network.gateway}/v1/chat/completions", json=body, timeout=30)
    assert response.status_code != 200
    return response.json()["error"]["code"], response.text


def _everywhere(network: Network) -> dict[str, bytes]:
    """All that anybody could look at: files of the home, process arguments and environments, pages."""
    found = {str(path): path.read_bytes() for path in network.home.rglob("*") if path.is_file()}
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                found[str(process / name)] = (process / name).read_bytes()
    for name, service in network.status().items():
        found[f"status of {name}"] = json.dumps(service).encode()
    ports = [service["url"].rsplit(":", 1)[1] for service in network.status().values()]
    ports += [str(int(port) + 10) for port in ports]
    for port in ports:
        for path in ("healthz", "metrics", "v1/hallmark/network", "v1/models"):
            with contextlib.suppress(httpx.HTTPError):
                found[f"{port}/{path}"] = httpx.get(f"http://127.0.0.1:{port}/{path}", timeout=30).content
    return found


def test_an_upstreams_key_is_sealed_rotated_removed_and_nowhere_to_be_found(
    with_upstream: Network, tmp_path: Path
) -> None:
    """Without a key and with a wrong one the reasons differ; a key reaches the provider, survives a new
    enclave, is rotated and removed; outside its own file no trace of it is left anywhere.
    """
    network, first, second = with_upstream, *CANARIES
    Server.wanted = first
    try:
        assert _refused(network)[0] == "upstream_key_missing"
        assert _key(network, "set", "large", stdin="sk-wrong").count("large: set") == 2
        code, text = _refused(network)
        assert (code, "sk-wrong" in text) == ("upstream_unauthorized", False)
        assert "hallmark upstream key set large" in text
        _key(network, "set", "large", stdin=first + "\n")
        with product.Client(home=network.home) as client:
            draft = client.ask("hello", model="large")
            assert draft.text == "from upstream"
            saved = draft.receipt.save(tmp_path / "keyed.json").read_bytes()
            before = network.status()["node-1"]["pid"]
            os.kill(before, signal.SIGTERM)
            deadline = time.monotonic() + 180
            while network.status()["node-1"] | {"since": 0} == {} or (
                network.status()["node-1"]["pid"] in (before, 0)
                or network.status()["node-1"]["state"] != "ready"
            ):
                assert time.monotonic() < deadline
            for _ in range(8):
                assert client.ask("hello", model="large").text == "from upstream"
        assert set(Server.keys[-8:]) == {f"Bearer {first}"}
        Server.wanted = second
        assert _refused(network)[0] == "upstream_unauthorized"
        _key(network, "set", "large", stdin=second)
        with product.Client(home=network.home) as client:
            assert client.ask("hello", model="large").text == "from upstream"
        found = _everywhere(network) | {"receipt": saved}
        assert len(found) > 50
        holders = {name for name, data in found.items() if any(key.encode() in data for key in CANARIES)}
        rest = network.home / "keys" / "upstream-large.key"
        assert holders == {str(rest)}
        assert rest.stat().st_mode & 0o777 == 0o600
        assert "has a key" in _key(network, "list")
        assert _key(network, "remove", "large").count("large: missing") == 2
        assert not rest.exists()
        assert _refused(network)[0] == "upstream_key_missing"
    finally:
        Server.wanted = ""


def test_a_revoked_measurement_stops_nodes_and_shows(with_upstream: Network, tmp_path: Path) -> None:
    """After a revocation no node is eligible, and offline verification says revoked from there on."""
    saved = tmp_path / "before.json"
    done = with_upstream.run("ask", "What does os.mkfifo do?", "--save", str(saved))
    assert done.returncode == 0, done.stderr
    index = json.loads(saved.read_text())["entry"]["index"]
    network = httpx.get(f"{with_upstream.gateway}/v1/hallmark/network", timeout=30).json()
    trust = tomllib.loads(with_upstream.trust.read_text())
    assert len(trust["measurement"]) == 1
    digest = next(iter(network["measurements"]))["digest"]
    done = with_upstream.run(
        "declare", "revoke-measurement", digest, "--reason", "test", "--since", str(index)
    )
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 240
    while (refused := with_upstream.run("ask", "What does os.mkfifo do?")).returncode == 0:
        assert time.monotonic() < deadline, "the gateway never heard of the revocation"
    assert refused.returncode == 3
    assert "measurement_revoked" in refused.stderr
    verified = with_upstream.run("verify", str(saved))
    assert verified.returncode == 1
    assert "revoked" in verified.stdout
