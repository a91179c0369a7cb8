"""Hugging Face's API over HTTP: what its tools rely on, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import pickle
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.hub.revision import LARGE
from hallmark.services.hub.huggingface.names import Names
from hallmark.testing.blob_stores import Answer, RunningStore, blob_store, small_id

ME, YOU = {"authorization": "Bearer me"}, {"authorization": "Bearer you"}
API = "/api/models/me/first"
README = b"---\nlicense: mit\ntags: [small]\n---\n# First\n"
BIG = os.urandom(1 << 16) * (LARGE // (1 << 16)) + b"end"
BIG_OID = hashlib.sha256(BIG).hexdigest()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunningStore]:
    """An open store with an empty repository `me/first`."""
    async with blob_store(tmp_path / "store") as running:
        await create(running, "first")
        yield running


async def create(store: RunningStore, name: str, who: dict[str, str] = ME, **more: object) -> Answer:
    """Make a repository of `me`."""
    body = msgspec.json.encode({"name": name, "organization": "me", **more})
    return await store.ask("POST", "/api/repos/create", who, body)


def line(key: str, **value: object) -> bytes:
    """A line of a commit."""
    return msgspec.json.encode({"key": key, "value": value})


def small(path: str, data: bytes) -> bytes:
    """The line for a small file."""
    return line("file", path=path, content=base64.b64encode(data).decode(), encoding="base64")


async def commit(store: RunningStore, *lines: bytes, who: dict[str, str] = ME, **header: object) -> Answer:
    """Commit to `me/first`."""
    body = b"\n".join([line("header", **{"summary": "a commit", **header}), *lines])
    return await store.ask("POST", f"{API}/commit/main", who, body)


async def put_large(store: RunningStore, data: bytes, sent: bytes | None = None) -> Answer:
    """Upload a large file as git LFS does; `sent` are the bytes that come instead."""
    oid = hashlib.sha256(data).hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": len(data)}], "hash_algo": "sha256"}
    batch = await store.ask("POST", "/me/first.git/info/lfs/objects/batch", ME, msgspec.json.encode(asked))
    href = batch.json["objects"][0]["actions"]["upload"]["href"]
    assert href.startswith(store.url)
    return await store.ask("PUT", href.removeprefix(store.url), body=data if sent is None else sent)


async def files(store: RunningStore, revision: str = "main") -> dict[str, Any]:
    """The files of a revision by path."""
    got = await store.ask("GET", f"{API}/tree/{revision}?recursive=true")
    return {one["path"]: one for one in got.json if one["type"] == "file"}


async def test_a_commit_and_what_is_read_of_it(store: RunningStore) -> None:
    """Small and large files, listed, described and served, each with its blob ID; the old revision stays."""
    empty = (await store.ask("GET", API)).json["sha"]
    assert (await put_large(store, BIG)).status == 200
    made = await commit(
        store, small("README.md", README), small("a/b.txt", b"bee"),
        line("lfsFile", path="model.safetensors", algo="sha256", oid=BIG_OID, size=len(BIG)),
    )  # fmt: skip
    sha = made.json["commitOid"]
    assert made.json["commitUrl"] == f"{store.url}/me/first/commit/{sha}"
    info = (await store.ask("GET", f"{API}/revision/{sha}")).json
    assert (info["id"], info["sha"], info["cardData"]["license"]) == ("me/first", sha, "mit")
    assert [one["rfilename"] for one in info["siblings"]] == ["README.md", "a/b.txt", "model.safetensors"]
    listed = await files(store)
    large = listed["model.safetensors"]
    assert large["lfs"] | {"oid": BIG_OID, "size": len(BIG)} == large["lfs"]
    assert large["walrusBlobId"] == small_id(BIG)
    got = await store.ask("GET", "/me/first/resolve/main/model.safetensors")
    assert got.body == BIG
    assert got.headers["x-repo-commit"] == sha
    assert got.headers["x-linked-etag"] == f'"{BIG_OID}"'
    assert got.headers["x-walrus-blob-id"] == small_id(BIG)
    assert (await store.ask("GET", f"/v1/blobs/{small_id(BIG)}")).body == BIG
    head = await store.ask("HEAD", f"/me/first/resolve/{sha}/a/b.txt")
    assert (head.status, head.headers["content-length"]) == (200, "3")
    assert head.headers["etag"] == f'"{listed["a/b.txt"]["oid"]}"'
    part = await store.ask("GET", "/me/first/resolve/main/a/b.txt", {"range": "bytes=1-99"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"ee", "bytes 1-2/3")
    await commit(store, small("a/b.txt", b"changed"), line("deletedFile", path="README.md"))
    assert (await store.ask("GET", f"/me/first/resolve/{sha}/a/b.txt")).body == b"bee"
    assert set(await files(store)) == {"a/b.txt", "model.safetensors"}
    assert (await store.ask("GET", f"/me/first/resolve/{empty}/a/b.txt")).json["code"] == (
        "repository_file_not_found"
    )
    history = (await store.ask("GET", f"{API}/commits/main")).json
    assert [one["id"] for one in history][1:] == [sha, empty]


async def test_trees_and_paths(store: RunningStore) -> None:
    """A folder's own members, folders in recursive trees, and what is asked about by path."""
    await commit(store, small("x", b"1"), small("a/y", b"2"), small("a/b/z", b"3"))

    async def tree(path: str) -> list[str]:
        return [one["path"] for one in (await store.ask("GET", f"{API}/tree/main{path}")).json]

    assert await tree("") == ["a", "x"]
    assert await tree("?recursive=True") == ["a", "a/b", "a/b/z", "a/y", "x"]
    assert await tree("/a") == ["a/b", "a/y"]
    missing = await store.ask("GET", f"{API}/tree/main/none")
    assert missing.headers["x-error-code"] == "EntryNotFound"
    asked = {"content-type": "application/x-www-form-urlencoded"}
    found = await store.ask(
        "POST", f"{API}/paths-info/main", asked, b"paths=a&paths=a%2Fy&paths=no&expand=False"
    )
    assert [(one["type"], one["path"]) for one in found.json] == [("directory", "a"), ("file", "a/y")]
    asked = {"content-type": "application/json"}
    found = await store.ask("POST", f"{API}/paths-info/main", asked, b'{"paths":["x"]}')
    assert [one["path"] for one in found.json] == ["x"]


