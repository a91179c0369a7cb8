"""Finding a receipt by what any client has in its hand, and which pages may call the API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import hex0x
from hallmark.core.receipt import Receipt
from hallmark.services.gateway.response_headers import ResponseHeaders, request_id
from hallmark.testing.local_network import LocalNetwork
from hallmark.verification.answer_parser import open_answer

PATH = "/v1/hallmark/receipts/"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_found_by_its_id_and_by_its_request(ask: Any, *, stream: bool) -> None:
    """The answer's own id and `x-request-id` both lead to the public dossier: no salts, no copies."""
    _, headers, body = await ask.chat(stream=stream)
    content, raw = split_hallmark_stream(body) if stream else split_hallmark(body)
    said = json.loads(content.split(b"\n\n")[0].removeprefix(b"data: "))
    assert headers["hallmark-receipt-at"] == PATH + headers["x-request-id"]
    for name in (said["id"], headers["x-request-id"]):
        status, found = await ask.get(f"{PATH}{name}?wait=logged")
        assert (status, found["id"]) == (200, json.loads(raw)["id"])
        assert found["salts"] == {"request": None, "response": None}
        assert found["request"] is found["response"] is None


async def test_names_are_found_after_a_restart(ask: Any, local: LocalNetwork) -> None:
    """What is on disk is found as well as what is in memory."""
    _, headers, body = await ask.chat()
    await ask.get(f"{PATH}{headers['hallmark-receipt']}?wait=witnessed")
    outbox = local.gateway.outbox
    outbox._named.clear()
    outbox._tracks.clear()
    for name in (headers["x-request-id"], json.loads(body)["id"]):
        assert (await ask.get(PATH + name))[1]["id"] == headers["hallmark-receipt"]


async def test_names_that_lead_nowhere(ask: Any, local: LocalNetwork) -> None:
    """An unknown name is 404 after the wait; a name of two answers is 409 and says what to ask with."""
    assert (await ask.get(f"{PATH}chatcmpl-none?wait=logged&timeout=20"))[0] == 404
    assert (await ask.get(f"{PATH}chatcmpl-none"))[1]["error"]["code"] == "no_such_receipt"
    tracks = [await local.gateway.outbox.track(bytes.fromhex((await ask.chat())[1]["hallmark-receipt"][2:]))]
    tracks.append(
        await local.gateway.outbox.track(bytes.fromhex((await ask.chat())[1]["hallmark-receipt"][2:]))
    )
    local.gateway.outbox._named["chatcmpl-twice"] = {track.kept.id for track in tracks if track}
    status, said = await ask.get(f"{PATH}chatcmpl-twice")
    assert (status, said["error"]["code"]) == (409, "several_receipts")


async def test_a_provider_cannot_take_the_name_of_a_request(ask: Any) -> None:
    """An answer that calls itself `req-...` is not found by that name: those are drawn here."""
    _, _, body = await ask.chat()
    for name, kept in (("req-1", ""), ("0xaa", ""), ("a/b", ""), ("chatcmpl-1", "chatcmpl-1")):
        said = json.loads(split_hallmark(body)[0])["id"]
        assert open_answer(body.replace(said.encode(), name.encode(), 1)).answer_id == kept


async def test_a_stopped_answer_is_found_by_its_request(ask: Any, local: LocalNetwork) -> None:
    """What a node signed of an answer whose reader went away is found by the head's `x-request-id`."""
    for node in local.nodes:
        node.behaviour = "slow_midway"
    body = b'{"model":"digits","stream":true}'
    async with ask.pool.request("POST", local.url + "/v1/chat/completions", body=body) as response:
        await anext(response)
        name = response.header(b"x-request-id").decode()
    async with asyncio.timeout(60):
        while not local.gateway.outbox._stopped:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    request, (stopped, _) = next(iter(local.gateway.outbox._stopped.items()))
    assert stopped == name
    waiting = asyncio.ensure_future(ask.get(f"{PATH}{name}?wait=logged"))
    while name not in local.gateway.outbox._waiting:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert len(request) == 32
    digest, data = _partial(local, request)
    local.gateway.outbox.noticed(7, (123).to_bytes(8, "big") + data)
    status, found = await waiting
    assert (status, found["id"]) == (200, hex0x(digest))
    for node in local.nodes:
        node.release.set()


