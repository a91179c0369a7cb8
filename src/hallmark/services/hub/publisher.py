"""The publisher: `PUT /v1/blobs`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Receive, Scope, header
from hallmark.hub.record import BlobRecord
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.objects import BlobObject, Objects
from hallmark.services.hub.query import PutOptions, put_options
from hallmark.services.hub.settings import Settings
from hallmark.services.hub.staging import stage, too_large
from hallmark.services.hub.streams import body_parts
from hallmark.services.hub.wire import already_certified, newly_created
from hallmark.services.hub.writers import Writers
from hallmark.telemetry.logs import get_logger


class Publisher:
    """Takes blobs from those who may put them. `now` is unix seconds; `random` gives object IDs."""

    def __init__(
        self,
        settings: Settings,
        blobs: Blobs,
        objects: Objects,
        *,
        now: Callable[[], float] = time.time,
        random: Callable[[int], bytes],
    ) -> None:
        self._settings, self._blobs, self._objects = settings, blobs, objects
        self._now, self._random = now, random
        self.writers = Writers(settings)
        self.under_way = self.stored = self.bytes = 0

    async def put_blob(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """Store the body. Raises Unauthorized `blob_key`, InvalidInput, SlowRequest, Unavailable."""
        options = self.options(scope)
        with self.place(), self._blobs.staging.new(self._settings.most_blob) as staged:
            await stage(staged, self.body(scope, receive, self._settings.most_blob))
            record = await self._blobs.put(staged)
        return await self.promise(record, options)

    def options(self, scope: Scope) -> PutOptions:
        """What is asked for, of somebody who may. Raises Unauthorized `blob_key`, InvalidInput."""
        self.writers.writer(scope)
        return put_options(scope, self._settings.most_epochs)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place among the uploads. Raises Unavailable `blob_store_busy`."""
        if self.under_way >= self._settings.under_way:
            raise Unavailable(
                "blob_store_busy", "The store takes as many uploads at once as it can.", "Send it again."
            )
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    async def body(self, scope: Scope, receive: Receive, most: int) -> AsyncIterator[bytes]:
        """The request's body as it comes. Raises TooLarge `blob_too_large`, SlowRequest `body_too_slow`,
        Disconnected.
        """
        announced = header(scope, b"content-length")
        if announced is not None and int(announced[:18]) > most:
            raise too_large(most)
        async for part in body_parts(receive, self._settings.idle_s):
            yield part

    async def promise(self, record: BlobRecord, options: PutOptions) -> dict[str, Any]:
        """Write down for how long a stored blob is kept, unless that was promised already."""
        epoch = int(self._now()) // self._settings.epoch_s
        ends = epoch + options.epochs
        self.stored, self.bytes = self.stored + 1, self.bytes + record.size
        get_logger().info("blob_stored", id=record.blob_id, size=record.size)
        if not options.force:
            known = await self._objects.longest(record.blob_id, permanent=not options.deletable)
            if known is not None and known.ends >= ends:
                return already_certified(known)
        made = BlobObject(self._random(32), record.blob_id, record.size, epoch, ends, options.deletable)
        await self._objects.add(made)
        return newly_created(made)
