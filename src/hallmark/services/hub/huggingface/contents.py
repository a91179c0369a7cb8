"""From bytes that came to a file that a revision may name: examined, identified, stored, remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.hub.revision import LARGE, FileEntry, entry_oid
from hallmark.hub.weights import check_content
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface.rows import Rows
from hallmark.services.hub.staging import Staged, disk


class Contents:
    """See the module docstring."""

    def __init__(self, blobs: Blobs, rows: Rows) -> None:
        self._blobs, self._rows = blobs, rows

    async def known(self, digest: str, size: int | None = None) -> FileEntry | None:
        """Bytes that are stored and were examined, by SHA-256 (hex). Raises VerificationFailed
        `content_mismatch` where the length is another.
        """
        entry = await self._rows.content(digest)
        if entry is None or not await self._blobs.has(entry.blob):
            return None
        if size not in (None, entry.size):
            raise mismatch()
        return entry

    async def required(self, digest: str, size: int | None) -> FileEntry:
        """`known`. Raises InvalidInput `content_missing` as well."""
        entry = await self.known(digest, size)
        if entry is None:
            raise InvalidInput(
                "content_missing",
                "The bytes of a large file did not arrive here before the commit that names them.",
                "Upload it again: only what is missing is sent.",
            )
        return entry

    async def keep(self, staged: Staged, identifier: bytes | None = None) -> FileEntry:
        """Examine and store what was staged and finished. `identifier` is its blob ID where this release
        computed it. Raises Unavailable, and what `check_content` raises.
        """
        digest, size = staged.summary.sha256, staged.summary.size
        known = await self.known(digest, size)
        if known is not None:
            return known
        with disk():
            small = await asyncio.to_thread(_examine, staged.path, size)
        record = await self._blobs.put(staged, identifier)
        entry = FileEntry(record.blob_id, digest, size, entry_oid(digest, size, small))
        await self._rows.keep_content(entry)
        return entry

    async def keep_all(self, staged: Sequence[Staged]) -> list[FileEntry]:
        """`keep` for many; the first that is refused ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.keep(one)) for one in staged]
        except ExceptionGroup as errors:
            first = next((one for one in errors.exceptions if isinstance(one, HallmarkError)), None)
            if first is None:
                raise
            raise first from errors
        return [task.result() for task in tasks]


def mismatch() -> VerificationFailed:
    """The error for bytes that are not what was said of them."""
    return VerificationFailed(
        "content_mismatch",
        "The bytes that arrived are not those that were announced: SHA-256 or length differ.",
        "Nothing was published. Is the file whole? Upload it again.",
    )


def _examine(path: Path, size: int) -> bytes:
    """Whether it may be stored; its bytes where it is not large."""
    with path.open("rb") as file:
        check_content(file, size)
        file.seek(0)
        return file.read(size) if size <= LARGE else b""
