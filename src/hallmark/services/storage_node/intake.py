"""Taking slivers in: metadata against the blob ID, each sliver against the metadata, and only then a file."""

from __future__ import annotations

import asyncio

from hallmark.core.errors import InvalidInput, Unauthorized, Unavailable
from hallmark.http.asgi import Receive
from hallmark.hub.blob_metadata import BlobMetadata, Kind, metadata_size, verify_metadata
from hallmark.hub.slivers import sliver_size, verify_sliver
from hallmark.services.hub.staging import Staging, too_large
from hallmark.services.hub.streams import body_parts
from hallmark.services.hub.writers import Writers
from hallmark.services.storage_node.settings import Settings
from hallmark.services.storage_node.shelf import Shelf, head_of


class Intake:
    """Puts slivers on the shelf. `shards` is the committee's number of them."""

    def __init__(self, settings: Settings, shelf: Shelf, staging: Staging, shards: int) -> None:
        self._settings, self._shelf, self._staging, self._shards = settings, shelf, staging, shards
        self.writers = Writers(settings, _sliver_key)
        self.under_way = self.stored = 0

    async def put(
        self, identifier: str, blob_id: bytes, pairs: tuple[int, ...], receive: Receive
    ) -> BlobMetadata:
        """Store a blob's metadata and the slivers of these pairs, all of it or nothing.

        Raises VerificationFailed `blob_metadata_wrong`, `sliver_wrong`, InvalidInput `slivers_incomplete`,
        TooLarge, SlowRequest, Unavailable, Disconnected.
        """
        if self.under_way >= self._settings.under_way:
            raise Unavailable(
                "storage_node_busy", "The node takes as many puts at once as it can.", "Send it again."
            )
        self.under_way += 1
        try:
            return await self._put(identifier, blob_id, pairs, _Body(receive, self._settings.idle_s))
        finally:
            self.under_way -= 1

    async def _put(
        self, identifier: str, blob_id: bytes, pairs: tuple[int, ...], body: _Body
    ) -> BlobMetadata:
        data = await body.take(metadata_size(self._shards))
        metadata = await asyncio.to_thread(verify_metadata, data, blob_id, self._shards)
        if metadata.length > self._settings.most_blob:
            raise too_large(self._settings.most_blob)
        sizes = {kind: sliver_size(metadata.shape, kind) for kind in Kind}
        head = head_of(metadata, pairs)
        with self._staging.new(len(head) + len(pairs) * sum(sizes.values())) as fresh:
            await fresh.write(head)
            for pair in pairs:
                for kind in Kind:
                    sliver = await body.take(sizes[kind])
                    await fresh.write(await asyncio.to_thread(verify_sliver, metadata, pair, kind, sliver))
            await body.end()
            await fresh.finish()
            await self._shelf.place(identifier, fresh.path)
        self.stored += 1
        return metadata


class _Body:
    """A request's body, taken in pieces of known lengths."""

    def __init__(self, receive: Receive, idle_s: float) -> None:
        self._coming = body_parts(receive, idle_s)
        self._held = bytearray()

    async def take(self, size: int) -> bytes:
        """Exactly so many bytes. Raises InvalidInput `slivers_incomplete`."""
        while len(self._held) < size:
            part = await anext(self._coming, None)
            if part is None:
                raise _incomplete()
            self._held += part
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    async def end(self) -> None:
        """Nothing may be left. Raises InvalidInput `slivers_incomplete`."""
        if self._held:
            raise _incomplete()
        async for part in self._coming:
            if part:
                raise _incomplete()


def _sliver_key() -> Unauthorized:
    return Unauthorized(
        "sliver_key",
        "Slivers are stored here for those who have a key.",
        "Send Authorization: Bearer KEY; the operator has one.",
    )


def _incomplete() -> InvalidInput:
    return InvalidInput(
        "slivers_incomplete",
        "A put is the metadata and then both slivers of each of the node's pairs, ascending, and no more.",
        "Is the committee file the same on both sides?",
    )
