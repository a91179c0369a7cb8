"""An answer got with any client is verified: exact bytes, what a library wrote again, what it lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.services.sdk.saved import Opened, Saved, open_answer, read_answer, read_file
from hallmark.testing.runtime import MemoryRuntime
from hallmark.verification.dossier import Dossier

USER: Any = [{"role": "user", "content": "caf\u00e9 </script>"}]
ASKED: dict[str, Any] = {"model": "tiny", "messages": USER, "max_tokens": 4}
BODY = json.dumps(ASKED, ensure_ascii=False).encode()


@pytest.fixture
async def sdk(runtime: MemoryRuntime, make_app: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK's asynchronous client."""
    transport = httpx.AsyncClient(transport=httpx.ASGITransport(make_app(runtime)))
    async with openai.AsyncOpenAI(
        base_url="http://node.invalid/v1", api_key="unused", http_client=transport, max_retries=0
    ) as made:
        yield made


def opened(data: bytes, request: bytes | None, **more: Any) -> Opened:
    """A saved answer that is no dossier, opened."""
    saved = read_file(data)
    assert isinstance(saved, Saved)
    return open_answer(saved, request, **more)


async def curl(client: httpx.AsyncClient, **more: Any) -> tuple[bytes, bytes]:
    """A request's exact body, and the answer as curl saves it."""
    sent = json.dumps({**ASKED, **more}, indent=1).encode() + b"\n"
    response = await client.post("/v1/chat/completions", content=sent)
    return sent, response.content


@pytest.mark.parametrize("stream", [False, True])
async def test_what_curl_saved_is_compared_byte_for_byte(client: httpx.AsyncClient, *, stream: bool) -> None:
    """The exact request and answer make a complete dossier; with the HTTP head before it too."""
    sent, came = await curl(client, stream=stream)
    for data in (came, b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\n" + came):
        found = opened(data, sent)
        assert found.complete
        assert found.request == "what was signed, byte for byte, sent to /v1/chat/completions"
        assert found.answer == "what was signed, byte for byte"
        assert found.dossier == read_file(found.dossier.encode())


async def test_a_changed_answer_is_kept_and_said_to_be_changed(client: httpx.AsyncClient) -> None:
    """Bytes that claim to be exact and are not go into the dossier, so that verifying fails on them."""
    sent, came = await curl(client)
    found = opened(came.replace(b'"stop"', b'"stoq"').replace(b'"length"', b'"lengtg"'), sent)
    assert not found.complete or found.answer.startswith("NOT")
    assert found.answer.startswith("NOT what was signed")
    assert found.dossier.response is not None


async def test_another_request_is_not_shown(client: httpx.AsyncClient) -> None:
    """A request that the receipt is not about is left out and named; without one, that is said."""
    sent, came = await curl(client)
    other = opened(came, sent.replace(b"tiny", b"tony"))
    assert other.request.startswith("NOT the request")
    assert (other.complete, other.dossier.request, other.dossier.salts.request) == (False, None, None)
    assert opened(came, None).request.startswith("not at hand")
    assert opened(came, sent, path="/v1/completions").request.startswith("NOT the request")


async def test_what_the_openai_sdk_writes_again_is_rebuilt(sdk: openai.AsyncOpenAI) -> None:
    """`model_dump_json`, `to_json`, `model_dump` in every common form give back what was signed."""
    answer = await sdk.chat.completions.create(**ASKED)
    forms = (
        answer.model_dump_json(),
        answer.model_dump_json(exclude_unset=True),
        answer.to_json(),
        json.dumps(answer.model_dump(), indent=2),
        json.dumps(answer.model_dump(exclude_none=True)),
    )
    for form in forms:
        found = opened(form.encode(), json.dumps(ASKED).encode())
        assert found.complete, (form, found.request, found.answer)
        assert "written again" in found.answer
    changed = forms[2].replace(answer.choices[0].message.content or "-", "other text")
    lost = opened(changed.encode(), None)
    assert lost.answer.startswith("not compared: it was parsed and written again")
    assert lost.dossier.response is None


@pytest.mark.parametrize("usage", [False, True])
async def test_chunks_that_the_openai_sdk_gave_are_rebuilt(sdk: openai.AsyncOpenAI, *, usage: bool) -> None:
    """A stream's chunks, saved as JSON lines or as a list, with every unset member written as null."""
    asked = {**ASKED, "stream": True, **({"stream_options": {"include_usage": True}} if usage else {})}
    chunks = [chunk async for chunk in await sdk.chat.completions.create(**asked)]
    lines = "\n".join(chunk.model_dump_json() for chunk in chunks).encode()
    array = json.dumps([chunk.model_dump(exclude_unset=True) for chunk in chunks], indent=1).encode()
    for form in (lines, array):
        found = opened(form, json.dumps(asked).encode())
        assert found.complete, (found.request, found.answer)


async def test_completions_and_tensors(client: httpx.AsyncClient, sdk: openai.AsyncOpenAI) -> None:
    """The older endpoint through the SDK, and tensors as they came."""
    answer = await sdk.completions.create(model="tiny", prompt="H")
    asked = b'{"prompt": "H", "model": "tiny"}'
    assert opened(answer.model_dump_json().encode(), asked).complete
    sent = b'{"model":"scores","inputs":{"x":[[1,2,3,4]]}}'
    response = await client.post("/v1/hallmark/infer", content=sent)
    if response.status_code == 200:
        assert opened(response.content, sent).complete


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dropped_receipt_is_replaced_by_the_public_one_and_the_head(
    client: httpx.AsyncClient, *, stream: bool
) -> None:
    """A framework that drops `hallmark` keeps the id; the lookup gives the receipt, the head the salts."""
    sent = json.dumps({**ASKED, "stream": stream}).encode()
    response = await client.post("/v1/chat/completions", content=sent)
    full = opened(response.content, sent).dossier
    public = Dossier.parse(
        Dossier(
            full.format, full.network, full.chain_id, full.receipt, full.signature, full.id, full.documents
        ).encode()
    )
    body = response.content
    if stream:
        dropped = b"\n\n".join(part for part in body.split(b"\n\n") if b'"hallmark":' not in part)
    else:
        value = json.loads(body)
        del value["hallmark"]
        dropped = json.dumps(value).encode()
    saved = read_answer(dropped)
    assert saved.hallmark is None
    assert saved.name.startswith("chatcmpl-")
    with pytest.raises(InvalidInput) as caught:
        open_answer(saved, sent)
    assert caught.value.reason == "no_receipt"
    head = "HTTP/1.1 200 OK\r\nHallmark-Salts: " + response.headers["hallmark-salts"] + "\r\n"
    assert open_answer(saved, sent, found=public, head=head).complete
    without = open_answer(saved, sent, found=public)
    assert "salt is missing" in without.request
    assert "salt is missing" in without.answer


async def test_a_gateways_reply_is_a_dossier(client: httpx.AsyncClient) -> None:
    """What a lookup answered, saved as it came, is read without the gateway's own words in it."""
    sent, came = await curl(client)
    dossier = opened(came, sent).dossier
    told = json.loads(dossier.encode()) | {"stage": "logged", "reason": "", "marks": {}, "status": []}
    assert read_file(json.dumps(told).encode()) == dossier


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"{}", b"[]", b"[1]", b"null", b"\xff\xfe", b"{" * 5000, b"data: x"]
)
def test_files_that_are_nothing(data: bytes) -> None:
    """Anything else is refused with a reason, or has no receipt."""
    with pytest.raises(HallmarkError):
        opened(data, None)
