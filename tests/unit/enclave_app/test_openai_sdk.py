"""The OpenAI Python SDK, unmodified, against the application in-process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from hallmark.core.answer import split_hallmark
from hallmark.services.enclave.app import App
from hallmark.testing.runtime import MemoryRuntime
from hallmark.testing.tiny_models import CONTEXT, SCRIPT

USER: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def sdk(runtime: MemoryRuntime, make_app: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """The SDK's asynchronous client."""
    app: App = make_app(runtime)
    transport = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with openai.AsyncOpenAI(
        base_url="http://node.invalid/v1", api_key="unused", http_client=transport, max_retries=0
    ) as made:
        yield made


async def test_chat(sdk: openai.AsyncOpenAI) -> None:
    """A chat answer has text, usage and the receipt beside them."""
    answer = await sdk.chat.completions.create(model="tiny", messages=USER)
    assert answer.choices[0].message.content == SCRIPT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 18
    assert answer.model_extra is not None
    assert answer.model_extra["hallmark"]["receipt"]["sequence"] == 0


async def test_raw_bytes_are_at_hand(sdk: openai.AsyncOpenAI) -> None:
    """Through the SDK the exact bytes and the header can be had, so that a receipt can be checked."""
    raw = await sdk.chat.completions.with_raw_response.create(model="tiny", messages=USER)
    content, hallmark = split_hallmark(raw.content)
    assert SCRIPT.encode() in content
    assert raw.headers["hallmark-receipt"].encode() in hallmark


async def test_stream_as_the_documentation_shows_it(sdk: openai.AsyncOpenAI) -> None:
    """Code that reads choices[0].delta.content of each chunk works, and the last chunk has the receipt."""
    stream = await sdk.chat.completions.create(model="tiny", messages=USER, stream=True)
    text, last = "", None
    async for chunk in stream:
        last = chunk
        if chunk.choices[0].delta.content is not None:
            text += chunk.choices[0].delta.content
    assert text == SCRIPT
    assert last is not None
    assert last.model_extra is not None
    assert last.model_extra["hallmark"]["id"].startswith("0x")


async def test_stream_helper_with_usage(sdk: openai.AsyncOpenAI) -> None:
    """The SDK's accumulating helper gives the whole answer, its reason and its usage."""
    async with sdk.chat.completions.stream(
        model="tiny", messages=USER, stream_options={"include_usage": True}
    ) as stream:
        events = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == SCRIPT
    assert final.choices[0].finish_reason == "stop"
    assert final.usage is not None
    assert final.usage.completion_tokens == 11
    assert "content.done" in events


async def test_completions(sdk: openai.AsyncOpenAI) -> None:
    """The older endpoint, streamed and not."""
    answer = await sdk.completions.create(model="tiny", prompt="H")
    assert answer.choices[0].text == SCRIPT[1:]
    stream = await sdk.completions.create(model="tiny", prompt="H", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == SCRIPT[1:]


async def test_models(sdk: openai.AsyncOpenAI) -> None:
    """Models are listed and found."""
    assert [model.id async for model in sdk.models.list()] == ["ratio", "scores", "tiny"]
    assert (await sdk.models.retrieve("tiny")).id == "tiny"


async def test_errors_become_the_sdks_own(sdk: openai.AsyncOpenAI, runtime: MemoryRuntime) -> None:
    """Statuses and codes arrive as the exceptions that clients catch."""
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.chat.completions.create(model="nowhere", messages=USER)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        await sdk.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x" * CONTEXT}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as many:
        await sdk.chat.completions.create(model="tiny", messages=USER, n=3)
    assert (many.value.code, many.value.param) == ("unsupported_parameter", "n")
    with pytest.raises(openai.NotFoundError) as embedding:
        await sdk.embeddings.create(model="tiny", input="x")
    assert embedding.value.code == "unsupported_endpoint"
    runtime.refuse = "receipt_not_stored"
    with pytest.raises(openai.InternalServerError):
        await sdk.chat.completions.create(model="tiny", messages=USER)


async def test_a_stream_without_receipt_raises(sdk: openai.AsyncOpenAI, runtime: MemoryRuntime) -> None:
    """When the receipt cannot be stored, the SDK raises instead of ending the stream normally."""
    runtime.refuse = "receipt_not_stored"
    stream = await sdk.chat.completions.create(model="tiny", messages=USER, stream=True)
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]
