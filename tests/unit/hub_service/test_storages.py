"""The storages behind a blob store: a directory, another store by URL, storage nodes. The one in a bucket is
in `tests/integration/test_blob_storages.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hallmark.core.errors import HallmarkError
from hallmark.services.hub.s3 import EMPTY, Credentials, signed
from hallmark.services.hub.staging import Staging
from hallmark.services.hub.storages import make_storage
from hallmark.testing.blob_stores import blob_store, identify, small_id, store_settings
from hallmark.testing.storage_conformance import CHECKS, LARGE, Scene
from hallmark.testing.storage_nodes import encode_here, storage_nodes


@asynccontextmanager
async def scene_of(folder: Path, storage: str = "") -> AsyncIterator[Scene]:
    """A storage by its URL."""
    staging = Staging(folder / "staging", 0)
    made = make_storage(store_settings(folder, storage=storage), staging, identify, encode=encode_here)
    try:
        yield Scene(made, staging)
    finally:
        await made.aclose()
        staging.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["directory", "walrus", "slivers"])
async def test_conformance(kind: str, check: object, tmp_path: Path) -> None:
    """Every storage does the same."""
    assert callable(check)
    if kind == "directory":
        async with scene_of(tmp_path / "near") as scene:
            await check(scene)
        return
    if kind == "slivers":
        async with storage_nodes(tmp_path / "far") as nodes:
            async with scene_of(tmp_path / "near", f"slivers+file://{nodes.file}") as scene:
                await check(scene)
        return
    async with blob_store(tmp_path / "far") as far:
        async with scene_of(tmp_path / "near", f"walrus+{far.url}?epochs=3&permanent=true") as scene:
            await check(scene)


async def test_what_others_put_is_identified_first(tmp_path: Path) -> None:
    """A blob that somebody else put at the storage is fetched and its ID computed, once; a storage that gives
    other bytes is found out.
    """
    async with (
        blob_store(tmp_path / "far") as far,
        blob_store(tmp_path / "near", storage=f"walrus+{far.url}") as near,
    ):
        identifier = await far.put(LARGE)
        part = await near.ask("GET", f"/v1/blobs/{identifier}", {"range": "bytes=2000000-2000009"})
        assert (part.status, part.body) == (206, LARGE[2000000:2000010])
        other = await far.put(b"other")
        for name in ("", ".json"):
            path = far.file(other).with_name(other + name)
            target = far.file(small_id(b"wanted")).with_name(small_id(b"wanted") + name)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes().replace(other.encode(), small_id(b"wanted").encode()))
        wrong = await near.ask("GET", f"/v1/blobs/{small_id(b'wanted')}")
        assert (wrong.status, wrong.code) == (500, "blob_id_wrong")


async def test_a_whole_store_on_another(tmp_path: Path) -> None:
    """Put and get through two stores; the one behind has the blob for as long as the query says."""
    async with (
        blob_store(tmp_path / "far") as far,
        blob_store(tmp_path / "near", storage=f"walrus+{far.url}?epochs=5") as near,
    ):
        identifier = await near.put(LARGE)
        assert (await near.ask("GET", f"/v1/blobs/{identifier}")).body == LARGE
        assert (await far.ask("GET", f"/v1/blobs/{identifier}")).body == LARGE
        far.file(identifier).write_bytes(LARGE[:-1] + b"x")
        assert (await near.ask("GET", f"/v1/blobs/{identifier}?strict_consistency_check=true")).status >= 500


async def test_a_storage_that_is_away(tmp_path: Path) -> None:
    """Nothing is promised that is not stored there."""
    async with blob_store(tmp_path, storage="walrus+http://127.0.0.1:9") as store:
        got = await store.ask("PUT", "/v1/blobs", body=b"x")
        assert (got.status, got.code) == (503, "connect_failed")
        assert (await store.ask("GET", f"/v1/blobs/{small_id(b'x')}")).code == "connect_failed"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host/x", "bad_storage_url"),
        ("s3+https:///bucket", "bad_storage_url"),
        ("s3+https://host/bucket?key=x", "bad_storage_url"),
        ("s3+https://host", "bad_storage_url"),
        ("walrus+ftp://host", "bad_storage_url"),
        ("walrus+https://host?other=1", "bad_storage_url"),
        ("slivers+file://host/committee.json", "bad_storage_url"),
        ("slivers+file:", "bad_storage_url"),
        ("slivers+file:///committee.json?answer_s=0", "bad_storage_url"),
        ("slivers+file:///committee.json?answer_s=x", "bad_storage_url"),
        ("slivers+file:///committee.json?other=1", "bad_storage_url"),
        ("slivers+file:///missing/committee.json", "bad_committee"),
    ],
)
def test_urls_that_name_no_storage(url: str, reason: str, tmp_path: Path) -> None:
    """Each has its reason before anything is stored."""
    keys = tmp_path / "keys"
    keys.write_text("access secret\n")
    staging = Staging(tmp_path / "staging", 0)
    with pytest.raises(HallmarkError) as error:
        make_storage(store_settings(tmp_path, storage=url, storage_key_file=str(keys)), staging, identify)
    staging.close()
    assert error.value.reason == reason


@pytest.mark.parametrize("text", [None, "", "one", "one two three"])
def test_a_bucket_needs_its_key(text: str | None, tmp_path: Path) -> None:
    """No file, or one that holds no two words."""
    if text is not None:
        (tmp_path / "keys").write_text(text)
    settings = store_settings(
        tmp_path, storage="s3+https://host/bucket", storage_key_file=str(tmp_path / "keys")
    )
    staging = Staging(tmp_path / "staging", 0)
    with pytest.raises(HallmarkError) as error:
        make_storage(settings, staging, identify)
    staging.close()
    assert error.value.reason == "bad_storage_key"


def test_signatures_are_those_of_the_published_example() -> None:
    """The example of AWS's documentation for GET with a Range, Signature Version 4."""
    told = signed(
        "GET",
        "examplebucket.s3.amazonaws.com",
        "/test.txt",
        {"range": "bytes=0-9"},
        payload=EMPTY,
        credentials=Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        now=datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC),
    )
    assert told["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
