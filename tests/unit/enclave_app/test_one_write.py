"""A response's head leaves with the first bytes of its body; the work on a request ends with its client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hallmark.services.enclave.server import Joined
from hallmark.services.enclave.streaming import Gone, while_present


class Cycle:
    """What a response's transport sees of a request: whether the response has begun, and itself."""

    def __init__(self) -> None:
        self.response_started = False
        self.transport = self
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return bool(self.written) and self.written[-1] == b"closed"

    def close(self) -> None:
        self.written.append(b"closed")


def test_a_head_waits_for_the_first_bytes_of_its_body() -> None:
    """One write for both, and one for whatever follows; what comes before a head goes at once."""
    cycle: Any = Cycle()
    joined = Joined(cycle)
    joined.write(b"100 Continue")
    cycle.response_started = True
    joined.write(b"head ")
    assert cycle.written == [b"100 Continue"]
    joined.write(b"one")
    joined.write(b"two")
    assert cycle.written == [b"100 Continue", b"head one", b"two"]


def test_a_head_without_a_body_leaves_at_the_end() -> None:
    """A response that breaks off says at least how it began."""
    cycle: Any = Cycle()
    joined = Joined(cycle)
    cycle.response_started = True
    joined.write(b"head")
    joined.close()
    assert cycle.written == [b"head", b"closed"]
    assert joined.is_closing()


async def _never() -> dict[str, object]:
    await asyncio.Event().wait()
    return {}


async def _gone() -> dict[str, object]:
    return {"type": "http.disconnect"}


async def test_a_client_that_leaves_ends_the_work_and_nothing_else() -> None:
    """The request's own task goes on: it still has to sign for what left."""
    with pytest.raises(Gone):
        await while_present(_gone, asyncio.Event().wait())  # type: ignore[arg-type]  # any coroutine
    here = asyncio.current_task()
    assert here is not None
    assert here.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_server_that_ends_a_request_is_no_client_that_left() -> None:
    """Both at once count as the server's word."""
    task = asyncio.ensure_future(while_present(_never, asyncio.Event().wait()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    task = asyncio.ensure_future(while_present(_gone, asyncio.Event().wait()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_that_is_done_is_its_result() -> None:
    """A client that leaves afterwards changes nothing."""

    async def work() -> int:
        return 7

    assert await while_present(_gone, work()) == 7
    await asyncio.sleep(0)
