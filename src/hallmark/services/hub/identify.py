"""Computes a blob ID in a process of its own: it takes seconds of a processor, and whoever waits for an
answer meanwhile shall not wait for that as well. `python -m hallmark.services.hub.identify` reads the blob
from standard input, which must be a file, and writes its ID.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.hub.walrus import blob_id_of_descriptor

NICE: Final = 5


class Identifier:
    """Computes at most `at_once` IDs at a time; who comes later waits. `scratch` is where large blobs leave
    half their length for that long.
    """

    def __init__(self, scratch: Path, at_once: int) -> None:
        self._scratch, self._places = scratch, asyncio.Semaphore(at_once)

    async def __call__(self, path: Path) -> bytes:
        """The blob ID of a file, 32 bytes. Raises Unavailable `blob_not_identified`."""
        async with self._places:
            with path.open("rb") as file:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "hallmark.services.hub.identify",
                    stdin=file,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "TMPDIR": str(self._scratch)},
                )
            try:
                said, _ = await process.communicate()
            except BaseException:
                process.kill()
                await process.wait()
                raise
        try:
            return parse_blob_text(said.decode("ascii").strip())
        except (UnicodeDecodeError, HallmarkError) as error:
            raise Unavailable(
                "blob_not_identified",
                "The blob's ID could not be computed here.",
                "Is there room on the disk for half the blob's length, and 150 MiB of memory?",
            ) from error


def main() -> None:
    """Write the ID of standard input."""
    os.nice(NICE)
    sys.stdout.write(blob_text(blob_id_of_descriptor(sys.stdin.fileno())) + "\n")


if __name__ == "__main__":
    main()
