"""Upstream servers: bytes pass through, claims are recorded as claims, failures have our reasons."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import openai
import pytest

from hallmark.core.documents import UpstreamRecord
from hallmark.core.hashing import ZERO32
from hallmark.core.money import Price
from hallmark.services.enclave.limits import silence_s
from hallmark.testing.billing import NUMBER, MemoryHost, offer_entry, pay
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.upstream import Answer, FakeUpstream, SentRequest, json_answer, stream_answer

CHAT, IMAGES = "/v1/chat/completions", "/v1/images/generations"
DRAWN = {"b64_json": base64.b64encode(b"\x89PNG\r\n\x1a\n a circle").decode()}
URL = "http://model-server.invalid:8000/v1#qwen-there"
HELLO: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "hello"}]}
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at":"Bern"}'}}
WHOLE = json.dumps(
    {
        "id": "up-1",
        "object": "chat.completion",
        "created": 5,
        "model": "Qwen/Qwen9-72B",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [TOOL_CALL],
                    "reasoning": "hm",
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    },
    indent=1,
).encode()


def chunk(**members: Any) -> bytes:
    """One event of a stream."""
    base = {"id": "up-2", "object": "chat.completion.chunk", "created": 5, "model": "Qwen/Qwen9-72B"}
    return b"data: " + json.dumps(base | members).encode() + b"\n\n"


def delta(finish: str | None = None, **members: Any) -> bytes:
    """An event with one choice."""
    return chunk(choices=[{"index": 0, "delta": members, "finish_reason": finish}])


USAGE = chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
DONE = b"data: [DONE]\n\n"
CALL_DELTA = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": "{}"}}
STREAM = delta(role="assistant") + delta(tool_calls=[CALL_DELTA]) + delta("tool_calls") + USAGE + DONE


@pytest.fixture
def server() -> FakeUpstream:
    """The upstream; tests set its answer."""
    return FakeUpstream(json_answer(WHOLE))


@pytest.fixture
def runtime(models: Any, server: FakeUpstream) -> MemoryRuntime:
    """A runtime with the upstream `qwen` beside the embedded models."""
    return MemoryRuntime(models, upstreams={"qwen": URL}, dialer=server.dial)


async def test_a_json_answer_passes_through(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """The server's object keeps its exact bytes; the receipt names no artifact but what was asserted."""
    tools = {
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "tool_choice": "required",
        "n": 1,
    }
    response = await client.post(CHAT, json=HELLO | tools | {"temperature": 0.5, "logprobs": True})
    checked = check(response)
    assert checked.content == WHOLE
    assert response.json()["choices"][0]["message"]["tool_calls"] == [TOOL_CALL]
    sent = json.loads(server.seen[0].body)
    assert sent == HELLO | tools | {"temperature": 0.5, "logprobs": True, "model": "qwen-there"}
    assert server.seen[0].path == "/v1/chat/completions"
    assert server.seen[0].headers["host"] == "model-server.invalid:8000"
    assert "authorization" not in server.seen[0].headers
    assert (checked.receipt.artifact, checked.receipt.manifest) == (ZERO32, ZERO32)
    assert (checked.receipt.tokens_in, checked.receipt.tokens_out) == (3, 4)
    record = UpstreamRecord.decode(checked.hallmark["documents"]["upstream"].encode())
    assert record == UpstreamRecord(
        "model-server.invalid", "http://model-server.invalid:8000/v1", "qwen", "Qwen/Qwen9-72B", "up-1"
    )
    assert checked.route.saw_prompt == ("enclave", "upstream")
    assert checked.parameters.temperature == 500_000
    assert checked.parameters.engine == "upstream/unmeasured label=qwen"


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_a_stream_passes_through(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any, size: int
) -> None:
    """Tool calls and all, over any cutting into packets; the usage that only we asked for is kept back."""
    server.answer = stream_answer(*(STREAM[at : at + size] for at in range(0, len(STREAM), size)))
    checked = check(await client.post(CHAT, json=HELLO | {"stream": True}))
    assert checked.content == STREAM.removesuffix(USAGE + DONE)
    assert (checked.receipt.tokens_in, checked.receipt.tokens_out) == (3, 4)
    assert json.loads(server.seen[0].body)["stream_options"] == {"include_usage": True}


