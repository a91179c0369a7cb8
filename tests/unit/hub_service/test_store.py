"""A blob store over HTTP: what Walrus's clients rely on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound, TooLarge, VerificationFailed
from hallmark.hub.ranges import RangeNotSatisfiable, parse_range
from hallmark.hub.walrus import shape_of
from hallmark.services.hub.settings import MOST_BLOB
from hallmark.testing.blob_stores import RunningStore, blob_store, identify, small_id

DATA = bytes((7 * i + 13) % 256 for i in range(256)) * 5_000
NOBODY = small_id(b"never stored")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunningStore]:
    """An open store."""
    async with blob_store(tmp_path / "store") as running:
        yield running


async def test_put_get_and_head(store: RunningStore) -> None:
    """What was put comes back under its ID, with the headers of an aggregator; HEAD says the length."""
    identifier = await store.put(DATA)
    got = await store.ask("GET", f"/v1/blobs/{identifier}")
    assert (got.status, got.body) == (200, DATA)
    assert got.headers["content-length"] == str(len(DATA))
    assert got.headers["etag"] == f'"{identifier}"'
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["access-control-allow-origin"] == "*"
    head = await store.ask("HEAD", f"/v1/blobs/{identifier}")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(DATA)))
    same = await store.ask("GET", f"/v1/blobs/{identifier}", {"if-none-match": f'"{identifier}"'})
    assert (same.status, same.body) == (304, b"")


async def test_results_are_those_of_a_publisher(store: RunningStore) -> None:
    """The first put makes an object, the next says that the blob is certified; a longer one and `force` make
    another object.
    """
    first = (await store.ask("PUT", "/v1/blobs?epochs=3", body=b"hello")).json["newlyCreated"]
    made = first["blobObject"]
    assert (made["blobId"], made["size"], made["encodingType"]) == (small_id(b"hello"), 5, "RS2")
    assert made["deletable"] is True
    assert made["storage"]["storageSize"] == 66_034_000
    assert made["storage"]["endEpoch"] == made["registeredEpoch"] + 3
    assert first["resourceOperation"]["registerFromScratch"]["epochsAhead"] == 3
    again = (await store.ask("PUT", "/v1/blobs?epochs=2", body=b"hello")).json["alreadyCertified"]
    assert again == {
        "blobId": made["blobId"],
        "object": made["id"],
        "endEpoch": made["storage"]["endEpoch"],
    }
    for query in ("epochs=4", "epochs=1&force=true", "epochs=1&permanent=true"):
        assert "newlyCreated" in (await store.ask("PUT", f"/v1/blobs?{query}", body=b"hello")).json, query
    by_object = await store.ask("GET", f"/v1/blobs/by-object-id/{made['id']}")
    assert by_object.body == b"hello"


async def test_an_empty_blob_is_one(store: RunningStore) -> None:
    """No bytes are a blob as well."""
    identifier = await store.put(b"")
    got = await store.ask("GET", f"/v1/blobs/{identifier}")
    assert (got.status, got.body) == (200, b"")
    assert (await store.ask("GET", f"/v1/blobs/{identifier}", {"range": "bytes=0-0"})).status == 416


async def test_ranges(store: RunningStore) -> None:
    """206 with Content-Range for a part, 416 with the length for what is not there, 200 for byte-range."""
    path = f"/v1/blobs/{await store.put(DATA)}"
    part = await store.ask("GET", path, {"range": "bytes=1048570-1048585"})
    assert (part.status, part.body) == (206, DATA[1048570:1048586])
    assert part.headers["content-range"] == f"bytes 1048570-1048585/{len(DATA)}"
    beyond = await store.ask("GET", path, {"range": f"bytes=0-{len(DATA)}"})
    assert (beyond.status, beyond.code) == (416, "bad_byte_range")
    assert beyond.headers["content-range"] == f"bytes */{len(DATA)}"
    assert beyond.json["error"]["status"] == "RANGE_NOT_SATISFIABLE"
    assert beyond.json["error"]["details"][0]["reason"] == "INVALID_BYTE_RANGE"
    plain = await store.ask("GET", f"{path}/byte-range?start=5&length=7")
    assert (plain.status, plain.body) == (200, DATA[5:12])
    outside = await store.ask("GET", f"{path}/byte-range?start=5&length={len(DATA)}")
    assert (outside.status, outside.code) == (400, "bad_byte_range")


async def test_any_range_is_what_the_bytes_are(tmp_path: Path) -> None:
    """Whatever range a client asks for, it gets those bytes of the blob, or 416."""
    async with blob_store(tmp_path) as store:
        path = f"/v1/blobs/{await store.put(DATA)}"
        asked: list[str] = []

        @given(
            st.from_regex(r"\Abytes=\d{0,8}-\d{0,8}\Z")
            | st.tuples(st.integers(0, len(DATA)), st.integers(0, len(DATA))).map(
                lambda pair: f"bytes={min(pair)}-{max(pair)}"
            )
        )
        @settings(max_examples=60)
        def collect(value: str) -> None:
            asked.append(value)

        collect()
        for value in asked:
            got = await store.ask("GET", path, {"range": value})
            try:
                span = parse_range(value, len(DATA))
            except RangeNotSatisfiable:
                assert got.status == 416, value
            else:
                assert (got.status, got.body) == (206, DATA[span.start : span.end]), value


async def test_concat(store: RunningStore) -> None:
    """Several blobs come as one, named by blob ID or by object ID; one that is missing is said at once."""
    made = (await store.ask("PUT", "/v1/blobs", body=b"two")).json["newlyCreated"]["blobObject"]
    one, three = await store.put(b"one"), await store.put(b"three")
    got = await store.ask("GET", f"/v1alpha/blobs/concat?ids={one},{made['id']},{three}")
    assert (got.status, got.body) == (200, b"onetwothree")
    posted = await store.ask("POST", "/v1alpha/blobs/concat", body=f'{{"ids":["{three}","{one}"]}}'.encode())
    assert posted.body == b"threeone"
    assert (await store.ask("GET", f"/v1alpha/blobs/concat?ids={one},{NOBODY}")).code == "blob_not_found"
    assert (await store.ask("POST", "/v1alpha/blobs/concat", body=b"{}")).code == "bad_store_request"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"/v1/blobs/{NOBODY}", 404, "blob_not_found"),
        ("HEAD", f"/v1/blobs/{NOBODY}", 404, ""),
        ("GET", "/v1/blobs/short", 400, "bad_blob_id"),
        ("GET", "/v1/blobs/..%2F..%2Fetc%2Fpasswd", 400, "bad_blob_id"),
        ("GET", f"/v1/blobs/{NOBODY}?strict_consistency_check=1", 400, "bad_store_request"),
        (
            "GET",
            f"/v1/blobs/{NOBODY}?strict_consistency_check=true&skip_consistency_check=true",
            400,
            "blob_check_contradicts",
        ),
        ("GET", f"/v1/blobs/{NOBODY}?other=true", 400, "bad_store_request"),
        ("GET", f"/v1/blobs/by-object-id/{hex0x(bytes(32))}", 404, "blob_object_not_found"),
        ("GET", "/v1/blobs/by-object-id/0x12", 400, "bad_blob_id"),
        ("GET", f"/v1/blobs/{NOBODY}/byte-range?start=1", 400, "bad_store_request"),
        ("GET", "/v1/nothing", 404, "no_such_page"),
        ("POST", "/v1/blobs", 405, "method_not_allowed"),
        ("DELETE", f"/v1/blobs/{NOBODY}", 405, "method_not_allowed"),
        ("PUT", "/v1/blobs?epochs=0", 400, "bad_store_request"),
        ("PUT", "/v1/blobs?epochs=54", 400, "bad_store_request"),
        ("PUT", "/v1/blobs?epochs=1&epochs=2", 400, "bad_store_request"),
        ("PUT", "/v1/blobs?encoding_type=RedStuff", 400, "bad_store_request"),
        ("PUT", "/v1/blobs?deletable=true&permanent=true", 400, "blob_deletable_and_permanent"),
        ("PUT", f"/v1/blobs?send_object_to={hex0x(bytes(32))}", 400, "no_sui_object"),
        ("PUT", "/v1/blobs?share=true", 400, "no_sui_object"),
    ],
)
async def test_refusals(store: RunningStore, method: str, path: str, status: int, code: str) -> None:
    """Each refusal has Walrus's shape and status, and our code."""
    got = await store.ask(method, path, body=b"x" if method == "PUT" else b"")
    assert got.status == status
    if code:
        assert got.code == code
        assert got.json["error"]["code"] == status
        assert got.json["error"]["details"][0]["@type"] == "ErrorInfo"
    if status == 404 and "NOT_FOUND" in got.body.decode():
        assert got.json["error"]["details"][0]["domain"] in ("daemon.walrus.space", "hallmark")