def _partial(local: LocalNetwork, request: bytes) -> tuple[bytes, bytes]:
    """A receipt's id and entry over this request, as a node signs it for what had left."""
    entry = local.net.answer(local.net.nodes[0]).entry
    assert isinstance(entry.statement, Receipt)
    receipt = msgspec.structs.replace(entry.statement, request=request)
    return receipt.digest(), msgspec.structs.replace(entry, statement=receipt).encode()


async def test_every_response_has_a_name(ask: Any) -> None:
    """Errors and pages of the API too; what the client sends as x-request-id is not taken over."""
    for path, method in (("/v1/models", "GET"), ("/v1/none", "GET"), ("/v1/chat/completions", "POST")):
        _, headers, _ = await ask.raw(path, method=method, headers={"x-request-id": "req-mine"})
        assert headers["x-request-id"].startswith("req-")
        assert headers["x-request-id"] != "req-mine"


async def _through(origins: tuple[str, ...], method: str, path: str, **headers: str) -> dict[str, str]:
    sent: list[Any] = []
    reached: list[str] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        reached.append(request_id(scope))
        await send({"type": "http.response.start", "status": 404, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    await ResponseHeaders(app, bytes, origins)(scope, None, send)  # type: ignore[arg-type]
    found = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return found | {"reached": str(bool(reached)), "status": str(sent[0]["status"])}


async def test_other_sites_may_call_only_when_they_are_named() -> None:
    """Off by default; a named origin, and no other, is told so, on errors too; credentials never."""
    chat = "/v1/chat/completions"
    for origins, origin in (((), "https://a.example"), (("https://b.example",), "https://a.example")):
        head = await _through(origins, "POST", chat, origin=origin)
        assert not [name for name in head if name.startswith("access-control")]
    head = await _through(("https://a.example",), "POST", chat, origin="https://a.example")
    assert head["access-control-allow-origin"] == "https://a.example"
    assert (head["vary"], head["status"]) == ("Origin", "404")
    assert {"x-request-id", "hallmark-receipt"} <= set(head["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in head
    assert (await _through(("*",), "GET", chat, origin="null"))["access-control-allow-origin"] == "*"


async def test_what_any_site_may_read_it_may_read_when_it_is_refused_too() -> None:
    """A component on another site can tell a receipt that there is not from a gateway out of reach."""
    for path in ("receipts/0x12", "receipts/" + "0x" + "ab" * 32, "trust", "trust.json"):
        head = await _through((), "GET", f"/v1/hallmark/{path}", origin="https://a.example")
        assert (head["status"], head["access-control-allow-origin"]) == ("404", "*")
    for method, path in (("POST", "receipts"), ("POST", "receipts/0x12"), ("GET", "network")):
        head = await _through((), method, f"/v1/hallmark/{path}", origin="https://a.example")
        assert "access-control-allow-origin" not in head


async def test_a_preflight_is_answered_and_reaches_nothing() -> None:
    """A preflight of a named origin is 204 with what it asked for; pages with cookies never answer one."""
    asked = {
        "origin": "https://a.example",
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization, x-stainless-os",
    }
    head = await _through(("https://a.example",), "OPTIONS", "/v1/chat/completions", **asked)
    assert (head["status"], head["reached"]) == ("204", "False")
    assert head["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert head["access-control-allow-methods"] == "GET, POST"
    for path in ("/review", "/v1/hallmark/review/items"):
        head = await _through(("*",), "OPTIONS", path, **asked)
        assert (head["reached"], "access-control-allow-origin" in head) == ("True", False)
    odd = {**asked, "access_control_request_headers": "a\r\nset-cookie: b"}
    head = await _through(("*",), "OPTIONS", "/v1/models", **odd)
    assert "access-control-allow-headers" not in head
