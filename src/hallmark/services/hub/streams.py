"""Pieces of any size as pieces of one size."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator


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
