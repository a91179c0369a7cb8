"""A blob store on an S3-compatible server by somebody else, which wants every request signed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.core.errors import Unavailable
from hallmark.http.client import Pool
from hallmark.services.hub.s3 import EMPTY, Credentials, S3Storage
from hallmark.services.hub.staging import Staging
from hallmark.services.hub.storages import make_storage
from hallmark.testing.blob_stores import blob_store, identify, small_id, store_settings
from hallmark.testing.stock_walrus import s3_server
from hallmark.testing.storage_conformance import CHECKS, LARGE, Scene

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One server for all tests of this file."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check: object, server: tuple[str, Path], tmp_path: Path) -> None:
    """A bucket does what every storage does."""
    assert callable(check)
    url, keys = server
    staging = Staging(tmp_path / "staging", 0)
    storage = make_storage(
        store_settings(tmp_path, storage=f"s3+{url}/blobs/{check.__name__}", storage_key_file=str(keys)),
        staging,
        identify,
    )
    try:
        await check(Scene(storage, staging))
    finally:
        await storage.aclose()
        staging.close()


async def test_a_store_on_a_bucket(server: tuple[str, Path], tmp_path: Path) -> None:
    """Put, get, a range, the strict check; an object that was changed or cut is not served, and put again it
    is.
    """
    url, keys = server
    access, secret = keys.read_text().split()
    bucket = f"s3+{url}/blobs/store"
    async with blob_store(tmp_path, storage=bucket, storage_key_file=str(keys)) as store:
        identifier = await store.put(LARGE)
        path = f"/v1/blobs/{identifier}"
        assert (await store.ask("GET", path)).body == LARGE
        part = await store.ask("GET", path, {"range": "bytes=1500000-1500009"})
        assert (part.status, part.body) == (206, LARGE[1500000:1500010])
        assert (await store.ask("GET", f"{path}?strict_consistency_check=true")).body == LARGE
        assert (await store.ask("GET", f"/v1/blobs/{small_id(b'never')}")).code == "blob_not_found"
        behind = S3Storage(url, "/blobs/store", Credentials(access, secret), Pool())
        for harmed in (b"x" + LARGE[1:], LARGE[:100], b""):
            digest = hashlib.sha256(harmed).hexdigest()
            await behind._do("PUT", identifier, {}, harmed, payload=digest)
            got = await store.ask("GET", path)
            assert (got.status, got.code) == (500, "blob_damaged")
            assert (await store.ask("GET", path)).code == "blob_not_found"
            assert await store.put(LARGE) == identifier
            assert (await store.ask("GET", path)).body == LARGE
        await behind.aclose()


async def test_a_wrong_key_stores_nothing(server: tuple[str, Path], tmp_path: Path) -> None:
    """The server checks signatures: with another secret there is a reason, not a blob."""
    url, keys = server
    access = keys.read_text().split()[0]
    wrong = tmp_path / "wrong.keys"
    wrong.write_text(f"{access} another\n")
    async with blob_store(
        tmp_path / "store", storage=f"s3+{url}/blobs/wrong", storage_key_file=str(wrong)
    ) as store:
        got = await store.ask("PUT", "/v1/blobs", body=b"data")
        assert (got.status, got.code) == (503, "blob_storage_refused")
        assert "SignatureDoesNotMatch" in got.json["error"]["message"]
    no_bucket = S3Storage(url, "/missing", Credentials(*keys.read_text().split()), Pool())
    with pytest.raises(Unavailable) as error:
        await no_bucket._do("PUT", "key", {}, b"", payload=EMPTY)
    assert "NoSuchBucket" in error.value.message
    await no_bucket.aclose()