async def test_usage_is_passed_on_when_wanted(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """With include_usage the usage chunk is covered, and stands once: last, after the receipt's event."""
    server.answer = stream_answer(b": ping\n\nevent: x\n" + STREAM)
    body = HELLO | {"stream": True, "stream_options": {"include_usage": True, "other": 1}}
    response = await client.post(CHAT, json=body)
    assert check(response).content == b": ping\n\n" + STREAM.removesuffix(DONE)
    assert response.content.endswith(USAGE + DONE)
    assert response.content.count(b"total_tokens") == 1
    assert json.loads(server.seen[0].body)["stream_options"] == {"include_usage": True, "other": 1}


async def test_the_body_keeps_its_bytes_when_nothing_must_change(
    models: Any, make_app: Any, server: FakeUpstream
) -> None:
    """Without another name there, the request goes out byte for byte, odd spacing and all."""
    runtime = MemoryRuntime(models, upstreams={"qwen": "http://other.invalid/v1/"}, dialer=server.dial)
    body = b'{ "model" : "qwen", "messages":[{"content":"\\u00e9","role":"user"}], "x": 1.50 }'
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        sent = {"Hallmark-Upstream-Authorization": "Bearer key", "Authorization": "Bearer for the gateway"}
        assert (await client.post(CHAT, content=body, headers=sent)).status_code == 200
    assert server.seen[0].body == body
    assert server.seen[0].headers["authorization"] == "Bearer key"


async def test_completions_and_embeddings_pass_through(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """Every endpoint of the server is reached under its own path, with the parameters' task."""
    server.answer = json_answer(b'{"object":"list","data":[],"model":"m","usage":{"prompt_tokens":2}}')
    checked = check(await client.post("/v1/embeddings", json={"model": "qwen", "input": ["a"]}))
    assert (checked.parameters.task, checked.receipt.tokens_in) == ("embedding", 2)
    check(await client.post("/v1/completions", json={"model": "qwen", "prompt": "a"}))
    assert [request.path for request in server.seen] == ["/v1/embeddings", "/v1/completions"]


def images(*data: dict[str, str]) -> bytes:
    """An answer with these."""
    return json.dumps({"created": 1, "data": data, "usage": {"input_tokens": 5, "output_tokens": 9}}).encode()


async def test_images_pass_through(client: httpx.AsyncClient, server: FakeUpstream, check: Any) -> None:
    """Their bytes are in the response that the receipt commits to, under the task of its own."""
    server.answer = json_answer(images(DRAWN, DRAWN))
    asked = {"model": "qwen", "prompt": "a red circle", "n": 3, "size": "1024x1024"}
    response = await client.post(IMAGES, json=asked)
    checked = check(response)
    assert checked.parameters.task == "image"
    assert [one["b64_json"] for one in response.json()["data"]] == [DRAWN["b64_json"]] * 2
    assert (server.seen[0].path, json.loads(server.seen[0].body)) == (IMAGES, asked | {"model": "qwen-there"})


@pytest.mark.parametrize(
    "answer",
    [
        images({"url": "https://images.invalid/1.png"}),
        images(DRAWN, {"url": "https://images.invalid/1.png"}),
        images({"b64_json": "%"}),
        images({"b64_json": "aGVsbG8="}),
        images({"b64_json": base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()}),
        images(DRAWN, DRAWN),
        b'{"created": 1}',
        b'{"data": {}}',
    ],
)
async def test_a_link_is_no_image(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime, answer: bytes
) -> None:
    """What is behind one may be another tomorrow; nor are there more than were asked and reserved for."""
    server.answer = json_answer(answer)
    response = await client.post(IMAGES, json={"model": "qwen", "prompt": "a red circle"})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_failed")
    assert runtime.signed == []


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 11}, "invalid_value", "n"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"n": True}, "invalid_type", "n"),
        ({"response_format": "url"}, "unsupported_parameter", "response_format"),
        ({"stream": True}, "unsupported_parameter", "stream"),
        ({"prompt": None}, "invalid_type", "prompt"),
    ],
)
async def test_images_are_asked_for_in_one_way(
    client: httpx.AsyncClient, server: FakeUpstream, change: dict[str, Any], code: str, param: str
) -> None:
    """What a receipt could not cover is refused before the server is asked."""
    response = await client.post(IMAGES, json={"model": "qwen", "prompt": "a red circle"} | change)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert server.seen == []


