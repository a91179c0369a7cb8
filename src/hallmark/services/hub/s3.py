"""Blobs in an S3-compatible bucket: an object for the bytes, and one beside it for the record.

Requests are signed with AWS Signature Version 4; the bytes' SHA-256 is part of what is signed, so a server
that checks it (AWS does) takes no others. Nothing else of S3 is used than to put, get and delete an object.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from hallmark.core.errors import InvalidInput, NotFound, TooLarge, Unavailable
from hallmark.http.client import Body, Pool
from hallmark.http.connection import Response
from hallmark.hub.record import BlobRecord, read_record
from hallmark.services.hub.client import PATIENT, file_parts
from hallmark.services.hub.storage import MOST_RECORD, not_found
from hallmark.services.hub.streams import in_chunks

MOST_OBJECT: Final = 5 << 30
ALGORITHM: Final = "AWS4-HMAC-SHA256"
EMPTY: Final = hashlib.sha256().hexdigest()
PLACE: Final = re.compile(r"/([a-z0-9.-]{3,63})((?:/[A-Za-z0-9._-]+)*)/?")


class Credentials(msgspec.Struct, frozen=True):
    """An access key, its secret, and the region that requests are signed for."""

    access_key: str
    secret: str
    region: str = "us-east-1"


def signed(
    method: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    *,
    payload: str,
    credentials: Credentials,
    now: datetime.datetime,
) -> dict[str, str]:
    """The headers with those that sign the request (AWS Signature Version 4, in headers); `payload` is the
    body's SHA-256 in hex, `path` as it is sent, without query.
    """
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    known = {**headers, "host": host, "x-amz-content-sha256": payload, "x-amz-date": moment}
    names = ";".join(sorted(known))
    lines = "".join(f"{name}:{known[name].strip()}\n" for name in sorted(known))
    request = f"{method}\n{path}\n\n{lines}\n{names}\n{payload}"
    scope = f"{moment[:8]}/{credentials.region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{digest}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    shown = f"Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    del known["host"]
    return {**known, "authorization": f"{ALGORITHM} {shown}"}


class S3Storage:
    """A bucket at `endpoint` (scheme and host), its objects under `place` (`/bucket/prefix`)."""

    name = "s3"

    def __init__(
        self,
        endpoint: str,
        place: str,
        credentials: Credentials,
        pool: Pool,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises InvalidInput `bad_storage_url`."""
        if not PLACE.fullmatch(place):
            raise InvalidInput(
                "bad_storage_url",
                "An S3 storage's path is a bucket, and perhaps a prefix.",
                "For example: s3+https://s3.example/bucket/blobs?region=eu-central-1",
            )
        self._endpoint, self._place = endpoint, place.rstrip("/")
        self._host = endpoint.partition("://")[2]
        self._credentials, self._pool, self._now = credentials, pool, now

    async def put(self, record: BlobRecord, path: Path) -> None:
        """Put the bytes, then the record. Raises TooLarge `blob_too_large`, Unavailable
        `blob_storage_refused`.
        """
        if record.size > MOST_OBJECT:
            raise TooLarge("blob_too_large", f"A bucket takes objects of at most {MOST_OBJECT} bytes.")
        sized = {"content-length": str(record.size)}
        await self._do("PUT", record.blob_id, sized, file_parts(path), payload=record.sha256)
        data = record.encode()
        await self._do("PUT", f"{record.blob_id}.json", {}, data, payload=hashlib.sha256(data).hexdigest())

    async def record(self, identifier: str) -> BlobRecord:
        """The record of a blob. Raises NotFound `blob_not_found`, VerificationFailed
        `blob_record_damaged`, Unavailable.
        """
        url, headers = self._request("GET", f"{identifier}.json", {}, EMPTY)
        async with self._pool.request("GET", url, headers) as response:
            await _require(response)
            data = await response.read(MOST_RECORD)
        return read_record(data, identifier)

    async def read(self, record: BlobRecord, start: int, end: int) -> AsyncIterator[bytes]:
        """See `Storage.read`."""
        pieces = list(record.pieces(start, end))
        if not pieces:
            return
        first, last = pieces[0][0], pieces[-1][0] + pieces[-1][1]
        asked = {"range": f"bytes={first}-{last - 1}"}
        url, headers = self._request("GET", record.blob_id, asked, EMPTY)
        async with self._pool.request("GET", url, headers, timeouts=PATIENT) as response:
            if response.status == 416:  # the object is shorter than that
                return
            await _require(response)
            async for chunk in in_chunks(response, record.chunk):
                yield chunk

    async def drop(self, identifier: str) -> None:
        """Delete the record, so that nothing is served; the bytes stay until they are replaced."""
        try:
            await self._do("DELETE", f"{identifier}.json", {}, b"", payload=EMPTY)
        except NotFound:
            return

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()

    async def _do(self, method: str, key: str, more: Mapping[str, str], body: Body, *, payload: str) -> None:
        url, headers = self._request(method, key, more, payload)
        async with self._pool.request(method, url, headers, body, timeouts=PATIENT) as response:
            await _require(response)
            await response.read()

    def _request(
        self, method: str, key: str, more: Mapping[str, str], payload: str
    ) -> tuple[str, list[tuple[bytes, bytes]]]:
        path = f"{self._place}/{quote(key)}"
        told = signed(
            method,
            self._host,
            path,
            more,
            payload=payload,
            credentials=self._credentials,
            now=datetime.datetime.fromtimestamp(self._now(), datetime.UTC),
        )
        return self._endpoint + path, [(name.encode(), value.encode()) for name, value in told.items()]


async def _require(response: Response) -> None:
    if response.status in (200, 204, 206):
        return
    body = await response.read(1 << 20)
    code = re.search(rb"<Code>([A-Za-z]{1,64})</Code>", body)
    said = code[1].decode() if code else f"HTTP {response.status}"
    if response.status == 404 and said != "NoSuchBucket":
        raise not_found()
    raise Unavailable(
        "blob_storage_refused",
        f"The storage behind this store refuses: {said}.",
        "See its address, its keys and its own log.",
    )
