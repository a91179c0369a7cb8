"""Hugging Face's own tools against the hub: down and up, unmodified, but for the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.compose.models import models_root
from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.hashing import sha256
from hallmark.http.serve import Listen
from hallmark.hub.artifact import pack_artifact
from hallmark.hub.cache import read_blob_ids
from hallmark.services.hub.huggingface.downloads import Downloads
from hallmark.services.hub.huggingface.xorbs import Known
from hallmark.services.hub.settings import HubModel, Settings
from hallmark.store import sqlite_url
from hallmark.testing.blob_stores import RunningStore, blob_store
from hallmark.testing.ports import free_port
from hallmark.testing.processes import Process, patiently
from hallmark.testing.stock_huggingface import huggingface

pytestmark = pytest.mark.integration


def check(found: dict[str, Any]) -> None:
    """What the script must have found."""
    assert found["listed"] == ["me/tiny"]
    assert found["license"] == "mit"
    assert {"README.md", "config.json", "tokenizer.json", "docs/notes.txt"} <= set(found["files"])
    assert found["files"]["weights/model.safetensors"] == 5 << 20
    assert "docs/notes.txt" not in found["now"]
    assert found["commits"][-2:] == ["All of it", "initial commit"]
    assert (found["hidden_size"], found["tokens"], found["range"]) == (48, [1, 2, 0], True)
    for name, code in (("file", "repository_file_not_found"), ("revision", "revision_not_found"),
                       ("pickle", "pickle_refused"), ("card", "bad_card"),
                       ("namespace", "not_your_namespace")):  # fmt: skip
        assert code in found["refused"][name]
    for name, said in found["unoffered"].items():
        assert name.partition(" ")[0] in said


async def test_down_and_up_with_large_files_over_lfs(tmp_path: Path) -> None:
    """`huggingface_hub`, `hf`, `HfFileSystem` and `transformers` with `HF_HUB_DISABLE_XET`."""
    async with blob_store(tmp_path / "store") as store:
        check(await huggingface("client.py", store.url, tmp_path, "me", HF_HUB_DISABLE_XET="1"))


async def test_down_and_up_with_the_tools_as_they_are(tmp_path: Path) -> None:
    """The same with nothing set but the address: large files come over xet."""
    async with blob_store(tmp_path / "store") as store:
        check(await huggingface("client.py", store.url, tmp_path, "me"))


async def test_large_files_over_xet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every packing, more than a xorb, repeated pieces; a changed file sends what changed; no pickle. What
    came over xet goes down over xet.
    """
    sent = set[str]()
    piece = Downloads.piece

    async def noted(self: Downloads, scope: Any, send: Any, sha256: str, numbers: list[str]) -> None:
        sent.add(sha256)
        await piece(self, scope, send, sha256, numbers)

    monkeypatch.setattr(Downloads, "piece", noted)
    async with blob_store(tmp_path / "store", shards=100) as store:
        first = await huggingface("xet.py", store.url, tmp_path, "me/large", "first")
        assert len(first["files"]) == len(sent) == 5
        before = chunk_bytes(store)
        second = await huggingface("xet.py", store.url, tmp_path, "me/large", "second")
        assert len(second["files"]) == 6
        assert chunk_bytes(store) - before < 2 << 20
        evil = await huggingface("xet.py", store.url, tmp_path, "me/large", "evil")
        assert "pickle_refused" in evil["refused"]


def chunk_bytes(store: RunningStore) -> int:
    """How many bytes came in chunks, each once."""
    rows = store.service.database.read(lambda transaction: transaction.fetch("SELECT known FROM hub_xorbs"))
    return sum(sum(msgspec.msgpack.decode(bytes(row[0]), type=Known).lengths) for row in rows)


def test_the_models_that_ship(tmp_path: Path) -> None:
    """A hub as `hallmark up` runs it publishes them beside what it serves, with the IDs of the release; after
    a restart the same commit is there.
    """
    shipped = models_root()
    (tmp_path / "digits.tar").write_bytes(pack_artifact(shipped / "digits" / "artifact"))
    settings = Settings(
        listen=Listen(free_port()),
        directory=str(tmp_path / "store"),
        database=sqlite_url(tmp_path / "hub.db"),
        anonymous=True,
        free=0,
        models=(HubModel("digits", str(tmp_path / "digits.tar"), str(shipped / "digits" / "README.md")),),
        blob_ids=str(shipped / "blob-ids.json"),
    )
    known = read_blob_ids(shipped / "blob-ids.json")
    model = (shipped / "digits" / "artifact" / "model.onnx").read_bytes()
    commits = set()
    for _ in range(2):
        process = Process(tmp_path, "hub", "hub", settings).start().ready()
        try:
            url = f"{process.url}/hallmark/digits/resolve/main/model.onnx"
            patiently(lambda url=url: httpx.head(url).status_code == 200, "the model is published")
            got = httpx.get(url)
            assert got.content == model
            assert parse_blob_text(got.headers["x-walrus-blob-id"]) == known[sha256(model)]
            commits.add(got.headers["x-repo-commit"])
        finally:
            process.kill()
    assert len(commits) == 1
