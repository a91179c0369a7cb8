"""HTTP of the hub: the paths of Hugging Face's API, and its errors. Walrus's paths go to the blob store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NoReturn
from urllib.parse import unquote

from hallmark.core.errors import NotFound
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, respond, respond_json
from hallmark.http.errors import not_allowed
from hallmark.services.hub.app import READS, answer
from hallmark.services.hub.huggingface import wire
from hallmark.services.hub.huggingface.downloads import Downloads
from hallmark.services.hub.huggingface.reading import Reading
from hallmark.services.hub.huggingface.rows import Repository, Rows
from hallmark.services.hub.huggingface.unoffered import unoffered
from hallmark.services.hub.huggingface.writing import Writing, refuse_pages, validate_card
from hallmark.services.hub.huggingface.xet import Xet

WALRUS: Final = re.compile(r"/(v1|v1alpha|status)(/.*)?")
LFS: Final = "info/lfs/objects/batch"


class Hub:
    """The app."""

    def __init__(
        self,
        store: ASGIApp,
        rows: Rows,
        *,
        reading: Reading,
        writing: Writing,
        xet: Xet,
        downloads: Downloads,
    ) -> None:
        self._store, self._rows = store, rows
        self._reading, self._writing, self._xet, self._downloads = reading, writing, xet, downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if WALRUS.fullmatch(scope["path"]):
            await self._store(scope, receive, send)
            return
        await answer(self._route, scope, receive, send, refusal=wire.error_of, event="hub_refused")

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        match [unquote(part, errors="replace") for part in raw.split("/")[1:]]:
            case ["api", "models"]:
                _require(scope, *READS)
                await self._reading.models(scope, send)
            case ["api", "models", namespace, name, *rest]:
                await self._model(scope, receive, send, (namespace, name, *rest))
            case ["api", "whoami-v2"]:
                _require(scope, "GET")
                await respond_json(send, await self._writing.whoami(scope))
            case ["api", "repos", "create"]:
                _write(scope, "POST")
                await respond_json(send, await self._writing.create(scope, receive))
            case ["api", "validate-yaml"]:
                _require(scope, "POST")
                await respond_json(send, await validate_card(receive))
            case ["api", *rest]:
                _refuse(rest)
            case ["xet", "v1", *rest]:
                await self._pieces(scope, receive, send, rest)
            case ["hf", "objects", oid]:
                _write(scope, "PUT")
                await self._writing.put(scope, receive, oid)
                await respond(send, 200, b"")
            case [namespace, name, "resolve" | "raw", revision, *path] if path:
                _require(scope, *READS)
                repository = await self._rows.find(namespace, name)
                await self._reading.file(scope, send, repository, revision, "/".join(path))
            case [namespace, name, *rest] if name.endswith(".git") and "/".join(rest) == LFS:
                _write(scope, "POST")
                repository = await self._rows.find(namespace, name.removesuffix(".git"))
                answer = await self._writing.batch(scope, receive, repository)
                await respond_json(send, answer)
            case _:
                raise NotFound("no_such_page", "There is no such page here.", "See docs/hub.md and /v1/api.")

    async def _pieces(self, scope: Scope, receive: Receive, send: Send, parts: Sequence[str]) -> None:
        """What is below /xet/v1."""
        match parts:
            case ["xorbs", "default", named]:
                _write(scope, "POST")
                await respond_json(send, await self._xet.xorb(scope, receive, named))
            case ["shards"]:
                _write(scope, "POST")
                await respond_json(send, await self._xet.shard(scope, receive))
            case ["reconstructions", named]:
                _require(scope, "GET")
                await self._downloads.reconstruction(scope, send, named)
            case ["pieces", sha256, _, _, _]:
                _require(scope, *READS)
                await self._downloads.piece(scope, send, sha256, list(parts[2:]))
            case ["chunks", _, _]:
                _require(scope, "GET")
                await self._xet.no_chunk(scope)
            case _:
                raise NotFound("no_such_page", "There is no such page here.", "See docs/hub.md.")

    async def _model(self, scope: Scope, receive: Receive, send: Send, parts: Sequence[str]) -> None:
        """What is below /api/models/{namespace}/{name}."""
        namespace, name, *rest = parts
        repository = await self._rows.find(namespace, name)
        match rest:
            case [] | ["revision", _]:
                _require(scope, *READS)
                await self._reading.info(send, repository, rest[1] if rest else "main")
            case ["tree", revision, *folder]:
                _require(scope, *READS)
                await self._reading.tree(scope, send, repository, revision, "/".join(folder))
            case ["paths-info", revision]:
                _require(scope, "POST")
                await self._reading.paths(scope, receive, send, repository, revision)
            case ["commits", revision]:
                _require(scope, *READS)
                await self._reading.commits(scope, send, repository, revision)
            case ["refs"]:
                _require(scope, *READS)
                await self._reading.refs(send, repository)
            case ["xet-read-token", revision]:
                _require(scope, "GET")
                await self._downloads.token(scope, send, repository, revision)
            case ["xet-write-token", _]:
                _write(scope, "GET")
                await self._xet.token(scope, send, await self._writing.may(scope, repository))
            case ["tag", name]:
                await self._tag(scope, receive, repository, name)
                await respond(send, 200, b"")
            case ["auth-check"]:
                _require(scope, *READS)
                await respond_json(send, {})
            case ["preupload", _]:
                _write(scope, "POST")
                await respond_json(send, await self._writing.plan(scope, receive, repository))
            case ["commit", revision]:
                _write(scope, "POST")
                answer = await self._writing.commit(scope, receive, repository, revision)
                await respond_json(send, answer)
            case _:
                _refuse(["models", *parts])

    async def _tag(self, scope: Scope, receive: Receive, repository: Repository, name: str) -> None:
        """POST names a revision, DELETE takes a name away."""
        refuse_pages(scope)
        _require(scope, "POST", "DELETE")
        if scope["method"] == "POST":
            await self._writing.tag(scope, receive, repository, name)
        else:
            await self._writing.untag(scope, repository, name)


def _refuse(parts: Sequence[str]) -> NoReturn:
    """What is below /api and is not here, by name where tools ask for it."""
    raise unoffered(parts) or NotFound("no_such_page", "There is no such page here.", "See docs/hub.md.")


def _require(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise not_allowed(*allowed)


def _write(scope: Scope, method: str) -> None:
    _require(scope, method)
    refuse_pages(scope)
