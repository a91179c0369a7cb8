"""Large files over xet: tokens, xorbs, shards, and what is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from hallmark.hub.xet import XorbReader, hash_text
from hallmark.hub.xet_layout import file_hash
from hallmark.services.hub.huggingface import links
from hallmark.testing.blob_stores import Answer, RunningStore, blob_store, small_id
from hallmark.testing.xet_files import Xorb, chunk_hash, shard, whole, xorb

ME = {"authorization": "Bearer me"}
CHUNKS = [os.urandom(60_000) for _ in range(80)]
ALL = b"".join(CHUNKS)
MADE = xorb(CHUNKS)


class Session:
    """A client with a token."""

    def __init__(self, store: RunningStore, token: str) -> None:
        self._store, self.headers = store, {"authorization": f"Bearer {token}"}

    async def xorb(self, one: Xorb, data: bytes | None = None) -> Answer:
        """Send a xorb."""
        body = one.data if data is None else data
        return await self._store.ask("POST", f"/xet/v1/xorbs/default/{one.name}", self.headers, body)

    async def shard(self, *files: tuple[str, Sequence[tuple[Xorb, int, int]]]) -> Answer:
        """Send a shard."""
        return await self._store.ask("POST", "/xet/v1/shards", self.headers, shard(files))


async def publish(store: RunningStore, path: str, data: bytes) -> Answer:
    """Commit a file whose bytes were sent."""
    value = {"path": path, "algo": "sha256", "oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    lines = [{"key": "header", "value": {"summary": "x"}}, {"key": "lfsFile", "value": value}]
    body = b"\n".join(msgspec.json.encode(one) for one in lines)
    return await store.ask("POST", "/api/models/me/first/commit/main", ME, body)


async def session(store: RunningStore) -> Session:
    """A client that may write."""
    got = await store.ask("GET", "/api/models/me/first/xet-write-token/main", ME)
    assert got.headers["x-xet-cas-url"] == f"{store.url}/xet" == got.json["casUrl"]
    assert got.headers["x-xet-access-token"] == got.json["accessToken"]
    assert int(got.headers["x-xet-token-expiration"]) == got.json["exp"]
    return Session(store, got.json["accessToken"])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunningStore]:
    """An open store with an empty repository `me/first`."""
    async with blob_store(tmp_path / "store") as running:
        await running.ask("POST", "/api/repos/create", ME, b'{"name":"first","organization":"me"}')
        yield running


async def test_a_file_in_pieces(store: RunningStore) -> None:
    """Xorbs, then a shard: the file is there, as a blob, and nothing is left of its pieces."""
    client = await session(store)
    assert (await client.xorb(MADE)).json == {"was_inserted": True}
    assert (await client.xorb(MADE)).json == {"was_inserted": False}
    assert (await client.shard(whole(MADE))).json == {"result": 1}
    assert (await publish(store, "m.safetensors", ALL)).status == 200
    got = await store.ask("GET", "/me/first/resolve/main/m.safetensors")
    assert (got.body, got.headers["x-walrus-blob-id"]) == (ALL, small_id(ALL))
    assert [one.name for one in (store.folder / "staging").iterdir()] == ["lock"]


async def test_what_came_once_is_not_sent_again(store: RunningStore) -> None:
    """A tool refers to a xorb of an earlier upload, and to a part of it: it is read out of the stored files.
    When those are damaged, the xorb is taken once more.
    """
    client = await session(store)
    await client.xorb(MADE)
    await client.shard(whole(MADE))
    assert (await client.xorb(MADE)).json == {"was_inserted": False}
    more = xorb([b"head", b"tail"])
    await client.xorb(more)
    mixed = b"head" + b"".join(CHUNKS[3:50]) + CHUNKS[0] + b"tail"
    terms = [(more, 0, 1), (MADE, 3, 50), (MADE, 0, 1), (more, 1, 2)]
    assert (await client.shard((hashlib.sha256(mixed).hexdigest(), terms))).status == 200
    assert (await publish(store, "mixed.gguf", mixed)).status == 200
    assert (await store.ask("GET", "/me/first/resolve/main/mixed.gguf")).body == mixed
    for data in (ALL, mixed):
        store.file(small_id(data)).with_name(small_id(data) + ".json").unlink()
    again = (hashlib.sha256(CHUNKS[0]).hexdigest(), [(MADE, 0, 1)])
    assert (await client.shard(again)).json["code"] == "xorb_not_found"
    assert (await client.xorb(MADE)).json == {"was_inserted": True}
    assert (await client.shard(again, whole(MADE))).status == 200


async def test_who_may_send(store: RunningStore) -> None:
    """Nobody without a token, with a made-up one, or with somebody else's name in it."""
    token = (await session(store)).headers["authorization"].removeprefix("Bearer ")
    writer, until, tag = token.split(".")
    for wrong in (
        "",
        "x",
        f"{'0' * 64}.{until}.{tag}",
        f"{writer}.{int(until) + 1}.{tag}",
        f"{writer}.-1.{tag}",
    ):
        client = Session(store, wrong)
        for answer in (await client.xorb(MADE), await client.shard(whole(MADE))):
            assert (answer.status, answer.json["code"]) == (401, "upload_link_invalid")
    path = "/api/models/me/first/xet-write-token/main"
    assert (await store.ask("GET", path, {"authorization": "Bearer you"})).status == 403
    assert (await store.ask("GET", path, ME | {"origin": "http://evil.example"})).status == 403
    unknown = await store.ask(
        "GET", f"/xet/v1/chunks/default-merkledb/{'0' * 64}", {"authorization": f"Bearer {token}"}
    )
    assert (unknown.status, unknown.json["code"]) == (404, "xet_chunk_not_found")


