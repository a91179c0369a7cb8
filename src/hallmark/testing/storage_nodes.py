"""Storage nodes of a committee for tests, in this process: 22 shards, so that everything takes milliseconds.

async with storage_nodes(folder, 7) as nodes:
    await nodes.put(b"hello")
    await nodes.stop(3)
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, bind
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.committee import Committee, read_committee
from hallmark.hub.sliver_file import encode_slivers
from hallmark.hub.walrus import FileSource
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.service import StorageNodeService
from hallmark.services.storage_node.settings import Settings
from hallmark.testing.blob_stores import SHARDS, Answer
from hallmark.testing.committees import committee_file, secret_of, slivers_of
from hallmark.testing.listening import listening
from hallmark.testing.ports import free_port


async def encode_here(blob: Path, target: Path, pairs: Sequence[int], *, start: int = 0) -> BlobMetadata:
    """Encode in this process, for 22 shards."""
    with blob.open("rb") as source, target.open("r+b") as out:
        return await asyncio.to_thread(
            encode_slivers,
            FileSource(source.fileno()),
            blob.stat().st_size,
            out.fileno(),
            pairs,
            shards=SHARDS,
            start=start,
        )


class RunningNodes:
    """Nodes by index; each can be stopped, started, wiped."""

    def __init__(self, folder: Path, count: int, weights: Sequence[int], **changes: Any) -> None:
        self.folder, self.ports, self._changes = folder, [free_port() for _ in range(count)], changes
        urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.file = folder / "committee.json"
        self.file.write_bytes(msgspec.json.encode(committee_file(urls, shards=SHARDS, weights=weights)))
        self.committee: Committee = read_committee(self.file.read_bytes())
        self.services: dict[int, StorageNodeService] = {}
        self._stacks: dict[int, contextlib.AsyncExitStack] = {}
        self.pool = Pool()
        self.clients = [NodeClient(node, self.pool, answer_s=30.0) for node in self.committee.nodes]

    def settings(self, index: int) -> Settings:
        """Settings of a node."""
        key = self.folder / f"node-{index}.key"
        key.write_text(hex0x(secret_of(f"node-{index}")))
        defaults: dict[str, Any] = {"anonymous": True, "free": 0, "look_every_s": 0.0}
        return Settings(
            Listen(self.ports[index]),
            str(self.place(index)),
            str(self.file),
            f"node-{index}",
            str(key),
            **{**defaults, **self._changes},
        )

    def place(self, index: int) -> Path:
        """The directory of a node."""
        return self.folder / f"node-{index}"

    def slivers(self, index: int, identifier: str) -> Path:
        """The file of a node's slivers of a blob."""
        return self.place(index) / "blobs" / identifier[:2] / identifier

    async def start(self, *indices: int) -> None:
        """Start nodes."""
        for index in indices:
            service = StorageNodeService(self.settings(index), encode=encode_here)
            stack = contextlib.AsyncExitStack()
            stack.push_async_callback(service.aclose)
            await stack.enter_async_context(listening(service.service, bind(Listen(self.ports[index]))))
            self.services[index], self._stacks[index] = service, stack

    async def stop(self, *indices: int) -> None:
        """Stop nodes at once."""
        for index in indices:
            await self._stacks.pop(index).aclose()
            del self.services[index]

    async def wipe(self, index: int) -> None:
        """Stop a node, delete everything that it has, and start it again."""
        await self.stop(index)
        shutil.rmtree(self.place(index))
        await self.start(index)

    async def ask(
        self, index: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request to a node."""
        sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        url = f"http://127.0.0.1:{self.ports[index]}{path}"
        async with self.pool.request(method, url, sent, body) as response:
            told = {name.decode(): value.decode() for name, value in response.headers}
            return Answer(response.status, told, await response.read())

    def body(self, index: int, data: bytes) -> tuple[BlobMetadata, bytes]:
        """What a put of a blob at a node consists of, and the blob's metadata."""
        metadata, slivers = slivers_of(data, SHARDS)
        pairs = self.committee.pairs(metadata.blob_id, index)
        parts = [slivers[pair, kind] for pair in pairs for kind in Kind]
        return metadata, b"".join((metadata.encode(), *parts))


@contextlib.asynccontextmanager
async def storage_nodes(
    folder: Path, count: int = 7, *, weights: Sequence[int] = (), **changes: Any
) -> AsyncIterator[RunningNodes]:
    """Running nodes for the time of a block. `changes` are other settings for all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = RunningNodes(folder, count, weights, **changes)
    try:
        await nodes.start(*range(count))
        yield nodes
    finally:
        await nodes.stop(*tuple(nodes.services))
        await nodes.pool.aclose()
