"""Quilts over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from hallmark.hub.quilt import parse_patch_id
from hallmark.testing.blob_stores import Answer, RunningStore, blob_store

FILES = {"b.txt": b"second", "a/ü.bin": bytes(range(256)) * 9, "empty": b""}
DEEP = 100_000
NESTED = msgspec.Raw(b'[{"identifier":"a","tags":{"x":' + b"[" * DEEP + b"]" * DEEP + b"}}]")
TAGS = [{"identifier": "b.txt", "tags": {"content-type": "text/plain", "n": 1, "set-cookie": "a=b"}}]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunningStore]:
    """An open store."""
    async with blob_store(tmp_path / "store") as running:
        yield running


async def put(store: RunningStore, files: dict[str, bytes], metadata: object = None) -> Answer:
    """Put a form as another library writes it."""
    fields = [(name, (name, data)) for name, data in files.items()]
    more = {} if metadata is None else {"_metadata": msgspec.json.encode(metadata).decode()}
    request = httpx.Request("PUT", store.url, files=[*fields, *[(n, (None, t)) for n, t in more.items()]])
    await request.aread()
    return await store.ask(
        "PUT", "/v1/quilts?epochs=2", {"content-type": request.headers["content-type"]}, request.content
    )


async def test_files_come_back_by_name_and_by_id(store: RunningStore) -> None:
    """Each file of a quilt is got by its name, and by its own ID; the list names both, and the tags."""
    answer = (await put(store, FILES, TAGS)).json
    made = answer["blobStoreResult"]["newlyCreated"]["blobObject"]
    quilt = made["blobId"]
    stored = {one["identifier"]: one["quiltPatchId"] for one in answer["storedQuiltBlobs"]}
    assert stored.keys() == FILES.keys()
    listed = (await store.ask("GET", f"/v1/quilts/{quilt}/patches")).json
    assert [(one["identifier"], one["patch_id"]) for one in listed] == sorted(stored.items())
    assert listed[1]["tags"] == {"content-type": "text/plain", "n": "1", "set-cookie": "a=b"}
    for name, data in FILES.items():
        path = name.replace("/", "%2F").replace("ü", "%C3%BC")
        by_name = await store.ask("GET", f"/v1/blobs/by-quilt-id/{quilt}/{path}")
        by_id = await store.ask("GET", f"/v1/blobs/by-quilt-patch-id/{stored[name]}")
        assert (by_name.status, by_name.body) == (by_id.status, by_id.body) == (200, data)
        assert by_name.headers["etag"] == f'"{stored[name]}"'
    text = await store.ask("GET", f"/v1/blobs/by-quilt-id/{quilt}/b.txt")
    assert text.headers["content-type"] == "text/plain"
    assert text.headers["x-quilt-patch-identifier"] == "b.txt"
    assert "set-cookie" not in text.headers
    head = await store.ask("HEAD", f"/v1/blobs/by-quilt-id/{quilt}/b.txt")
    assert (head.body, head.headers["content-length"]) == (b"", "6")
    assert sorted(path.name for path in (store.folder / "staging").iterdir()) == ["lock"]


async def test_the_same_files_are_the_same_quilt(store: RunningStore) -> None:
    """In whatever order they come."""
    one = (await put(store, FILES)).json["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    other = (await put(store, dict(reversed(FILES.items())))).json["blobStoreResult"]["alreadyCertified"]
    assert other["blobId"] == one


async def test_refusals(store: RunningStore) -> None:
    """A patch that is not there, a blob that is no quilt, and names that are none."""
    answer = (await put(store, FILES)).json
    quilt = answer["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    patch = answer["storedQuiltBlobs"][0]["quiltPatchId"]
    plain = await store.put(b"no quilt")
    wrong = {
        f"/v1/blobs/by-quilt-id/{quilt}/other": (404, "quilt_patch_not_found"),
        f"/v1/blobs/by-quilt-id/{plain}/other": (404, "quilt_patch_not_found"),
        f"/v1/quilts/{plain}/patches": (404, "quilt_patch_not_found"),
        "/v1/quilts/short/patches": (400, "bad_blob_id"),
        f"/v1/blobs/by-quilt-patch-id/{quilt}": (400, "bad_quilt_patch_id"),
    }
    for path, said in wrong.items():
        got = await store.ask("GET", path)
        assert (got.status, got.code) == said, path
    _, start, end = parse_patch_id(patch)
    assert end > start


@pytest.mark.parametrize(
    ("files", "metadata", "code"),
    [
        ({}, [{"identifier": "a"}], "bad_quilt"),
        ({"_own": b"x"}, None, "bad_quilt"),
        ({"a": b"x"}, {"identifier": "a"}, "bad_quilt"),
        ({"a": b"x"}, [{"identifier": "b"}], "bad_quilt"),
        ({"a": b"x"}, [{"identifier": "a"}, {"identifier": "a"}], "bad_quilt"),
        ({"a": b"x"}, NESTED, "bad_quilt"),
        ({str(n): b"x" for n in range(700)}, None, "bad_quilt"),
    ],
)
async def test_forms_that_make_no_quilt(
    store: RunningStore, files: dict[str, bytes], metadata: object, code: str
) -> None:
    """Each has its reason, and nothing is stored."""
    got = await put(store, files, metadata)
    assert (got.status, got.code) == (400, code)
    assert not list((store.folder / "blobs").iterdir())


async def test_other_bodies(store: RunningStore, tmp_path: Path) -> None:
    """No form, half a form, one that is too large, and one whose layout would be."""
    assert (await store.ask("PUT", "/v1/quilts", body=b"x")).code == "bad_multipart"
    half = {"content-type": "multipart/form-data; boundary=x"}
    assert (await store.ask("PUT", "/v1/quilts", half, b"--x\r\n")).code == "bad_multipart"
    async with blob_store(tmp_path / "small", most_quilt=50_000) as small:
        assert (await put(small, {"a": bytes(60_000)})).code == "blob_too_large"
        assert (await put(small, {"a": bytes(40_000)} | {f"b{n}": b"" for n in range(10)})).status == 413
        assert (await put(small, {"a": bytes(40_000)})).status == 200


async def test_a_damaged_quilt_serves_no_patch(store: RunningStore) -> None:
    """A flipped byte anywhere in a quilt is seen before any file of it goes out."""
    quilt = (await put(store, FILES)).json["blobStoreResult"]["newlyCreated"]["blobObject"]["blobId"]
    data = bytearray(store.file(quilt).read_bytes())
    data[-1] ^= 1
    store.file(quilt).write_bytes(data)
    assert (await store.ask("GET", f"/v1/blobs/by-quilt-id/{quilt}/b.txt")).code == "blob_damaged"
