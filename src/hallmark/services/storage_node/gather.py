"""Getting a blob back from whatever storage nodes are there: any r of its primary slivers, each checked.

A sliver that is wrong is never used, nothing more is taken from the node that sent it, and that is noted. So
are nodes that are away. Slivers go to a scratch file, and the blob is decoded from there some columns at a
time, so memory is bounded.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.hub.blob_metadata import BlobMetadata, Kind, verify_metadata
from hallmark.hub.committee import Committee
from hallmark.hub.shape import Shape
from hallmark.hub.sliver_file import write_at
from hallmark.hub.slivers import restore_rows, sliver_size, unrecoverable, verify_sliver
from hallmark.services.hub.staging import disk
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.faults import Faults

TOGETHER: Final = 8 << 20
"""Bytes of columns that are decoded in one call."""


class Gatherer:
    """Asks the nodes of a committee, by index. `without` is a node that is not asked: the one that asks."""

    def __init__(
        self, committee: Committee, clients: Mapping[int, NodeClient], faults: Faults, *, without: int = -1
    ) -> None:
        self._committee, self._clients, self._faults, self._without = committee, clients, faults, without

    async def metadata(self, identifier: str) -> BlobMetadata:
        """A blob's metadata, of the first node whose answer makes the blob ID. Raises NotFound
        `blob_not_found` when no node that answers has it and all answer, else Unavailable
        `blob_unrecoverable`.
        """
        blob_id, away = parse_blob_text(identifier), 0
        for index in self._asked():
            try:
                data = await self._clients[index].metadata(identifier, self._committee.shards)
                return verify_metadata(data, blob_id, self._committee.shards)
            except NotFound:
                continue
            except HallmarkError as error:
                self.note(index, error, identifier)
                away += self._committee.nodes[index].weight
        if away <= self._committee.shards - self._committee.quorum:
            raise NotFound("blob_not_found", "No blob with this ID is stored here.", "Is the ID right?")
        raise Unavailable(
            "blob_unrecoverable",
            "No storage node that can be reached has this blob, and too many cannot be reached to say no.",
            "Nothing was given out. Start more storage nodes, then try again.",
        )

    async def blob(self, identifier: str, metadata: BlobMetadata, scratch: Path, target: Path) -> None:
        """Decode a blob into the file `target`. Raises Unavailable `blob_unrecoverable`."""
        with disk(), scratch.open("w+b", buffering=0) as slivers, target.open("w+b", buffering=0) as blob:
            places = await self._rows(identifier, metadata, slivers.fileno())
            decode = (metadata.shape, slivers.fileno(), places, blob.fileno())
            await asyncio.to_thread(_decode, *decode)

    async def slivers(
        self, identifier: str, metadata: BlobMetadata, index: int, pairs: Sequence[int]
    ) -> dict[int, bytes]:
        """Primary slivers of one node, as far as they come and are right."""
        found: dict[int, bytes] = {}
        size = sliver_size(metadata.shape, Kind.PRIMARY)
        for run in runs_of(pairs):
            try:
                coming = self._clients[index].slivers(
                    identifier, run[0], Kind.PRIMARY, count=len(run), size=size
                )
                at = 0
                async for sliver in coming:
                    check = (metadata, run[at], Kind.PRIMARY, sliver)
                    found[run[at]] = await asyncio.to_thread(verify_sliver, *check)
                    at += 1
            except HallmarkError as error:
                self.note(index, error, identifier)
                if isinstance(error, VerificationFailed):
                    return found
        return found

    def note(self, index: int, error: HallmarkError, identifier: str) -> None:
        """Note what a node did."""
        self._faults.note(self._committee.nodes[index].name, error, identifier)

    async def _rows(self, identifier: str, metadata: BlobMetadata, descriptor: int) -> dict[int, int]:
        """Write primary slivers one behind the other until they are enough; which row is in which place."""
        shape, blob_id = metadata.shape, parse_blob_text(identifier)
        size, places = sliver_size(shape, Kind.PRIMARY), dict[int, int]()
        kept = {index: self._committee.pairs(blob_id, index) for index in self._asked()}
        order = sorted(kept, key=lambda index: self._last(index, shape.rows, kept[index]))
        for index in order:
            wanted = sorted(kept[index])[: shape.rows - len(places)]
            for row, sliver in (await self.slivers(identifier, metadata, index, wanted)).items():
                place = len(places)
                await asyncio.to_thread(write_at, descriptor, sliver, place * size)
                places[row] = place
            if len(places) >= shape.rows:
                return places
        raise unrecoverable(shape, len(places))

    def _last(self, index: int, rows: int, pairs: Sequence[int]) -> tuple[bool, int]:
        """Nodes with source rows come first, which need no decoding; those that failed just now come last."""
        return self._faults.recent(self._committee.nodes[index].name), -sum(pair < rows for pair in pairs)

    def _asked(self) -> list[int]:
        return [index for index in self._clients if index != self._without]


def runs_of(pairs: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as runs of neighbours."""
    runs = groupby(enumerate(sorted(pairs)), key=lambda item: item[1] - item[0])
    return [[pair for _, pair in run] for _, run in runs]


def _decode(shape: Shape, slivers: int, places: Mapping[int, int], blob: int) -> None:
    """Write the blob's bytes, of the slivers at these places."""
    width = shape.columns * shape.symbol
    group = max(1, TOGETHER // (shape.shards * shape.symbol))
    for first in range(0, shape.columns, group):
        count = min(group, shape.columns - first)
        offset, length = first * shape.symbol, count * shape.symbol
        parts = {row: os.pread(slivers, length, place * width + offset) for row, place in places.items()}
        for row, part in enumerate(restore_rows(shape, parts, 0, count)):
            write_at(blob, part, row * width + offset)
    os.ftruncate(blob, shape.length)
    os.fsync(blob)
