"""OpenAI's own Python client against the gateway, unmodified."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.local_node import ANSWER

pytestmark = pytest.mark.integration


@pytest.fixture
async def local() -> AsyncIterator[LocalNetwork]:
    """A network of a log, two nodes and a gateway."""
    async with LocalNetwork() as network:
        yield network


@pytest.fixture
async def client(local: LocalNetwork) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client, without retries of its own."""
    async with openai.AsyncOpenAI(base_url=f"{local.url}/v1", api_key="any", max_retries=0) as client:
        yield client


MESSAGES = [{"role": "user", "content": "Which?"}]


async def test_answers_models_and_receipts(client: openai.AsyncOpenAI) -> None:
    """A completion parses, its extra member and header are there, and the models are listed."""
    raw = await client.chat.completions.with_raw_response.create(model="digits", messages=MESSAGES)  # type: ignore[arg-type]
    completion = raw.parse()
    assert completion.choices[0].message.content == "".join(ANSWER)
    assert completion.model_extra is not None
    assert completion.model_extra["hallmark"]["id"] == raw.headers["hallmark-receipt"]
    assert [model.id async for model in await client.models.list()] == ["digits"]


async def test_a_stream(client: openai.AsyncOpenAI) -> None:
    """Chunks parse to the end; the last one carries the receipt."""
    stream = await client.chat.completions.create(model="digits", messages=MESSAGES, stream=True)  # type: ignore[call-overload]
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == "".join(ANSWER)
    assert chunks[-1].model_extra["hallmark"]["marks"]["ran"]["state"] == "checked"


async def test_errors_are_the_clients_own(local: LocalNetwork, client: openai.AsyncOpenAI) -> None:
    """Unknown models, held answers and empty networks raise OpenAI's exceptions with our reason codes."""
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="no-such", messages=MESSAGES)  # type: ignore[arg-type]
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.APIStatusError) as held:
        await client.chat.completions.create(
            model="digits",
            messages=MESSAGES,  # type: ignore[arg-type]
            extra_headers={"Hallmark-Policy": "hardware"},
        )
    assert (held.value.status_code, held.value.code) == (412, "held")
    for node in local.nodes:
        node.behaviour = "busy"
    with pytest.raises(openai.InternalServerError) as busy:
        await client.chat.completions.create(model="digits", messages=MESSAGES)  # type: ignore[arg-type]
    assert (busy.value.status_code, busy.value.code) == (503, "no_node")


async def test_the_clients_own_retries_make_no_second_answer(local: LocalNetwork) -> None:
    """A held answer was made once; the client, with its retries as they come, asks once."""
    async with openai.AsyncOpenAI(base_url=f"{local.url}/v1", api_key="any") as stock:
        with pytest.raises(openai.APIStatusError) as held:
            await stock.chat.completions.create(
                model="digits",
                messages=MESSAGES,  # type: ignore[arg-type]
                extra_headers={"Hallmark-Policy": "hardware"},
            )
    assert held.value.code == "held"
    assert sum(len(node.bodies) for node in local.nodes) == 1