async def test_what_it_says_of_itself(store: RunningStore) -> None:
    """The list of paths is a page and an OpenAPI document; status is OK."""
    page = await store.ask("GET", "/v1/api")
    assert page.headers["content-type"].startswith("text/html")
    document = await store.ask("GET", "/v1/api", {"accept": "application/json"})
    assert document.json["openapi"] == "3.1.0"
    assert set(document.json["paths"]["/v1/blobs/{blob_id}"]) == {"get", "head"}
    assert (await store.ask("GET", "/status")).body == b"OK"


async def test_who_may_put(tmp_path: Path) -> None:
    """Unless a store is open, who puts shows a key; everybody may get."""
    key = hex0x(hashlib.sha256(b"secret").digest())
    async with blob_store(tmp_path, anonymous=False, keys=(key,)) as store:
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "secret"}):
            refused = await store.ask("PUT", "/v1/blobs", headers, b"data")
            assert (refused.status, refused.code) == (401, "blob_key")
        taken = await store.ask("PUT", "/v1/blobs", {"authorization": "Bearer secret"}, b"data")
        assert taken.status == 200
        assert (await store.ask("GET", f"/v1/blobs/{small_id(b'data')}")).body == b"data"


async def test_a_client_believes_no_id(store: RunningStore, tmp_path: Path) -> None:
    """The client gets a file only when its ID holds, and takes no other ID from a publisher."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(DATA)
    identifier = small_id(DATA)
    assert (await store.client.put(source, identifier)).created
    assert not (await store.client.put(source, identifier)).created
    assert await store.client.size(identifier) == len(DATA)
    assert await store.client.get(identifier, target, identify, most=1 << 30) == len(DATA)
    assert target.read_bytes() == DATA

    async def other(_path: Path) -> bytes:
        return bytes(32)

    with pytest.raises(VerificationFailed) as wrong:
        await store.client.get(identifier, target, other, most=1 << 30)
    assert wrong.value.reason == "blob_id_mismatch"
    with pytest.raises(VerificationFailed) as named:
        await store.client.put(source, NOBODY)
    assert named.value.reason == "store_named_another_id"
    with pytest.raises(NotFound):
        await store.client.get(NOBODY, target, identify, most=1 << 30)
    assert target.read_bytes() == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "store", "target"]


def test_the_longest_blob_is_what_walrus_encodes() -> None:
    """One byte more has no shape."""
    assert shape_of(MOST_BLOB).length == MOST_BLOB
    with pytest.raises(TooLarge):
        shape_of(MOST_BLOB + 1)
