"""Publishes files as one commit of a repository, by the hub's Hugging Face API (docs/hub.md)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, NotFound, Unauthorized, Unavailable
from hallmark.core.hashing import sha256
from hallmark.http.client import Pool
from hallmark.http.connection import Response
from hallmark.hub.revision import LARGE
from hallmark.services.hub.client import BLOCK, PATIENT, base_url

JSON: Final = (b"content-type", b"application/json")
KINDS: Final[Mapping[int, type[HallmarkError]]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
}


class _Listed(msgspec.Struct, frozen=True):
    path: str
    type: str = "file"
    sha256: str = ""


class RepositoryClient:
    """Talks with one hub, which is shown `secret`: whose namespace it is follows from that."""

    def __init__(self, url: str, pool: Pool, *, secret: str) -> None:
        self._url, self._pool = base_url(url), pool
        self._key = (b"authorization", f"Bearer {secret}".encode())

    async def publish(self, repository: str, files: Mapping[str, bytes], title: str) -> str:
        """Make the repository's newest revision consist of these files; the commit, empty where it does
        already. The hub makes it whole or not at all.

        Raises Unauthorized `not_your_namespace`, Conflict `revision_moved`, Unavailable, and what the hub
        refuses.
        """
        there = await self._listed(repository)
        wanted = {path: sha256(data).hex() for path, data in files.items()}
        if there == wanted:
            return ""
        await self._send_large(repository, {wanted[p]: d for p, d in files.items() if len(d) > LARGE})
        lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": title}}]
        lines += [{"key": "deletedFile", "value": {"path": path}} for path in there if path not in wanted]
        lines += [_line(path, data) for path, data in files.items()]
        body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        url = f"{self._url}/api/models/{repository}/commit/main"
        headers = self._headers(len(body))
        async with self._pool.request("POST", url, headers, _parts(body), timeouts=PATIENT) as response:
            return str((await _answer(response)).get("commitOid", ""))

    async def claim(self, repository: str) -> None:
        """Make the repository where there is none. Raises Unauthorized `not_your_namespace`."""
        namespace, _, name = repository.partition("/")
        try:
            await self._post("/api/repos/create", {"name": name, "organization": namespace})
        except Conflict as error:
            if error.reason != "repository_exists":
                raise

    async def _listed(self, repository: str) -> dict[str, str]:
        url = f"{self._url}/api/models/{repository}/tree/main?recursive=true"
        async with self._pool.request("GET", url, (self._key,)) as response:
            if response.status != 200:
                raise await _refusal(response)
            listed = await response.json(list[_Listed])
        return {one.path: one.sha256 for one in listed if one.type == "file"}

    async def _send_large(self, repository: str, large: Mapping[str, bytes]) -> None:
        if not large:
            return
        objects = [{"oid": digest, "size": len(data)} for digest, data in large.items()]
        asked = {"operation": "upload", "objects": objects, "hash_algo": "sha256"}
        answer = await self._post(f"/{repository}.git/info/lfs/objects/batch", asked)
        for one in answer.get("objects", ()):
            href = one.get("actions", {}).get("upload", {}).get("href", "")
            if not href:
                continue
            parts = urlsplit(href)
            url, data = f"{self._url}{quote(parts.path)}?{parts.query}", large[one["oid"]]
            async with self._pool.request(
                "PUT", url, self._headers(len(data)), _parts(data), timeouts=PATIENT
            ) as response:
                if response.status >= 300:
                    raise await _refusal(response)

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        url, data = self._url + path, msgspec.json.encode(body)
        async with self._pool.request("POST", url, (self._key, JSON), data) as response:
            return await _answer(response)

    def _headers(self, length: int) -> tuple[tuple[bytes, bytes], ...]:
        return (self._key, (b"content-length", str(length).encode()))


def _line(path: str, data: bytes) -> dict[str, Any]:
    if len(data) > LARGE:
        value = {"path": path, "algo": "sha256", "oid": sha256(data).hex(), "size": len(data)}
        return {"key": "lfsFile", "value": value}
    content = base64.b64encode(data).decode()
    return {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}}


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), BLOCK):
        yield data[at : at + BLOCK]


async def _answer(response: Response) -> dict[str, Any]:
    if response.status >= 300:
        raise await _refusal(response)
    return await response.json(dict[str, Any])


async def _refusal(response: Response) -> HallmarkError:
    """The error that an answer stands for, under the hub's own reason code."""
    try:
        said = await response.json(dict[str, Any], 1 << 20)
    except HallmarkError:
        said = {}
    code, words = str(said.get("code") or ""), str(said.get("error") or f"HTTP {response.status}")
    if not code or response.status >= 500:
        return Unavailable(code or "hub_unavailable", f"The hub refuses: {words[:300]}")
    kind = KINDS.get(response.status, InvalidInput)
    return kind(code, words.removeprefix(f"{code}: ")[:300], str(said.get("hint", ""))[:300])