async def test_pieces_that_are_not_what_they_are_called(store: RunningStore) -> None:
    """Another xorb under a name, one that is cut, a shard about what is not there: each has its reason, and
    nothing can be published of it.
    """
    client = await session(store)
    other = xorb(CHUNKS[:3])
    assert (await client.xorb(MADE, other.data)).json["code"] == "xorb_mismatch"
    assert (await client.xorb(MADE, MADE.data[:-1])).json["code"] == "bad_xet"
    assert (await client.shard(whole(MADE))).json["code"] == "xorb_not_found"
    await client.xorb(MADE)
    digest = whole(MADE)[0]
    assert (await client.shard((digest, [(MADE, 0, 79)]))).json["code"] == "content_mismatch"
    beyond = Xorb(MADE.hash, (*CHUNKS, b"more"), b"")
    assert (await client.shard((digest, [(beyond, 0, 81)]))).json["code"] == "bad_xet"
    swapped = Xorb(MADE.hash, tuple(CHUNKS[::-1]), b"")
    assert (await client.shard((digest, [(swapped, 0, 80)]))).json["code"] == "bad_xet"
    assert (await store.ask("POST", "/xet/v1/shards", client.headers, b"x")).json["code"] == "bad_xet"
    assert (await publish(store, "m.onnx", ALL)).json["code"] == "content_missing"
    evil = xorb([b"cos\nsystem\n(S'ls'\ntR0", b"N0" * 50_000, b"N."])
    await client.xorb(evil)
    assert (await client.shard(whole(evil))).json["code"] == "pickle_refused"
    assert (await client.shard(whole(MADE))).status == 200


MIXED = b"".join(CHUNKS[3:78]) + CHUNKS[0] + b"".join(CHUNKS[5:9])
TERMS = [(MADE, 3, 78), (MADE, 0, 1), (MADE, 5, 9)]


async def publish_mixed(store: RunningStore) -> str:
    """A file of three terms of one xorb, over xet; its hash."""
    client = await session(store)
    await client.xorb(MADE)
    await client.shard((hashlib.sha256(MIXED).hexdigest(), TERMS))
    assert (await publish(store, "mixed.gguf", MIXED)).status == 200
    got = await store.ask("HEAD", "/me/first/resolve/main/mixed.gguf")
    route = got.headers["link"].partition(">")[0].removeprefix("<" + store.url)
    assert route == f"/api/models/me/first/xet-read-token/{got.headers['x-repo-commit']}"
    return got.headers["x-xet-hash"]


async def read_token(store: RunningStore, repository: str = "me/first") -> dict[str, str]:
    """What somebody without a key shows to download."""
    got = await store.ask("GET", f"/api/models/{repository}/xet-read-token/main")
    assert got.headers["x-xet-access-token"] == got.json["accessToken"]
    return {"authorization": f"Bearer {got.json['accessToken']}"}


async def put_together(store: RunningStore, told: Answer) -> bytes:
    """What a tool makes of an answer: the chunks of each term, behind the offset."""
    out = b""
    for term in told.json["terms"]:
        asked = term["range"]
        one = next(
            one
            for one in told.json["fetch_info"][term["hash"]]
            if one["range"]["start"] <= asked["start"] and asked["end"] <= one["range"]["end"]
        )
        place = one["url_range"]
        path = one["url"].removeprefix(store.url)
        got = await store.ask("GET", path, {"range": f"bytes={place['start']}-{place['end']}"})
        assert got.status == 206
        reader = XorbReader()
        chunks = list(reader.feed(got.body))
        hashes = [name for name, _ in reader.chunks]
        assert hashes == [chunk_hash(chunk) for chunk in CHUNKS[one["range"]["start"] : one["range"]["end"]]]
        part = b"".join(chunks[asked["start"] - one["range"]["start"] :][: asked["end"] - asked["start"]])
        assert len(part) == term["unpacked_length"]
        out += part
    return out[told.json["offset_into_first_range"] :]


