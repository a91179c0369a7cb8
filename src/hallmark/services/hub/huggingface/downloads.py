"""Downloads over xet: tokens, how a file is put together, and its pieces.

A token is for one commit of one repository, and a file's hash is answered only with the token of a commit
that has the file. The address of a piece permits that piece for as long as a token lasts. Bytes come from the
file's own blob, compared with its record like those of every download.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from hallmark.core.errors import NotFound, Unauthorized
from hallmark.http.asgi import Headers, Scope, Send, header, respond_json
from hallmark.hub.ranges import Span, parse_range
from hallmark.hub.revision import Revision
from hallmark.hub.xet import hash_text, read_hash
from hallmark.hub.xet_layout import Layout, Part, packed, packed_size, told
from hallmark.services.hub.aggregator import send_bytes
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface import wire
from hallmark.services.hub.huggingface.links import Links
from hallmark.services.hub.huggingface.rows import Repository, Rows
from hallmark.store.raw import RawDatabase, Transaction

PRIVATE: Final = b"no-store"


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE hub_xet_files (sha256 TEXT NOT NULL PRIMARY KEY, hash BLOB NOT NULL, "
        "layout BLOB NOT NULL)"
    )
    transaction.execute("CREATE INDEX hub_xet_files_by_hash ON hub_xet_files (hash)")


class Layouts:
    """Layouts of files whose bytes were put together here as the layout says."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("hub_xet_files", (_create,))

    async def keep(self, sha256: str, file: bytes, layout: Layout) -> None:
        """Write a file's down; the first that came stays."""
        await self._database.async_write(
            lambda transaction: transaction.execute(
                "INSERT INTO hub_xet_files (sha256, hash, layout) VALUES (?, ?, ?) "
                "ON CONFLICT (sha256) DO NOTHING",
                (sha256, file, msgspec.msgpack.encode(layout)),
            )
        )

    async def name_of(self, sha256: str) -> str:
        """The hash (text) of a file; "" where it did not come over xet."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT hash FROM hub_xet_files WHERE sha256 = ?", (sha256,)
            )
        )
        return hash_text(bytes(rows[0][0])) if rows else ""

    async def with_hash(self, file: bytes) -> dict[str, Layout]:
        """Files of this hash by SHA-256 (hex): one at most, unless a hash is broken."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT sha256, layout FROM hub_xet_files WHERE hash = ? LIMIT 8", (file,)
            )
        )
        return {str(row[0]): msgspec.msgpack.decode(bytes(row[1]), type=Layout) for row in rows}

    async def of(self, sha256: str) -> Layout | None:
        """A file's layout."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch(
                "SELECT layout FROM hub_xet_files WHERE sha256 = ?", (sha256,)
            )
        )
        return msgspec.msgpack.decode(bytes(rows[0][0]), type=Layout) if rows else None


class Downloads:
    """See the module docstring."""

    def __init__(self, blobs: Blobs, rows: Rows, links: Links, layouts: Layouts) -> None:
        self._blobs, self._rows, self._links, self.layouts = blobs, rows, links, layouts

    async def named(self, scope: Scope, repository: Repository, revision: Revision, sha256: str) -> Headers:
        """What a large file's head says to tools that download over xet; nothing where it cannot."""
        name = await self.layouts.name_of(sha256)
        if not name:
            return []
        route = f"{wire.base_of(scope)}/api/models/{repository.id}/xet-read-token/{revision.commit}"
        return [(b"x-xet-hash", name.encode()), (b"link", f'<{route}>; rel="xet-auth"'.encode())]

    async def token(self, scope: Scope, send: Send, repository: Repository, name: str) -> None:
        """GET /api/models/{id}/xet-read-token/{revision}, for everybody."""
        revision = await self._rows.revision(repository, name)
        permits = f"{repository.key} {revision.commit}"
        until, tag = self._links.make(f"xet-read {permits}")
        url = f"{wire.base_of(scope)}/xet"
        await wire.send_xet_token(send, f"{permits.encode().hex()}.{until}.{tag}", url, until)

    async def reconstruction(self, scope: Scope, send: Send, text: str) -> None:
        """GET /xet/v1/reconstructions/{hash}, of the file or of the span that `Range` names. Raises
        Unauthorized `xet_token_invalid`, NotFound `xet_file_not_found`, RangeNotSatisfiable `bad_byte_range`.
        """
        revision = await self._permitted(scope)
        files = {entry.sha256 for entry in revision.files.values()}
        found = await self.layouts.with_hash(read_hash(text))
        sha256, layout = next(((one, of) for one, of in found.items() if one in files), ("", None))
        if layout is None:
            raise NotFound(
                "xet_file_not_found",
                "The commit that the token is for has no file of this hash.",
                "Ask for the file's head again, and for a token of the same commit.",
            )
        asked = header(scope, b"range")
        span = Span(0, layout.size)
        if asked is not None:
            span = parse_range(asked.decode("latin-1"), layout.size, clip=True)
        before, parts = layout.parts(span)
        urls = [self._address(wire.base_of(scope), sha256, part) for part in parts]
        headers = [(b"cache-control", PRIVATE)]
        await respond_json(send, told(layout, before, parts, urls), headers=headers)

    async def piece(self, scope: Scope, send: Send, sha256: str, numbers: list[str]) -> None:
        """GET /xet/v1/pieces/{sha256}/{number}/{first}/{last}. Raises Unauthorized `xet_token_invalid`,
        NotFound `xet_file_not_found`, RangeNotSatisfiable, and what the blob store raises.
        """
        values = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        permits = f"xet-piece {sha256} {' '.join(numbers)}"
        self._check(permits, values.get("until", ""), values.get("tag", ""))
        part, layout = Part(*map(int, numbers)), await self.layouts.of(sha256)
        lengths = layout.lengths(part) if layout is not None else ()
        entry = await self._rows.content(sha256)
        if layout is None or not lengths or entry is None:
            raise NotFound(
                "xet_file_not_found", "The file of this piece is not here any more.", "Begin anew."
            )
        record = await self._blobs.record(entry.blob)
        coming = packed(lengths, self._blobs.read(record, layout.span(part)))
        size, status, headers = packed_size(lengths), 200, list[tuple[bytes, bytes]]()
        span, asked = Span(0, size), header(scope, b"range")
        if asked is not None and scope["method"] == "GET":
            span, status = parse_range(asked.decode("latin-1"), size, clip=True), 206
            headers.append((b"content-range", b"bytes %d-%d/%d" % (span.start, span.end - 1, size)))
        etag = f"{sha256[:32]}-{'-'.join(numbers)}"
        sent = _within(coming, span)
        await send_bytes(scope, send, sent, span.length, etag, status=status, headers=headers, cached=PRIVATE)

    def _address(self, base: str, sha256: str, part: Part) -> str:
        numbers = f"{part.number} {part.first} {part.last}"
        until, tag = self._links.make(f"xet-piece {sha256} {numbers}")
        return f"{base}/xet/v1/pieces/{sha256}/{numbers.replace(' ', '/')}?until={until}&tag={tag}"

    async def _permitted(self, scope: Scope) -> Revision:
        """The revision that the request's token is for."""
        named, _, rest = wire.token_of(scope).partition(".")
        until, _, tag = rest.partition(".")
        try:
            permits = bytes.fromhex(named).decode()
        except ValueError:
            permits = ""
        self._check(f"xet-read {permits}", until, tag)
        key, _, commit = permits.partition(" ")
        namespace, _, name = key.partition("/")
        return await self._rows.revision(await self._rows.find(namespace, name), commit)

    def _check(self, permits: str, until: str, tag: str) -> None:
        try:
            self._links.check(permits, until, tag)
        except Unauthorized as error:
            raise Unauthorized(
                "xet_token_invalid",
                "The token or address for this download is none of ours, or its time is over.",
                "Ask for the file's head again; a new token comes with it.",
            ) from error


async def _within(coming: AsyncIterator[bytes], span: Span) -> AsyncIterator[bytes]:
    """The bytes of a span of what comes."""
    at = 0
    async for data in coming:
        start, end = max(span.start - at, 0), span.end - at
        at += len(data)
        if start < len(data):
            yield data[start:end]
        if at >= span.end:
            return