async def test_search(store: RunningStore) -> None:
    """By text, author and tag, newest change first, in pages."""
    for name in ("second", "third"):
        await create(store, name)
    await commit(store, small("README.md", README))

    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await store.ask("GET", f"/api/models?{query}")).json]

    assert (await found(""))[0] == "me/first"
    assert await found("search=SEC") == ["me/second"]
    assert await found("search=%25") == []
    assert len(await found("author=ME")) == 3
    assert await found("author=m") == []
    assert await found("filter=small&filter=license:mit") == ["me/first"]
    assert await found("filter=none") == []
    page = await store.ask("GET", "/api/models?limit=2&search=me")
    following = page.headers["link"].partition("<")[2].partition(">")[0].removeprefix(store.url)
    rest = (await store.ask("GET", following)).json
    assert len({one["id"] for one in (*page.json, *rest)}) == 3


async def test_a_search_holds_up_nobody_else(store: RunningStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nothing fits is looked for among all ids, which takes long where there are many: in a thread."""
    threads, search = list[int](), Names.search

    def searched(self: Names, **asked: Any) -> list[str]:
        threads.append(threading.get_ident())
        return search(self, **asked)

    monkeypatch.setattr(Names, "search", searched)
    assert [one["id"] for one in (await store.ask("GET", "/api/models?search=first")).json] == ["me/first"]
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_who_may_publish_where(store: RunningStore) -> None:
    """A namespace is of the key that was first, whatever its case; everybody may read."""
    for name in ("first", "other"):
        assert (await create(store, name, YOU)).json["code"] == "not_your_namespace"
    body = msgspec.json.encode({"name": "x", "organization": "ME"})
    assert (await store.ask("POST", "/api/repos/create", YOU, body)).status == 403
    assert (await store.ask("POST", "/api/repos/create", {}, body)).status == 403
    again = await create(store, "FIRST")
    assert (again.status, again.json["url"]) == (409, f"{store.url}/me/FIRST")
    for path in ("preupload/main", "commit/main"):
        assert (await store.ask("POST", f"{API}/{path}", YOU, b"{}")).json["code"] == "not_your_namespace"
    batch = await store.ask("POST", "/me/first.git/info/lfs/objects/batch", YOU, b"{}")
    assert batch.json["code"] == "not_your_namespace"
    assert (await commit(store, small("x", b"1"), who=YOU)).status == 403
    assert (await files(store)) == {}
    assert (await store.ask("GET", "/api/whoami-v2", ME)).json["name"] == "me"
    assert (await store.ask("GET", "/api/whoami-v2")).json["name"] == "anonymous"


async def test_a_closed_hub_takes_keys_alone(tmp_path: Path) -> None:
    """Without a key nothing is published, and a wrong key is said to be one."""
    key = hex0x(hashlib.sha256(b"me").digest())
    async with blob_store(tmp_path, anonymous=False, keys=(key,)) as store:
        for who in ({}, YOU):
            got = await create(store, "first", who)
            assert (got.status, got.json["code"]) == (401, "blob_key")
            assert got.headers["x-error-message"] == "Invalid credentials in Authorization header"
        assert (await create(store, "first")).status == 200
        assert (await commit(store, small("x", b"1"))).status == 200
        assert (await store.ask("GET", "/me/first/resolve/main/x")).body == b"1"


@pytest.mark.parametrize("header", [{"origin": "http://localhost"}, {"sec-fetch-site": "cross-site"}])
async def test_pages_may_only_read(store: RunningStore, header: dict[str, str]) -> None:
    """A page in a browser can send a POST without asking first; it is told by what browsers add."""
    got = await create(store, "second", header)
    assert (got.status, got.json["code"]) == (403, "pages_only_read")
    assert (await commit(store, small("x", b"1"), who=ME | header)).json["code"] == "pages_only_read"
    read = await store.ask("GET", API, header)
    assert read.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([small("m.bin", pickle.dumps({"a": print}))], "pickle_refused"),
        ([small("m.pkl", b"text")], "pickle_refused"),
        ([small("m.safetensors", b"")], "empty_weights"),
        ([small("m.pt", b"PK\x03\x04cut")], "bad_archive"),
        ([small("../m", b"x")], "bad_repository_path"),
        ([small("good/deeper", b"x")], "path_is_folder"),
        ([line("symlink", path="a", target="/etc/passwd")], "bad_commit"),
        ([line("deletedFile", path="none")], "repository_file_not_found"),
        ([line("lfsFile", path="m", oid="a" * 64, size=1)], "content_missing"),
        ([small("README.md", b"---\na: [\n---\n")], "bad_card"),
        ([line("header", summary="two")], "bad_commit"),
        ([small("m", b"x" * (LARGE + 1))], "bad_commit"),
        ([b"{" + b" " * (LARGE * 2)], "commit_too_large"),
    ],
)
async def test_nothing_is_half_published(store: RunningStore, lines: list[bytes], code: str) -> None:
    """Whatever is refused is refused whole, and the good revision is served."""
    await commit(store, small("good", b"good"))
    before = (await store.ask("GET", API)).json
    got = await commit(store, small("fine.txt", b"fine"), *lines)
    assert got.json["code"] == code
    assert got.status in (400, 404, 409, 413)
    assert (await store.ask("GET", API)).json == before
    assert (await store.ask("GET", "/me/first/resolve/main/good")).body == b"good"
    # What was being kept when another file was refused is finished first.
    async with asyncio.timeout(60):
        while [one.name for one in (store.folder / "staging").iterdir()] != ["lock"]:  # noqa: ASYNC110 - a folder
            await asyncio.sleep(0.01)


async def test_large_files_that_are_not_what_was_said(store: RunningStore) -> None:
    """Cut short, longer, other bytes, a pickle, a changed link: each is refused; no commit can name it."""
    for sent, code in ((BIG[:-1], "content_mismatch"), (b"x" + BIG[1:], "content_mismatch"),
                       (BIG + b"x", "blob_too_large")):  # fmt: skip
        assert (await put_large(store, BIG, sent)).json["code"] == code
    evil = pickle.dumps([print, b"x" * (LARGE + 1)])
    assert (await put_large(store, evil)).json["code"] == "pickle_refused"
    for wrong in (
        f"/hf/objects/{BIG_OID}?size={len(BIG)}&until=99999999999&tag=00",
        f"/hf/objects/{BIG_OID}",
    ):
        assert (await store.ask("PUT", wrong, body=BIG)).json["code"] == "upload_link_invalid"
    for data in (BIG, evil):
        oid = hashlib.sha256(data).hexdigest()
        got = await commit(store, line("lfsFile", path="m", oid=oid, size=len(data)))
        assert got.json["code"] == "content_missing"


async def test_bytes_that_are_known_are_not_sent_again(store: RunningStore) -> None:
    """The batch names only what is missing; a length that cannot be is said; a damaged copy is asked for."""
    await put_large(store, BIG)
    asked = {"operation": "upload", "objects": [{"oid": BIG_OID, "size": len(BIG)}]}
    path = "/me/first.git/info/lfs/objects/batch"
    batch = await store.ask("POST", path, ME, msgspec.json.encode(asked))
    assert "actions" not in batch.json["objects"][0]
    got = await commit(store, line("lfsFile", path="m", oid=BIG_OID, size=3))
    assert got.json["code"] == "content_mismatch"
    store.file(small_id(BIG)).with_name(small_id(BIG) + ".json").unlink()
    assert (await commit(store, line("lfsFile", path="m", oid=BIG_OID))).json["code"] == "content_missing"
    assert (await put_large(store, BIG)).status == 200
    assert (await commit(store, line("lfsFile", path="m", oid=BIG_OID))).status == 200


async def test_a_commit_on_what_somebody_saw(store: RunningStore) -> None:
    """With a parent that is the head no more a commit is refused; one that changes nothing makes nothing."""
    seen = (await commit(store, small("x", b"1"))).json["commitOid"]
    assert (await commit(store, small("x", b"1"))).json["commitOid"] == seen
    assert (await commit(store, small("x", b"2"), parentCommit=seen)).status == 200
    late = await commit(store, small("x", b"3"), parentCommit=seen)
    assert (late.status, late.json["code"]) == (409, "revision_moved")
    other = await store.ask("POST", f"{API}/commit/refs%2Fpr%2F1", ME, line("header", summary="x"))
    assert other.json["code"] == "bad_commit"


async def test_a_restart_keeps_what_was_published(tmp_path: Path) -> None:
    """Repositories are in the store's database and directory."""
    database = f"sqlite:///{tmp_path}/hub.db"
    async with blob_store(tmp_path / "store", database=database) as store:
        await create(store, "first")
        sha = (await commit(store, small("x", b"1"))).json["commitOid"]
    async with blob_store(tmp_path / "store", database=database) as store:
        assert (await store.ask("GET", f"/me/first/resolve/{sha}/x")).body == b"1"
        assert (await commit(store, small("x", b"2"), parentCommit=sha)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/models/me/none", 404, "repository_not_found"),
        ("GET", "/me/none/resolve/main/x", 404, "repository_not_found"),
        ("GET", f"{API}/revision/{'a' * 40}", 404, "revision_not_found"),
        ("GET", "/me/first/resolve/v1/x", 404, "revision_not_found"),
        ("GET", "/api/datasets/me/first", 400, "models_only"),
        ("POST", f"{API}/branch/next", 400, "one_branch"),
        ("DELETE", f"{API}/branch/next", 400, "one_branch"),
        ("POST", f"{API}/super-squash/main", 400, "nothing_is_deleted"),
        ("DELETE", "/api/repos/delete", 400, "nothing_is_deleted"),
        ("POST", "/api/repos/move", 400, "nothing_is_deleted"),
        ("PUT", f"{API}/settings", 400, "no_private_repositories"),
        ("POST", f"{API}/discussions", 400, "no_discussions"),
        ("GET", f"{API}/discussions/1", 400, "no_discussions"),
        ("POST", f"{API}/like", 400, "no_accounts"),
        ("GET", "/api/collections/me/first-1", 400, "no_accounts"),
        ("GET", "/api/settings/webhooks", 400, "no_accounts"),
        ("POST", "/api/spaces/me/first/secrets", 400, "models_only"),
        ("GET", "/api/nothing", 404, "no_such_page"),
        ("POST", f"{API}/tag/main", 400, "bad_hub_request"),
        ("DELETE", f"{API}/tag/none", 404, "revision_not_found"),
        ("GET", f"{API}/commit/main", 405, "method_not_allowed"),
        ("DELETE", API, 405, "method_not_allowed"),
        ("GET", "/api/models?limit=x", 400, "bad_query"),
        ("POST", "/api/validate-yaml", 400, "bad_hub_request"),
        ("POST", f"{API}/preupload/main", 400, "bad_hub_request"),
        ("POST", "/api/repos/create", 400, "bad_hub_request"),
        ("POST", "/me/first.git/info/lfs/objects/batch", 400, "bad_hub_request"),
    ],
)
async def test_refusals(store: RunningStore, method: str, path: str, status: int, code: str) -> None:
    """Each has a status, our code, and what Hugging Face's tools show."""
    got = await store.ask(method, path, ME, b"[" * 50_000 if method == "POST" else b"")
    assert (got.status, got.json["code"]) == (status, code)
    assert got.headers["x-error-message"].startswith(f"{code}: ")


