"""The blob IDs that come with the shipped models."""

from __future__ import annotations

from hallmark.compose.models import models_root
from hallmark.core.hashing import sha256
from hallmark.hub.cache import read_blob_ids
from hallmark.hub.walrus import blob_id
from hallmark.testing.model_blob_ids import shipped_files


def test_every_file_of_the_shipped_models_has_its_id() -> None:
    """`models/blob-ids.json` knows each; one of them is computed again here."""
    known = read_blob_ids(models_root() / "blob-ids.json")
    files = {sha256(path.read_bytes()): path for path in shipped_files()}
    told = "Run python -m hallmark.testing.model_blob_ids: a file of a shipped model changed."
    assert files.keys() <= known.keys(), told
    digest, smallest = min(files.items(), key=lambda pair: pair[1].stat().st_size)
    assert known[digest] == blob_id(smallest.read_bytes())
