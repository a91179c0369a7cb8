"""/v1/images/generations by the embedded generator: images in the answer's bytes, under a receipt."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hallmark.core.document import hex0x
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import response_digest
from hallmark.engines import load
from hallmark.services.enclave.app import App, describe_engines
from hallmark.testing.runtime import MemoryRuntime, model_of
from hallmark.testing.tiny_models import pack

ARTIFACT = Path(__file__).resolve().parents[3] / "models" / "shapes" / "artifact"
DATA = pack({path.name: path.read_bytes() for path in ARTIFACT.iterdir()})
IMAGES = "/v1/images/generations"
ASKED: dict[str, Any] = {"model": "shapes", "prompt": "a small red circle on white", "size": "256x256"}


@pytest.fixture
def runtime() -> MemoryRuntime:
    """A runtime with the generator alone."""
    return MemoryRuntime({"shapes": model_of("shapes", DATA, "shapes")})


@pytest.fixture
async def client(runtime: MemoryRuntime) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application."""
    engine = load(DATA, hashlib.sha256(DATA).digest())
    transport = httpx.ASGITransport(App(runtime, {"shapes": engine}, {}))
    async with httpx.AsyncClient(transport=transport, base_url="http://node.invalid") as made:
        yield made


async def test_images_have_a_receipt(
    client: httpx.AsyncClient, runtime: MemoryRuntime, check: Callable[[httpx.Response], Any]
) -> None:
    """It names the artifact, covers the exact bytes, and a flipped byte of an image is another answer."""
    response = await client.post(IMAGES, json=ASKED | {"n": 2})
    found = check(response)
    data = response.json()["data"]
    assert [base64.b64decode(one["b64_json"])[:4] for one in data] == [b"\x89PNG"] * 2
    assert data[0]["revised_prompt"].startswith("a small red circle ")
    assert hex0x(found.receipt.artifact) == runtime.models["shapes"].manifest.artifact
    assert found.receipt.upstream == ZERO32
    assert (found.parameters.task, found.parameters.engine.split()[0]) == ("image", "shapes/1")
    at = found.content.index(b"b64_json") + 40
    flipped = found.content[:at] + bytes((found.content[at] ^ 1,)) + found.content[at + 1 :]
    salt = bytes.fromhex(found.hallmark["salts"]["response"][2:])
    assert response_digest(salt, found.content) == found.receipt.response
    assert response_digest(salt, flipped) != found.receipt.response


async def test_equal_seeds_give_equal_images(client: httpx.AsyncClient) -> None:
    """And each of several differs from the others where the prompt leaves something open."""
    first, again, other = [
        (await client.post(IMAGES, json=ASKED | {"prompt": "a star", "n": 3, "seed": seed})).json()["data"]
        for seed in (7, 7, 8)
    ]
    assert first == again != other
    assert len({one["b64_json"] for one in first}) == 3


async def test_the_stock_client_gets_an_image(client: httpx.AsyncClient) -> None:
    """OpenAI's own package, with the size left open."""
    stock = openai.AsyncOpenAI(api_key="none", base_url="http://node.invalid/v1", http_client=client)
    answer = await stock.images.generate(model="shapes", prompt="a blue star", n=1)
    assert answer.data is not None
    image = base64.b64decode(answer.data[0].b64_json or "")
    assert (image[:4], int.from_bytes(image[16:20], "big")) == (b"\x89PNG", 512)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"size": "1792x1024"}, "invalid_value", "size"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 11}, "invalid_value", "n"),
        ({"quality": "hd"}, "unsupported_parameter", "quality"),
        ({"output_format": "webp"}, "unsupported_parameter", "output_format"),
        ({"response_format": "url"}, "unsupported_parameter", "response_format"),
        ({"stream": True}, "unsupported_parameter", "stream"),
        ({"mask": "x"}, "unsupported_parameter", "mask"),
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"prompt": "a photo of a cat"}, "cannot_draw", "prompt"),
        ({"prompt": 7}, "invalid_type", "prompt"),
    ],
)
async def test_what_cannot_be_honoured_is_refused(
    client: httpx.AsyncClient, runtime: MemoryRuntime, change: dict[str, Any], code: str, param: str
) -> None:
    """By name, without a receipt."""
    response = await client.post(IMAGES, json=ASKED | change)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert not runtime.signed


async def test_it_offers_images_and_nothing_else(client: httpx.AsyncClient, runtime: MemoryRuntime) -> None:
    """Chat is refused, and the engine says what its bits depend on."""
    chat = {"model": "shapes", "messages": [{"role": "user", "content": "hello"}]}
    response = await client.post("/v1/chat/completions", json=chat)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unsupported_endpoint")
    told = (await client.get("/v1/models/shapes")).json()["hallmark"]
    assert told["tasks"] == ["image"]
    assert told["engine"] == describe_engines(runtime.configuration, runtime.models)
    assert told["engine"].startswith("shapes/1 integers zlib=")
