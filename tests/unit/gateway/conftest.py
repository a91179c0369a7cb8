"""A local network per test, and short ways to ask it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from hallmark.http.client import Pool
from hallmark.testing.local_network import LocalNetwork

CHAT = "/v1/chat/completions"


class Asker:
    """Asks a gateway: `status, headers, body`."""

    def __init__(self, local: LocalNetwork) -> None:
        self.local = local
        self.pool = Pool()

    async def raw(
        self, path: str, body: bytes = b"", method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request."""
        sent = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
        async with self.pool.request(method, self.local.url + path, sent, body) as response:
            found = {key.decode(): value.decode() for key, value in response.headers}
            return response.status, found, await response.read()

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        status, _, body = await self.raw(path, method="GET")
        return status, json.loads(body)

    async def chat(self, *, stream: bool = False, model: str = "digits", **headers: str) -> Any:
        """Status, headers and body of a chat completion."""
        body = {"model": model, "messages": [{"role": "user", "content": "Which?"}], "stream": stream}
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await self.raw(CHAT, json.dumps(body).encode(), headers=named)


@pytest.fixture
async def local() -> AsyncIterator[LocalNetwork]:
    """A network of a log, two nodes and a gateway."""
    async with LocalNetwork() as network:
        yield network


@pytest.fixture
async def ask(local: LocalNetwork) -> AsyncIterator[Asker]:
    """An asker for the local network."""
    asker = Asker(local)
    yield asker
    await asker.pool.aclose()