@pytest.mark.parametrize("span", [None, (0, 0), (59_999, 60_000), (100_000, 4_510_000), (4_500_000, 1 << 40)])
async def test_a_file_comes_down_in_pieces(store: RunningStore, span: tuple[int, int] | None) -> None:
    """All of it and ranges of it, by anybody; its hash is that of its chunks, not what a shard calls it."""
    named = await publish_mixed(store)
    order = [*CHUNKS[3:78], CHUNKS[0], *CHUNKS[5:9]]
    assert named == hash_text(file_hash([(chunk_hash(chunk), len(chunk)) for chunk in order]))
    asked = {} if span is None else {"range": f"bytes={span[0]}-{span[1]}"}
    told = await store.ask("GET", f"/xet/v1/reconstructions/{named}", await read_token(store) | asked)
    wanted = MIXED if span is None else MIXED[span[0] : span[1] + 1]
    assert (await put_together(store, told))[: len(wanted)] == wanted
    assert sum(term["unpacked_length"] for term in told.json["terms"]) < len(wanted) + 2 * 60_000


async def test_who_may_download_over_xet(store: RunningStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with a token that is forged, over, of another repository or for something else; a read token writes
    nothing, however it is spelt.
    """
    named = await publish_mixed(store)
    path, good = f"/xet/v1/reconstructions/{named}", await read_token(store)
    text = good["authorization"].removeprefix("Bearer ")
    permits, until, tag = text.split(".")
    elsewhere = b"me/second 0".hex()
    writing = (await session(store)).headers["authorization"].removeprefix("Bearer ")
    monkeypatch.setattr(links, "LASTS_S", -1)
    over = (await read_token(store))["authorization"].removeprefix("Bearer ")
    monkeypatch.undo()
    for wrong in ("", "x", f"{elsewhere}.{until}.{tag}", f"{permits}.{int(until) + 1}.{tag}", writing, over):
        got = await store.ask("GET", path, {"authorization": f"Bearer {wrong}"})
        assert (got.status, got.json["code"]) == (401, "xet_token_invalid")
    told = await store.ask("GET", path, good)
    piece = next(iter(told.json["fetch_info"].values()))[0]["url"].removeprefix(store.url)
    for wrong in (piece.replace("/0/3/78", "/0/3/77"), piece.partition("?")[0], piece[:-1] + "x"):
        assert (await store.ask("GET", wrong)).json["code"] == "xet_token_invalid"
    await store.ask("POST", "/api/repos/create", ME, b'{"name":"second","organization":"me"}')
    other = await store.ask("GET", path, await read_token(store, "me/second"))
    assert (other.status, other.json["code"]) == (404, "xet_file_not_found")
    beyond = await store.ask("GET", path, good | {"range": "bytes=99999999-"})
    assert (beyond.status, beyond.json["code"]) == (416, "bad_byte_range")
    assert (await store.ask("GET", f"{path[:-1]}X", good)).json["code"] == "bad_xet"
    spelt = f"-read {bytes.fromhex(permits).decode()}.{until}.{tag}"
    for token in (text, spelt, spelt.removeprefix("-")):
        refused = await Session(store, token).shard(whole(MADE))
        assert (refused.status, refused.json["code"]) == (401, "upload_link_invalid")


async def test_what_did_not_come_over_xet_goes_down_plain(store: RunningStore) -> None:
    """A file that came over LFS has no hash, and no shard that names it later gives it one: nobody compared
    its chunks with that.
    """
    digest = hashlib.sha256(MIXED).hexdigest()
    body = msgspec.json.encode({"operation": "upload", "objects": [{"oid": digest, "size": len(MIXED)}]})
    batch = await store.ask("POST", "/me/first.git/info/lfs/objects/batch", ME, body)
    href = batch.json["objects"][0]["actions"]["upload"]["href"].removeprefix(store.url)
    assert (await store.ask("PUT", href, body=MIXED)).status == 200
    client = await session(store)
    await client.xorb(MADE)
    assert (await client.shard((digest, TERMS))).status == 200
    assert (await publish(store, "mixed.gguf", MIXED)).status == 200
    got = await store.ask("HEAD", "/me/first/resolve/main/mixed.gguf")
    assert "x-xet-hash" not in got.headers
