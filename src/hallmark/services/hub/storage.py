"""Where blobs are: what every storage does, and the one in a directory.

A storage replaces a blob whole or not at all, and it is durable when `put` returns. It checks nothing: who
reads compares each chunk with the record (`blobs`), and what does not fit is `drop`ped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from hallmark.core.errors import NotFound, VerificationFailed
from hallmark.hub.record import BlobRecord, read_record
from hallmark.services.hub.staging import disk, sync

MOST_RECORD: Final = 2 << 20


class Storage(Protocol):
    """Blobs with their records, by blob ID (text)."""

    name: str

    async def put(self, record: BlobRecord, path: Path) -> None:
        """Keep what the file holds, which may be moved away. Raises Unavailable."""
        ...

    async def record(self, identifier: str) -> BlobRecord:
        """The record of a blob. Raises NotFound `blob_not_found`, VerificationFailed `blob_record_damaged`,
        Unavailable.
        """
        ...

    def read(self, record: BlobRecord, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end), whole chunks of the record, in pieces of one chunk. Fewer come where the
        copy is shorter. Raises NotFound, Unavailable.
        """
        ...

    async def drop(self, identifier: str) -> None:
        """Have this damaged copy no longer; where it can be kept aside, it is."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class DirectoryStorage:
    """Blobs in a directory of this machine.

    blobs/Ab/AbC...          the bytes
    blobs/Ab/AbC....json     the record; a blob is there when this is
    damaged/                 what was found changed, the newest copy of each
    """

    name = "directory"

    def __init__(self, folder: Path) -> None:
        self._blobs, self._damaged = folder / "blobs", folder / "damaged"
        with disk():
            for one in (self._blobs, self._damaged):
                one.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def put(self, record: BlobRecord, path: Path) -> None:
        """Move the file into place, and then its record. Raises Unavailable `blob_disk`,
        `blob_disk_full`.
        """
        with disk():
            await asyncio.to_thread(self._put, record, path)

    async def record(self, identifier: str) -> BlobRecord:
        """The record of a blob. Raises NotFound `blob_not_found`, VerificationFailed
        `blob_record_damaged`.
        """
        with disk():
            try:
                data = await asyncio.to_thread(_record(self._path(identifier)).read_bytes)
            except FileNotFoundError:
                raise not_found() from None
        try:
            return read_record(data, identifier)
        except VerificationFailed:
            await self.drop(identifier)
            raise

    async def read(self, record: BlobRecord, start: int, end: int) -> AsyncIterator[bytes]:
        """See `Storage.read`. The file that is open now is read to its end, whatever takes its place."""
        with disk():
            file = await asyncio.to_thread(self.opened, record)
        with file:
            for offset, length, _ in record.pieces(start, end):
                with disk():
                    yield await asyncio.to_thread(os.pread, file.fileno(), length, offset)

    def opened(self, record: BlobRecord) -> BinaryIO:
        """The blob's file. Raises NotFound `blob_not_found`."""
        try:
            return self._path(record.blob_id).open("rb", buffering=0)
        except FileNotFoundError:
            raise not_found() from None

    async def drop(self, identifier: str) -> None:
        """Move a damaged copy aside."""
        with disk():
            await asyncio.to_thread(self._drop, identifier)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _path(self, identifier: str) -> Path:
        return self._blobs / identifier[:2] / identifier

    def _put(self, record: BlobRecord, path: Path) -> None:
        place = self._path(record.blob_id)
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True, mode=0o700)
            sync(self._blobs)
        fresh = path.with_name(path.name + ".json")
        try:
            with fresh.open("xb") as file:
                file.write(record.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(path, place)
            sync(place.parent)
            os.replace(fresh, _record(place))
            sync(place.parent)
        finally:
            fresh.unlink(missing_ok=True)

    def _drop(self, identifier: str) -> None:
        place = self._path(identifier)
        for one in (_record(place), place):
            if one.exists():
                os.replace(one, self._damaged / one.name)


def not_found() -> NotFound:
    """The error for a blob that is not here."""
    return NotFound("blob_not_found", "No blob with this ID is stored here.", "Is the ID right?")


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")
