"""What everybody may ask: models, trees, commits, and the files themselves."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from hallmark.core.errors import InvalidInput, NotFound
from hallmark.http.asgi import Receive, Scope, Send, header, query_int, read_body, respond_json
from hallmark.hub.ranges import Span, parse_range
from hallmark.hub.revision import FileEntry, Revision
from hallmark.services.hub.aggregator import send_bytes
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface import wire
from hallmark.services.hub.huggingface.downloads import Downloads
from hallmark.services.hub.huggingface.rows import Repository, Rows

MOST_LISTED: Final = 1_000
MOST_PATHS: Final = 1_000
TEXTS: Final = (".md", ".txt", ".json", ".jsonl", ".yaml", ".yml", ".py", ".toml", ".jinja")
FIXED: Final = b"public, max-age=86400, immutable"
MOVING: Final = b"no-cache"


class Reading:
    """Answers reads; every method sends a whole response."""

    def __init__(self, blobs: Blobs, rows: Rows, downloads: Downloads) -> None:
        self._blobs, self._rows, self._downloads = blobs, rows, downloads

    async def models(self, scope: Scope, send: Send) -> None:
        """GET /api/models: `search`, `author`, `filter`, `limit`; what changed last comes first."""
        pairs = _query(scope)
        values = dict(pairs)
        limit = query_int(values.get("limit"), 100, low=1, high=MOST_LISTED)
        offset = query_int(values.get("cursor"), 0, low=0, high=1 << 40)
        tags = [value for name, value in pairs if name in ("filter", "pipeline_tag") and value]
        found = await self._rows.search(
            text=values.get("search", "")[:200],
            author=values.get("author", "").lower()[:200],
            tags=tags[:10],
            limit=limit + 1,
            offset=offset,
        )
        headers = []
        if len(found) > limit:
            kept = [(name, value) for name, value in pairs if name not in ("cursor", "limit")]
            query = urlencode([*kept, ("limit", limit), ("cursor", offset + limit)])
            link = f'<{wire.base_of(scope)}/api/models?{query}>; rel="next"'
            headers = [(b"link", link.encode("ascii"))]
        listed = [wire.info(one, _no_revision(one), whole=False) for one in found[:limit]]
        await respond_json(send, listed, headers=headers)

    async def info(self, send: Send, repository: Repository, name: str) -> None:
        """GET /api/models/{id}[/revision/{revision}]."""
        revision = await self._rows.revision(repository, name)
        await respond_json(send, wire.info(repository, revision), headers=wire.commit_headers(revision))

    async def tree(self, scope: Scope, send: Send, repository: Repository, name: str, folder: str) -> None:
        """GET /api/models/{id}/tree/{revision}[/{folder}]."""
        revision = await self._rows.revision(repository, name)
        recursive = dict(_query(scope)).get("recursive", "").lower() in ("true", "1")
        found = list(wire.tree(revision.files, folder.strip("/"), recursive=recursive))
        await respond_json(send, found, headers=wire.commit_headers(revision))

    async def paths(
        self, scope: Scope, receive: Receive, send: Send, repository: Repository, name: str
    ) -> None:
        """POST /api/models/{id}/paths-info/{revision}: what is not there is left out."""
        revision = await self._rows.revision(repository, name)
        found = []
        for path in _paths(header(scope, b"content-type") or b"", await read_body(receive, 1 << 20)):
            if path in revision.files:
                found.append(wire.file_json(path, revision.files[path]))
            elif any(one.startswith(f"{path}/") for one in revision.files):
                found.append(wire.folder_json(revision.files, path))
        await respond_json(send, found, headers=wire.commit_headers(revision))

    async def commits(self, scope: Scope, send: Send, repository: Repository, name: str) -> None:
        """GET /api/models/{id}/commits/{revision}."""
        revision = await self._rows.revision(repository, name)
        values = dict(_query(scope))
        limit = query_int(values.get("limit"), 50, low=1, high=100)
        page = query_int(values.get("p"), 0, low=0, high=1 << 30)
        found = await self._rows.history(repository, revision.commit, limit, page * limit)
        await respond_json(send, [wire.history_json(one) for one in found])

    async def refs(self, send: Send, repository: Repository) -> None:
        """GET /api/models/{id}/refs: there is one branch, and tags."""
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}
        tags = [
            {"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit}
            for name, commit in await self._rows.tags(repository)
        ]
        await respond_json(send, {"branches": [main], "tags": tags, "converts": [], "pullRequests": []})

    async def file(self, scope: Scope, send: Send, repository: Repository, name: str, path: str) -> None:
        """GET and HEAD /{id}/resolve/{revision}/{path}."""
        revision = await self._rows.revision(repository, name)
        entry = revision.files.get(path)
        if entry is None:
            error = NotFound("repository_file_not_found", "The revision has no such file.")
            error.headers = tuple(wire.commit_headers(revision))  # type: ignore[attr-defined]  # see http.errors
            raise error
        record = await self._blobs.record(entry.blob)
        span, status = Span(0, entry.size), 200
        headers = [*wire.commit_headers(revision), *_told(path, entry)]
        if entry.large:
            headers += await self._downloads.named(scope, repository, revision, entry.sha256)
        asked = header(scope, b"range")
        if asked is not None and scope["method"] == "GET" and entry.size:
            span, status = parse_range(asked.decode("latin-1"), entry.size, clip=True), 206
            headers.append((b"content-range", b"bytes %d-%d/%d" % (span.start, span.end - 1, entry.size)))
        await send_bytes(
            scope,
            send,
            self._blobs.read(record, span),
            span.length,
            entry.sha256 if entry.large else entry.oid,
            status=status,
            headers=headers,
            cached=FIXED if name == revision.commit else MOVING,
        )


def _told(path: str, entry: FileEntry) -> list[tuple[bytes, bytes]]:
    """What a file's head says. Large ones are named by SHA-256, small ones as git names them: so do the tools
    name what they keep.
    """
    kind = b"text/plain; charset=utf-8" if path.lower().endswith(TEXTS) else b"application/octet-stream"
    told = [(b"content-type", kind), (b"x-walrus-blob-id", entry.blob.encode())]
    if entry.large:
        told.append((b"x-linked-etag", f'"{entry.sha256}"'.encode()))
        told.append((b"x-linked-size", str(entry.size).encode()))
    return told


def _no_revision(repository: Repository) -> Revision:
    return Revision(repository.id, "", "", repository.updated, "", {})


def _query(scope: Scope) -> list[tuple[str, str]]:
    try:
        return parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=64)
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("bad_query", "The query cannot be read.") from error


def _paths(kind: bytes, body: bytes) -> list[str]:
    """The paths that are asked about, of a form or of JSON. Raises InvalidInput `bad_query`."""
    try:
        if kind.startswith(b"application/json"):
            said: Any = msgspec.json.decode(body)["paths"]
            paths = [said] if isinstance(said, str) else list(said)
        else:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_PATHS + 8)
            paths = [value for name, value in pairs if name == "paths"]
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
    ) as error:
        raise InvalidInput("bad_query", "The paths cannot be read.") from error
    if len(paths) > MOST_PATHS or not all(isinstance(path, str) for path in paths):
        raise InvalidInput("bad_query", f"Ask for at most {MOST_PATHS} paths at a time.")
    return paths
