"""Work that ends when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Disconnected, Receive

T = TypeVar("T")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client disconnects.

    Raises Disconnected, and Unavailable `answer_lost` when somebody else cancelled it.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            # Nobody is told anything of a client that left; one that is there must not be left in silence.
            raise Disconnected if watch.done() else _cancelled()
        return task.result()
    finally:
        watch.cancel()
        task.cancel()


def _cancelled() -> Unavailable:
    return Unavailable("answer_lost", "The answer was given up before it was complete.", "Ask again.")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
