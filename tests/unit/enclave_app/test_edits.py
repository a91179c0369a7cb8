"""/v1/images/edits: a form goes to the provider written anew, and its receipt is about what came."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from hallmark.core.answer import input_digest
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import InputRecord
from hallmark.core.money import Price
from hallmark.http.multipart import read_form
from hallmark.testing.billing import MemoryHost, offer_entry, pay
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.upstream import FakeUpstream, json_answer

EDITS = "/v1/images/edits"
PNG, JPEG = b"\x89PNG\r\n\x1a\n a circle \xff\r\n--", b"\xff\xd8\xff a square"
WEBP = b"RIFF\0\0\0\0WEBPVP8 "
DRAWN = {"b64_json": base64.b64encode(PNG).decode()}
ASKED = {"model": "qwen", "prompt": "make it red"}
URL = "http://model-server.invalid:8000/v1#qwen-there"


def drawn(number: int) -> bytes:
    """An answer with so many images."""
    return json.dumps({"created": 1, "data": [DRAWN] * number, "usage": {"input_tokens": 5}}).encode()


@pytest.fixture
def server() -> FakeUpstream:
    """The upstream, which gives one image."""
    return FakeUpstream(json_answer(drawn(1)))


@pytest.fixture
def runtime(models: Any, server: FakeUpstream) -> MemoryRuntime:
    """A runtime with the upstream `qwen` beside the embedded models."""
    return MemoryRuntime(models, upstreams={"qwen": URL}, dialer=server.dial)


async def test_a_form_is_written_anew_and_its_receipt_is_about_what_came(
    client: httpx.AsyncClient, server: FakeUpstream, check: Any
) -> None:
    """The provider gets the parts under its own name of the model, with media types by what the images are;
    the receipt commits to the exact form, and to every image as an input.
    """
    server.answer = json_answer(drawn(2))
    files = [
        ("image[]", ("secret.gif", PNG, "image/gif")),
        ("image[]", ("b", JPEG)),
        ("mask", ("m.webp", WEBP)),
    ]
    asked = ASKED | {"n": "3", "size": "1024x1024", "response_format": "b64_json", "stream": "false"}
    response = await client.post(EDITS, data=asked, files=files)
    await response.request.aread()
    checked = check(response)
    assert checked.parameters.task == "image"
    assert [one["b64_json"] for one in response.json()["data"]] == [DRAWN["b64_json"]] * 2
    salt = unhex(checked.hallmark["salts"]["request"])
    assert [InputRecord.decode(text.encode()) for text in checked.hallmark["documents"]["inputs"]] == [
        InputRecord("image", hex0x(input_digest(salt, data)), "client") for data in (PNG, JPEG, WEBP)
    ]
    (sent,) = server.seen
    assert sent.path == EDITS
    assert read_form(sent.headers["content-type"].encode(), sent.body) == [
        ("model", b"qwen-there"),
        ("prompt", b"make it red"),
        ("n", b"3"),
        ("size", b"1024x1024"),
        ("response_format", b"b64_json"),
        ("image[]", PNG),
        ("image[]", JPEG),
        ("mask", WEBP),
    ]
    for kind in (b"image/png", b"image/jpeg", b"image/webp"):
        assert sent.body.count(b"Content-Type: " + kind) == 1
    assert b"secret" not in sent.body


@pytest.mark.parametrize(
    ("change", "files", "code", "param"),
    [
        ({"n": "0"}, [("image", PNG)], "invalid_value", "n"),
        ({"n": "11"}, [("image", PNG)], "invalid_value", "n"),
        ({"n": "two"}, [("image", PNG)], "invalid_value", "n"),
        ({"n": ["1", "1"]}, [("image", PNG)], "invalid_value", "n"),
        ({"size": "wide"}, [("image", PNG)], "invalid_value", "size"),
        ({"response_format": "url"}, [("image", PNG)], "unsupported_parameter", "response_format"),
        ({"stream": "true"}, [("image", PNG)], "unsupported_parameter", "stream"),
        ({"stream": "perhaps"}, [("image", PNG)], "invalid_value", "stream"),
        ({"quality": "high"}, [("image", PNG)], "unsupported_parameter", "quality"),
        ({"prompt": ""}, [("image", PNG)], "missing_parameter", "prompt"),
        ({"prompt": "x" * 32_001}, [("image", PNG)], "invalid_value", "prompt"),
        ({"prompt": b"\xff"}, [("image", PNG)], "bad_utf8", None),
        ({"model": ""}, [("image", PNG)], "missing_parameter", "model"),
        ({"model": "nowhere"}, [("image", PNG)], "model_not_found", "model"),
        ({}, [("mask", PNG)], "missing_parameter", "image"),
        ({}, [("image", b"GIF89a")], "not_an_image", "image"),
        ({}, [("image[]", PNG), ("image[]", b"")], "not_an_image", "image[]"),
        ({}, [("image", PNG), ("mask", b"RIFF\0\0\0\0WAVEfmt ")], "not_an_image", "mask"),
        ({}, [("image", PNG), ("mask", PNG), ("mask", PNG)], "invalid_value", "mask"),
        ({}, [("image", PNG)] * 17, "invalid_value", "image"),
        ({}, [("image", PNG)] * 40, "too_many_parts", None),
    ],
)
async def test_wrong_parts_are_refused_before_the_server_is_asked(
    client: httpx.AsyncClient,
    server: FakeUpstream,
    *,
    change: dict[str, Any],
    files: list[tuple[str, bytes]],
    code: str,
    param: str | None,
) -> None:
    """Each by a reason of its own, with the part named."""
    response = await client.post(EDITS, data=ASKED | change, files=files)
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert response.status_code == (404 if code == "model_not_found" else 400)
    assert server.seen == []


async def test_what_is_no_form_is_refused(client: httpx.AsyncClient, server: FakeUpstream) -> None:
    """JSON, and a form whose end is missing; a form elsewhere is no JSON."""
    answer = await client.post(EDITS, json=ASKED)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_multipart")
    request = client.build_request("POST", EDITS, data=ASKED, files={"image": PNG})
    body, kind = await request.aread(), {"content-type": request.headers["content-type"]}
    answer = await client.post(EDITS, content=body[:-6], headers=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_multipart")
    answer = await client.post("/v1/images/generations", content=body, headers=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_utf8")
    assert server.seen == []


async def test_embedded_models_change_no_images(client: httpx.AsyncClient, models: Any) -> None:
    """A model that runs here is no provider, and says so."""
    for label in models:
        answer = await client.post(EDITS, data=ASKED | {"model": label}, files={"image": PNG})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unsupported_endpoint")


async def test_more_than_asked_or_a_link_is_no_answer(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime
) -> None:
    """As of images that are drawn from a prompt."""
    for answer in (drawn(2), json.dumps({"data": [{"url": "https://images.invalid/1.png"}]}).encode()):
        server.answer = json_answer(answer)
        response = await client.post(EDITS, data=ASKED, files={"image": PNG})
        assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_failed")
    assert runtime.signed == []


async def test_edits_are_charged_by_the_number_of_images(
    client: httpx.AsyncClient, server: FakeUpstream, runtime: MemoryRuntime, check: Any
) -> None:
    """As many as came; an image that was sent costs nothing by its size, nor does what is refused."""
    host = MemoryHost()
    runtime.billing = host.bill(runtime.configuration, runtime.now)
    prices = (Price("qwen", 1_000_000, 2_000_000, 100),)
    runtime.billing.offers.take(offer_entry(runtime.configuration, runtime.now(), prices=prices))
    server.answer = json_answer(drawn(2))
    for image, status in ((b"GIF89a", 400), (PNG + bytes(10_000), 200)):
        request = client.build_request("POST", EDITS, data=ASKED | {"n": "3"}, files={"image": image})
        body = await request.aread()
        headers = pay(runtime.configuration, EDITS, body, runtime.now(), maximum=400)
        headers["content-type"] = request.headers["content-type"]
        answer = await client.post(EDITS, content=body, headers=headers)
        assert answer.status_code == status, answer.text
    assert 200 <= check(answer).receipt.charged < 300
    assert len(runtime.signed) == 1
