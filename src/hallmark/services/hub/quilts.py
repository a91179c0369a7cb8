"""Quilts over HTTP: many files put at once, and each of them got by name.

A patch lies in whole columns of the quilt's matrix, which is stored row by row: whoever gets one has
the whole quilt read, and checked, here. Its columns go to a file first, so memory does not grow with them.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.errors import InvalidInput
from hallmark.http.asgi import Receive, Scope, Send, header, respond_json
from hallmark.http.multipart import Multipart, malformed
from hallmark.hub.quilt import (
    INDEX_HEAD,
    MOST_PATCH_HEAD,
    Columns,
    Grid,
    Part,
    Patch,
    Quilt,
    grid_of,
    index_length,
    no_patch,
    parse_patch_id,
    read_index,
    read_patch_head,
)
from hallmark.hub.ranges import Span
from hallmark.hub.record import BlobRecord
from hallmark.hub.walrus import SHARDS
from hallmark.services.hub.aggregator import send_bytes
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.publisher import Publisher
from hallmark.services.hub.query import query_of
from hallmark.services.hub.staging import Staged, disk, too_large

METADATA: Final = "_metadata"
MOST_METADATA: Final = 1 << 20
MOST_FILES: Final = 666
KNOWN: Final = 64
BLOCK: Final = 1 << 20
AS_HEADERS: Final = ("content-type", "content-disposition", "content-language")
"""Tags that go out as headers of a patch: what says how to read it."""


class FileMetadata(msgspec.Struct, frozen=True):
    """A member of the form's `_metadata`."""

    identifier: str
    tags: dict[str, Any] = {}


class Slice:
    """A part of an open file, as a `Source`."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor, self._start = descriptor, start

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`."""
        return os.pread(self._descriptor, length, self._start + offset)


