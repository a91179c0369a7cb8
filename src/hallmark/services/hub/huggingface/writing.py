"""Publishing: making repositories, planning uploads, taking large files, commits."""

from __future__ import annotations

import binascii
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from hallmark.core.errors import Conflict, InvalidInput, TooLarge
from hallmark.http.asgi import Receive, Scope, read_body
from hallmark.hub.card import Card, read_card
from hallmark.hub.commit_lines import DIGEST, MOST_LINE, Deleted, Header, Large, Small, bad_commit, read_line
from hallmark.hub.revision import LARGE, Change, check_path, check_repository, check_title
from hallmark.hub.weights import check_name, check_sample
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface import wire
from hallmark.services.hub.huggingface.contents import Contents, mismatch
from hallmark.services.hub.huggingface.links import Links
from hallmark.services.hub.huggingface.rows import README, Forbidden, Repository, Rows, Update
from hallmark.services.hub.huggingface.unoffered import MODELS_ONLY, NO_PRIVATE, refused
from hallmark.services.hub.publisher import Publisher
from hallmark.services.hub.staging import Staged, stage, too_large
from hallmark.services.hub.writers import NOBODY

T = TypeVar("T")
MOST_JSON: Final = 4 << 20
MOST_COMMIT: Final = 1 << 30
MOST_OPERATIONS: Final = 10_000


class Create(msgspec.Struct):
    """The body of POST /api/repos/create."""

    name: str
    organization: str | None = None
    type: str | None = None
    private: bool | None = None
    visibility: str | None = None


class Planned(msgspec.Struct):
    """A file that is to come."""

    path: str
    size: int
    sample: str = ""


class Plan(msgspec.Struct):
    """The body of POST .../preupload/{revision}."""

    files: list[Planned]


class Tag(msgspec.Struct):
    """The body of POST .../tag/{revision}. What its `message` says is not kept."""

    tag: str


class Wanted(msgspec.Struct):
    """A large file that is to come: SHA-256 in hex, and length."""

    oid: str
    size: int


class Batch(msgspec.Struct):
    """The body of POST .../info/lfs/objects/batch."""

    operation: str
    objects: list[Wanted]
    hash_algo: str = "sha256"


