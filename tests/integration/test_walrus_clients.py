"""Walrus's own encoder and a client by somebody else, beside our store; and a store that is killed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli
from hallmark.core.blob_ids import blob_text
from hallmark.core.errors import NotFound, VerificationFailed
from hallmark.crypto import bls
from hallmark.http.serve import Listen
from hallmark.hub.blob_metadata import Kind
from hallmark.hub.certificate import confirmation_message
from hallmark.hub.quilt import Part, Quilt
from hallmark.hub.slivers import line_of, sliver_size
from hallmark.hub.walrus import MemorySource, blob_id
from hallmark.services.hub.settings import Settings
from hallmark.store import sqlite_url
from hallmark.testing.committees import secret_of, slivers_of
from hallmark.testing.ports import free_port
from hallmark.testing.processes import Process, patiently
from hallmark.testing.stock_walrus import oracle, walrus_python

pytestmark = pytest.mark.integration

HELLO = "VCHdU3RHtQVBYAI3c30jDhM8PNvrgv7OVxIb8eW6Ih4"
SOME_STRING = "9k95lgtG9iPU8yk_wYz8m8CUY1snveemF8ypfpBLUUg"


def hub(folder: Path) -> Process:
    """A store as a process of its own, at a thousand shards."""
    settings = Settings(
        listen=Listen(free_port()),
        directory=str(folder / "store"),
        database=sqlite_url(folder / "objects.db"),
        anonymous=True,
        free=0,
    )
    return Process(folder, "hub", "hub", settings).start().ready()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One store for the tests that do not kill it."""
    running = hub(tmp_path_factory.mktemp("hub"))
    yield running
    running.kill()


def test_walrus_python_passes(store: Process) -> None:
    """The third-party client, unmodified: everything that it can put, get and be refused."""
    said = walrus_python(store.url)
    assert said == {
        "id": SOME_STRING,
        "encoded": 66_034_000,
        "again": SOME_STRING,
        "file": SOME_STRING,
        "stream": blob_text(blob_id(b"some string!")),
        "to_file": "some string",
        "got": "some string",
        "by_object": "some string",
        "streamed": "some string",
        "length": "11",
        "errors": [
            [404, "NOT_FOUND", "blob_not_found"],
            [400, "INVALID_ARGUMENT", "bad_blob_id"],
            [400, "INVALID_ARGUMENT", "bad_store_request"],
            [400, "INVALID_ARGUMENT", "no_sui_object"],
        ],
    }


def test_quilts_are_those_of_walrus() -> None:
    """Random files and tags make the same bytes and the same columns as Mysten's own encoder; blob IDs are
    the same as well.
    """
    chance = random.Random(20_240_611)
    cases: list[dict[str, Any]] = []
    for shards, most in ((10, 4), (22, 8), (100, 60), (1000, 60)):
        for _ in range(4):
            parts = [
                {
                    "identifier": f"{chance.choice('zbaQ_-é')[-1]}{number}".lstrip("_"),
                    "tags": {
                        "k" * (1 + chance.randrange(5)) + str(one): "v" * chance.randrange(200)
                        for one in range(chance.choice([0, 0, 1, 4]))
                    },
                    "data": base64.b64encode(chance.randbytes(chance.choice([0, 1, 5, 300, 4_000]))).decode(),
                }
                for number in range(1 + chance.randrange(most))
            ]
            cases.append({"shards": shards, "parts": parts})
        cases.append({"shards": shards, "data": base64.b64encode(chance.randbytes(5_000)).decode()})
    for case, made in zip(cases, oracle(cases), strict=True):
        if "data" in case:
            assert blob_text(blob_id(base64.b64decode(case["data"]), case["shards"])) == made
            continue
        files = [(one["identifier"], one["tags"], base64.b64decode(one["data"])) for one in case["parts"]]
        quilt = Quilt(
            [Part(name, tags, len(data), MemorySource(data)) for name, tags, data in files], case["shards"]
        )
        data = b"".join(quilt.row_bytes())
        patches = [[one.identifier, one.start, one.end] for one in quilt.patches]
        assert made == {
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "patches": patches,
        }


def test_slivers_are_those_of_walrus() -> None:
    """Mysten's own encoder makes the same pairs of slivers: row i beside column n-1-i."""
    chance, cases, ours = random.Random(7), list[dict[str, Any]](), []
    for shards, length in ((10, 1), (10, 5_000), (22, 3_000), (100, 70_000)):
        data = chance.randbytes(length)
        metadata, slivers = slivers_of(data, shards)
        shape = metadata.shape
        cases.append(
            {
                "shards": shards,
                "data": base64.b64encode(data).decode(),
                "sizes": [sliver_size(shape, kind) for kind in Kind],
                "symbol": shape.symbol,
            }
        )
        ours.append(
            [
                [
                    [line_of(shape, pair, kind), hashlib.sha256(slivers[pair, kind]).hexdigest()]
                    for pair in range(shards)
                ]
                for kind in Kind
            ]
        )
    assert oracle(cases) == ours