async def test_a_plan_says_how_each_file_is_sent(store: RunningStore) -> None:
    """By length; a file that is there has its name; what begins like a pickle is refused at once."""
    await commit(store, small("x", b"1"))

    async def plan(**file: object) -> Any:
        body = msgspec.json.encode({"files": [file]})
        return (await store.ask("POST", f"{API}/preupload/main", ME, body)).json

    planned = (await plan(path="x", size=1, sample="MQ=="))["files"][0]
    assert planned == {
        "path": "x", "uploadMode": "regular", "shouldIgnore": False, "oid": (await files(store))["x"]["oid"],
    }  # fmt: skip
    assert (await plan(path="m", size=LARGE + 1))["files"][0]["uploadMode"] == "lfs"
    torch = b"PK\x03\x04" + bytes(22) + b"\x0e\0\0\0model/data.pkl"
    for sample in (pickle.dumps([print] * 100)[:50], torch, b"cos\nsystem\n(S'ls'\ntR0N0N0N0N0"):
        said = await plan(path="m.bin", size=1 << 30, sample=base64.b64encode(sample).decode())
        assert said["code"] == "pickle_refused"
    assert (await plan(path="m", size=1 << 50))["code"] == "blob_too_large"
    assert (await plan(path="../m", size=1))["code"] == "bad_repository_path"