class Writing:
    """See the module docstring. `most` is the length of the longest file; `now` is unix seconds."""

    def __init__(
        self,
        publisher: Publisher,
        blobs: Blobs,
        rows: Rows,
        links: Links,
        *,
        most: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._publisher, self._blobs, self._rows, self._links = publisher, blobs, rows, links
        self._most, self._now = most, now
        self.contents = Contents(blobs, rows)

    async def whoami(self, scope: Scope) -> dict[str, Any]:
        """GET /api/whoami-v2: a name to publish under."""
        writer = self._publisher.writers.writer(scope)
        mine = await self._rows.namespaces(writer)
        name = mine[0] if mine else "anonymous" if writer == NOBODY else f"key-{writer.hex()[:8]}"
        orgs = [{"type": "org", "name": one, "fullname": one} for one in mine[1:]]
        token = {"displayName": name, "role": "write"}
        return {
            "type": "user",
            "id": name,
            "name": name,
            "fullname": name,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": token},
        }

    async def create(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """POST /api/repos/create. Raises InvalidInput, Conflict `repository_exists`, Forbidden."""
        writer = self._publisher.writers.writer(scope)
        asked = await _read(receive, Create)
        if asked.type not in (None, "model"):
            raise refused(MODELS_ONLY)
        if asked.private or asked.visibility not in (None, "public"):
            raise refused(NO_PRIVATE)
        namespace = asked.organization or (await self.whoami(scope))["name"]
        repository = check_repository(namespace, asked.name)
        url = f"{wire.base_of(scope)}/{repository}"
        try:
            made = await self._rows.create(repository, writer, self._at())
        except Conflict as error:
            error.detail = {"url": url}  # type: ignore[attr-defined]  # see http.errors
            raise
        return {"url": url, "name": made.id, "id": made.id}

    async def may(self, scope: Scope, repository: Repository) -> bytes:
        """The writer whose repository it is. Raises Unauthorized `blob_key`, Forbidden."""
        writer = self._publisher.writers.writer(scope)
        await self._rows.check_owner(repository, writer)
        return writer

    async def plan(self, scope: Scope, receive: Receive, repository: Repository) -> dict[str, Any]:
        """POST /api/models/{id}/preupload/{revision}: how each file is to be sent."""
        await self.may(scope, repository)
        asked = await _read(receive, Plan)
        revision = await self._rows.revision(repository, "main")
        planned = []
        for file in asked.files:
            check_name(check_path(file.path), file.size)
            check_sample(_sample(file.sample), file.size)
            if file.size > self._most:
                raise too_large(self._most)
            before = revision.files.get(file.path)
            mode = "lfs" if file.size > LARGE else "regular"
            oid = before.oid if before is not None else None
            planned.append({"path": file.path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": planned}

    async def tag(self, scope: Scope, receive: Receive, repository: Repository, revision: str) -> None:
        """POST /api/models/{id}/tag/{revision}. Raises NotFound, and as `Rows.tag`."""
        await self.may(scope, repository)
        asked = await _read(receive, Tag)
        named = await self._rows.revision(repository, revision)
        await self._rows.tag(repository, asked.tag, named.commit)

    async def untag(self, scope: Scope, repository: Repository, name: str) -> None:
        """DELETE /api/models/{id}/tag/{name}. Raises NotFound `revision_not_found`."""
        await self.may(scope, repository)
        await self._rows.untag(repository, name)

    async def batch(self, scope: Scope, receive: Receive, repository: Repository) -> dict[str, Any]:
        """POST /{id}.git/info/lfs/objects/batch: a link for each file that is not here."""
        await self.may(scope, repository)
        asked = await _read(receive, Batch)
        if asked.operation != "upload" or asked.hash_algo != "sha256" or len(asked.objects) > 1_000:
            raise bad_commit("Large files are uploaded here, at most 1000 at a time, named by SHA-256.")
        objects: list[dict[str, Any]] = []
        for one in asked.objects:
            said: dict[str, Any] = {"oid": one.oid, "size": one.size}
            if not DIGEST.fullmatch(one.oid) or one.size < 0:
                raise bad_commit("A large file is named by its SHA-256, in hex.")
            if one.size > self._most:
                said["error"] = {"code": 413, "message": too_large(self._most).message}
            elif await self.contents.known(one.oid, one.size) is None:
                until, tag = self._links.make(f"put {one.oid} {one.size}")
                href = f"{wire.base_of(scope)}/hf/objects/{one.oid}?size={one.size}&until={until}&tag={tag}"
                said["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(said)
        return {"transfer": "basic", "objects": objects, "hash_algo": "sha256"}

    async def put(self, scope: Scope, receive: Receive, oid: str) -> None:
        """PUT of a link that `batch` gave. Raises Unauthorized, VerificationFailed `content_mismatch`."""
        values = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        size = values.get("size", "")
        self._links.check(f"put {oid} {size}", values.get("until", ""), values.get("tag", ""))
        with self._publisher.place(), self._blobs.staging.new(int(size)) as staged:
            await stage(staged, self._publisher.body(scope, receive, int(size)))
            if (staged.summary.sha256, staged.summary.size) != (oid, int(size)):
                raise mismatch()
            await self.contents.keep(staged)

    async def commit(
        self, scope: Scope, receive: Receive, repository: Repository, ref: str
    ) -> dict[str, Any]:
        """POST /api/models/{id}/commit/{revision}. Nothing of it is published until all of it is stored."""
        writer = await self.may(scope, repository)
        if ref != "main" or b"create_pr=" in scope["query_string"]:
            raise bad_commit("Commits go to main: there are no other branches and no pull requests here.")
        header, operations, cards = Header(), list[Small | Large | Deleted](), dict[str, Card]()
        with self._publisher.place(), contextlib.ExitStack() as stack:
            staged: list[Staged] = []
            first = True
            async for line in self._lines(scope, receive):
                operation = read_line(line)
                if isinstance(operation, Header) != first:
                    raise bad_commit("A commit begins with its header, and has one.")
                first = False
                if isinstance(operation, Header):
                    header = operation
                    continue
                if len(operations) == MOST_OPERATIONS:
                    raise bad_commit(f"A commit has at most {MOST_OPERATIONS} operations.")
                if isinstance(operation, Small):
                    one = stack.enter_context(self._blobs.staging.new(LARGE))
                    await self._stage(one, operation, cards)
                    staged.append(one)
                    operation = Small(operation.path, b"")
                operations.append(operation)
            if first:
                raise bad_commit("The commit is empty.")
            small = iter(await self.contents.keep_all(staged))
        changes = []
        for operation in operations:
            if isinstance(operation, Deleted):
                changes.append(Change(operation.path, None, operation.folder))
                continue
            if isinstance(operation, Small):
                entry = next(small)
            else:
                entry = await self.contents.required(operation.sha256, operation.size)
            check_name(operation.path, entry.size)
            changes.append(Change(operation.path, entry))
        title = check_title(header.summary)
        update = Update(writer, title, self._at(), changes, cards, header.parentCommit or "")
        made = await self._rows.commit(repository, update)
        return wire.committed(repository, made, wire.base_of(scope))

    async def _stage(self, staged: Staged, operation: Small, cards: dict[str, Card]) -> None:
        check_name(operation.path, len(operation.data))
        await staged.write(operation.data)
        await staged.finish()
        if operation.path == README:
            cards[staged.summary.sha256] = read_card(operation.data)

    async def _lines(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """The lines of a body. Raises TooLarge `commit_too_large`."""
        held, whole = bytearray(), 0
        async for data in self._publisher.body(scope, receive, MOST_COMMIT):
            held += data
            whole += len(data)
            if whole > MOST_COMMIT:
                raise TooLarge(
                    "commit_too_large", f"A commit has at most {MOST_COMMIT} bytes.", "Send several."
                )
            *lines, rest = held.split(b"\n") if b"\n" in data else (held,)
            for line in lines:
                if line.strip():
                    yield bytes(line)
            held = bytearray(rest)
            if len(held) > MOST_LINE:
                raise TooLarge("commit_too_large", f"A line of a commit has at most {MOST_LINE} bytes.")
        if held.strip():
            yield bytes(held)

    def _at(self) -> int:
        return int(self._now() * 1000)


async def validate_card(receive: Receive) -> dict[str, Any]:
    """POST /api/validate-yaml. Raises InvalidInput `bad_card`."""

    class Asked(msgspec.Struct):
        content: str

    read_card((await _read(receive, Asked)).content.encode("utf-8", "replace"))
    return {"errors": [], "warnings": []}


def refuse_pages(scope: Scope) -> None:
    """Pages in browsers may only read: a browser says where a request comes from. Raises Forbidden
    `pages_only_read`.
    """
    names = {name for name, _ in scope["headers"]}
    if b"origin" in names or dict(scope["headers"]).get(b"sec-fetch-site", b"none") != b"none":
        raise Forbidden(
            "pages_only_read",
            "A page in a browser may only read here.",
            "Publish with hf or huggingface_hub.",
        )


def _sample(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text[:4096].encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        return b""


async def _read(receive: Receive, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await read_body(receive, MOST_JSON), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("bad_hub_request", "The body is not the JSON that this path takes.") from error
