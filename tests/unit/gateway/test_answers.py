"""Answers through the gateway: bytes, marks, receipts, retries, refusals."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from hallmark.core.answer import DONE, split_hallmark, split_hallmark_stream
from hallmark.core.document import hex0x
from hallmark.core.documents import RouteRecord
from hallmark.core.receipt import response_digest
from hallmark.http.multipart import FormPart, write_form
from hallmark.services.gateway.paths import normal
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.local_node import ANSWER


def first_and_other(local: LocalNetwork, behaviour: str) -> None:
    """Give every node the same behaviour."""
    for node in local.nodes:
        node.behaviour = behaviour


async def test_bodies_go_through_unaltered(ask: Any, local: LocalNetwork) -> None:
    """The enclave gets the client's exact bytes, and the client the exact bytes that the receipt covers."""
    sent = b'{ "model":"digits",\n "messages":[], "x": "caf\\u00e9 \xc3\xa9" }'
    status, headers, body = await ask.raw("/v1/chat/completions", sent)
    assert status == 200
    assert [got for node in local.nodes for got in node.bodies] == [sent]
    content, raw = split_hallmark(body)
    hallmark = json.loads(raw)
    salt = bytes.fromhex(hallmark["salts"]["response"][2:])
    assert hex0x(response_digest(salt, content)) == hallmark["receipt"]["response"]
    assert headers["hallmark-receipt"] == hallmark["id"]


async def test_a_form_goes_through_unaltered(ask: Any, local: LocalNetwork) -> None:
    """Of an edit's form only the model is read; without one, or without a form, there is a reason."""
    kind, sent = write_form([FormPart("model", b"digits"), FormPart("image", b"\xff\xfe")])
    status, _, _ = await ask.raw("/v1/images/edits", sent, headers={"content-type": kind.decode()})
    assert status == 200
    assert [got for node in local.nodes for got in node.bodies] == [sent]
    for code, parts in [
        ("bad_request", [FormPart("image", b"\xff")]),
        ("bad_request", [FormPart("model", b"\xff")]),
        ("bad_request", [FormPart("model", b"digits"), FormPart("model", b"letters")]),
        ("model_not_found", [FormPart("model", b"nowhere")]),
    ]:
        kind, body = write_form(parts)
        _, _, told = await ask.raw("/v1/images/edits", body, headers={"content-type": kind.decode()})
        assert json.loads(told)["error"]["code"] == code
    status, _, told = await ask.raw("/v1/images/edits", b'{"model":"digits"}')
    assert (status, json.loads(told)["error"]["code"]) == (400, "bad_multipart")


async def test_marks_are_struck_by_the_gateway_itself(ask: Any) -> None:
    """The object in the body carries seven full marks: checked where the gateway re-computed, never more."""
    _, _, body = await ask.chat()
    marks = json.loads(split_hallmark(body)[1])["marks"]
    states = {question: mark["state"] for question, mark in marks.items()}
    assert states == {
        "ran": "checked",
        "model": "checked",
        "route": "checked",
        "inputs": "absent",
        "paid": "absent",
        "proved": "absent",
        "reviewed": "absent",
    }
    assert marks["ran"]["by"].startswith("gateway 0x")
    assert marks["ran"]["assurance"] == "simulated"


async def test_a_stream_ends_with_its_receipt(ask: Any) -> None:
    """Events come through; the last one before [DONE] carries the receipt and the marks so far."""
    status, headers, body = await ask.chat(stream=True)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    content, raw = split_hallmark_stream(body)
    hallmark = json.loads(raw)
    salt = bytes.fromhex(hallmark["salts"]["response"][2:])
    assert hex0x(response_digest(salt, content)) == hallmark["receipt"]["response"]
    assert hallmark["marks"]["ran"]["state"] == "checked"
    events = [json.loads(line[6:]) for line in content.decode().split("\n\n") if line]
    assert "".join(e["choices"][0]["delta"]["content"] for e in events) == "".join(ANSWER)