async def test_attachments_become_inputs(client: httpx.AsyncClient, check: Any) -> None:
    """Images, audio and files for an upstream are recorded by digest, tool results as well."""
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
    ]
    messages = [{"role": "user", "content": parts}, {"role": "tool", "content": "42", "tool_call_id": "1"}]
    checked = check(await client.post(CHAT, json=HELLO | {"messages": messages}))
    kinds = [json.loads(text)["kind"] for text in checked.hallmark["documents"]["inputs"]]
    assert kinds == ["image", "audio", "file", "tool_result"]
    assert "base64" not in "".join(checked.hallmark["documents"]["inputs"])


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("400 B", {"error": {"code": "content_filter", "param": "m[0]"}}, (400, "content_filter", "m[0]")),
        ("400 Bad", {"error": {"code": "SECRET", "param": "a SECRET"}}, (400, "upstream_rejected", None)),
        ("422 Unprocessable", ["SECRET"], (422, "upstream_rejected", None)),
        ("401 Unauthorized", {}, (401, "upstream_key_missing", None)),
        ("404 Not Found", {}, (404, "model_not_found", None)),
        ("429 Too Many", {}, (429, "upstream_rate_limited", None)),
        ("500 Oops", {"error": "SECRET"}, (500, "upstream_failed", None)),
        ("302 Found", {}, (502, "upstream_failed", None)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_get_our_reasons(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime,
    status: str, body: Any, expected: tuple[int, str, str | None], stream: bool,
) -> None:  # fmt: skip
    """Statuses and known codes are mapped; the server's own words, which may quote the prompt, are not."""
    server.answer = json_answer(json.dumps(body).encode(), status)
    response = await client.post(CHAT, json=HELLO | {"stream": stream})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == expected
    assert "SECRET" not in response.text
    assert runtime.signed == []


def refusing(head: str, body: bytes = b"{}") -> Answer:
    """Answers with this status line and headers."""

    async def answer(_request: SentRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
QUOTA = b'{"error":{"code":"insufficient_quota"}}'


@pytest.mark.parametrize(
    ("head", "body", "status", "expected"),
    [
        ("429 X\r\nretry-after: 7", b"{}", 429, ("7", None)),
        ("429 X\r\nretry-after-ms: 1500", b"{}", 429, ("2", None)),
        (f"429 X\r\nretry-after: {DATE}", b"{}", 429, (DATE, None)),
        ("429 X\r\nretry-after: SECRET", b"{}", 429, ("1", None)),
        ("429 X\r\nretry-after: 7", QUOTA, 429, (None, "false")),
        ("503 X\r\nretry-after: 9", b"{}", 503, ("9", None)),
        ("503 X\r\nx-should-retry: false", b"{}", 503, (None, "false")),
        ("529 Overloaded", b"{}", 503, ("1", None)),
        ("401 X", b"{}", 401, (None, "false")),
        ("403 X", b"{}", 403, (None, "false")),
        ("402 X", b"{}", 402, (None, "false")),
        ("409 X", b"{}", 409, (None, "false")),
    ],
)  # fmt: skip
async def test_an_upstreams_word_on_asking_again_is_kept(
    client: httpx.AsyncClient, server: FakeUpstream, head: str, body: bytes, status: int,
    expected: tuple[str | None, str | None],
) -> None:  # fmt: skip
    """Its status and Retry-After come through; what cannot get better says so, whatever its status."""
    server.answer = refusing(head, body)
    response = await client.post(CHAT, json=HELLO)
    assert response.status_code == status
    assert (response.headers.get("retry-after"), response.headers.get("x-should-retry")) == expected
    assert "'qwen' (model-server.invalid)" in response.json()["error"]["message"]
    assert "SECRET" not in response.text + str(response.headers)
    assert len(server.seen) == 1


async def test_a_silent_upstream_is_named(models: Any, make_app: Any, server: FakeUpstream) -> None:
    """An upstream that says nothing for `upstream_ms` is a 504 that nobody should repeat."""
    released = asyncio.Event()

    async def silent(_request: SentRequest, _writer: asyncio.StreamWriter) -> None:
        await released.wait()

    server.answer = silent
    runtime = MemoryRuntime(models, upstreams={"qwen": URL}, dialer=server.dial, limits={"upstream_ms": 50})
    transport = httpx.ASGITransport(make_app(runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as client:
        response = await client.post(CHAT, json=HELLO)
    released.set()
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timed_out")
    assert response.headers["x-should-retry"] == "false"


def test_the_limits_are_in_order() -> None:
    """An upstream's silence always ends before the answer's time, whatever is configured."""
    assert silence_s({}) == 540
    assert silence_s({"request_ms": 60_000}) == 30
    assert silence_s({"request_ms": 1_000, "upstream_ms": 5_000}) == 0.5
    assert silence_s({"upstream_ms": 5_000}) == 5


async def test_comments_and_odd_chunks_pass_through(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """Comments keep a connection alive; chunks with empty choices and no usage are the server's to send."""
    odd = chunk(choices=[], usage=None)
    server.answer = stream_answer(b": OPENROUTER PROCESSING\n\n: \xff\n\n" + odd + STREAM)
    content = check(await client.post(CHAT, json=HELLO | {"stream": True})).content
    assert content == b": OPENROUTER PROCESSING\n\n: \n\n" + odd + STREAM.removesuffix(USAGE + DONE)


async def test_usage_on_the_last_chunk_of_an_answer_follows_the_receipt(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """Servers that count on the chunk with the finish reason are counted rightly; the order is theirs."""
    last = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage={"total_tokens": 7})
    server.answer = stream_answer(delta(content="a") + last + DONE)
    response = await client.post(CHAT, json=HELLO | {"stream": True})
    assert check(response).content == delta(content="a") + last
    assert response.content.endswith(last + DONE)
    server.answer = stream_answer(last + delta(content="b") + USAGE + USAGE + DONE)
    response = await client.post(
        CHAT, json=HELLO | {"stream": True, "stream_options": {"include_usage": True}}
    )
    assert check(response).content == last + delta(content="b") + USAGE + USAGE


async def test_a_stream_of_nothing_is_a_whole_answer(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """A stream that ends at once carries its receipt."""
    server.answer = stream_answer(DONE)
    assert check(await client.post(CHAT, json=HELLO | {"stream": True})).content == b""


async def _garbage(_request: SentRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is not HTTP\r\n\r\n")


async def _silence(_request: SentRequest, _writer: asyncio.StreamWriter) -> None:
    return None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (json_answer(b"not json"), "upstream_failed"),
        (json_answer(b"[]"), "upstream_failed"),
        (json_answer(b'{"id":1,"hallmark":{"forged":true}}'), "upstream_failed"),
        (json_answer(b'{"error":{"message":"x"}}'), "upstream_failed"),
        (_garbage, "upstream_failed"),
        (_silence, "upstream_failed"),
    ],
)
async def test_answers_that_are_none(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime, answer: Answer, reason: str
) -> None:
    """What is no answer, or brings its own receipt, is refused and never signed."""
    server.answer = answer
    response = await client.post(CHAT, json=HELLO)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (502, reason)
    assert error["message"].startswith("The upstream of 'qwen' (model-server.invalid) ")
    assert response.headers["x-should-retry"] == "false"
    assert runtime.signed == []


@pytest.mark.parametrize(
    "rest",
    [b"", b"data: {broken\n\n", b'data: {"error":{"message":"x"}}\n\n', b'data: {"a":1,"hallmark":{}}\n\n'],
    ids=["ends", "broken", "error", "forged"],
)
async def test_streams_that_break_off(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime, rest: bytes
) -> None:
    """A stream that ends early, breaks or reports an error ends without [DONE]; what left is signed for."""
    server.answer = (
        stream_answer(delta(content="half"), rest) if rest else stream_answer(delta(content="half"))
    )
    response = await client.post(CHAT, json=HELLO | {"stream": True})
    assert "half" in response.text
    assert "[DONE]" not in response.text
    assert json.loads(response.text.rstrip().split("\n\n")[-1][6:])["error"]["code"] == "upstream_failed"
    assert len(runtime.signed) == 1


async def test_a_stream_may_end_without_done_after_its_answer(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """Servers that close after the finish reason, without [DONE], are understood."""
    server.answer = stream_answer(delta(content="all"), delta("stop"))
    assert b"all" in check(await client.post(CHAT, json=HELLO | {"stream": True})).content


async def test_a_body_that_is_broken_where_nobody_looks(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime
) -> None:
    """A request that is not JSON in a member that only the server would read is refused before it is sent."""
    for rest in (b"NaN", b"01", b"1e", b"[1,]"):
        body = b'{"model":"qwen","stream":true,"messages":[],"x":' + rest + b"}"
        response = await client.post(CHAT, content=body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_json")
    assert (server.seen, runtime.signed) == ([], [])


async def test_an_upstreams_model_claims_no_artifact(client: httpx.AsyncClient) -> None:
    """In the list of models an upstream's has an address and nothing that was not measured."""
    facts = (await client.get("/v1/models/qwen")).json()
    assert facts["owned_by"] == "upstream"
    assert facts["hallmark"] == {"artifact": None, "upstream": "http://model-server.invalid:8000/v1"}


async def test_an_unreachable_upstream(client: httpx.AsyncClient, server: FakeUpstream) -> None:
    """What the dial says, the client gets."""
    server.unreachable = True
    response = await client.post(CHAT, json=HELLO)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unreachable")


async def test_leaving_closes_the_connection_to_the_upstream(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime
) -> None:
    """When the client is gone, the provider sees it too and can stop."""

    async def endless(_request: SentRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while not writer.is_closing():
            writer.write(delta(content="x"))
            await writer.drain()
            await asyncio.sleep(0)

    server.answer = endless
    app = client._transport.app  # type: ignore[attr-defined]
    left, seen = asyncio.Event(), asyncio.Event()
    body = json.dumps(HELLO | {"stream": True}).encode()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            seen.set()

    scope = {"type": "http", "path": CHAT, "method": "POST", "headers": []}
    task = asyncio.ensure_future(app(scope, receive, send))
    await seen.wait()
    left.set()
    await task
    await asyncio.wait_for(server.closed.wait(), 60)
    assert len(runtime.signed) == 1


async def test_the_sdk_gets_tool_calls(client: httpx.AsyncClient, server: FakeUpstream) -> None:
    """The OpenAI SDK's accumulating helper assembles a streamed tool call with usage."""
    server.answer = stream_answer(STREAM)
    async with openai.AsyncOpenAI(base_url="http://node.invalid/v1", api_key="x", http_client=client) as sdk:
        async with sdk.chat.completions.stream(
            model="qwen",
            messages=[{"role": "user", "content": "weather?"}],
            tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
            stream_options={"include_usage": True},
        ) as stream:
            final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "weather"
    assert final.usage is not None
    assert final.usage.total_tokens == 7


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_goes_to_its_upstream_and_a_wrong_one_is_named(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime, *, stream: bool
) -> None:
    """The key is in the header that the provider gets; when it is refused, the error says who can mend it."""
    label = HELLO["model"]
    runtime.authorizations[label] = b"Bearer sk-canary"
    server.answer = json_answer(b'{"error":{"message":"bad key sk-canary"}}', "401 Unauthorized")
    response = await client.post(CHAT, json=HELLO | {"stream": stream})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (401, "upstream_unauthorized")
    assert f"hallmark upstream key set {label}" in response.text
    assert "sk-canary" not in response.text
    assert server.seen[-1].headers["authorization"] == "Bearer sk-canary"


@pytest.fixture
def priced(runtime: MemoryRuntime) -> MemoryHost:
    """The upstream's answers cost one unit a token in, two a token out, 100 an image."""
    host = MemoryHost()
    runtime.billing = host.bill(runtime.configuration, runtime.now)
    prices = (Price("qwen", 1_000_000, 2_000_000, 100),)
    entry = offer_entry(runtime.configuration, runtime.now(), prices=prices)
    runtime.billing.offers.take(entry)
    return host


async def _paid(
    client: httpx.AsyncClient, runtime: MemoryRuntime, asked: dict[str, Any], path: str = CHAT
) -> httpx.Response:
    body = json.dumps(asked).encode()
    headers = pay(runtime.configuration, path, body, runtime.now(), maximum=10**6)
    return await client.post(path, content=body, headers=headers)


async def test_images_are_charged_by_their_number(
    client: httpx.AsyncClient, runtime: MemoryRuntime, server: FakeUpstream, priced: MemoryHost, check: Any
) -> None:
    """As many as came, of those that were asked and reserved for."""
    server.answer = json_answer(images(DRAWN, DRAWN))
    asked = {"model": "qwen", "prompt": "a red circle", "n": 3}
    found = check(await _paid(client, runtime, asked, IMAGES))
    assert 200 <= found.receipt.charged < 300


async def test_what_the_server_counts_is_charged(
    client: httpx.AsyncClient, runtime: MemoryRuntime, server: FakeUpstream, priced: MemoryHost, check: Any
) -> None:
    """Streamed and whole, by the usage that the server says at the end; images by their number."""
    server.answer = stream_answer(STREAM)
    found = check(await _paid(client, runtime, HELLO | {"stream": True, "max_tokens": 50}))
    assert (found.receipt.tokens_in, found.receipt.tokens_out, found.receipt.charged) == (3, 4, 11)
    server.answer = json_answer(WHOLE)
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    seen = {"role": "user", "content": [part, {"type": "text", "text": "what is it?"}]}
    found = check(await _paid(client, runtime, HELLO | {"messages": [seen], "max_tokens": 50}))
    assert found.receipt.charged == 111


async def test_an_answer_that_breaks_off_costs_what_left(
    client: httpx.AsyncClient, runtime: MemoryRuntime, server: FakeUpstream, priced: MemoryHost
) -> None:
    """A token for each chunk, and a quarter of the request's bytes while the server has not counted; nothing
    when nothing left.
    """
    asked = HELLO | {"stream": True, "max_tokens": 50}
    server.answer = stream_answer(delta(role="assistant") + delta(content="a") + delta(content="b"))
    await _paid(client, runtime, asked)
    receipt = runtime.signed[-1].receipt
    assert receipt.tokens_in == -(-len(json.dumps(asked)) // 4)
    assert 0 < receipt.tokens_out <= 3
    assert receipt.charged == receipt.tokens_in + 2 * receipt.tokens_out
    server.answer = json_answer(b'{"error": {"message": "no"}}', "500 Oops")
    before = len(runtime.signed)
    answer = await _paid(client, runtime, asked | {"max_tokens": 51})
    assert answer.status_code >= 500
    assert len(runtime.signed) == before
    assert priced.journal is not None
    account = priced.journal.accounts.account(NUMBER)
    assert (account.spent, account.reserved) == (receipt.charged, 0)


async def test_a_server_that_counts_too_much_is_paid_what_was_reserved(
    client: httpx.AsyncClient, runtime: MemoryRuntime, server: FakeUpstream, priced: MemoryHost
) -> None:
    """The payer signed for no more than the request could cost by its own words."""
    server.answer = json_answer(WHOLE.replace(b'"completion_tokens": 4', b'"completion_tokens": 4000'))
    asked = HELLO | {"max_tokens": 5}
    answer = await _paid(client, runtime, asked)
    assert answer.status_code == 200
    assert runtime.signed[-1].receipt.charged == len(json.dumps(asked)) + 2 * 5
