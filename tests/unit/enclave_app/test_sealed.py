"""Sealed questions get the answers that plain ones get, with a route that says how they came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.unit.enclave_app.test_routes import candidates, headers, ticket

from hallmark.core.answer import split_hallmark_stream
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import SealedPath
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.receipt import Receipt, response_digest
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.privacy.binary_http import Request
from hallmark.services.enclave import identity
from hallmark.services.enclave.sealed import seal_with
from hallmark.services.enclave.server import Doors, TimeLimit
from hallmark.services.sealing.keys import ScheduledKeys
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.sealing import PADDED, Sealed, ask, from_blob, post, ratchet
from hallmark.testing.upstream import FakeUpstream, json_answer

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
SCORES = {"model": "scores", "inputs": {"x": [[0.1, 0.2, 0.3, 0.4]]}}
RELAY = "https://relay.test"
SINCE = 1_800_000_000_000


def sealing(runtime: MemoryRuntime) -> ScheduledKeys:
    """Give a runtime keys for sealed requests."""
    runtime.sealing = ScheduledKeys(ratchet(since=SINCE), runtime.now)
    return runtime.sealing


def behind(app: ASGIApp, runtime: MemoryRuntime) -> ASGIApp:
    """The application as an enclave serves it: plain, and behind its seal."""
    seal = seal_with(runtime)
    assert seal is not None
    return Doors(app, seal(app))


class SealingTransport(httpx.AsyncBaseTransport):
    """Seals what is asked of an application, and opens what it answers."""

    def __init__(self, app: ASGIApp, blob: bytes, padded: bool = True) -> None:
        self._app, self._blob, self._padded = app, blob, padded
        self.clear = b""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        fields = [(name.lower(), value) for name, value in request.headers.raw if name.lower() in SENT]
        if self._padded:
            fields.append(PADDED)
        asked = Request(
            request.method.encode(), b"https", b"hallmark.invalid", request.url.raw_path, tuple(fields),
            await request.aread(),
        )  # fmt: skip
        sealed = Sealed(from_blob(self._blob), asked)
        outcome = await ask(self._app, sealed)
        self.clear += sealed.capsule + outcome.body
        assert outcome.status == 200, outcome.reason
        opened = sealed.open(outcome.body)
        kept = [each for each in opened.headers if each[0] != b"content-encoding"]
        return httpx.Response(opened.status, headers=kept, content=opened.content)


SENT = (b"content-type", b"hallmark-ticket", b"hallmark-candidates", b"hallmark-attempts", b"hallmark-nonce",
        b"hallmark-relay", b"payment-signature")  # fmt: skip


@pytest.fixture
def sealed(runtime: MemoryRuntime, make_app: Any) -> Any:
    """Makes a client whose requests go sealed."""

    def make(padded: bool = True) -> httpx.AsyncClient:
        keys = sealing(runtime)
        (window, _) = keys.published()
        app = behind(make_app(runtime), runtime)
        transport = SealingTransport(app, window.configurations, padded)
        base = {"hallmark-relay": RELAY}
        return httpx.AsyncClient(transport=transport, base_url="https://hallmark.invalid", headers=base)

    return make


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(
    ("path", "asked"),
    [(CHAT, HELLO), (CHAT, HELLO | {"stream": True}), ("/v1/hallmark/infer", SCORES)],
)
async def test_a_sealed_question_is_answered_like_a_plain_one(
    sealed: Any, runtime: MemoryRuntime, check: Any, path: str, asked: Any, padded: bool
) -> None:
    """The receipt covers the exact bytes, and its route names keys, window, suite, size class and relay."""
    client = sealed(padded)
    checked = check(await client.post(path, json=asked))
    (window, _) = runtime.sealing.published()  # type: ignore[union-attr]
    assert checked.route.path == "sealed"
    assert checked.route.saw_prompt == ("enclave",)
    assert checked.route.ticket == hex0x(ZERO32)
    assert checked.route.sealed == SealedPath(
        hex0x(sha256(window.configurations)), 0, "x25519/hkdf-sha256/aes-128-gcm", 1024, RELAY
    )
    assert b"hello" not in client._transport.clear


async def test_a_sealed_question_with_a_ticket_names_no_gateway(
    sealed: Any, runtime: MemoryRuntime, check: Any
) -> None:
    """The ticket is recorded as on the plain path; the gateway saw a route request, and no prompt."""
    document = candidates(runtime).encode()
    signed = ticket(document)
    checked = check(await sealed().post(CHAT, json=HELLO, headers=headers(document, signed)))
    assert (checked.route.path, checked.route.saw_prompt) == ("sealed", ("enclave",))
    assert unhex(checked.route.ticket) == signed.struct_hash()
    assert checked.route.sealed.relay == RELAY
    record, listed, packed = runtime.drafts[0].attachments
    assert (listed, packed[:-65]) == (document, signed.pack())
    assert record.decode() == checked.hallmark["documents"]["route"]


async def test_the_same_ticket_gives_each_way_its_own_record(
    sealed: Any, client: httpx.AsyncClient, runtime: MemoryRuntime, check: Any
) -> None:
    """What is remembered of a plain request is not said of a sealed one, and the other way round."""
    document = candidates(runtime).encode()
    sent = headers(document, ticket(document))
    private = sealed()
    records = [check(await each.post(CHAT, json=HELLO, headers=sent)).route for each in (client, private) * 2]
    assert [record.path for record in records] == ["plain", "sealed"] * 2
    assert [record.sealed == records[0].sealed for record in records] == [True, False] * 2


async def test_the_route_says_that_an_upstream_saw_the_prompt(models: Any, make_app: Any) -> None:
    """Sealing ends in the enclave."""
    server = FakeUpstream(json_answer(b'{"id":"1","model":"m","choices":[]}'))
    runtime = MemoryRuntime(models, upstreams={"up": "http://up.invalid/v1"}, dialer=server.dial)
    (window, _) = sealing(runtime).published()
    transport = SealingTransport(behind(make_app(runtime), runtime), window.configurations)
    async with httpx.AsyncClient(transport=transport, base_url="https://hallmark.invalid") as client:
        answer = await client.post(CHAT, json=HELLO | {"model": "up"})
    route = json.loads(answer.json()["hallmark"]["documents"]["route"])
    assert (route["path"], route["saw_prompt"]) == ("sealed", ["enclave", "upstream"])
    assert "relay" not in route["sealed"] or route["sealed"]["relay"] == ""


async def test_what_is_read_can_be_read_sealed(sealed: Any, client: httpx.AsyncClient) -> None:
    """Models, identity, clock and keys are the same either way."""
    private = sealed()
    for path in ("/v1/models", "/v1/models/tiny", "/v1/hallmark/identity", "/v1/hallmark/keys"):
        both = [await each.get(path) for each in (client, private)]
        assert [each.status_code for each in both] == [200, 200], path
        if not path.startswith("/v1/models"):
            assert both[0].json() == both[1].json()
    assert (await private.get("/v1/hallmark/clock")).json()["now"] > SINCE
    assert (await private.get("/v1/nothing")).json()["error"]["code"] == "unknown_path"


async def test_errors_come_sealed_with_what_they_say_on_the_plain_path(sealed: Any) -> None:
    """Refusals, also those of a payment, are for the client alone."""
    client = sealed()
    answer = await client.post(CHAT, json=HELLO | {"model": "nobody"}, headers={"payment-signature": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert answer.headers["hallmark-charged"] == "0"
    for nested in ("/v1/hallmark/sealed", "/v1/hallmark/sealed/"):
        answer = await client.post(nested, json={})
        assert answer.json()["error"]["code"] == "sealed_nested"


async def test_a_full_node_is_busy_for_sealed_questions_too(models: Any, make_app: Any) -> None:
    """Capacity is one, for both ways."""
    runtime = MemoryRuntime(models, capacity=0)
    (window, _) = sealing(runtime).published()
    transport = SealingTransport(behind(make_app(runtime), runtime), window.configurations)
    async with httpx.AsyncClient(transport=transport, base_url="https://hallmark.invalid") as client:
        answer = await client.post(CHAT, json=HELLO)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "node_busy")


async def test_a_node_without_keys_says_so(client: httpx.AsyncClient, runtime: MemoryRuntime) -> None:
    """A vanilla node has no attested key, and takes nothing sealed."""
    answer = await client.get("/v1/hallmark/keys")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "nothing_sealed_taken")
    assert seal_with(runtime) is None


async def test_a_sealed_stream_is_stopped_by_a_sealed_word(runtime: MemoryRuntime, make_app: Any) -> None:
    """The stop request goes the same way, and the answer ends with a receipt over what left."""
    nonce = (b"hallmark-nonce", b"ab" * 32)
    (window, _) = sealing(runtime).published()
    app = behind(make_app(runtime), runtime)
    configuration = from_blob(window.configurations)
    stopped: list[dict[str, Any]] = []

    async def stopping(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not stopped:
                stopped.append({})
                word = Sealed(configuration, post("/v1/hallmark/stop", b"", (nonce,)))
                stopped.append(word.open((await ask(app, word)).body).json())

        await app(scope, receive, watched)

    question = Sealed(configuration, post(CHAT, json.dumps(HELLO | {"stream": True}).encode(), (nonce,)))
    opened = question.open((await ask(stopping, question)).body)
    assert stopped[1] == {"stopped": 1}
    content, raw = split_hallmark_stream(opened.content)
    owned = json.loads(raw)
    receipt = Receipt.from_json(owned["receipt"])
    assert receipt.response == response_digest(bytes.fromhex(owned["salts"]["response"][2:]), content)
    assert b'"finish_reason":"' not in content


async def test_a_client_that_leaves_ends_the_work(runtime: MemoryRuntime, make_app: Any) -> None:
    """As on the plain path: what left is signed for, and the sealed answer has no end."""
    (window, _) = sealing(runtime).published()
    app = behind(make_app(runtime), runtime)
    gone = asyncio.Event()

    async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                gone.set()
                await asyncio.Event().wait()  # until the work is ended for it

        await app(scope, receive, watched)

    asked = json.dumps(HELLO | {"stream": True}).encode()
    question = Sealed(from_blob(window.configurations), post(CHAT, asked))
    outcome = await ask(leaving, question, gone=gone)
    assert not outcome.ended
    assert [event for event, _ in runtime.logged] == ["client_disconnected", "partial_answer_signed"]
    with pytest.raises(Exception, match="cut off"):
        question.open(outcome.body)


async def test_an_answer_that_takes_too_long_ends_under_the_seal(runtime: MemoryRuntime) -> None:
    """The time limit is the inner one: nobody outside learns of it."""

    async def forever(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    (window, _) = sealing(runtime).published()
    app = behind(TimeLimit(forever, 0.01), runtime)
    question = Sealed(from_blob(window.configurations), post(CHAT, b"{}"))
    outcome = await ask(app, question)
    answer = question.open(outcome.body)
    assert (outcome.status, answer.status) == (200, 503)
    assert answer.json()["error"]["code"] == "request_timeout"


def chance() -> Callable[[int], bytes]:
    """Bytes that differ from call to call."""
    return MemoryRuntime({}).random


def test_keys_are_made_by_the_limits() -> None:
    """How long a window is and how many there are stands in the measured configuration; none is a choice."""
    limits = {"sealing_every_ms": 1000, "sealing_windows": 7, "sealing_grace_ms": 10}
    keys = identity.make_sealing(chance(), limits, lambda: 5_000)
    assert keys is not None
    assert (keys.sealing.since, keys.sealing.every, keys.sealing.count) == (5_000, 1000, 7)
    usual = identity.make_sealing(chance(), {}, lambda: 0)
    assert usual is not None
    assert usual.sealing.every * usual.sealing.count == 7 * 86_400_000
    assert identity.make_sealing(chance(), {"sealing_windows": 0}, lambda: 0) is None


@pytest.mark.parametrize(
    "limits",
    [
        {"sealing_every_ms": 0},
        {"sealing_windows": -1},
        {"sealing_grace_ms": -1},
        {"sealing_grace_ms": 200_000},
        {"sealing_every_ms": 1000},
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, int]) -> None:
    """More keys at once than there are key ids for, or a grace beyond what full nodes allow."""
    with pytest.raises(InvalidInput) as refused:
        identity.make_sealing(chance(), limits, lambda: 0)
    assert refused.value.reason == "bad_sealing"
