"""Blobs on storage nodes: slivers are spread on put, a quorum's confirmations make a certificate, and a blob
is read of whatever nodes are there.

    records/AbC....json            the record of a blob: it is there when this is
    records/AbC....certificate     its availability certificate

Chunks come straight from the nodes that have the source rows, and are compared with the record. Where a node
is away or gives other bytes, the blob is decoded of any sufficient slivers, each checked against the blob ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.http.client import Pool
from hallmark.hub.blob_metadata import Kind
from hallmark.hub.certificate import Certificate, read_certificate, verify_certificate
from hallmark.hub.committee import Committee
from hallmark.hub.record import CHUNK, BlobRecord, Summary, read_record, verify_chunk
from hallmark.hub.shape import shape_of
from hallmark.hub.slivers import sliver_size
from hallmark.services.hub.spreading import Encoded, Spreader
from hallmark.services.hub.staging import Staged, Staging, disk
from hallmark.services.hub.streams import in_chunks
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.encoder import Encode
from hallmark.services.storage_node.faults import Faults
from hallmark.services.storage_node.gather import Gatherer

MOST_KEPT: Final = 1 << 30
CERTIFICATE: Final = ".certificate"


class SliverStorage:
    """A committee's nodes as a storage. `records` is the directory of records; `free` bytes of its disk stay
    free. `answer_s` is how long a node has for an answer, `grace_s` how much longer than a quorum of the
    others one may take at least.
    """

    name = "slivers"

    def __init__(
        self,
        committee: Committee,
        *,
        records: Path,
        staging: Staging,
        identify: Callable[[Path], Awaitable[bytes]],
        encode: Encode,
        secret: str = "",
        answer_s: float = 30.0,
        grace_s: float = 1.0,
        free: int = 0,
    ) -> None:
        self.committee, self._records, self._staging, self._identify = committee, records, staging, identify
        self._pool = Pool()
        self.clients = [
            NodeClient(node, self._pool, secret=secret, answer_s=answer_s) for node in committee.nodes
        ]
        self.faults = Faults(tuple((node.name, node.weight) for node in committee.nodes))
        self._gatherer = Gatherer(committee, dict(enumerate(self.clients)), self.faults)
        self._spreader = Spreader(
            committee,
            self.clients,
            faults=self.faults,
            staging=staging,
            encode=encode,
            free=free,
            grace_s=grace_s,
        )
        self._prepared: dict[Path, Encoded] = {}
        self._decoded: tuple[str, Staged] | None = None
        self._decoding = asyncio.Lock()
        with disk():
            records.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put(self, record: BlobRecord, path: Path) -> None:
        """Spread the blob; its certificate and then its record are kept when a quorum has it. Raises as
        `Spreader.spread`.
        """
        encoded = self._prepared.get(path)
        if encoded is not None:
            certificate = await self._spreader.spread(record.blob_id, encoded)
        else:
            async with self._spreader.encoded(path) as encoded:
                certificate = await self._spreader.spread(record.blob_id, encoded)
        await self._keep(record.blob_id + CERTIFICATE, certificate.encode())
        await self._keep(f"{record.blob_id}.json", record.encode())

    @contextlib.asynccontextmanager
    async def prepared(self, path: Path) -> AsyncIterator[bytes]:
        """The blob ID of a file that will be put inside the block: encoding it gives ID and slivers at once.

        Raises as `Spreader.encoded`.
        """
        async with self._spreader.encoded(path) as encoded:
            self._prepared[path] = encoded
            try:
                yield encoded.metadata.blob_id
            finally:
                del self._prepared[path]

    async def record(self, identifier: str) -> BlobRecord:
        """The record of a blob; the first time of what somebody else put it takes as long as all of it.

        Raises NotFound `blob_not_found`, VerificationFailed `blob_id_wrong`, Unavailable
        `blob_unrecoverable`.
        """
        with disk():
            try:
                data = await asyncio.to_thread(self._path(f"{identifier}.json").read_bytes)
                return read_record(data, identifier)
            except FileNotFoundError:
                pass
            except VerificationFailed:
                await self.drop(identifier)
        async with self._decoding:
            copy = await self._decode(identifier)
            summary = await asyncio.to_thread(_summary, copy.path)
            computed = await self._identify(copy.path)
        if blob_text(computed) != identifier:
            await self._forget()
            raise VerificationFailed(
                "blob_id_wrong", "What the storage behind this store has under this ID has another one."
            )
        record = summary.record(computed)
        await self._find_certificate(identifier)
        await self._keep(f"{identifier}.json", record.encode())
        return record

    async def read(self, record: BlobRecord, start: int, end: int) -> AsyncIterator[bytes]:
        """See `Storage.read`: every chunk has been compared with the record."""
        pieces, done = list(record.pieces(start, end)), 0
        decoded = self._decoded is not None and self._decoded[0] == record.blob_id
        try:
            if decoded or self._avoided(record, pieces):
                raise not_directly()
            async for chunk in self._direct(record, pieces):
                verify_chunk(chunk, pieces[done][1], pieces[done][2])
                done += 1
                yield chunk
        except VerificationFailed:
            await self._blame(record, pieces[done])
        except HallmarkError:
            pass
        if done == len(pieces):
            return
        file = await self._whole(record)
        with file:
            for offset, length, _ in pieces[done:]:
                with disk():
                    yield await asyncio.to_thread(os.pread, file.fileno(), length, offset)

    async def drop(self, identifier: str) -> None:
        """Forget the record: the next who asks has the blob decoded and its ID computed."""
        with disk():
            self._path(f"{identifier}.json").unlink(missing_ok=True)
        if self._decoded is not None and self._decoded[0] == identifier:
            await self._forget()

    async def aclose(self) -> None:
        """Close connections; what was decoded goes."""
        await self._forget()
        await self._pool.aclose()

    async def certificate(self, identifier: str) -> Certificate:
        """A blob's certificate, verified. Raises NotFound `certificate_not_stored`, VerificationFailed."""
        with disk():
            try:
                data = await asyncio.to_thread(self._path(identifier + CERTIFICATE).read_bytes)
            except FileNotFoundError:
                raise NotFound("certificate_not_stored", "No certificate of this blob is here.") from None
        certificate = read_certificate(data)
        await asyncio.to_thread(verify_certificate, certificate, self.committee, identifier)
        return certificate

    def names(self) -> list[str]:
        """IDs of all blobs with a certificate here. Raises Unavailable."""
        with disk():
            return [path.name[: -len(CERTIFICATE)] for path in self._records.glob(f"*{CERTIFICATE}")]

    async def _direct(
        self, record: BlobRecord, pieces: Sequence[tuple[int, int, str]]
    ) -> AsyncIterator[bytes]:
        """Chunks of the source rows, from their owners; what a node does not give is noted and raised."""
        if not pieces:
            return
        first, last = pieces[0][0], pieces[-1][0] + pieces[-1][1]
        width = sliver_size(shape_of(record.size, self.committee.shards), Kind.PRIMARY)
        rows = range(first // width, (last - 1) // width + 1)
        stream = self._rows(record.blob_id, rows, width)
        skipped = first - rows.start * width
        async for chunk in in_chunks(_cut(stream, skipped, last - first), CHUNK):
            yield chunk

    def _avoided(self, record: BlobRecord, pieces: Sequence[tuple[int, int, str]]) -> bool:
        """Whether a node that has source rows of these chunks failed just now."""
        if not pieces:
            return False
        width = sliver_size(shape_of(record.size, self.committee.shards), Kind.PRIMARY)
        blob_id, end = parse_blob_text(record.blob_id), pieces[-1][0] + pieces[-1][1]
        rows = range(pieces[0][0] // width, (end - 1) // width + 1)
        owners = {self.committee.owner(blob_id, row) for row in rows}
        return any(self.faults.recent(self.committee.nodes[owner].name) for owner in owners)

    async def _rows(self, identifier: str, rows: range, width: int) -> AsyncIterator[bytes]:
        blob_id, row = parse_blob_text(identifier), rows.start
        while row < rows.stop:
            owner, count = self.committee.owner(blob_id, row), 1
            while row + count < rows.stop and self.committee.owner(blob_id, row + count) == owner:
                count += 1
            try:
                async for sliver in self.clients[owner].slivers(
                    identifier, row, Kind.PRIMARY, count=count, size=width
                ):
                    yield sliver
            except HallmarkError as error:
                self._gatherer.note(owner, error, identifier)
                raise
            row += count

    async def _blame(self, record: BlobRecord, piece: tuple[int, int, str]) -> None:
        """A chunk was wrong: check its rows one by one, so that it is known who sent them."""
        offset, length, _ = piece
        try:
            metadata = await self._gatherer.metadata(record.blob_id)
        except HallmarkError:
            return
        width, blob_id = sliver_size(metadata.shape, Kind.PRIMARY), parse_blob_text(record.blob_id)
        owners: dict[int, list[int]] = {}
        for row in range(offset // width, (offset + length - 1) // width + 1):
            owners.setdefault(self.committee.owner(blob_id, row), []).append(row)
        for owner, rows in owners.items():
            await self._gatherer.slivers(record.blob_id, metadata, owner, rows)

    async def _whole(self, record: BlobRecord) -> BinaryIO:
        """The blob, decoded of what is left, as an open file. Raises Unavailable `blob_unrecoverable`."""
        async with self._decoding:
            copy = await self._decode(record.blob_id)
            with disk():
                return copy.path.open("rb", buffering=0)

    async def _decode(self, identifier: str) -> Staged:
        """The blob in a file that is kept until another one is decoded."""
        if self._decoded is not None and self._decoded[0] == identifier:
            return self._decoded[1]
        metadata = await self._gatherer.metadata(identifier)
        await self._forget()
        copy = self._staging.new(0)
        try:
            with self._staging.new(0) as scratch:
                await self._gatherer.blob(identifier, metadata, scratch.path, copy.path)
        except BaseException:
            copy.__exit__(None, None, None)
            raise
        self._decoded = (identifier, copy)
        return copy

    async def _forget(self) -> None:
        if self._decoded is not None:
            _, copy = self._decoded
            self._decoded = None
            copy.__exit__(None, None, None)

    async def _find_certificate(self, identifier: str) -> None:
        """Keep the certificate that a node has of what somebody else put."""
        for client in self.clients:
            with contextlib.suppress(HallmarkError):
                found = read_certificate(await client.certificate(identifier))
                await asyncio.to_thread(verify_certificate, found, self.committee, identifier)
                await self._keep(identifier + CERTIFICATE, found.encode())
                return

    def _path(self, name: str) -> Path:
        return self._records / name

    async def _keep(self, name: str, data: bytes) -> None:
        with disk(), self._staging.new(MOST_KEPT) as fresh:
            await fresh.write(data)
            await fresh.finish()
            os.replace(fresh.path, self._path(name))


def not_directly() -> Unavailable:
    """Said to itself: the source rows are not asked for, because the blob is decoded already, or would be."""
    return Unavailable("storage_node_avoided", "A storage node that failed just now is not asked again yet.")


async def _cut(parts: AsyncIterator[bytes], skipped: int, length: int) -> AsyncIterator[bytes]:
    """The bytes [skipped, skipped + length) of what comes."""
    async for part in parts:
        kept = part[skipped : skipped + length]
        skipped = max(0, skipped - len(part))
        length -= len(kept)
        if kept:
            yield kept


def _summary(path: Path) -> Summary:
    summary = Summary()
    with disk(), path.open("rb", buffering=0) as file:
        while data := file.read(CHUNK):
            summary.update(data)
    return summary