def test_confirmations_are_those_of_walrus() -> None:
    """Mysten's own library verifies our signatures, adds them up to the same bytes, and verifies the sum."""
    message = confirmation_message(7, bytes(range(32)))
    secrets = [secret_of(f"node-{index}") for index in range(5)]
    signed = [bls.sign(secret, message) for secret in secrets]
    total = bls.aggregate(signed)

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    (said,) = oracle(
        [
            {
                "message": text(message),
                "keys": [text(bls.public_key(secret)) for secret in secrets],
                "signed": [text(one) for one in signed],
                "sum": text(total),
            }
        ]
    )
    assert said == {"each": [True] * 5, "sum": text(total), "holds": True}


def test_a_quilt_as_curl_would_put_it(store: Process) -> None:
    """One tiny file makes a blob of 445,556 bytes, and comes back by its ID."""
    answer = httpx.put(f"{store.url}/v1/quilts", files={"note.txt": b"hello"}, timeout=120).json()
    made = answer["blobStoreResult"]["newlyCreated"]["blobObject"]
    assert made["size"] == 445_556
    patch = answer["storedQuiltBlobs"][0]["quiltPatchId"]
    assert httpx.get(f"{store.url}/v1/blobs/by-quilt-patch-id/{patch}").content == b"hello"


def test_the_commands(store: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put, get and verify as people do; what has another ID never takes its place."""
    monkeypatch.setenv("HALLMARK_STORE", store.url)
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    (tmp_path / "hello").write_bytes(b"hello")
    put = run.invoke(cli, ["blob", "put", "hello", "--epochs", "2"], catch_exceptions=False)
    assert put.stdout.strip() == HELLO
    assert "5 bytes stored, until epoch" in put.stderr
    run.invoke(cli, ["blob", "get", HELLO, "-o", "copy"], catch_exceptions=False)
    assert (tmp_path / "copy").read_bytes() == b"hello"
    assert run.invoke(cli, ["blob", "get", HELLO, "-o", "-"]).stdout_bytes == b"hello"
    assert "its ID holds" in run.invoke(cli, ["blob", "verify", HELLO]).stdout
    assert run.invoke(cli, ["blob", "verify", "hello", "--store", store.url]).stdout.strip() == HELLO
    (tmp_path / "other").write_bytes(b"other")
    missing = run.invoke(cli, ["blob", "verify", "other", "--store", store.url])
    assert isinstance(missing.exception, NotFound)
    record = next((store.folder / "store" / "blobs").rglob(HELLO + ".json"))
    forged = record.read_bytes().replace(HELLO.encode(), SOME_STRING.encode())
    place = store.folder / "store" / "blobs" / SOME_STRING[:2]
    place.mkdir(exist_ok=True)
    (place / SOME_STRING).write_bytes(b"hello")
    (place / f"{SOME_STRING}.json").write_bytes(forged)
    lied = run.invoke(cli, ["blob", "get", SOME_STRING, "-o", "copy"])
    assert isinstance(lied.exception, VerificationFailed)
    assert lied.exception.reason == "blob_id_mismatch"
    assert (tmp_path / "copy").read_bytes() == b"hello"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "hello", "other"]


def test_a_kill_in_the_middle_of_a_put_leaves_nothing(tmp_path: Path) -> None:
    """While bytes arrive and while the ID is computed: after each kill the store starts, what was stored is
    served, and nothing half is.
    """
    store = hub(tmp_path)
    assert httpx.put(f"{store.url}/v1/blobs", content=b"hello", timeout=120).status_code == 200
    staging = tmp_path / "store" / "staging"
    body = os.urandom(3 << 20)

    async def put(sent: int, least: int) -> None:
        parts = urlsplit(store.url)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"PUT /v1/blobs HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body))
        writer.write(body[:sent])
        await writer.drain()
        await asyncio.to_thread(
            patiently,
            lambda: any(path.stat().st_size >= least for path in staging.iterdir()),
            "bytes in staging",
        )
        store.kill()
        writer.close()

    for sent, least in ((2 << 20, 1 << 20), (len(body), len(body))):
        asyncio.run(put(sent, least))
        blobs = [path.name for path in (tmp_path / "store" / "blobs").rglob("*") if path.is_file()]
        assert sorted(blobs) == sorted([HELLO, f"{HELLO}.json"])
        store.start().ready()
        assert sorted(path.name for path in staging.iterdir()) == ["lock"]
        assert httpx.get(f"{store.url}/v1/blobs/{HELLO}").content == b"hello"
    answer = httpx.put(f"{store.url}/v1/blobs", content=body, timeout=120).json()
    identifier = answer["newlyCreated"]["blobObject"]["blobId"]
    assert httpx.get(f"{store.url}/v1/blobs/{identifier}").content == body
    store.kill()
