"""Waiting for a free place."""

from __future__ import annotations

import asyncio
from typing import Any

from hallmark.http.client import Pool, Timeouts
from hallmark.services.gateway.wait_queue import WaitQueue
from hallmark.testing.local_network import LocalNetwork


async def test_the_first_who_still_waits_is_woken() -> None:
    """Places go to those who wait in their order; who gave up is passed over; a full line turns away."""
    line, later = WaitQueue(limit=3), asyncio.get_running_loop().time() + 5
    waits = [asyncio.ensure_future(line.wait(later)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await line.wait(later) is False
    waits[0].cancel()
    await asyncio.sleep(0)
    line.released()
    assert await waits[1] is True
    assert not waits[2].done()
    line.released()
    assert await waits[2] is True
    assert await line.wait(0.0) is False


async def test_more_requests_than_places_are_all_answered() -> None:
    """Forty requests at once at two nodes with eight places each: all answered, none twice."""
    async with LocalNetwork(queue_s=30, answer_s=30) as local:
        for node in local.nodes:
            node.runtime.submit = local.log.add
        pool = Pool(timeouts=Timeouts(pool=30))
        body = b'{"model":"digits","stream":true}'

        async def one() -> bytes:
            url = f"{local.url}/v1/chat/completions"
            async with pool.request("POST", url, body=body) as response:
                assert response.status == 200
                return await response.read()

        answers: list[Any] = await asyncio.gather(*(one() for _ in range(40)))
        await pool.aclose()
        assert all(answer.endswith(b"[DONE]\n\n") for answer in answers)
        assert sum(len(node.runtime.signed) for node in local.nodes) == 40
        assert all(load.in_flight == 0 for load in local.gateway.loads.loads.values())
