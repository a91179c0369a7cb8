"""The hub's own repositories: the models that a network serves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hallmark.core.errors import Unavailable
from hallmark.core.hashing import sha256
from hallmark.hub.artifact import pack_files
from hallmark.services.hub.settings import HubModel
from hallmark.testing.blob_stores import RunningStore, blob_store, small_id

FILES = {"model.json": b"{}", "weights/model.onnx": b"onnx"}
CARD = b"---\nlicense: mit\n---\n# Digits\n"


def model(folder: Path, files: dict[str, bytes]) -> HubModel:
    """A packed model with its card."""
    (folder / "digits.tar").write_bytes(pack_files(files))
    (folder / "README.md").write_bytes(CARD)
    return HubModel("digits", str(folder / "digits.tar"), str(folder / "README.md"))


async def head(store: RunningStore) -> str:
    """The newest commit of `hallmark/digits`."""
    sha: str = (await store.ask("GET", "/api/models/hallmark/digits")).json["sha"]
    return sha


async def test_published_once(tmp_path: Path) -> None:
    """The files of the artifact and the card; again nothing happens; a new artifact is a new revision."""
    async with blob_store(tmp_path / "store") as store:
        await store.service.shipped.publish([model(tmp_path, FILES)])
        info = (await store.ask("GET", "/api/models/hallmark/digits")).json
        assert [one["rfilename"] for one in info["siblings"]] == ["README.md", *FILES]
        assert (info["cardData"], info["author"]) == ({"license": "mit"}, "hallmark")
        got = await store.ask("GET", "/hallmark/digits/resolve/main/weights/model.onnx")
        assert (got.body, got.headers["x-walrus-blob-id"]) == (b"onnx", small_id(b"onnx"))
        await store.service.shipped.publish([model(tmp_path, FILES)])
        assert await head(store) == info["sha"]
        await store.service.shipped.publish([model(tmp_path, {"model.onnx": b"new"})])
        listed = (await store.ask("GET", "/api/models/hallmark/digits/tree/main?recursive=1")).json
        assert [one["path"] for one in listed] == ["README.md", "model.onnx"]
        old = await store.ask("GET", f"/hallmark/digits/resolve/{info['sha']}/model.json")
        assert old.body == b"{}"


async def test_the_house_is_nobody_elses(tmp_path: Path) -> None:
    """Nobody makes a repository there, not even before the hub does."""
    async with blob_store(tmp_path / "store") as store:
        body = b'{"name":"digits","organization":"Hallmark"}'
        for key in ({}, {"authorization": "Bearer me"}):
            got = await store.ask("POST", "/api/repos/create", key, body)
            assert got.json["code"] == "not_your_namespace"
        await store.service.shipped.publish([model(tmp_path, FILES)])
        got = await store.ask("POST", "/api/models/hallmark/digits/commit/main", {}, b"{}")
        assert got.json["code"] == "not_your_namespace"


async def test_what_cannot_be_published_is_left(tmp_path: Path) -> None:
    """No file, no artifact, no name: the others are published, and what was published is served."""
    async with blob_store(tmp_path / "store") as store:
        good = model(tmp_path, FILES)
        (tmp_path / "broken.tar").write_bytes(b"no artifact")
        await store.service.shipped.publish([
            HubModel("none", str(tmp_path / "none.tar")), HubModel("broken", str(tmp_path / "broken.tar")),
            HubModel("no/name", good.artifact), good,
        ])  # fmt: skip
        listed = (await store.ask("GET", "/api/models?author=hallmark")).json
        assert {one["id"] for one in listed if one["sha"]} >= {"hallmark/digits"}
        before = await head(store)
        Path(good.artifact).write_bytes(b"no artifact")
        await store.service.shipped.publish([good])
        assert await head(store) == before


async def test_ids_that_come_with_the_release_are_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub starts without half a minute of computing."""
    made, known = model(tmp_path, FILES), tmp_path / "ids.json"
    ids = {sha256(data).hex(): small_id(data) for data in (*FILES.values(), CARD)}
    known.write_bytes(msgspec.json.encode({"format": "hallmark.blob-ids/1", "blob_ids": ids}))

    async def fails(_path: Path) -> bytes:
        raise Unavailable("blob_not_identified", "Not here.")

    async with blob_store(tmp_path / "store", blob_ids=str(known)) as store:
        monkeypatch.setattr(store.service.blobs, "_identify", fails)
        await store.service.shipped.publish([made])
        assert (await store.ask("GET", "/hallmark/digits/resolve/main/README.md")).body == CARD
