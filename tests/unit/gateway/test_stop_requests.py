"""An answer that its owner stops ends at once, with a receipt over exactly what left."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hallmark.core.answer import split_hallmark_stream
from hallmark.core.errors import NotFound
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Receipt, response_digest
from hallmark.services.enclave.stop_requests import Stoppable, Stopped, Stops
from hallmark.testing.local_network import LocalNetwork

NONCE = "ab" * 32
STOP = "/v1/hallmark/stop"
CHAT = b'{"model":"digits","stream":true}'


async def test_a_stopped_answer_ends_with_its_receipt(ask: Any, local: LocalNetwork) -> None:
    """The node stops working; the stream ends with salts and a receipt whose digest is that of what came."""
    for node in local.nodes:
        node.behaviour = "slow_midway"
    headers = [(b"hallmark-nonce", NONCE.encode())]
    url = local.url + "/v1/chat/completions"
    async with ask.pool.request("POST", url, headers, CHAT) as response:
        body = b""
        while body.count(b"\n\n") < 2:
            body += await anext(response)
        status, _, told = await ask.raw(STOP, headers={"hallmark-nonce": NONCE.upper()})
        assert (status, json.loads(told)) == (200, {"stopped": 1})
        async with asyncio.timeout(60):
            body += await response.read(1 << 20)
    content, raw = split_hallmark_stream(body)
    owned = json.loads(raw)
    receipt = Receipt.from_json(owned["receipt"])
    salt = bytes.fromhex(owned["salts"]["response"][2:])
    assert receipt.response == response_digest(salt, content)
    assert receipt.client_nonce.hex() == NONCE
    assert b"seven" not in content
    assert any(node.cancelled.is_set() for node in local.nodes)
    status, found = await ask.get(f"/v1/hallmark/receipts/{owned['id']}?wait=witnessed")
    assert (status, found["stage"]) == (200, "witnessed")


async def test_nothing_is_stopped_by_another_nonce(ask: Any) -> None:
    """Without the owner's nonce, or after the end, there is nothing to stop; so for the zero nonce."""
    await ask.chat(stream=True, hallmark_nonce=NONCE)
    for nonce in (NONCE, "cd" * 32, ""):
        status, _, told = await ask.raw(STOP, headers={"hallmark-nonce": nonce} if nonce else {})
        assert (status, json.loads(told)["error"]["code"]) == (404, "nothing_to_stop")
    stops = Stops()
    with stops.watched(ZERO32, Stoppable(_swallow)), pytest.raises(NotFound):
        stops.stop(ZERO32)


async def _swallow(_message: Any) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("another", [False, True], ids=["its own send", "a send of another task"])
async def test_it_stops_after_a_send_and_never_within_one(*, another: bool) -> None:
    """Bytes that were counted have left when the work is stopped, whoever sends them."""
    begun, go, left = asyncio.Event(), asyncio.Event(), []

    async def slowly(message: Any) -> None:
        begun.set()
        await go.wait()
        left.append(message)

    stream = Stoppable(slowly)
    counted = []

    async def emit() -> None:
        counted.append("event")
        await stream.send("event")  # type: ignore[arg-type]

    async def work() -> None:
        if another:
            asyncio.ensure_future(emit())  # noqa: RUF006
            await asyncio.Event().wait()
        while True:
            await emit()

    running = asyncio.ensure_future(stream.run(work()))
    await begun.wait()
    stream.stop()
    await asyncio.sleep(0)
    assert not running.done()
    go.set()
    assert await running is True
    assert left == counted == ["event"]


async def test_a_stop_is_no_cancellation_and_a_cancellation_no_stop() -> None:
    """Work that waits is stopped there; a request that ends is still cancelled; errors stay errors."""
    stream = Stoppable(_swallow)
    running = asyncio.ensure_future(stream.run(asyncio.Event().wait()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    stream.stop()
    assert await running is True
    other = Stoppable(_swallow)
    running = asyncio.ensure_future(other.run(asyncio.Event().wait()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    async def broken() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        await Stoppable(_swallow).run(broken())
    assert issubclass(Stopped, Exception)
