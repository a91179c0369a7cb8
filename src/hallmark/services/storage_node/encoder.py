"""Encodes a blob into slivers in a process of its own: it takes seconds of a processor.

`python -m hallmark.services.storage_node.encoder` gets what to do as JSON in its argument. Standard input,
which must be a file, is the blob; slivers go into the file that is standard output, and the metadata come
last, behind them.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.hub.blob_metadata import BlobMetadata, metadata_size
from hallmark.hub.shape import shape_of
from hallmark.hub.sliver_file import encode_slivers
from hallmark.hub.slivers import pair_size
from hallmark.hub.walrus import FileSource
from hallmark.services.hub.staging import disk

NICE: Final = 5


class Encode(Protocol):
    """Writes the slivers of these pairs of the blob in a file into another, from `start` on."""

    async def __call__(
        self, blob: Path, target: Path, pairs: Sequence[int], *, start: int = 0
    ) -> BlobMetadata:
        """The metadata. Raises Unavailable `blob_not_encoded`, `blob_disk`, `blob_disk_full`."""
        ...


class _Task(msgspec.Struct, frozen=True):
    pairs: tuple[int, ...]
    shards: int
    start: int


class Encoder:
    """Encodes at most `at_once` blobs at a time; who comes later waits. `scratch` is where large blobs leave
    half their length for that long.
    """

    def __init__(self, scratch: Path, at_once: int, shards: int) -> None:
        self._scratch, self._shards = scratch, shards
        self._places = asyncio.Semaphore(at_once)

    async def __call__(
        self, blob: Path, target: Path, pairs: Sequence[int], *, start: int = 0
    ) -> BlobMetadata:
        """See `Encode`."""
        task = msgspec.json.encode(_Task(tuple(pairs), self._shards, start)).decode()
        length = blob.stat().st_size
        end = start + len(pairs) * pair_size(shape_of(length, self._shards))
        async with self._places:
            with disk(), blob.open("rb") as source, target.open("r+b") as out:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "hallmark.services.storage_node.encoder",
                    task,
                    stdin=source,
                    stdout=out,
                    stderr=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "TMPDIR": str(self._scratch)},
                )
                try:
                    code = await process.wait()
                except BaseException:
                    process.kill()
                    await process.wait()
                    raise
                data = os.pread(out.fileno(), metadata_size(self._shards), end)
                out.truncate(end)
        if code or len(data) != metadata_size(self._shards):
            raise Unavailable(
                "blob_not_encoded",
                "The blob could not be encoded here.",
                "Is there room on the disk for five times the blob's length, and 200 MiB of memory?",
            )
        return BlobMetadata(length, data[9:])


def main() -> None:
    """Encode standard input into standard output."""
    os.nice(NICE)
    task = msgspec.json.decode(sys.argv[1], type=_Task)
    source, out = sys.stdin.fileno(), sys.stdout.fileno()
    length = os.fstat(source).st_size
    try:
        metadata = encode_slivers(
            FileSource(source), length, out, task.pairs, shards=task.shards, start=task.start
        )
        end = task.start + len(task.pairs) * pair_size(metadata.shape)
        os.pwrite(out, metadata.encode(), end)
    except (HallmarkError, OSError):
        sys.exit(1)


if __name__ == "__main__":
    main()
