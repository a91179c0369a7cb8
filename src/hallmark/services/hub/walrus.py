"""Blobs at Walrus, or at another blob store: a publisher and an aggregator by URL.

They have no records. Those of what was put from here are kept in a directory; of what others put it is
made when it is first asked for: the whole blob is fetched and its ID computed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from hallmark.core.blob_ids import blob_text
from hallmark.core.errors import VerificationFailed
from hallmark.http.client import Pool
from hallmark.hub.record import BlobRecord, read_record
from hallmark.services.hub.client import HubClient
from hallmark.services.hub.staging import Staging, disk, stage
from hallmark.services.hub.streams import in_chunks


class WalrusStorage:
    """Puts at one endpoint with `query`, gets from another. `records` is the directory of records."""

    name = "walrus"

    def __init__(
        self,
        publisher: HubClient,
        aggregator: HubClient,
        pool: Pool,
        query: str,
        *,
        records: Path,
        staging: Staging,
        identify: Callable[[Path], Awaitable[bytes]],
        most: int,
    ) -> None:
        self._publisher, self._aggregator, self._pool, self._query = publisher, aggregator, pool, query
        self._records, self._staging, self._identify, self._most = records, staging, identify, most
        with disk():
            records.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put(self, record: BlobRecord, path: Path) -> None:
        """Store it there, and keep its record here. Raises VerificationFailed `store_named_another_id`,
        Unavailable, `blob_store_refused` among them.
        """
        await self._publisher.put(path, record.blob_id, self._query)
        await self._keep(record)

    async def record(self, identifier: str) -> BlobRecord:
        """The record of a blob; the first time of what somebody else put it takes as long as all of it.

        Raises NotFound `blob_not_found`, VerificationFailed `blob_id_wrong`, Unavailable.
        """
        with disk():
            try:
                data = await asyncio.to_thread(self._path(identifier).read_bytes)
                return read_record(data, identifier)
            except FileNotFoundError:
                pass
            except VerificationFailed:
                await self.drop(identifier)
        with self._staging.new(self._most) as copy:
            await stage(copy, self._aggregator.read(identifier))
            computed = await self._identify(copy.path)
        if blob_text(computed) != identifier:
            raise VerificationFailed(
                "blob_id_wrong", "What the storage behind this store has under this ID has another one."
            )
        record = copy.summary.record(computed)
        await self._keep(record)
        return record

    async def read(self, record: BlobRecord, start: int, end: int) -> AsyncIterator[bytes]:
        """See `Storage.read`."""
        pieces = list(record.pieces(start, end))
        if not pieces:
            return
        first, last = pieces[0][0], pieces[-1][0] + pieces[-1][1]
        whole = (first, last) == (0, record.size)
        parts = self._aggregator.read(record.blob_id, first, None if whole else last)
        async for chunk in in_chunks(parts, record.chunk):
            yield chunk

    async def drop(self, identifier: str) -> None:
        """Forget the record: the next who asks has the whole blob fetched and its ID computed."""
        with disk():
            self._path(identifier).unlink(missing_ok=True)

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()

    def _path(self, identifier: str) -> Path:
        return self._records / f"{identifier}.json"

    async def _keep(self, record: BlobRecord) -> None:
        with disk(), self._staging.new(1 << 30) as fresh:
            await fresh.write(record.encode())
            await fresh.finish()
            os.replace(fresh.path, self._path(record.blob_id))
