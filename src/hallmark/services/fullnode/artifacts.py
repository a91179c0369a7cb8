"""Artifacts held here, so that published manifests can be compared with their content.

Encoding a blob ID takes about two seconds, so the directories are read once, in a thread, and the answers
come from a table. Until it is filled, nothing is held and nothing is judged about content.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from hallmark.core.errors import HallmarkError
from hallmark.http.memory import give_back
from hallmark.hub import BlobIdCache, Identity
from hallmark.telemetry.logs import get_logger

LOWEST = 19


class HeldArtifacts:
    """Identities by SHA-256 of packed artifacts: files, and the `*.tar` files of directories.

    The cache file must be this node's own: it trusts no blob ID that it has not computed itself.
    """

    def __init__(self, paths: Sequence[str], cache: str) -> None:
        self._paths = tuple(Path(path) for path in paths)
        self._cache = Path(cache) if cache else None
        self._held: dict[bytes, Identity] = {}

    def read(self) -> None:
        """Identify every artifact. Takes seconds each the first time; run it in a thread of its own."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
        with tempfile.TemporaryDirectory() as folder:
            cache = BlobIdCache(self._cache or Path(folder) / "blob-ids.json")
            for path in self._paths:
                for file in sorted(path.glob("*.tar")) if path.is_dir() else (path,):
                    try:
                        found = cache.identify(file.read_bytes())
                    except (HallmarkError, OSError):
                        get_logger().warning("artifact_unreadable")
                        continue
                    self._held = {**self._held, found.sha256: found}
        give_back()

    def check(self, blob_id: bytes, sha256: bytes, size: int) -> str | None:
        """Compare a manifest with what is held: empty text when blob ID and size agree,
        `artifact_content` when they do not, None when nothing with this SHA-256 is held.
        """
        found = self._held.get(sha256)
        if found is None:
            return None
        return "" if (found.blob_id, found.size) == (blob_id, size) else "artifact_content"
