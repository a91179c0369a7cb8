"""The cache of blob IDs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.hub import BlobIdCache, blob_text, cache


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What blob IDs were computed for; the encoder is replaced by a fast hash, it has tests of its own."""
    calls: list[bytes] = []

    def fast(data: bytes) -> bytes:
        calls.append(data)
        return sha256(b"blob", data)

    monkeypatch.setattr(cache, "blob_id", fast)
    return calls


def test_second_time_is_not_computed(tmp_path: Path, computed: list[bytes]) -> None:
    """A content that was identified once costs a hash only, also for another process."""
    path = tmp_path / "blob-ids.json"
    first = BlobIdCache(path).identify(b"weights")
    assert BlobIdCache(path).identify(b"weights") == first
    assert computed == [b"weights"]
    assert (first.sha256, first.size) == (sha256(b"weights"), 7)


def test_other_content_is_computed(tmp_path: Path, computed: list[bytes]) -> None:
    """A changed content never gets the cached ID, whatever its file is called."""
    store = BlobIdCache(tmp_path / "blob-ids.json")
    assert store.identify(b"one").blob_id != store.identify(b"two").blob_id
    assert computed == [b"one", b"two"]


def test_lie_in_the_cache_is_found_and_corrected(tmp_path: Path, computed: list[bytes]) -> None:
    """`verify` computes although the cache has an answer, raises when it was wrong, and puts it right."""
    path = tmp_path / "blob-ids.json"
    store = BlobIdCache(path)
    right = store.identify(b"weights")
    file = json.loads(path.read_text())
    file["blob_ids"][right.sha256.hex()] = blob_text(bytes(32))
    path.write_text(json.dumps(file))
    assert store.identify(b"weights").blob_id == bytes(32)
    with pytest.raises(VerificationFailed) as error:
        store.identify(b"weights", verify=True)
    assert error.value.reason == "blob_id_cache_wrong"
    assert store.identify(b"weights", verify=True) == right


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format":"other","blob_ids":{}}',
        '{"format":"hallmark.blob-ids/1","blob_ids":{"zz":"y"}}',
    ],
)
def test_damaged_file_is_an_empty_cache(text: str, tmp_path: Path, computed: list[bytes]) -> None:
    """Half a file or a foreign one costs time and nothing else."""
    path = tmp_path / "blob-ids.json"
    path.write_text(text)
    store = BlobIdCache(path)
    assert store.identify(b"x") == store.identify(b"x")
    assert computed == [b"x"]


def test_place_that_cannot_be_written(tmp_path: Path, computed: list[bytes]) -> None:
    """Where nothing can be written the ID is computed each time."""
    store = BlobIdCache(tmp_path / "absent" / "blob-ids.json")
    assert store.identify(b"x") == store.identify(b"x")
    assert len(computed) == 2
