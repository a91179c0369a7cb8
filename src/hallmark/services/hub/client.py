"""A client of any publisher and aggregator of Walrus, ours or Walrus's own. It believes no ID: whoever puts
has computed it before, and whoever gets computes it before a file is in its place.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable, VerificationFailed
from hallmark.http.client import Pool, Timeouts
from hallmark.http.connection import Response
from hallmark.hub.certificate import MOST_CERTIFICATE
from hallmark.services.hub.staging import disk

BLOCK: Final = 1 << 20
PATIENT: Final = Timeouts(connect=10.0, head=3_600.0, idle=60.0, pool=60.0)
"""A publisher answers when everything was sent, encoded and certified."""


class PutResult(msgspec.Struct, frozen=True):
    """What a publisher said of a blob: `created`, else it had it for long enough; the epoch in which its
    promise ends (0: it said none).
    """

    created: bool
    ends: int


class HubClient:
    """Talks with one endpoint. `secret` is shown as a bearer token where it is given."""

    def __init__(self, url: str, pool: Pool, *, secret: str = "") -> None:
        self._url, self._pool = base_url(url), pool
        self._headers = [(b"authorization", f"Bearer {secret}".encode())] if secret else []

    async def put(self, path: Path, identifier: str, query: str = "") -> PutResult:
        """Store a file under the ID that was computed of it.

        Raises VerificationFailed `store_named_another_id`, and what `refusal` makes of the answer.
        """
        with disk():
            size = path.stat().st_size
        headers = [
            *self._headers,
            (b"content-type", b"application/octet-stream"),
            (b"content-length", str(size).encode()),
        ]
        url = f"{self._url}/v1/blobs" + (f"?{query}" if query else "")
        async with self._pool.request("PUT", url, headers, file_parts(path), timeouts=PATIENT) as response:
            if response.status != 200:
                raise await refusal(response)
            named, result = _result(await response.json(dict[str, Any], 1 << 20))
        if named != identifier:
            raise VerificationFailed(
                "store_named_another_id",
                f"The store says that the blob is {named[:43]}; computed here it is {identifier}.",
                "Believe the one that was computed here, and ask the store's operator.",
            )
        return result

    async def size(self, identifier: str) -> int | None:
        """The length that the store says a blob has; None when it does not say. Raises NotFound
        `blob_not_found`, and what `refusal` makes of the answer.
        """
        url = f"{self._url}/v1/blobs/{identifier}"
        async with self._pool.request("HEAD", url, self._headers) as response:
            if response.status != 200:
                raise await refusal(response)
            length = response.header(b"content-length")
            return int(length) if length is not None and length.isdigit() else None

    async def certificate(self, identifier: str) -> bytes:
        """A blob's availability certificate, unverified. Raises NotFound `certificate_not_stored`, and what
        `refusal` makes of the answer.
        """
        url = f"{self._url}/v1/blobs/{identifier}/certificate"
        async with self._pool.request("GET", url, self._headers) as response:
            if response.status == 404:
                raise NotFound(
                    "certificate_not_stored",
                    "The store has no availability certificate of this blob.",
                    "Only a store on storage nodes has such; see docs/blobs.md.",
                )
            if response.status != 200:
                raise await refusal(response)
            return await response.read(MOST_CERTIFICATE)

    async def read(self, identifier: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """A blob's bytes as they come, unchecked; with `end` only [start, end). Raises NotFound
        `blob_not_found`, Unavailable `connection_lost`, and what `refusal` makes of the answer.
        """
        ranged = [] if end is None else [(b"range", b"bytes=%d-%d" % (start, end - 1))]
        url = f"{self._url}/v1/blobs/{identifier}"
        async with self._pool.request("GET", url, [*self._headers, *ranged], timeouts=PATIENT) as response:
            if response.status != (206 if ranged else 200):
                raise await refusal(response)
            async for part in response:
                yield part

    async def get(
        self, identifier: str, target: Path, compute: Callable[[Path], Awaitable[bytes]], *, most: int
    ) -> int:
        """Fetch a blob beside `target`, compute its ID, and only then move it there. Its length.

        Raises NotFound `blob_not_found`, VerificationFailed `blob_id_mismatch`, Unavailable.
        """
        parse_blob_text(identifier)
        with disk():
            fresh = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
            file = fresh.open("xb", buffering=0)
        try:
            size = 0
            with file:
                async for part in self.read(identifier):
                    size += len(part)
                    if size > most:
                        raise _mismatch(identifier)
                    with disk():
                        await asyncio.to_thread(_write, file.fileno(), part)
                with disk():
                    await asyncio.to_thread(os.fsync, file.fileno())
            if blob_text(await compute(fresh)) != identifier:
                raise _mismatch(identifier)
            with disk():
                os.replace(fresh, target)
            return size
        finally:
            fresh.unlink(missing_ok=True)


async def refusal(response: Response) -> HallmarkError:
    """The error that an answer stands for: ours by its code, Walrus's own by its status."""
    try:
        body = await response.json(dict[str, Any], 1 << 20)
    except HallmarkError:
        body = {}
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    if response.status == 404:
        return NotFound("blob_not_found", "The store has no blob with this ID.", "Is the ID right?")
    said = str(error.get("message", ""))[:300] or f"HTTP {response.status}"
    kind = Unavailable if response.status in (408, 429) or response.status >= 500 else InvalidInput
    return kind("blob_store_refused", f"The store refuses: {said}")


def base_url(url: str) -> str:
    """An endpoint's address without a slash at its end. Raises InvalidInput `blob_store_url`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInput(
            "blob_store_url",
            "A blob store's address is an http or https URL.",
            "For example: --store https://aggregator.example",
        )
    return url.rstrip("/")


def _result(body: dict[str, Any]) -> tuple[str, PutResult]:
    """Which blob a publisher says that it stored, and how. It may write names in either case. Raises
    Unavailable `blob_store_refused`.
    """
    try:
        if "newlyCreated" in body:
            made = body["newlyCreated"].get("blobObject") or body["newlyCreated"]["blob_object"]
            ends = made["storage"].get("endEpoch", made["storage"].get("end_epoch", 0))
            return str(made.get("blobId") or made["blob_id"]), PutResult(True, int(ends))
        known = body.get("alreadyCertified") or body["already_certified"]
        ends = known.get("endEpoch", known.get("end_epoch", 0))
        return str(known.get("blobId") or known["blob_id"]), PutResult(False, int(ends))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(
            "blob_store_refused", "The store's answer does not say that the blob is stored."
        ) from error


async def file_parts(path: Path) -> AsyncIterator[bytes]:
    """A file in pieces."""
    with disk(), path.open("rb", buffering=0) as file:
        while data := await asyncio.to_thread(file.read, BLOCK):
            yield data


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _mismatch(identifier: str) -> VerificationFailed:
    return VerificationFailed(
        "blob_id_mismatch",
        f"What the store sent for {identifier} has another ID. It was thrown away.",
        "Get it from another store.",
    )
