"""`models/blob-ids.json`: the blob IDs of all files of the shipped models, so that a hub which publishes
them does not compute for half a minute. `python -m hallmark.testing.model_blob_ids` brings it up to date.
"""

from __future__ import annotations

from pathlib import Path

from hallmark.compose.models import models_root
from hallmark.hub.cache import BlobIdCache


def shipped_files() -> list[Path]:
    """The files that the hub publishes of the shipped models."""
    folders = [artifact.parent for artifact in sorted(models_root().glob("*/artifact"))]
    return [
        path
        for folder in folders
        for path in (folder / "README.md", *sorted((folder / "artifact").rglob("*")))
        if path.is_file()
    ]


def main() -> None:
    """Write the file, with what is not in it yet; what is in it already is not computed again."""
    path = models_root() / "blob-ids.json"
    known = BlobIdCache(path)
    for file in shipped_files():
        known.identify(file.read_bytes())
    path.chmod(0o644)


if __name__ == "__main__":
    main()
