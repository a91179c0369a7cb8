"""Putting blobs and getting them, over any storage: IDs are computed, and every chunk is checked before a
byte of it is handed on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from hallmark.core.blob_ids import blob_text
from hallmark.core.errors import NotFound, VerificationFailed
from hallmark.hub.ranges import Span
from hallmark.hub.record import BlobRecord, verify_chunk
from hallmark.services.hub.staging import Staged, Staging
from hallmark.services.hub.storage import Storage
from hallmark.telemetry.logs import get_logger

Identify = Callable[[Path], Awaitable[bytes]]
Prepare = Callable[[Path], AbstractAsyncContextManager[bytes]]
"""Gives the blob ID of a file that will be put inside the block."""


class Blobs:
    """See the module docstring. `identify` computes the blob ID of a file; a storage that encodes what is
    put has its own way (`prepare`) for what will be.
    """

    def __init__(
        self, storage: Storage, staging: Staging, identify: Identify, prepare: Prepare | None = None
    ) -> None:
        self.storage, self.staging = storage, staging
        self._identify, self._prepare = identify, prepare
        self.damaged = 0

    async def put(self, staged: Staged, known: bytes | None = None) -> BlobRecord:
        """Store what was staged and finished. `known` is the ID where somebody computed it who is believed:
        nobody else's word for it is taken. Raises Unavailable.
        """
        if known is None and self._prepare is not None:
            async with self._prepare(staged.path) as computed:
                record = staged.summary.record(computed)
                await self.storage.put(record, staged.path)
            return record
        record = staged.summary.record(known or await self._identify(staged.path))
        await self.storage.put(record, staged.path)
        return record

    async def has(self, identifier: str) -> bool:
        """Whether the blob is stored, and its record sound."""
        try:
            await self.storage.record(identifier)
        except (NotFound, VerificationFailed):
            return False
        return True

    async def record(self, identifier: str, *, strict: bool = False) -> BlobRecord:
        """A blob's record; `strict`: after the ID of what is stored was computed again.

        Raises NotFound `blob_not_found`, VerificationFailed `blob_damaged`, `blob_record_damaged`.
        """
        record = await self.storage.record(identifier)
        if strict:
            with self.staging.new(record.size) as copy:
                async for chunk in self.read(record, Span(0, record.size)):
                    await copy.write(chunk)
                await copy.finish()
                computed = blob_text(await self._identify(copy.path))
            if computed != identifier:
                await self._drop(identifier)
                raise VerificationFailed(
                    "blob_id_wrong",
                    "What is stored under this ID has another one: blob and record were exchanged.",
                    "Put the blob again: both are replaced.",
                )
        return record

    async def read(self, record: BlobRecord, span: Span) -> AsyncIterator[bytes]:
        """The bytes of a span, each chunk checked before it is given. A damaged copy is dropped.

        Raises VerificationFailed `blob_damaged`, and what the storage raises.
        """
        coming = self.storage.read(record, span.start, span.end)
        for offset, length, digest in record.pieces(span.start, span.end):
            try:
                data = verify_chunk(await _next(coming), length, digest)
            except VerificationFailed:
                coming = self.storage.read(record, offset, span.end)
                data = await self._again(coming, record, length, digest)
            yield data[max(span.start - offset, 0) : span.end - offset]

    async def _again(
        self, coming: AsyncIterator[bytes], record: BlobRecord, length: int, digest: str
    ) -> bytes:
        """A chunk that was wrong, read once more: it may have been replaced meanwhile."""
        try:
            return verify_chunk(await _next(coming), length, digest)
        except VerificationFailed:
            await self._drop(record.blob_id)
            raise

    async def _drop(self, identifier: str) -> None:
        self.damaged += 1
        get_logger().error("blob_damaged", id=identifier)
        await self.storage.drop(identifier)


async def _next(coming: AsyncIterator[bytes]) -> bytes:
    """The next chunk; nothing where the copy has none."""
    try:
        return await anext(coming, b"")
    except NotFound:
        return b""
