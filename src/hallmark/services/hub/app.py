"""HTTP of a blob store: the paths of Walrus's publisher and aggregator, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Final
from urllib.parse import unquote

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.http.asgi import ASGIApp, Headers, Message, Receive, Scope, Send, header, respond, respond_json
from hallmark.http.errors import headers_of, not_allowed
from hallmark.services.hub.aggregator import Aggregator
from hallmark.services.hub.publisher import Publisher
from hallmark.services.hub.quilts import Quilts
from hallmark.services.hub.slivers import SliverStorage
from hallmark.services.hub.wire import error_body, status_of
from hallmark.telemetry.logs import get_logger

Refusal = Callable[[HallmarkError], tuple[int, bytes, Headers]]
"""Status, body and headers of an error."""
READS: Final = ("GET", "HEAD")
PATHS: Final = (
    ("PUT", "/v1/blobs", "Store the body: epochs, deletable or permanent, force."),
    ("GET", "/v1/blobs/{blob_id}", "A blob, or the one range that Range names; strict_consistency_check."),
    ("HEAD", "/v1/blobs/{blob_id}", "Its length."),
    ("GET", "/v1/blobs/{blob_id}/byte-range", "Its bytes from start, length many."),
    ("GET", "/v1/blobs/by-object-id/{object_id}", "The blob of an object that a PUT made."),
    ("PUT", "/v1/quilts", "Store the files of a form as one blob; _metadata has their tags."),
    ("GET", "/v1/quilts/{quilt_id}/patches", "The files of a quilt."),
    ("GET", "/v1/blobs/by-quilt-id/{quilt_id}/{identifier}", "A file of a quilt by its name."),
    ("GET", "/v1/blobs/by-quilt-patch-id/{quilt_patch_id}", "A file of a quilt by its own ID."),
    ("GET", "/v1alpha/blobs/concat", "The blobs of ids, one behind the other; POST takes them as JSON."),
    ("GET", "/v1/blobs/{blob_id}/certificate", "Its availability certificate, where it is on storage nodes."),
    ("GET", "/v1/storage-nodes", "The storage nodes, and what was noticed about them."),
    ("GET", "/v1/api", "This list; as OpenAPI where Accept is application/json."),
    ("GET", "/status", "OK while it runs."),
)
OPEN: Final = ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*"))
"""Pages of any site may read; to put they would have to ask first, and nobody answers."""


async def answer(
    route: ASGIApp, scope: Scope, receive: Receive, send: Send, *, refusal: Refusal, event: str
) -> None:
    """Run `route`: pages of any site may read what it answers to reads, and `refusal` writes its errors, of
    which those that are ours are logged as `event`.
    """
    started = False

    async def watched(message: Message) -> None:
        nonlocal started
        if message["type"] == "http.response.start" and scope["method"] in READS:
            message = {**message, "headers": [*message["headers"], *OPEN]}
        started = True
        await send(message)

    try:
        await route(scope, receive, watched)
    except HallmarkError as error:
        if started:
            raise
        status, body, headers = refusal(error)
        if status >= 500:
            get_logger().warning(event, reason=error.reason)
        await respond(watched, status, body, headers)


def _refusal(error: HallmarkError) -> tuple[int, bytes, Headers]:
    return status_of(error), error_body(error), headers_of(error)


class Store:
    """The app."""

    def __init__(
        self,
        publisher: Publisher,
        aggregator: Aggregator,
        quilts: Quilts,
        slivers: SliverStorage | None = None,
    ) -> None:
        self._publisher, self._aggregator, self._quilts = publisher, aggregator, quilts
        self._slivers = slivers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; errors as Walrus writes them."""
        await answer(self._route, scope, receive, send, refusal=_refusal, event="blob_refused")

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        raw = (scope.get("raw_path") or path.encode()).partition(b"?")[0].decode("latin-1")
        parts = [unquote(part, errors="replace") for part in raw.split("/")[1:]]
        if path == "/v1/blobs":
            _require(method, "PUT")
            await respond_json(send, await self._publisher.put_blob(scope, receive))
            return
        if path == "/v1/quilts":
            _require(method, "PUT")
            await respond_json(send, await self._quilts.put(scope, receive))
            return
        if path == "/v1alpha/blobs/concat":
            _require(method, "GET", "POST")
            await self._aggregator.concat(scope, receive, send)
            return
        _require(method, *READS)
        match parts:
            case ["v1", "blobs", "by-object-id", object_id]:
                await self._aggregator.by_object(scope, send, object_id)
            case ["v1", "blobs", "by-quilt-id", identifier, name]:
                await self._quilts.by_identifier(scope, send, identifier, name)
            case ["v1", "blobs", "by-quilt-patch-id", patch_id]:
                await self._quilts.by_patch_id(scope, send, patch_id)
            case ["v1", "quilts", identifier, "patches"]:
                await self._quilts.list_patches(send, identifier)
            case ["v1", "blobs", identifier, "certificate"]:
                await self._certificate(send, identifier)
            case ["v1", "storage-nodes"]:
                await self._storage_nodes(send)
            case ["v1", "blobs", identifier, "byte-range"]:
                await self._aggregator.byte_range(scope, send, identifier)
            case ["v1", "blobs", identifier]:
                await self._aggregator.blob(scope, send, identifier)
            case ["v1", "api"]:
                await _describe(scope, send)
            case ["status"]:
                await respond(send, 200, b"OK", content_type=b"text/plain; charset=utf-8")
            case _:
                raise NotFound("no_such_page", "There is no such page here.", "GET /v1/api lists what is.")

    async def _certificate(self, send: Send, identifier: str) -> None:
        """A blob's availability certificate, verified just now."""
        parse_blob_text(identifier)
        certificate = await self._behind().certificate(identifier)
        await respond(send, 200, certificate.encode())

    async def _storage_nodes(self, send: Send) -> None:
        """The committee, and what was noticed about its nodes."""
        storage = self._behind()
        committee, nodes = storage.committee, list(storage.faults.standings.values())
        told = {"epoch": committee.epoch, "shards": committee.shards, "quorum": committee.quorum}
        await respond_json(send, {**told, "committee": hex0x(committee.digest), "nodes": nodes})

    def _behind(self) -> SliverStorage:
        if self._slivers is None:
            raise NotFound(
                "no_storage_nodes",
                "Blobs of this store are not on storage nodes, so nobody signed that they are there.",
                "See docs/blobs.md on storage nodes.",
            )
        return self._slivers


def _require(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise not_allowed(*allowed)


async def _describe(scope: Scope, send: Send) -> None:
    if b"application/json" in (header(scope, b"accept") or b""):
        paths: dict[str, dict[str, object]] = {}
        for method, path, what in PATHS:
            paths.setdefault(path, {})[method.lower()] = {"summary": what, "responses": {}}
        info = {"title": "Hallmark blob store", "version": "1"}
        await respond_json(send, {"openapi": "3.1.0", "info": info, "paths": paths})
        return
    rows = "".join(
        f"<tr><td>{method}<td><code>{escape(path)}</code><td>{escape(what)}" for method, path, what in PATHS
    )
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>Blob store</title><table>{rows}</table>"
    await respond(send, 200, page.encode(), content_type=b"text/html; charset=utf-8")
