"""What goes wrong with a blob: each ends in a reason, and nothing half is ever served."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hallmark.core.errors import Conflict, Unavailable
from hallmark.hub.record import CHUNK
from hallmark.services.hub import staging
from hallmark.testing.blob_stores import RunningStore, blob_store, small_id

DATA = bytes((7 * i + 13) % 256 for i in range(256)) * 12_000
"""Three mebibytes, less some."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunningStore]:
    """An open store."""
    async with blob_store(tmp_path / "store") as running:
        yield running


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def left(store: RunningStore) -> list[str]:
    """What is in the staging folder."""
    return sorted(path.name for path in (store.folder / "staging").iterdir() if path.name != "lock")


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(3_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


@pytest.mark.parametrize("harm", ["flip", "truncate", "lengthen_short", "remove"])
async def test_a_changed_copy_is_never_served(store: RunningStore, harm: str) -> None:
    """A flipped byte, a cut and a lost file are seen before a byte of that chunk goes out; the copy is put
    aside, and the blob can be put again.
    """
    identifier = await store.put(DATA)
    path = store.file(identifier)
    if harm == "flip":
        flip(path, 10)
    elif harm == "remove":
        path.unlink()
    else:
        path.write_bytes(DATA[:CHUNK] if harm == "truncate" else b"")
    start = CHUNK + 5 if harm == "truncate" else 0
    got = await store.ask("GET", f"/v1/blobs/{identifier}", {"range": f"bytes={start}-{start + 20}"})
    assert (got.status, got.code) == (500, "blob_damaged")
    assert (store.folder / "damaged" / f"{identifier}.json").exists()
    assert (await store.ask("HEAD", f"/v1/blobs/{identifier}")).status == 404
    assert await store.put(DATA) == identifier
    assert (await store.ask("GET", f"/v1/blobs/{identifier}")).body == DATA


async def test_damage_in_the_middle_cuts_the_answer(store: RunningStore) -> None:
    """The head has gone out: the connection closes before the length that it named, and the next request gets
    the reason. What lies before is served as long as nobody reads the damage.
    """
    identifier = await store.put(DATA)
    flip(store.file(identifier), 2 * CHUNK + 1)
    before = await store.ask("GET", f"/v1/blobs/{identifier}", {"range": f"bytes=0-{CHUNK - 1}"})
    assert before.body == DATA[:CHUNK]
    with pytest.raises(Unavailable) as cut:
        await store.ask("GET", f"/v1/blobs/{identifier}")
    assert cut.value.reason == "connection_lost"
    assert (await store.ask("GET", f"/v1/blobs/{identifier}")).code == "blob_not_found"


async def test_exchanged_blobs_are_found_by_the_strict_check(store: RunningStore) -> None:
    """Who exchanges blob and record deceives the quick check, not the strict one: it computes the ID."""
    one, two = await store.put(b"one"), await store.put(b"two")
    record = store.file(one).with_name(one + ".json").read_bytes()
    store.file(two).write_bytes(b"one")
    store.file(two).with_name(two + ".json").write_bytes(record.replace(one.encode(), two.encode()))
    assert (await store.ask("GET", f"/v1/blobs/{two}")).body == b"one"
    strict = await store.ask("GET", f"/v1/blobs/{two}?strict_consistency_check=true")
    assert (strict.status, strict.code) == (500, "blob_id_wrong")
    assert (await store.ask("GET", f"/v1/blobs/{two}")).status == 404
    good = await store.ask("GET", f"/v1/blobs/{one}?strict_consistency_check=true")
    assert (good.status, good.body) == (200, b"one")
    assert left(store) == []


async def test_a_damaged_record_is_a_reason(store: RunningStore) -> None:
    """A record that is none is put aside with its blob."""
    identifier = await store.put(DATA)
    store.file(identifier).with_name(identifier + ".json").write_bytes(b"{}")
    assert (await store.ask("GET", f"/v1/blobs/{identifier}")).code == "blob_record_damaged"
    assert (await store.ask("GET", f"/v1/blobs/{identifier}")).code == "blob_not_found"


async def test_putting_again_heals_what_nobody_has_read(store: RunningStore) -> None:
    """A put replaces the copy, damaged or not."""
    identifier = await store.put(DATA)
    flip(store.file(identifier), 0)
    await store.put(DATA)
    assert (await store.ask("GET", f"/v1/blobs/{identifier}")).body == DATA


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_cut_connection_leaves_nothing(store: RunningStore, chunked: bool) -> None:
    """Who goes away in the middle has stored nothing, and a blob of the same beginning is not there."""
    await store.put(DATA)
    parts = urlsplit(store.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 3000000"
    writer.write(b"PUT /v1/blobs HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n")
    body = DATA[:200_000]
    writer.write(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
    await writer.drain()
    await until(lambda: bool(left(store)))
    writer.close()
    await until(lambda: not left(store))
    assert (await store.ask("GET", f"/v1/blobs/{small_id(body)}")).code == "blob_not_found"
    assert (await store.ask("GET", f"/v1/blobs/{small_id(DATA)}")).body == DATA
    assert await reader.read() == b""


async def test_who_stands_still_is_sent_away(tmp_path: Path) -> None:
    """An upload that does not go on for a while ends with 408."""
    async with blob_store(tmp_path, idle_s=0.05) as store:
        parts = urlsplit(store.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"PUT /v1/blobs HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        assert b"408" in await reader.readline()
        writer.close()
        assert left(store) == []


async def test_what_is_too_large_is_refused_before_and_after(tmp_path: Path) -> None:
    """By its announced length, and where that is not known by what came."""
    async with blob_store(tmp_path, most_blob=1_000) as store:
        announced = await store.ask("PUT", "/v1/blobs", body=bytes(1_001))
        assert (announced.status, announced.code) == (413, "blob_too_large")
        parts = urlsplit(store.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"PUT /v1/blobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"3e9\r\n" + bytes(1_001) + b"\r\n")
        assert b"413" in await reader.readline()
        writer.close()
        assert await store.put(bytes(1_000))
        assert left(store) == []


async def test_a_full_disk_is_a_reason(store: RunningStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room: 503 and a reason, nothing stays behind, and what was stored is served."""
    identifier = await store.put(DATA)

    def full(_self: staging.Staged, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(staging.Staged, "_store", full)
        got = await store.ask("PUT", "/v1/blobs", body=b"more")
    assert (got.status, got.code) == (503, "blob_disk_full")
    assert left(store) == []
    assert (await store.ask("GET", f"/v1/blobs/{identifier}")).body == DATA
    await store.put(b"more")


async def test_room_that_stays_free(tmp_path: Path) -> None:
    """A store stops taking blobs before the disk is full."""
    async with blob_store(tmp_path, free=1 << 60) as store:
        assert (await store.ask("PUT", "/v1/blobs", body=b"x")).code == "blob_disk_full"


async def test_places_are_counted(tmp_path: Path) -> None:
    """More uploads than a store takes at once wait outside."""
    async with blob_store(tmp_path, under_way=0) as store:
        assert (await store.ask("PUT", "/v1/blobs", body=b"x")).code == "blob_store_busy"


async def test_a_directory_has_one_process(tmp_path: Path) -> None:
    """The second store of a directory does not start; the next start clears what a killed one left."""
    async with blob_store(tmp_path):
        with pytest.raises(Conflict) as error:
            async with blob_store(tmp_path):
                pass
        assert error.value.reason == "blob_store_in_use"
    (tmp_path / "staging" / "left").write_bytes(b"half")
    async with blob_store(tmp_path) as store:
        assert left(store) == []
