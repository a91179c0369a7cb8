"""A node mends itself: it looks through its slivers, asks its peers what it should have, and makes what is
missing of what they have.

A few slivers are made of one proven symbol from each of many others; many of the whole blob, decoded and
encoded again: whichever moves fewer bytes. What peers list is only believed with a certificate of the
committee, so nobody can fill a node's disk by naming blobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.errors import HallmarkError, NotFound, VerificationFailed
from hallmark.hub.blob_metadata import BlobMetadata, Kind
from hallmark.hub.certificate import Certificate, read_certificate, verify_certificate
from hallmark.hub.committee import Committee
from hallmark.hub.slivers import (
    line_of,
    pair_size,
    recover_sliver,
    symbols_of,
    verify_sliver,
    verify_symbol,
)
from hallmark.hub.walrus_tree import path_length
from hallmark.services.hub.staging import Staging, disk, sync
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.encoder import Encode
from hallmark.services.storage_node.gather import Gatherer
from hallmark.services.storage_node.shelf import MOST_LISTED, Shelf, head_of
from hallmark.telemetry.logs import get_logger

MOST_UNPROVED: Final = 10_000
"""Blobs without a certificate that a peer may list in a look before nothing more is asked of it."""


class Look(msgspec.Struct):
    """What one look found: blobs here, slivers that were damaged or missing, blobs that were mended, blobs
    that could not be.
    """

    blobs: int = 0
    damaged: int = 0
    mended: int = 0
    failed: int = 0


class Repair:
    """Mends one node: `me` is its index in the committee."""

    def __init__(
        self,
        committee: Committee,
        me: int,
        *,
        shelf: Shelf,
        staging: Staging,
        clients: Mapping[int, NodeClient],
        gatherer: Gatherer,
        encode: Encode,
    ) -> None:
        self._committee, self._me = committee, me
        self._shelf, self._staging, self._clients = shelf, staging, clients
        self._gatherer, self._encode = gatherer, encode
        self.last = Look()

    async def run(self, every_s: float) -> None:
        """Look at once, and then every so often, until cancelled."""
        while True:
            try:
                self.last = await self.look()
            except HallmarkError as error:
                get_logger().warning("slivers_not_looked_at", reason=error.reason)
            await asyncio.sleep(every_s)

    async def look(self) -> Look:
        """Look through everything once, and mend it."""
        found, after = Look(), ""
        while names := await self._shelf.names(after):
            for name in names:
                found.blobs += 1
                await self._tried(found, name)
            after = names[-1]
        for name, certificate in (await self._lacking()).items():
            found.blobs += 1
            await self._shelf.keep_certificate(name, certificate.encode(), self._staging)
            await self._tried(found, name)
        if found.damaged or found.failed:
            get_logger().warning("slivers_looked_at", **msgspec.structs.asdict(found))
        return found

    async def mend(self, identifier: str) -> int:
        """Make what is missing here of one blob (text), and keep it all; how many slivers that were.

        Raises NotFound `blob_not_found`, Unavailable `blob_unrecoverable`, `sliver_unrecoverable`.
        """
        pairs = self._committee.pairs(parse_blob_text(identifier), self._me)
        metadata, good = await self._own(identifier, pairs)
        missing = [(pair, kind) for pair in pairs for kind in Kind if (pair, kind) not in good]
        if not missing:
            return 0
        if metadata is None:
            metadata = await self._gatherer.metadata(identifier)
        if good and self._by_symbols(metadata, missing):
            await self._keep(identifier, metadata, pairs, missing)
        else:
            await self._again(identifier, metadata, pairs)
        get_logger().info("slivers_mended", id=identifier, slivers=len(missing))
        return len(missing)

    async def _tried(self, found: Look, name: str) -> None:
        try:
            mended = await self.mend(name)
        except HallmarkError as error:
            found.failed += await self._promised(name)
            get_logger().warning("slivers_not_mended", id=name, reason=error.reason)
            return
        found.damaged += mended
        found.mended += mended > 0

    async def _promised(self, name: str) -> bool:
        """Whether there is a certificate here: of a put that no quorum confirmed nobody was told."""
        try:
            await self._shelf.certificate(name)
        except NotFound:
            return False
        return True

    async def _has(self, name: str) -> bool:
        try:
            await self._shelf.held(name)
        except NotFound:
            return False
        return True

    async def _own(
        self, identifier: str, pairs: tuple[int, ...]
    ) -> tuple[BlobMetadata | None, set[tuple[int, Kind]]]:
        """The metadata that are here, and which slivers are here and right."""
        good: set[tuple[int, Kind]] = set()
        try:
            held = await self._shelf.held(identifier)
        except NotFound:
            return None, good
        for pair in pairs:
            for kind in Kind:
                try:
                    sliver = await self._shelf.read(identifier, held, pair, kind)
                    await asyncio.to_thread(verify_sliver, held.metadata, pair, kind, sliver)
                except (NotFound, VerificationFailed):
                    continue
                good.add((pair, kind))
        return held.metadata, good

    def _by_symbols(self, metadata: BlobMetadata, missing: list[tuple[int, Kind]]) -> bool:
        """Whether symbols of others are fewer bytes than the blob."""
        shape = metadata.shape
        each = shape.symbol + path_length(shape.shards)
        symbols = sum(symbols_of(shape, kind) for _, kind in missing)
        return symbols * each < shape.rows * shape.columns * shape.symbol

    async def _recovered(self, identifier: str, metadata: BlobMetadata, pair: int, kind: Kind) -> bytes:
        """A sliver, of others' symbols."""
        shape, blob_id = metadata.shape, parse_blob_text(identifier)
        needed, line = symbols_of(shape, kind), line_of(shape, pair, kind)
        symbols: dict[int, bytes] = {}
        for index, client in self._clients.items():
            if index == self._me or len(symbols) >= needed:
                continue
            theirs = set(self._committee.pairs(blob_id, index))
            try:
                most = needed - len(symbols)
                for other, proven in (await client.symbols(identifier, pair, kind, shape, most)).items():
                    if other in theirs:
                        root = metadata.root_of(other, kind.other)
                        symbols[other] = verify_symbol(shape, root, line, proven)
            except HallmarkError as error:
                self._gatherer.note(index, error, identifier)
        return await asyncio.to_thread(recover_sliver, metadata, pair, kind, symbols)

    async def _keep(
        self,
        identifier: str,
        metadata: BlobMetadata,
        pairs: tuple[int, ...],
        missing: Collection[tuple[int, Kind]],
    ) -> None:
        """The file anew: the missing slivers of others' symbols, the rest as it was."""
        head, held = head_of(metadata, pairs), await self._shelf.held(identifier)
        with self._staging.new(len(head) + len(pairs) * pair_size(metadata.shape)) as fresh:
            await fresh.write(head)
            for pair in pairs:
                for kind in Kind:
                    if (pair, kind) in missing:
                        await fresh.write(await self._recovered(identifier, metadata, pair, kind))
                    else:
                        await fresh.write(await self._shelf.read(identifier, held, pair, kind))
            await fresh.finish()
            await self._shelf.place(identifier, fresh.path)

    async def _again(self, identifier: str, metadata: BlobMetadata, pairs: tuple[int, ...]) -> None:
        """All slivers of this node, of the whole blob."""
        head = head_of(metadata, pairs)
        most = len(head) + len(pairs) * pair_size(metadata.shape)
        with (
            self._staging.new(0) as scratch,
            self._staging.new(0) as blob,
            self._staging.new(most) as fresh,
        ):
            await self._gatherer.blob(identifier, metadata, scratch.path, blob.path)
            await fresh.write(head)
            await fresh.finish()
            encoded = await self._encode(blob.path, fresh.path, pairs, start=len(head))
            if encoded.blob_id != metadata.blob_id:
                raise VerificationFailed(
                    "blob_inconsistent",
                    "The slivers of a blob do not belong together: whoever put it encoded it wrongly.",
                    "No node can mend it, and no reader takes it. Put the blob again from its source.",
                )
            with disk():
                await asyncio.to_thread(sync, fresh.path)
            await self._shelf.place(identifier, fresh.path)

    async def _lacking(self) -> dict[str, Certificate]:
        """Certified blobs that peers have and this node does not."""
        lacking: dict[str, Certificate] = {}
        for index, client in self._clients.items():
            if index != self._me:
                try:
                    await self._lacking_of(client, lacking)
                except HallmarkError as error:
                    self._gatherer.note(index, error, "")
        return lacking

    async def _lacking_of(self, client: NodeClient, lacking: dict[str, Certificate]) -> None:
        after, unproved = "", 0
        while unproved < MOST_UNPROVED:
            names = await client.names(after)
            for name in names:
                parse_blob_text(name)
                if name <= after:
                    return  # not in order: no listing of ours
                after = name
                if name not in lacking and not await self._has(name):
                    try:
                        certificate = read_certificate(await client.certificate(name))
                        verify_certificate(certificate, self._committee, name)
                    except (NotFound, VerificationFailed):
                        unproved += 1
                        continue
                    lacking[name] = certificate
            if len(names) < MOST_LISTED:
                return
