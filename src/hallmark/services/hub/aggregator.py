"""The aggregator: blobs and ranges of them, by blob ID or by object ID.

A response's head goes out when its first chunk was checked; where a later one is wrong, the connection is
closed before the length that the head names was sent, so nobody takes it for the whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.document import unhex
from hallmark.core.errors import InvalidInput
from hallmark.http.asgi import Receive, Scope, Send, header, read_body
from hallmark.hub.ranges import Span, byte_range, parse_range
from hallmark.hub.record import BlobRecord
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.objects import Objects
from hallmark.services.hub.query import READING, malformed, number, query_of, strict

MOST_CONCAT: Final = 1_000
OBJECT_ID: Final = re.compile(r"0x[0-9a-f]{64}")
CACHED: Final = b"public, max-age=86400, stale-while-revalidate=3600"
SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"accept-ranges", b"bytes"),
)
"""What somebody stored is data, whatever it looks like to a browser."""


class Concatenated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1alpha/blobs/concat."""

    ids: tuple[str, ...]
    strict_consistency_check: bool | None = None
    skip_consistency_check: bool | None = None


class Aggregator:
    """Answers reads; every method sends a whole response."""

    def __init__(self, blobs: Blobs, objects: Objects) -> None:
        self._blobs, self._objects = blobs, objects

    async def blob(self, scope: Scope, send: Send, identifier: str) -> None:
        """GET and HEAD /v1/blobs/{blob_id}, with `Range`."""
        parse_blob_text(identifier)
        checked = strict(query_of(scope, *READING))
        record = await self._blobs.record(identifier, strict=checked)
        asked = header(scope, b"range")
        if asked is None or scope["method"] == "HEAD":
            await self.send(scope, send, record, Span(0, record.size), identifier)
            return
        span = parse_range(asked.decode("latin-1"), record.size)
        shown = b"bytes %d-%d/%d" % (span.start, span.end - 1, record.size)
        await self.send(
            scope, send, record, span, identifier, status=206, headers=[(b"content-range", shown)]
        )

    async def by_object(self, scope: Scope, send: Send, object_id: str) -> None:
        """GET /v1/blobs/by-object-id/{object_id}."""
        await self.blob(scope, send, await self._resolved(object_id))

    async def byte_range(self, scope: Scope, send: Send, identifier: str) -> None:
        """GET /v1/blobs/{blob_id}/byte-range: 200, so that caches keep it."""
        parse_blob_text(identifier)
        values = query_of(scope, "start", "length")
        start, length = number(values, "start"), number(values, "length")
        record = await self._blobs.record(identifier)
        span = byte_range(start, length, record.size)
        await self.send(scope, send, record, span, f"{identifier}-{start}-{length}")

    async def concat(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET and POST /v1alpha/blobs/concat: several blobs, one behind the other."""
        if scope["method"] == "POST":
            ids, checked = _concatenated(await read_body(receive, 1 << 20))
        else:
            values = query_of(scope, "ids", *READING)
            ids = [one.strip() for one in values.get("ids", "").split(",") if one.strip()]
            checked = strict(values)
        if not 1 <= len(ids) <= MOST_CONCAT:
            raise malformed(f"Name 1 to {MOST_CONCAT} blobs.")
        records = [
            await self._blobs.record(
                await self._resolved(one) if one.startswith("0x") else _known_form(one), strict=checked
            )
            for one in ids
        ]
        etag = hashlib.sha256(",".join(ids).encode()).hexdigest()
        size = sum(record.size for record in records)
        await send_bytes(scope, send, self._joined(records), size, etag)

    async def send(
        self,
        scope: Scope,
        send: Send,
        record: BlobRecord,
        span: Span,
        etag: str,
        *,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Send bytes of a blob."""
        await send_bytes(
            scope, send, self._blobs.read(record, span), span.length, etag, status=status, headers=headers
        )

    async def _joined(self, records: Sequence[BlobRecord]) -> AsyncIterator[bytes]:
        for record in records:
            async for data in self._blobs.read(record, Span(0, record.size)):
                yield data

    async def _resolved(self, object_id: str) -> str:
        if not OBJECT_ID.fullmatch(object_id):
            raise InvalidInput("bad_blob_id", "An object ID is 0x and 64 hex digits.")
        return (await self._objects.find(unhex(object_id))).blob_id


async def send_bytes(
    scope: Scope,
    send: Send,
    coming: AsyncIterator[bytes],
    size: int,
    etag: str,
    *,
    status: int = 200,
    headers: Sequence[tuple[bytes, bytes]] = (),
    cached: bytes = CACHED,
) -> None:
    """Send `size` bytes as they come, the head with the first of them."""
    tag = f'"{etag}"'.encode()
    same = [(b"etag", tag), (b"cache-control", cached), *SAFE]
    if tag in (header(scope, b"if-none-match") or b"").replace(b" ", b"").split(b","):
        await send({"type": "http.response.start", "status": 304, "headers": same})
        await send({"type": "http.response.body", "body": b""})
        return
    kind = [] if any(name == b"content-type" for name, _ in headers) else [_content_type(scope)]
    told = [*kind, (b"content-length", str(size).encode()), *same, *headers]
    start = {"type": "http.response.start", "status": status, "headers": told}
    if scope["method"] == "HEAD":
        await send(start)
        await send({"type": "http.response.body", "body": b""})
        return
    first = await anext(coming, b"")
    await send(start)
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for data in coming:
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _content_type(scope: Scope) -> tuple[bytes, bytes]:
    """As an aggregator of Walrus: what the request wants by name, else what it says it has."""
    accept = header(scope, b"accept")
    if accept and b"*" not in accept:
        return b"content-type", accept
    asked = header(scope, b"content-type") if scope["method"] == "GET" else None
    return b"content-type", asked or b"application/octet-stream"


def _known_form(identifier: str) -> str:
    parse_blob_text(identifier)
    return identifier


def _concatenated(body: bytes) -> tuple[list[str], bool]:
    try:
        asked = msgspec.json.decode(body, type=Concatenated)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed("The body is an object with the member ids.") from error
    flags: Mapping[str, str] = {name: str(bool(getattr(asked, name))).lower() for name in READING}
    return list(asked.ids), strict(flags)
