"""A client of one storage node. It believes nothing: whoever asks checks what comes against the blob ID."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable, VerificationFailed
from hallmark.http.client import Pool, Timeouts
from hallmark.http.connection import Response
from hallmark.hub.blob_metadata import Kind, metadata_size
from hallmark.hub.certificate import MOST_CERTIFICATE
from hallmark.hub.challenge import SEED, draw_challenge, most_answer, verify_answer
from hallmark.hub.committee import Committee, StorageNode
from hallmark.hub.shape import MAX_SYMBOL, Shape
from hallmark.hub.slivers import ProvenSymbol
from hallmark.hub.walrus_tree import path_length
from hallmark.services.hub.streams import in_chunks

PAIR: Final = 2
"""Bytes of a pair's number before each symbol."""
CONNECT_S: Final = 5.0
PUT_S: Final = 3_600.0
"""A node answers a put when it has checked and stored everything."""


class Confirmation(msgspec.Struct, frozen=True):
    """A node's word that it has its slivers of a blob: its signature as hex with 0x."""

    blob_id: str
    epoch: int
    signature: str


class Listing(msgspec.Struct, frozen=True):
    """IDs of blobs, in order."""

    blobs: tuple[str, ...]


class NodeClient:
    """Talks with one node of a committee. `answer_s` bounds an answer and each pause in one."""

    def __init__(self, node: StorageNode, pool: Pool, *, secret: str = "", answer_s: float = 30.0) -> None:
        self.node, self._pool, self.answer_s = node, pool, answer_s
        self._url = node.url.rstrip("/") + "/v1/blobs"
        self._headers = [(b"authorization", f"Bearer {secret}".encode())] if secret else []
        self._timeouts = Timeouts(connect=CONNECT_S, head=answer_s, idle=answer_s, pool=answer_s)

    async def put(self, identifier: str, size: int, parts: AsyncIterator[bytes]) -> bytes:
        """Send metadata and slivers, `size` bytes in all; the node's signature, unverified."""
        headers = [*self._headers, (b"content-length", str(size).encode())]
        patient = Timeouts(connect=CONNECT_S, head=PUT_S, idle=self.answer_s, pool=self.answer_s)
        url = f"{self._url}/{identifier}/slivers"
        async with self._pool.request("PUT", url, headers, parts, timeouts=patient) as response:
            return _signature(await _json(response, Confirmation))

    async def confirmation(self, identifier: str) -> bytes:
        """The node's signature for a blob that it has, unverified."""
        return _signature(await self._read(f"{identifier}/confirmation/permanent", Confirmation))

    async def metadata(self, identifier: str, shards: int) -> bytes:
        """A blob's metadata, unverified."""
        return await self._bytes(f"{identifier}/metadata", metadata_size(shards))

    async def slivers(
        self, identifier: str, first: int, kind: Kind, *, count: int, size: int
    ) -> AsyncIterator[bytes]:
        """`count` slivers of `size` bytes each, of consecutive pairs from `first` on, unverified."""
        path = f"{self._url}/{identifier}/slivers/{first}/{kind}?count={count}"
        async with self._pool.request("GET", path, self._headers, timeouts=self._timeouts) as response:
            await _expect(response)
            async for sliver in in_chunks(response, size):
                yield sliver
                count -= 1
                if not count:
                    return  # whatever follows was not asked for

    async def symbols(
        self, identifier: str, pair: int, kind: Kind, shape: Shape, most: int
    ) -> dict[int, ProvenSymbol]:
        """At most `most` symbols in which the node's slivers cross a lost one, by their pair, unverified."""
        depth = path_length(shape.shards)
        size = PAIR + shape.symbol + depth
        path = f"{identifier}/symbols/{pair}/{kind}?most={most}"
        data = await self._bytes(path, size * most)
        found = {}
        for at in range(0, len(data) - size + 1, size):
            (other,) = struct.unpack_from("<H", data, at)
            symbol = data[at + PAIR : at + PAIR + shape.symbol]
            found[other] = ProvenSymbol(symbol, data[at + PAIR + shape.symbol : at + size])
        return found

    async def challenge(self, identifier: str, seed: bytes, shards: int) -> bytes:
        """The answer to a challenge, unverified. Raises Unavailable `challenge_late` after `answer_s`."""
        try:
            async with asyncio.timeout(self.answer_s):
                return await self._bytes(
                    f"{identifier}/challenge/{seed.hex()}", most_answer(shards, MAX_SYMBOL)
                )
        except TimeoutError:
            raise late(self.answer_s) from None
        except Unavailable as error:
            raise late(self.answer_s) if error.reason == "timed_out" else error

    async def certificate(self, identifier: str) -> bytes:
        """A blob's certificate, unverified."""
        return await self._bytes(f"{identifier}/certificate", MOST_CERTIFICATE)

    async def put_certificate(self, identifier: str, data: bytes) -> None:
        """Leave a blob's certificate with the node."""
        url = f"{self._url}/{identifier}/certificate"
        async with self._pool.request("PUT", url, self._headers, data, timeouts=self._timeouts) as response:
            await _expect(response)

    async def names(self, after: str) -> tuple[str, ...]:
        """IDs of blobs that the node says it has, behind `after`."""
        listing: Listing = await self._read(f"?after={after}", Listing)
        return listing.blobs

    async def _read(self, path: str, kind: type[Any]) -> Any:
        async with self._pool.request(
            "GET", self._at(path), self._headers, timeouts=self._timeouts
        ) as response:
            return await _json(response, kind)

    async def _bytes(self, path: str, most: int) -> bytes:
        async with self._pool.request(
            "GET", self._at(path), self._headers, timeouts=self._timeouts
        ) as response:
            await _expect(response)
            return await response.read(most)

    def _at(self, path: str) -> str:
        return self._url + (path if path.startswith("?") else f"/{path}")


