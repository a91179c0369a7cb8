"""What every storage of a blob store does, as one list of checks.

for check in CHECKS:
await check(Scene(storage, staging))
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from hallmark.core.errors import NotFound
from hallmark.hub.record import CHUNK, BlobRecord
from hallmark.services.hub.staging import Staging
from hallmark.services.hub.storage import Storage
from hallmark.testing.blob_stores import identify

SMALL: Final = b"a small blob"
LARGE: Final = bytes((7 * i + 13) % 256 for i in range(256)) * 10_000
"""Two mebibytes and a part of the third."""


class Scene(msgspec.Struct, frozen=True):
    """A storage, and where files on their way to it are."""

    storage: Storage
    staging: Staging

    async def put(self, data: bytes) -> BlobRecord:
        """Store a blob."""
        with self.staging.new(1 << 30) as staged:
            await staged.write(data)
            await staged.finish()
            record = staged.summary.record(await identify(staged.path))
            await self.storage.put(record, staged.path)
        return record

    async def get(self, record: BlobRecord, start: int, end: int) -> list[bytes]:
        """Bytes of a blob, piece by piece."""
        return [piece async for piece in self.storage.read(record, start, end)]


async def what_was_put_is_there(scene: Scene) -> None:
    """Bytes and record come back as they went; a mebibyte at a time."""
    for data in (SMALL, LARGE):
        record = await scene.put(data)
        assert await scene.storage.record(record.blob_id) == record
        pieces = await scene.get(record, 0, record.size)
        assert b"".join(pieces) == data
        assert [len(piece) for piece in pieces] == [length for _, length, _ in record.pieces(0, record.size)]


async def an_empty_blob_is_there(scene: Scene) -> None:
    """No bytes are a blob, of which nothing is read."""
    record = await scene.put(b"")
    assert await scene.storage.record(record.blob_id) == record
    assert await scene.get(record, 0, 0) == []


async def ranges_are_whole_chunks(scene: Scene) -> None:
    """Whoever asks for a byte gets its chunk."""
    record = await scene.put(LARGE)
    assert await scene.get(record, 5, 6) == [LARGE[:CHUNK]]
    assert await scene.get(record, CHUNK - 1, CHUNK + 1) == [LARGE[:CHUNK], LARGE[CHUNK : 2 * CHUNK]]
    assert await scene.get(record, record.size - 1, record.size) == [LARGE[2 * CHUNK :]]


async def putting_twice_changes_nothing(scene: Scene) -> None:
    """The same blob replaces itself, also under a reader."""
    record = await scene.put(LARGE)
    reading = scene.storage.read(record, 0, record.size)
    first = await anext(reading)
    assert await scene.put(LARGE) == record
    assert first + b"".join([piece async for piece in reading]) == LARGE


async def others_are_not_there(scene: Scene) -> None:
    """What nobody stored has a reason."""
    with contextlib.suppress(NotFound):
        await scene.storage.record("A" * 43)
        raise AssertionError


async def what_was_dropped_can_be_put_again(scene: Scene) -> None:
    """Dropping twice is no error; the next put is as the first."""
    record = await scene.put(SMALL)
    await scene.storage.drop(record.blob_id)
    await scene.storage.drop(record.blob_id)
    assert await scene.put(SMALL) == record
    assert await scene.storage.record(record.blob_id) == record
    assert await scene.get(record, 0, record.size) == [SMALL]


CHECKS: Final[tuple[Callable[[Scene], Awaitable[None]], ...]] = (
    what_was_put_is_there,
    an_empty_blob_is_there,
    ranges_are_whole_chunks,
    putting_twice_changes_nothing,
    others_are_not_there,
    what_was_dropped_can_be_put_again,
)