async def test_what_is_no_model(store: RunningStore) -> None:
    """Data sets, spaces and private repositories are refused, and names that are none."""
    assert (await create(store, "x", type="dataset")).json["code"] == "models_only"
    assert (await create(store, "x", private=True)).json["code"] == "no_private_repositories"
    assert (await create(store, "x", visibility="private")).json["code"] == "no_private_repositories"
    assert (await create(store, "x/y")).json["code"] == "bad_repository_name"


async def test_a_tag_is_a_name_for_a_commit(store: RunningStore) -> None:
    """It is listed, gives the commit's files though main went on, is taken away, and is only the owner's; it
    cannot look like a commit or like main.
    """
    first = (await commit(store, small("x", b"1"))).json["commitOid"]

    async def tag(name: str, revision: str = "main", who: dict[str, str] = ME) -> Answer:
        return await store.ask("POST", f"{API}/tag/{revision}", who, msgspec.json.encode({"tag": name}))

    assert (await tag("v1.0", first)).status == 200
    await commit(store, small("x", b"2"))
    assert (await store.ask("GET", "/me/first/resolve/v1.0/x")).body == b"1"
    assert (await store.ask("GET", f"{API}/revision/v1.0")).json["sha"] == first
    refs = (await store.ask("GET", f"{API}/refs")).json
    assert refs["tags"] == [{"name": "v1.0", "ref": "refs/tags/v1.0", "targetCommit": first}]
    taken = await tag("v1.0")
    assert (taken.status, taken.json["code"]) == (409, "tag_exists")
    for name in ("main", "HEAD", "a" * 40, "", "a/b", "-x", "x" * 101, "x\n"):
        assert (await tag(name)).json["code"] == "bad_tag"
    assert (await tag("v2", "none")).json["code"] == "revision_not_found"
    you = {"authorization": "Bearer you"}
    assert (await tag("v2", who=you)).json["code"] == "not_your_namespace"
    assert (await store.ask("DELETE", f"{API}/tag/v1.0", you)).json["code"] == "not_your_namespace"
    assert (await tag("v2", who=ME | {"origin": "http://evil.example"})).json["code"] == "pages_only_read"
    assert (await store.ask("DELETE", f"{API}/tag/v1.0", ME)).status == 200
    assert (await store.ask("GET", "/me/first/resolve/v1.0/x")).json["code"] == "revision_not_found"
    assert (await store.ask("GET", f"/me/first/resolve/{first}/x")).body == b"1"