async def challenged(
    client: NodeClient, committee: Committee, index: int, identifier: str
) -> HallmarkError | None:
    """Ask a node for a random symbol of what it must have of a blob (text), with a seed that is drawn here
    and now, and check the answer: why it failed, or None.
    """
    seed = secrets.token_bytes(SEED)
    drawn = draw_challenge(committee, index, parse_blob_text(identifier), seed)
    try:
        verify_answer(drawn, await client.challenge(identifier, seed, committee.shards), committee.shards)
    except HallmarkError as error:
        return error
    return None


def late(seconds: float) -> Unavailable:
    """The error for an answer that did not come in time."""
    return Unavailable(
        "challenge_late",
        f"A storage node did not answer a challenge within {seconds:g} s.",
        "It counts as failed. See whether the node runs.",
    )


async def _json(response: Response, kind: type[Any]) -> Any:
    await _expect(response)
    try:
        return await response.json(kind, 1 << 20)
    except InvalidInput as error:
        raise _unusable() from error


async def _expect(response: Response) -> None:
    """Raises what the node's refusal stands for: NotFound `sliver_not_stored`, Unavailable
    `storage_node_refused`.
    """
    if response.status == 200:
        return
    try:
        body = await response.json(dict[str, Any], 1 << 16)
        error = body.get("error")
        said = str(error.get("message", ""))[:300] if isinstance(error, dict) else ""
    except HallmarkError:
        said = ""
    if response.status == 404:
        raise NotFound("sliver_not_stored", "A storage node does not have that of the blob.")
    raise Unavailable("storage_node_refused", f"A storage node refuses: {said or response.status}")


def _signature(said: Confirmation) -> bytes:
    try:
        return unhex(said.signature)
    except InvalidInput as error:
        raise _unusable() from error


def _unusable() -> VerificationFailed:
    return VerificationFailed("storage_node_answer", "A storage node's answer is not what was asked for.")


def confirmation_of(identifier: str, epoch: int, signature: bytes) -> Confirmation:
    """What a node answers."""
    return Confirmation(identifier, epoch, hex0x(signature))
