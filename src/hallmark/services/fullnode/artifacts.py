"""Artifacts held here, so that published manifests can be compared with their content.

Encoding a blob ID takes about two seconds and more memory than the node itself keeps, so the directories are
read once, by a process that ends (`python -m hallmark.services.fullnode.artifacts CACHE PATH...`), and the
answers come from a table. Until it is filled, nothing is held and nothing is judged about content.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError
from hallmark.hub import BlobIdCache, Identity
from hallmark.telemetry.logs import get_logger

LOWEST: Final = 19
PR_SET_PDEATHSIG: Final = 1


class Found(msgspec.Struct, frozen=True):
    """What the process that reads says: who is held, and how many files could not be read."""

    held: tuple[Identity, ...]
    unreadable: int


class HeldArtifacts:
    """Identities by SHA-256 of packed artifacts: files, and the `*.tar` files of directories.

    The cache file must be this node's own: it trusts no blob ID that it has not computed itself.
    """

    def __init__(self, paths: Sequence[str], cache: str) -> None:
        self._paths = tuple(paths)
        self._cache = cache
        self._held: dict[bytes, Identity] = {}

    def read(self) -> None:
        """Identify every artifact. Takes seconds each the first time; run it in a thread of its own."""
        command = [sys.executable, "-m", "hallmark.services.fullnode.artifacts", self._cache, *self._paths]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            found = msgspec.json.decode(done.stdout, type=Found)
        except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
            get_logger().error("artifacts_unread")
            return
        for _ in range(found.unreadable):
            get_logger().warning("artifact_unreadable")
        self._held = {identity.sha256: identity for identity in found.held}

    def check(self, blob_id: bytes, sha256: bytes, size: int) -> str | None:
        """Compare a manifest with what is held: empty text when blob ID and size agree,
        `artifact_content` when they do not, None when nothing with this SHA-256 is held.
        """
        found = self._held.get(sha256)
        if found is None:
            return None
        return "" if (found.blob_id, found.size) == (blob_id, size) else "artifact_content"


def identify(paths: Sequence[str], cache: str) -> Found:
    """Identify the artifacts at `paths`, with what the file `cache` knows (empty: none)."""
    held, unreadable = [], 0
    with tempfile.TemporaryDirectory() as folder:
        known = BlobIdCache(Path(cache) if cache else Path(folder) / "blob-ids.json")
        for path in map(Path, paths):
            for file in sorted(path.glob("*.tar")) if path.is_dir() else (path,):
                try:
                    held.append(known.identify(file.read_bytes()))
                except (HallmarkError, OSError):
                    unreadable += 1
    return Found(tuple(held), unreadable)


def main() -> None:
    """Identify what the arguments name, at the lowest priority, and say it; ends with who asked."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with contextlib.suppress(OSError):
        os.nice(LOWEST)
    sys.stdout.buffer.write(msgspec.json.encode(identify(sys.argv[2:], sys.argv[1])))


if __name__ == "__main__":
    main()
