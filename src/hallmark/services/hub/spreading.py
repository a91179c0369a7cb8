"""Spreading a blob's slivers over storage nodes until a quorum has confirmed them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.hub.blob_metadata import BlobMetadata
from hallmark.hub.certificate import Certificate, certify, verify_certificate, verify_confirmation
from hallmark.hub.committee import Committee
from hallmark.hub.shape import shape_of
from hallmark.hub.slivers import pair_size
from hallmark.services.hub.staging import Staging, disk
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.encoder import Encode
from hallmark.services.storage_node.faults import Faults

BLOCK: Final = 1 << 20


class Encoded(NamedTuple):
    """A blob's metadata, and the file with its slivers, pair by pair."""

    metadata: BlobMetadata
    slivers: Path


class Spreader:
    """Puts blobs on the nodes of a committee. `free` bytes of the disk stay free while one is encoded; nodes
    that are slower than a quorum of the others are waited for `grace_s` at least.
    """

    def __init__(
        self,
        committee: Committee,
        clients: Sequence[NodeClient],
        *,
        faults: Faults,
        staging: Staging,
        encode: Encode,
        free: int,
        grace_s: float,
    ) -> None:
        self._committee, self._clients, self._faults = committee, clients, faults
        self._staging, self._encode, self._free, self._grace_s = staging, encode, free, grace_s

    @contextlib.asynccontextmanager
    async def encoded(self, blob: Path) -> AsyncIterator[Encoded]:
        """A blob's slivers in a file for the time of a block.

        Raises Unavailable `blob_not_encoded`, `blob_disk_full`.
        """
        shards = self._committee.shards
        with self._staging.new(0) as slivers:
            with disk():
                needed = shards * pair_size(shape_of(blob.stat().st_size, shards))
                if shutil.disk_usage(slivers.path.parent).free < self._free + needed:
                    raise OSError(errno.ENOSPC, "the room that stays free is reached")
            yield Encoded(await self._encode(blob, slivers.path, range(shards)), slivers.path)

    async def spread(self, identifier: str, encoded: Encoded) -> Certificate:
        """Spread a blob; the certificate, which was verified, when a quorum has it.

        Raises Unavailable `storage_quorum_missing`, VerificationFailed `blob_encoded_otherwise`.
        """
        blob_id = parse_blob_text(identifier)
        if encoded.metadata.blob_id != blob_id:
            raise VerificationFailed(
                "blob_encoded_otherwise",
                "Encoded for its storage nodes, the blob has another ID than it was given.",
                "Is the committee's number of shards 1000? IDs are computed for 1000.",
            )
        confirmations = await self._confirmed(identifier, encoded.metadata, encoded.slivers)
        certificate = certify(self._committee, blob_id, confirmations)
        await asyncio.to_thread(verify_certificate, certificate, self._committee, identifier)
        await asyncio.gather(*(self._leave(one, identifier, certificate.encode()) for one in self._clients))
        return certificate

    async def _confirmed(self, identifier: str, metadata: BlobMetadata, slivers: Path) -> dict[int, bytes]:
        """Signatures by node. When a quorum has signed, the others get as long again, `grace_s` at least."""
        began = time.monotonic()
        tasks = {
            asyncio.create_task(self._send(index, identifier, metadata, slivers)): index
            for index in range(len(self._clients))
        }
        waiting, confirmations = set(tasks), dict[int, bytes]()
        until: float | None = None
        try:
            while waiting:
                patience = None if until is None else max(0.0, until - time.monotonic())
                done, waiting = await asyncio.wait(
                    waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    signature = task.result()
                    if signature is not None:
                        confirmations[tasks[task]] = signature
                weight = sum(self._committee.nodes[index].weight for index in confirmations)
                if until is None and weight >= self._committee.quorum:
                    now = time.monotonic()
                    until = now + max(self._grace_s, now - began)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for task in waiting:
            slow = Unavailable("storage_node_slow", "A storage node took longer than a quorum of the others.")
            self._note(tasks[task], slow, identifier)
        return confirmations

    async def _send(self, index: int, identifier: str, metadata: BlobMetadata, slivers: Path) -> bytes | None:
        """A node's verified confirmation; None where there is none, which is noted."""
        pairs = self._committee.pairs(metadata.blob_id, index)
        head, each = metadata.encode(), pair_size(metadata.shape)
        parts = _parts(head, slivers, [(pair * each, each) for pair in pairs])
        try:
            size = len(head) + len(pairs) * each
            signature = await self._clients[index].put(identifier, size, parts)
            return verify_confirmation(self._committee, index, metadata.blob_id, signature)
        except HallmarkError as error:
            self._note(index, error, identifier)
            return None

    async def _leave(self, client: NodeClient, identifier: str, certificate: bytes) -> None:
        """Give a node the certificate: it helps others to mend themselves, and nothing else rests on it."""
        try:
            await client.put_certificate(identifier, certificate)
        except HallmarkError as error:
            self._faults.note(client.node.name, error, identifier)

    def _note(self, index: int, error: HallmarkError, identifier: str) -> None:
        self._faults.note(self._committee.nodes[index].name, error, identifier)


async def _parts(head: bytes, path: Path, places: Sequence[tuple[int, int]]) -> AsyncIterator[bytes]:
    """Metadata, then pieces of the file."""
    yield head
    with disk(), path.open("rb", buffering=0) as file:
        for offset, length in _joined(places):
            for at in range(offset, offset + length, BLOCK):
                size = min(BLOCK, offset + length - at)
                yield await asyncio.to_thread(os.pread, file.fileno(), size, at)


def _joined(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring pieces as one."""
    joined: list[tuple[int, int]] = []
    for offset, length in places:
        if joined and sum(joined[-1]) == offset:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((offset, length))
    return joined
