"""A request's body as it comes, and pieces of any size as pieces of one size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator

from hallmark.http.asgi import Disconnected, Receive
from hallmark.http.limits import SlowRequest


async def body_parts(receive: Receive, idle_s: float) -> AsyncIterator[bytes]:
    """A body's pieces, each of which may be waited for so long. Raises SlowRequest `body_too_slow`,
    Disconnected.
    """
    more = True
    while more:
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise SlowRequest("body_too_slow", "The request body took too long to arrive.") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def in_chunks(parts: AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of `size`; the last may be shorter."""
    held = bytearray()
    async for part in parts:
        held += part
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