class Quilts:
    """See the module docstring. `shards` is the number that quilts are laid out for."""

    def __init__(self, blobs: Blobs, publisher: Publisher, most: int, *, shards: int = SHARDS) -> None:
        self._blobs, self._publisher, self._most, self._shards = blobs, publisher, most, shards
        self._indexes: OrderedDict[str, tuple[Patch, ...]] = OrderedDict()

    async def put(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """PUT /v1/quilts. Raises as `Publisher.put_blob`, and InvalidInput `bad_multipart`, `bad_quilt`."""
        options = self._publisher.options(scope)
        form = Multipart(header(scope, b"content-type") or b"")
        staging = self._blobs.staging
        with self._publisher.place(), staging.new(self._most) as files, staging.new(self._most) as staged:
            sizes, tags = await self._read_form(
                form, self._publisher.body(scope, receive, self._most + MOST_METADATA), files
            )
            quilt = await self._write(files.path, sizes, tags, staged)
            record = await self._blobs.put(staged)
        result = await self._publisher.promise(record, options)
        quilt_id = parse_blob_text(record.blob_id)
        return {
            "blobStoreResult": result,
            "storedQuiltBlobs": [
                {
                    "identifier": patch.identifier,
                    "quiltPatchId": patch.patch_id(quilt_id),
                    "range": [patch.start, patch.end],
                }
                for patch in quilt.patches
            ],
        }

    async def list_patches(self, send: Send, identifier: str) -> None:
        """GET /v1/quilts/{quilt_id}/patches."""
        quilt_id = parse_blob_text(identifier)
        patches = await self._index(await self._blobs.record(identifier))
        listed = [
            {"identifier": patch.identifier, "patch_id": patch.patch_id(quilt_id), "tags": patch.tags}
            for patch in patches
        ]
        await respond_json(send, listed)

    async def by_identifier(self, scope: Scope, send: Send, identifier: str, name: str) -> None:
        """GET /v1/blobs/by-quilt-id/{quilt_id}/{identifier}."""
        query_of(scope)
        quilt_id = parse_blob_text(identifier)
        record = await self._blobs.record(identifier)
        found = next((patch for patch in await self._index(record) if patch.identifier == name), None)
        if found is None:
            raise no_patch()
        await self._send(scope, send, record, (found.start, found.end), found.patch_id(quilt_id))

    async def by_patch_id(self, scope: Scope, send: Send, patch_id: str) -> None:
        """GET /v1/blobs/by-quilt-patch-id/{quilt_patch_id}."""
        query_of(scope)
        identifier, start, end = parse_patch_id(patch_id)
        await self._send(scope, send, await self._blobs.record(identifier), (start, end), patch_id)

    async def _send(
        self, scope: Scope, send: Send, record: BlobRecord, columns: tuple[int, int], etag: str
    ) -> None:
        grid = grid_of(record.size, self._shards)
        if columns[1] > grid.columns:
            raise no_patch()
        room = (columns[1] - columns[0]) * grid.column
        with self._blobs.staging.new(room) as copy:
            await self._extract(record, grid, columns, copy.path)
            with copy.path.open("rb") as file:
                head = file.read(min(room, MOST_PATCH_HEAD))
                name, tags, start, end = read_patch_head(head, room)
                if end <= room - grid.column:
                    raise no_patch()
                shown = name.encode("ascii", "backslashreplace").replace(b"\r", b"").replace(b"\n", b"")
                headers = [(b"x-quilt-patch-identifier", shown), *_headers(tags)]
                await send_bytes(
                    scope, send, _file(file.fileno(), start, end), end - start, etag, headers=headers
                )

    async def _index(self, record: BlobRecord) -> tuple[Patch, ...]:
        known = self._indexes.get(record.blob_id)
        if known is not None:
            self._indexes.move_to_end(record.blob_id)
            return known
        grid = grid_of(record.size, self._shards)
        columns = 10
        with self._blobs.staging.new(columns * grid.column) as copy:
            await self._extract(record, grid, (0, columns), copy.path)
            with copy.path.open("rb") as file:
                length = index_length(file.read(INDEX_HEAD))
                if length > columns * grid.column:
                    raise no_patch()
                file.seek(0)
                patches = read_index(file.read(length), grid)
        self._indexes[record.blob_id] = patches
        while len(self._indexes) > KNOWN:
            self._indexes.popitem(last=False)
        return patches

    async def _extract(self, record: BlobRecord, grid: Grid, columns: tuple[int, int], path: Path) -> None:
        """Write columns of a quilt, joined, into a file."""
        wanted = Columns(grid, *columns)
        with disk():
            descriptor = os.open(path, os.O_WRONLY)
            try:
                async for chunk in self._blobs.read(record, Span(0, record.size)):
                    await asyncio.to_thread(_write_pieces, descriptor, wanted, chunk)
            finally:
                os.close(descriptor)

    async def _read_form(
        self, form: Multipart, body: AsyncIterator[bytes], files: Staged
    ) -> tuple[dict[str, int], dict[str, dict[str, str]]]:
        """The files of a form, joined, with their lengths; and their tags."""
        sizes, metadata, name = dict[str, int](), bytearray(), ""
        async for data in body:
            for event in form.feed(data):
                if isinstance(event, str):
                    name = event
                    if name != METADATA and (name in sizes or len(sizes) >= MOST_FILES):
                        raise InvalidInput(
                            "bad_quilt", f"A quilt has at most {MOST_FILES} files, each name once."
                        )
                    sizes |= {} if name == METADATA else {name: 0}
                elif name == METADATA:
                    metadata += event
                    if len(metadata) > MOST_METADATA:
                        raise too_large(MOST_METADATA)
                else:
                    sizes[name] += len(event)
                    await files.write(event)
        if not form.done:
            raise malformed("The body ends before its last boundary.")
        await files.finish()
        return sizes, _tags(bytes(metadata), sizes)

    async def _write(
        self, path: Path, sizes: dict[str, int], tags: dict[str, dict[str, str]], staged: Staged
    ) -> Quilt:
        """Lay the files out as a quilt."""
        with disk(), path.open("rb") as file:
            parts, at = list[Part](), 0
            for name, size in sizes.items():
                parts.append(Part(name, tags.get(name, {}), size, Slice(file.fileno(), at)))
                at += size
            quilt = Quilt(parts, self._shards)
            if quilt.grid.size > self._most:
                raise too_large(self._most)
            rows = quilt.row_bytes()
            while row := await asyncio.to_thread(next, rows, b""):
                await staged.write(row)
        await staged.finish()
        return quilt


def _tags(metadata: bytes, sizes: dict[str, int]) -> dict[str, dict[str, str]]:
    if not metadata:
        return {}
    try:
        said = msgspec.json.decode(metadata, type=tuple[FileMetadata, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "bad_quilt", "_metadata is a list of objects with identifier and tags.", "See docs/blobs.md."
        ) from error
    tags = {
        one.identifier: {
            key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for key, value in one.tags.items()
        }
        for one in said
    }
    if len(tags) != len(said) or not tags.keys() <= sizes.keys():
        raise InvalidInput("bad_quilt", "_metadata names each file of the form at most once, and no other.")
    return tags


def _headers(tags: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode(), value.encode())
        for name, value in tags.items()
        if name.lower() in AS_HEADERS and value.isascii() and value.isprintable()
    ]


def _write_pieces(descriptor: int, wanted: Columns, chunk: bytes) -> None:
    for offset, piece in wanted.pieces(chunk):
        os.pwrite(descriptor, piece, offset)


async def _file(descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
    for at in range(start, end, BLOCK):
        yield await asyncio.to_thread(os.pread, descriptor, min(BLOCK, end - at), at)
