"""The server's side of xet: tokens, xorbs, shards. Files that a shard describes are put together, compared
with their SHA-256, examined, and stored as blobs like all others; how they were put together is kept
for those who download them (`downloads`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from hallmark.core.errors import NotFound, Unauthorized
from hallmark.http.asgi import Receive, Scope, Send
from hallmark.hub.revision import FileEntry
from hallmark.hub.xet import MOST_SHARD, MOST_XORB, ShardFile, Term, XorbReader, read_hash, shard_files
from hallmark.hub.xet_layout import MOST_PIECES, Layout, Piece, file_hash
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface import wire
from hallmark.services.hub.huggingface.contents import Contents, mismatch
from hallmark.services.hub.huggingface.downloads import Layouts
from hallmark.services.hub.huggingface.links import Links
from hallmark.services.hub.huggingface.xorbs import Xorbs
from hallmark.services.hub.publisher import Publisher
from hallmark.services.hub.staging import disk, stage, too_large

ROOM: Final = 4 << 20


class Xet:
    """See the module docstring. `most` is the length of the longest file."""

    def __init__(
        self,
        publisher: Publisher,
        blobs: Blobs,
        *,
        contents: Contents,
        xorbs: Xorbs,
        links: Links,
        layouts: Layouts,
        most: int,
    ) -> None:
        self._publisher, self._blobs, self._contents = publisher, blobs, contents
        self._xorbs, self._links, self._layouts, self._most = xorbs, links, layouts, most
        self._making: dict[str, asyncio.Lock] = {}

    async def token(self, scope: Scope, send: Send, writer: bytes) -> None:
        """GET /api/models/{id}/xet-write-token/{revision}, for somebody who may write."""
        until, tag = self._links.make(f"xet {writer.hex()}")
        token, url = f"{writer.hex()}.{until}.{tag}", f"{wire.base_of(scope)}/xet"
        await wire.send_xet_token(send, token, url, until)

    async def xorb(self, scope: Scope, receive: Receive, text: str) -> dict[str, Any]:
        """POST /xet/v1/xorbs/default/{hash}. Raises InvalidInput `bad_xet`, VerificationFailed
        `xorb_mismatch`.
        """
        self._check(scope)
        named = read_hash(text)
        body = self._publisher.body(scope, receive, MOST_XORB + ROOM)
        if await self._xorbs.has(named):
            async for _ in body:
                pass
            return {"was_inserted": False}
        with self._publisher.place(), contextlib.ExitStack() as stack:
            staged = stack.enter_context(self._blobs.staging.new(MOST_XORB + ROOM))
            reader = XorbReader()
            async for data in body:
                for chunk in reader.feed(data):
                    await staged.write(chunk)
            reader.finish(named)
            await staged.finish()
            self._xorbs.keep(named, reader.chunks, staged, stack)
        return {"was_inserted": True}

    async def shard(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """POST /xet/v1/shards: makes and stores the files. Raises InvalidInput `bad_xet`, `xorb_not_found`,
        VerificationFailed `content_mismatch`, and what `Contents.keep` raises.
        """
        self._check(scope)
        with self._publisher.place(), self._blobs.staging.new(MOST_SHARD) as staged:
            await stage(staged, self._publisher.body(scope, receive, MOST_SHARD))
            with disk():
                file = staged.path.open("rb")
            with file:
                for one in shard_files(file, staged.summary.size):
                    await self._file(one)
        return {"result": 1}

    async def no_chunk(self, scope: Scope) -> None:
        """GET /xet/v1/chunks/...: whoever asks sends the chunk. Raises NotFound `xet_chunk_not_found`."""
        self._check(scope)
        raise NotFound("xet_chunk_not_found", "No other file is known to have this chunk.")

    async def _file(self, file: ShardFile) -> FileEntry:
        """One request makes a file, others wait: a tool that waited too long sends its shard again."""
        lock = self._making.setdefault(file.sha256, asyncio.Lock())
        try:
            async with lock:
                known = await self._contents.known(file.sha256)
                if known is None:
                    return await self._make(file)
                await self._settle(file)
                return known
        finally:
            if not lock.locked():
                self._making.pop(file.sha256, None)

    async def _make(self, file: ShardFile) -> FileEntry:
        size = file.size
        if size > self._most:
            raise too_large(self._most)
        chunks, pieces = list[tuple[bytes, int]](), list[Piece]()
        with self._blobs.staging.new(size) as staged:
            for term in file.terms():
                if file.count <= MOST_PIECES:
                    found = await self._xorbs.chunks(term)
                    chunks += found
                    pieces.append(Piece(term.xorb, term.first, tuple(length for _, length in found)))
                async for data in self._xorbs.read(term):
                    await staged.write(data)
            await staged.finish()
            if staged.summary.sha256 != file.sha256:
                raise mismatch()
            entry = await self._contents.keep(staged)
        if pieces:
            named = await asyncio.to_thread(file_hash, chunks)
            await self._layouts.keep(file.sha256, named, Layout(tuple(pieces)))
        await self._settle(file)
        return entry

    async def _settle(self, file: ShardFile) -> None:
        offset, terms = 0, list[tuple[Term, int]]()
        for term in file.terms():
            terms.append((term, offset))
            offset += term.length
        await self._xorbs.settle(terms, file.sha256)

    def _check(self, scope: Scope) -> None:
        """Raises Unauthorized `upload_link_invalid`."""
        match wire.token_of(scope).split("."):
            case [writer, until, tag]:
                self._links.check(f"xet {writer}", until, tag)
            case _:
                raise Unauthorized("upload_link_invalid", "The request shows no token.", "Begin again.")
