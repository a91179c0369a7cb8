"""Blob stores for tests, with IDs for 22 shards, which take milliseconds instead of seconds.

async with blob_store(folder) as store:
    result = await store.put(b"hello")
    assert await store.get(result.blob_id) == b"hello"
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec

from hallmark.core.blob_ids import blob_text
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, bind
from hallmark.hub.walrus import blob_id, blob_id_of_file
from hallmark.services.hub.client import HubClient
from hallmark.services.hub.service import BlobService
from hallmark.services.hub.settings import Settings
from hallmark.services.storage_node.encoder import Encode
from hallmark.store.raw import RawDatabase
from hallmark.testing.listening import listening
from hallmark.testing.ports import free_port

SHARDS: Final = 22


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: status, headers by name in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The reason code of an error."""
        return str(self.json["error"]["details"][0]["metadata"]["code"])


class RunningStore:
    """A store that listens at `url`."""

    def __init__(self, url: str, pool: Pool, service: BlobService, folder: Path) -> None:
        self.url, self.pool, self.service, self.folder = url, pool, service, folder
        self.client = HubClient(url, pool)

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request."""
        sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        async with self.pool.request(method, self.url + path, sent, body) as response:
            told = {name.decode(): value.decode() for name, value in response.headers}
            return Answer(response.status, told, await response.read())

    async def put(self, data: bytes, query: str = "") -> str:
        """Store a blob; its ID."""
        answer = await self.ask("PUT", f"/v1/blobs{query}", body=data)
        assert answer.status == 200, answer.body
        (result,) = answer.json.values()
        identifier: str = result["blobObject"]["blobId"] if "blobObject" in result else result["blobId"]
        assert identifier == small_id(data)
        return identifier

    def file(self, identifier: str) -> Path:
        """Where the bytes of a blob are."""
        return self.folder / "blobs" / identifier[:2] / identifier


def small_id(data: bytes) -> str:
    """The blob ID for 22 shards, as text."""
    return blob_text(blob_id(data, SHARDS))


async def identify(path: Path) -> bytes:
    """The blob ID of a file for 22 shards."""
    return blob_id_of_file(path, SHARDS)


def store_settings(folder: Path, **changes: Any) -> Settings:
    """Settings of a store in a folder, which everybody may write."""
    defaults: dict[str, Any] = {
        "listen": Listen(0),
        "directory": str(folder),
        "database": "sqlite://",
        "anonymous": True,
        "free": 0,
    }
    return Settings(**{**defaults, **changes})


@contextlib.asynccontextmanager
async def blob_store(
    folder: Path, *, shards: int = SHARDS, encode: Encode | None = None, **changes: Any
) -> AsyncIterator[RunningStore]:
    """A store on a port of its own for the time of a block. More `shards` take longer blobs than 7 MB."""
    settings = store_settings(folder, **changes)

    async def identified(path: Path) -> bytes:
        return blob_id_of_file(path, shards)

    service = BlobService(
        settings, RawDatabase(settings.database), identify=identified, encode=encode, shards=shards
    )
    pool = Pool()
    try:
        async with listening(service.service, bind(Listen(free_port()))) as url:
            yield RunningStore(url, pool, service, folder)
    finally:
        await pool.aclose()
        await service.aclose()
