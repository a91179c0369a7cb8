"""What Hugging Face's tools expect to read: models, trees, commits and errors as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.core.hashing import sha256
from hallmark.http.asgi import Headers, Scope, Send, header, respond_json
from hallmark.http.errors import headers_of
from hallmark.hub.revision import FileEntry, Revision, pointer
from hallmark.services.hub.huggingface.rows import Repository
from hallmark.services.hub.wire import status_of
from hallmark.services.hub.writers import BEARER

CODES: Final = {
    "repository_not_found": "RepoNotFound",
    "revision_not_found": "RevisionNotFound",
    "repository_file_not_found": "EntryNotFound",
}
"""Our reason codes that the tools have an exception for."""
HOST: Final = re.compile(rb"[A-Za-z0-9.:\[\]_-]{1,255}")
MOST_MESSAGE: Final = 500


def error_of(error: HallmarkError) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of an error. The tools show `X-Error-Message` and the body's `error`."""
    message = f"{error.reason}: {error.message} {error.hint}".rstrip()
    # These words keep a wrong key from being shown as a repository that is not there.
    shown = "Invalid credentials in Authorization header" if error.status == 401 else message
    line = shown.encode("ascii", "backslashreplace")[:MOST_MESSAGE].replace(b"\n", b" ").replace(b"\r", b" ")
    headers = [*headers_of(error), (b"x-error-message", line)]
    if error.reason in CODES:
        headers.append((b"x-error-code", CODES[error.reason].encode()))
    said = [{"message": message}]
    body = {"error": message, "code": error.reason, "hint": error.hint, "errors": said, "warnings": []}
    return status_of(error), msgspec.json.encode(body | getattr(error, "detail", {})), headers


def base_of(scope: Scope) -> str:
    """The address that a client uses for this server. Raises InvalidInput `bad_host`."""
    host = header(scope, b"host") or b""
    if not HOST.fullmatch(host):
        raise InvalidInput("bad_host", "The request names no host that can be read.", "Send a Host header.")
    return f"{scope.get('scheme', 'http')}://{host.decode()}"


def token_of(scope: Scope) -> str:
    """The token that a request shows; "" without one."""
    shown = header(scope, b"authorization") or b""
    return shown[len(BEARER) :].decode("latin-1") if shown[: len(BEARER)].lower() == BEARER else ""


async def send_xet_token(send: Send, token: str, url: str, until: int) -> None:
    """A token for xet, as both kinds of tools read it."""
    headers = [
        (b"x-xet-cas-url", url.encode()),
        (b"x-xet-access-token", token.encode()),
        (b"x-xet-token-expiration", str(until).encode()),
        (b"cache-control", b"no-store"),
    ]
    await respond_json(send, {"casUrl": url, "accessToken": token, "exp": until}, headers=headers)


def info(repository: Repository, revision: Revision, *, whole: bool = True) -> dict[str, Any]:
    """A model at a revision. Nobody is counted here: downloads and likes are 0."""
    summary = repository.card.get("_", {})
    card = {name: value for name, value in repository.card.items() if name != "_"}
    said: dict[str, Any] = {
        "_id": sha256(b"hallmark.hub-id\0", repository.key.encode()).hex()[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.namespace,
        "sha": revision.commit if whole else repository.head,
        "createdAt": moment(repository.created),
        "lastModified": moment(revision.at if whole else repository.updated),
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": summary.get("tags", []),
    }
    said |= {name: summary[name] for name in ("pipeline_tag", "library_name") if name in summary}
    if card:
        said["cardData"] = card
    if whole:
        said["siblings"] = [
            {"rfilename": path, **described(entry, name="blobId")} for path, entry in revision.files.items()
        ]
        said["usedStorage"] = sum(entry.size for entry in revision.files.values())
    return said


def file_json(path: str, entry: FileEntry) -> dict[str, Any]:
    """A file in a tree."""
    return {"type": "file", "path": path, **described(entry, name="oid")}


def described(entry: FileEntry, *, name: str) -> dict[str, Any]:
    """What is said of a file wherever it is listed; `name` is the member for git's name of it."""
    large = {
        "oid": entry.sha256,
        "sha256": entry.sha256,
        "size": entry.size,
        "pointerSize": len(pointer(entry.sha256, entry.size)),
    }
    said = {"size": entry.size, name: entry.oid, "sha256": entry.sha256, "walrusBlobId": entry.blob}
    return said | ({"lfs": large} if entry.large else {})


def tree(files: Mapping[str, FileEntry], folder: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    """What is in a folder (empty: the whole repository), folders before what is in them. Raises NotFound
    `repository_file_not_found`.
    """
    inside = f"{folder}/" if folder else ""
    names, seen = sorted(path for path in files if path.startswith(inside)), set[str]()
    if folder and not names:
        raise NotFound("repository_file_not_found", "The revision has no such folder.")
    for path in names:
        parts = path[len(inside) :].split("/")
        depth = len(parts) if recursive else min(len(parts), 2)
        for count in range(1, depth):
            name = inside + "/".join(parts[:count])
            if name not in seen:
                seen.add(name)
                yield folder_json(files, name)
        if recursive or len(parts) == 1:
            yield file_json(path, files[path])


def folder_json(files: Mapping[str, FileEntry], name: str) -> dict[str, Any]:
    """A folder in a tree, with a name that follows from what is in it."""
    inside = [f"{path} {entry.oid}" for path, entry in files.items() if path.startswith(f"{name}/")]
    return {
        "type": "directory",
        "path": name,
        "size": 0,
        "oid": sha256(b"hallmark.folder\0", "\n".join(inside).encode()).hex()[:40],
    }


def history_json(revision: Revision) -> dict[str, Any]:
    """A commit in a list of commits."""
    return {
        "id": revision.commit,
        "title": revision.title,
        "message": "",
        "date": moment(revision.at),
        "authors": [{"user": revision.author}],
        "parents": [revision.parent] if revision.parent else [],
    }


def committed(repository: Repository, revision: Revision, base: str) -> dict[str, Any]:
    """The answer to a commit."""
    return {
        "success": True,
        "commitOid": revision.commit,
        "commitUrl": f"{base}/{repository.id}/commit/{revision.commit}",
        "hookOutput": "",
    }


def moment(milliseconds: int) -> str:
    """A time as the tools read it."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def commit_headers(revision: Revision) -> Headers:
    """Which revision an answer is about."""
    return [(b"x-repo-commit", revision.commit.encode())]
