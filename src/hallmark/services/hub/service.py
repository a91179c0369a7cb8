"""A blob store put together: storage, staging, objects, app, health, metrics."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from hallmark.http.health import Health, ready
from hallmark.http.limits import Limits
from hallmark.http.serve import Service, serve
from hallmark.hub.walrus import SHARDS
from hallmark.services.hub.aggregator import Aggregator
from hallmark.services.hub.app import Store
from hallmark.services.hub.blobs import Blobs, Identify
from hallmark.services.hub.challenger import Challenger
from hallmark.services.hub.huggingface.app import Hub
from hallmark.services.hub.huggingface.downloads import Downloads, Layouts
from hallmark.services.hub.huggingface.links import Links
from hallmark.services.hub.huggingface.reading import Reading
from hallmark.services.hub.huggingface.rows import Rows
from hallmark.services.hub.huggingface.shipped import ShippedModels
from hallmark.services.hub.huggingface.writing import Writing
from hallmark.services.hub.huggingface.xet import Xet
from hallmark.services.hub.huggingface.xorbs import Xorbs
from hallmark.services.hub.identify import Identifier
from hallmark.services.hub.objects import Objects
from hallmark.services.hub.publisher import Publisher
from hallmark.services.hub.quilts import Quilts
from hallmark.services.hub.settings import Settings
from hallmark.services.hub.slivers import SliverStorage
from hallmark.services.hub.staging import Staging
from hallmark.services.hub.storages import make_storage
from hallmark.services.storage_node.encoder import Encode
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.metrics import Metrics

DAY_S: Final = 86_400.0


class BlobService:
    """A blob store's parts; `service` is the ASGI app. Then `aclose`. Raises Conflict `blob_store_in_use`,
    Unavailable `blob_disk`, and what the database raises.
    """

    def __init__(
        self,
        settings: Settings,
        database: RawDatabase,
        *,
        identify: Identify | None = None,
        encode: Encode | None = None,
        shards: int = SHARDS,
    ) -> None:
        self.database = database
        folder = Path(settings.directory)
        self.staging = Staging(folder / "staging", settings.free)
        identify = identify or Identifier(self.staging.folder, settings.at_once)
        storage = make_storage(settings, self.staging, identify, encode=encode)
        self.slivers = storage if isinstance(storage, SliverStorage) else None
        # Where the committee has as many shards as IDs are computed for, one encoding gives both.
        both = self.slivers is not None and self.slivers.committee.shards == shards
        prepare = self.slivers.prepared if self.slivers is not None and both else None
        self.blobs = Blobs(storage, self.staging, identify, prepare)
        objects = Objects(database)
        publisher = Publisher(settings, self.blobs, objects, random=os.urandom)
        quilts = Quilts(self.blobs, publisher, settings.most_quilt, shards=shards)
        store = Store(publisher, Aggregator(self.blobs, objects), quilts, self.slivers)
        rows, links = Rows(database), Links(os.urandom(32), time.time)
        writing = Writing(publisher, self.blobs, rows, links, most=settings.most_blob)
        self._xorbs = Xorbs(database, self.blobs, rows)
        downloads = Downloads(self.blobs, rows, links, Layouts(database))
        xet = Xet(
            publisher,
            self.blobs,
            contents=writing.contents,
            xorbs=self._xorbs,
            links=links,
            layouts=downloads.layouts,
            most=settings.most_blob,
        )
        reading = Reading(self.blobs, rows, downloads)
        self.shipped = ShippedModels(self.blobs, rows, writing.contents, known=settings.blob_ids)
        metrics = Metrics()
        metrics.gauge("blobs_under_way", "Uploads under way.", lambda: publisher.under_way)
        metrics.gauge("blobs_stored", "Blobs that were put since the start.", lambda: publisher.stored)
        metrics.gauge("blob_bytes_stored", "Bytes of blobs that were put.", lambda: publisher.bytes)
        metrics.gauge("blobs_damaged", "Copies that were not what was stored.", lambda: self.blobs.damaged)
        if self.slivers is not None:
            faults = self.slivers.faults
            metrics.gauge("storage_nodes_suspect", "Storage nodes that are suspect.", lambda: faults.suspects)
            metrics.gauge("storage_nodes_wrong", "Wrong answers of storage nodes.", lambda: faults.wrong)
        self.service = Service(
            Hub(store, rows, reading=reading, writing=writing, xet=xet, downloads=downloads),
            health=self._health,
            registry=metrics.registry,
            # The publisher bounds bodies itself: in bytes, and in how long one may stand still.
            limits=Limits(body=1 << 60, body_s=DAY_S),
        )

    def _health(self) -> Health:
        suspects = self.slivers.faults.suspects if self.slivers is not None else 0
        told = f"{suspects} storage nodes failed their last challenge or gave wrong slivers."
        stands = Health("degraded", "storage_nodes_suspect", told=told) if suspects else ready()
        return Health("degraded", self.database.problem) if self.database.problem else stands

    async def aclose(self) -> None:
        """Let go of storage, directory and database."""
        self._xorbs.close()
        await self.blobs.storage.aclose()
        self.staging.close()
        self.database.close()


async def serve_hub(settings: Settings) -> None:
    """Serve until SIGTERM. Raises as BlobService."""
    hub = BlobService(settings, RawDatabase(settings.database))
    publishing = asyncio.create_task(hub.shipped.publish(settings.models))
    every = settings.challenge_every_s
    tasks = (Challenger(hub.slivers).run(every),) if hub.slivers is not None and every else ()
    try:
        await serve(hub.service, settings.listen, tasks=tasks)
    finally:
        publishing.cancel()
        await asyncio.wait((publishing,))
        await hub.aclose()
