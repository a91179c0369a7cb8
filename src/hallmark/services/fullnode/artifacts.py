"""Artifacts held here, so that published manifests can be compared with their content.

Encoding a blob ID takes about two seconds, so the directories are read once, in a thread, and the answers
come
from a table. Until it is filled, nothing is held and nothing is judged about content.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hallmark.core.errors import HallmarkError
from hallmark.hub import BlobIdCache, Identity, pack_artifact
from hallmark.telemetry.logs import get_logger


class HeldArtifacts:
    """Identities by SHA-256 of the artifacts in `directories`. The cache file must be this node's own."""

    def __init__(self, directories: Sequence[str], cache: str) -> None:
        self._directories = tuple(Path(directory) for directory in directories)
        self._cache = BlobIdCache(Path(cache)) if cache else None
        self._held: dict[bytes, Identity] = {}

    def read(self) -> None:
        """Identify every directory's artifact. Takes seconds each the first time; run it in a thread."""
        for directory in self._directories:
            try:
                data = pack_artifact(directory)
                cache = self._cache or BlobIdCache(directory / ".none")
                found = cache.identify(data, verify=self._cache is None)
            except (HallmarkError, OSError):
                get_logger().warning("artifact_unreadable", kind="directory")
                continue
            self._held = {**self._held, found.sha256: found}

    def check(self, blob_id: bytes, sha256: bytes, size: int) -> str | None:
        """Compare a manifest with what is held: empty text when blob ID and size agree,
        `artifact_content` when
        they do not, None when nothing with this SHA-256 is held.
        """
        found = self._held.get(sha256)
        if found is None:
            return None
        return "" if (found.blob_id, found.size) == (blob_id, size) else "artifact_content"
