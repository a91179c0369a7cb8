"""Bytes on their way in: a file in `staging` until they are complete, and then moved or deleted.

Nothing here is a blob: what a killed process left is deleted at the next start, which a lock on the
directory keeps to one process at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from hallmark.core.errors import Conflict, TooLarge, Unavailable
from hallmark.hub.record import Summary

BLOCK: Final = 1 << 20


class Staged:
    """A file that is being written; `summary` has read what is in it. Leaving the block deletes it, unless
    it was moved away.
    """

    def __init__(self, path: Path, most: int, free: int) -> None:
        self.path, self.summary = path, Summary()
        self._most, self._free = most, free
        self._parts: list[bytes] = []
        self._waiting = 0
        self._file = path.open("xb", buffering=0)

    async def write(self, data: bytes) -> None:
        """The next bytes. Raises TooLarge `blob_too_large`, Unavailable `blob_disk_full`."""
        self._parts.append(data)
        self._waiting += len(data)
        if self.summary.size + self._waiting > self._most:
            raise too_large(self._most)
        if self._waiting >= BLOCK:
            await self._flush()

    async def finish(self) -> None:
        """Everything was written: make it durable. Raises Unavailable `blob_disk_full`."""
        await self._flush()
        with disk():
            await asyncio.to_thread(os.fsync, self._file.fileno())
        self._file.close()

    async def _flush(self) -> None:
        data, self._parts, self._waiting = b"".join(self._parts), [], 0
        with disk():
            await asyncio.to_thread(self._store, data)

    def _store(self, data: bytes) -> None:
        if data and shutil.disk_usage(self.path.parent).free < self._free + len(data):
            raise OSError(errno.ENOSPC, "the room that stays free is reached")
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.summary.update(data)

    def __enter__(self) -> Staged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class Staging:
    """The directory of files on their way. `free` bytes of its disk stay free.

    Raises Conflict `blob_store_in_use` where another process has it, Unavailable `blob_disk`.
    """

    def __init__(self, folder: Path, free: int) -> None:
        self.folder, self._free = folder, free
        with disk():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._lock)
                raise Conflict(
                    "blob_store_in_use",
                    "Another process keeps this blob store's directory.",
                    "One process has a directory; end the other one.",
                ) from None
            for left in folder.iterdir():
                if left.name != "lock":
                    left.unlink()

    def new(self, most: int) -> Staged:
        """A new file of at most `most` bytes. Raises Unavailable `blob_disk`, `blob_disk_full`."""
        with disk():
            return Staged(self.folder / secrets.token_hex(12), most, self._free)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._lock)


async def stage(staged: Staged, parts: AsyncIterator[bytes]) -> None:
    """Write what comes, and make it durable."""
    async for part in parts:
        await staged.write(part)
    await staged.finish()


def too_large(most: int) -> TooLarge:
    """The error for a blob that this store does not take."""
    return TooLarge("blob_too_large", f"A blob has at most {most} bytes here.")


def sync(path: Path) -> None:
    """Make a file's bytes durable, or what was renamed in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk() -> Iterator[None]:
    """What the disk refuses, as reasons. Raises Unavailable `blob_disk_full`, `blob_disk`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Unavailable(
                "blob_disk_full",
                "The blob store's disk is full.",
                "Nothing was stored and nothing was lost: make room, then put the blob again.",
            ) from error
        raise Unavailable(
            "blob_disk", "The blob store's disk cannot be used.", "See the service's log and the disk."
        ) from error