async def test_stream_events_are_not_waited_for(ask: Any, local: LocalNetwork) -> None:
    """The first event reaches the client while the node still works on the rest."""
    first_and_other(local, "slow_midway")
    body = b'{"model":"digits","stream":true}'
    async with ask.pool.request("POST", local.url + "/v1/chat/completions", body=body) as response:
        got = b""
        while ANSWER[1].encode() not in got:
            got += await anext(response)
        assert DONE not in got
        for node in local.nodes:
            node.release.set()
        rest = b"".join([chunk async for chunk in response])
    assert (got + rest).endswith(DONE)


@pytest.mark.parametrize(
    ("behaviour", "outcome"), [("busy", "node_busy"), ("die", "connection_lost"), ("hang", "timed_out")]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_another_node_answers_when_one_gave_nothing(
    ask: Any, local: LocalNetwork, behaviour: str, outcome: str, stream: bool
) -> None:
    """A node that refuses, dies or is silent before its first byte is replaced, and the receipt says so."""
    local.nodes[0].behaviour = behaviour
    for _ in range(12):
        local.gateway.loads.of(local.nodes[0].party.address).avoid_until = 0
        local.gateway.loads.of(local.nodes[0].party.address).latency = 1.0
        status, _, body = await ask.chat(stream=stream)
        assert status == 200
        if local.nodes[0].bodies:
            break
    split = split_hallmark_stream if stream else split_hallmark
    route = RouteRecord.decode(json.loads(split(body)[1])["documents"]["route"].encode())
    assert [(a.node, a.outcome) for a in route.attempts] == [(hex0x(local.nodes[0].party.address), outcome)]
    assert route.chosen == hex0x(local.nodes[1].party.address)
    assert len(local.nodes[1].runtime.signed) >= 1


async def test_when_nobody_can_the_reasons_are_counted(ask: Any, local: LocalNetwork) -> None:
    """With every node busy the error has OpenAI's shape, status 503 and counts per reason."""
    first_and_other(local, "busy")
    status, headers, body = await ask.chat()
    error = json.loads(body)["error"]
    assert (status, error["code"], headers["retry-after"]) == (503, "no_node", "1")
    assert error["message"].startswith("No node can serve digits: 2 node_busy.")
    assert error["message"].endswith(error["hint"])


async def test_a_node_that_dies_midway_is_not_replaced(ask: Any, local: LocalNetwork) -> None:
    """After the first token no other node is asked: the stream ends with an error and without [DONE]."""
    first_and_other(local, "die_midway")
    status, _, body = await ask.chat(stream=True)
    assert status == 200
    assert DONE not in body
    assert ANSWER[0].encode() in body
    last = json.loads(body.rstrip().rsplit(b"data: ", 1)[1])
    assert last["error"]["code"] == "answer_lost"
    assert sum(len(node.bodies) for node in local.nodes) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_receipt_is_an_error(ask: Any, local: LocalNetwork, stream: bool) -> None:
    """What carries no receipt is never passed off as an answer."""
    first_and_other(local, "unsigned")
    status, _, body = await ask.chat(stream=stream)
    assert (status, json.loads(body)["error"]["code"]) == (422, "answer_unsigned")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_changed_answer_shows_in_the_marks(ask: Any, local: LocalNetwork, stream: bool) -> None:
    """An answer that was changed on its way is shown as failed, counted and logged, not hidden."""
    first_and_other(local, "forge")
    _, _, body = await ask.chat(stream=stream)
    split = split_hallmark_stream if stream else split_hallmark
    mark = json.loads(split(body)[1])["marks"]["ran"]
    assert (mark["state"], mark["reason"]) == ("failed", "response_mismatch")
    _, _, metrics = await ask.raw("/metrics", method="GET")
    assert b'hallmark_gateway_faults_total{reason="response_mismatch"} 1.0' in metrics


async def test_the_enclaves_own_refusal_is_passed_on(ask: Any, local: LocalNetwork) -> None:
    """A 400 of an enclave is the client's to see, and nobody else is asked."""
    first_and_other(local, "refuse")
    status, _, body = await ask.chat()
    assert (status, json.loads(body)["error"]["code"]) == (400, "unsupported_parameter")
    assert sum(len(node.bodies) for node in local.nodes) == 1


async def test_a_client_that_leaves_stops_the_node(ask: Any, local: LocalNetwork) -> None:
    """When the client disconnects in mid-stream, the node's work is cancelled and its lease returned."""
    first_and_other(local, "slow_midway")
    body = b'{"model":"digits","stream":true}'
    async with ask.pool.request("POST", local.url + "/v1/chat/completions", body=body) as response:
        assert await anext(response)
    async with asyncio.timeout(60):
        waits = [asyncio.ensure_future(node.cancelled.wait()) for node in local.nodes]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        while any(load.in_flight for load in local.gateway.loads.loads.values()):  # noqa: ASYNC110
            await asyncio.sleep(0)
    for wait in waits:
        wait.cancel()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_json"),
        (b"{", 400, "bad_json"),
        (b'{"model":"\xff"}', 400, "bad_json"),
        (b"[1]", 400, "bad_request"),
        (b"{}", 400, "bad_request"),
        (b'{"model":7}', 400, "bad_request"),
        (b'{"model":"digits","stream":"yes"}', 400, "bad_request"),
        (b'{"model":"a\\nb"}', 400, "bad_request"),
        (b'{"model":"no-such"}', 404, "model_not_found"),
        (b'{"model":"digits@0x' + b"07" * 32 + b'"}', 412, "model_moved"),
        (b'{"model":"no-such@0x' + b"07" * 32 + b'"}', 404, "model_not_found"),
        (b"[" * 90_000, 400, "bad_request"),
        (b'{"model":"digits","x":"' + b"y" * 100_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_bad_requests(ask: Any, local: LocalNetwork, body: bytes, status: int, code: str) -> None:
    """Whatever is sent, the answer is an OpenAI-shaped error with a reason code, and no node is asked."""
    got, _, answer = await ask.raw("/v1/chat/completions", body)
    assert (got, json.loads(answer)["error"]["code"]) == (status, code)
    assert not any(node.bodies for node in local.nodes)


async def test_wrong_paths_methods_and_options(ask: Any) -> None:
    """Unknown paths, wrong methods, unknown policies, modes and stages are each told."""
    assert (await ask.raw("/v1/nothing"))[0] == 404
    status, headers, _ = await ask.raw("/v1/chat/completions", method="GET")
    assert (status, headers["allow"], headers["x-should-retry"]) == (405, "POST", "false")
    assert (await ask.raw("/v1/models", method="DELETE"))[1]["allow"] == "GET, HEAD"
    assert (await ask.chat(Hallmark_Policy="nonsense"))[0] == 404
    assert (await ask.chat(Hallmark_Mode="nonsense"))[0] == 400
    status, _, body = await ask.chat(Hallmark_Mode="replay")
    assert (status, json.loads(body)["error"]["code"]) == (503, "mode_unavailable")
    assert "its modes are: tee." in json.loads(body)["error"]["message"]
    assert (await ask.chat(Hallmark_Mode="tee"))[0] == 200
    assert (await ask.raw(f"/v1/hallmark/receipts/0x{'00' * 32}?wait=never", method="GET"))[0] == 400


async def test_paths_as_clients_write_them(ask: Any, local: LocalNetwork) -> None:
    """A slash at the end changes nothing; a base URL without /v1, or with two, is told what is wrong."""
    status, _, body = await ask.raw("/v1/chat/completions/", b'{"model":"digits","messages":[]}')
    assert status == 200
    assert json.loads(split_hallmark(body)[1])["marks"]["ran"]["state"] == "checked"
    for path, hint in (("/chat/completions", "ends with /v1"), ("/v1/v1/chat/completions", "Take one off")):
        status, _, body = await ask.raw(path, b'{"model":"digits"}')
        assert (status, json.loads(body)["error"]["code"]) == (404, "unknown_path")
        assert hint in json.loads(body)["error"]["message"]


async def test_gzip_both_ways(local: LocalNetwork) -> None:
    """A compressed request is answered, compressed if wanted; receipts cover what was compressed."""
    sent = b'{"model":"digits","messages":[]}'
    url = f"{local.url}/v1/chat/completions"
    async with httpx.AsyncClient() as client:
        headers = {"content-encoding": "gzip", "accept-encoding": "gzip"}
        answer = await client.post(url, content=gzip.compress(sent), headers=headers)
        assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
        assert int(answer.headers["content-length"]) < len(answer.content) / 1.5
        content, raw = split_hallmark(answer.content)
        hallmark = json.loads(raw)
        assert hallmark["marks"]["ran"]["state"] == "checked"
        salt = bytes.fromhex(hallmark["salts"]["response"][2:])
        assert hex0x(response_digest(salt, content)) == hallmark["receipt"]["response"]
        assert [body for node in local.nodes for body in node.bodies] == [sent]
        plain = await client.post(url, content=sent, headers={"accept-encoding": "gzip;q=0"})
        assert "content-encoding" not in plain.headers
        stream = await client.post(url, content=b'{"model":"digits","stream":true}')
        assert "content-encoding" not in stream.headers
        bomb = gzip.compress(bytes(100_001))
        for body, encoding, status, code in (
            (bomb, "gzip", 413, "body_too_large"),
            (b"x", "gzip", 400, "bad_encoding"),
            (gzip.compress(sent)[:-1], "gzip", 400, "bad_encoding"),
            (gzip.compress(sent) + b"x", "gzip", 400, "bad_encoding"),
            (sent, "br", 415, "unsupported_encoding"),
        ):
            refused = await client.post(url, content=body, headers={"content-encoding": encoding})
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


def test_a_prefix_is_taken_off() -> None:
    """Whether a proxy takes its prefix off or not, the path is the same; other paths are left alone."""
    for path in ("/llm/v1/models", "/v1/models", "/llm/v1/models/"):
        assert normal({"path": path, "raw_path": path.encode()}, "/llm")["path"] == "/v1/models"
    assert normal({"path": "/llmx/v1/models"}, "/llm")["path"] == "/llmx/v1/models"


async def test_what_a_client_requires_of_nodes(ask: Any) -> None:
    """A client that asks for hardware gets a refusal with the reason, not a simulated enclave."""
    status, headers, body = await ask.chat(Hallmark_Assurance="hardware")
    assert status == 503
    assert "2 assurance_too_low" in json.loads(body)["error"]["message"]
    assert (headers["x-should-retry"], "retry-after" in headers) == ("false", False)


async def test_a_model_that_is_not_there_is_named(ask: Any) -> None:
    """The error says what was asked for, cut and escaped, and which models there are."""
    _, headers, body = await ask.raw("/v1/chat/completions", b'{"model":"gpt-4o"}')
    error = json.loads(body)["error"]
    assert error["message"] == "There is no model 'gpt-4o' here. There are: digits."
    assert headers["x-should-retry"] == "false"
    long = json.dumps({"model": "\u00e9" + "y" * 250}).encode()
    _, _, body = await ask.raw("/v1/chat/completions", long)
    shown = "There is no model '\\xe9" + "y" * 63 + "...' here."
    assert json.loads(body)["error"]["message"].startswith(shown)
    _, _, body = await ask.raw("/v1/models/nowhere", method="GET")
    assert "'nowhere'" in json.loads(body)["error"]["message"]
