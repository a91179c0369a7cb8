"""A storage node put together: shelf, intake, app, repair, health, metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.crypto import bls
from hallmark.http.client import Pool
from hallmark.http.health import Health, ready
from hallmark.http.limits import Limits
from hallmark.http.serve import Service, serve
from hallmark.hub.committee import Committee, read_committee
from hallmark.services.hub.staging import Staging
from hallmark.services.storage_node.app import NodeApp
from hallmark.services.storage_node.client import NodeClient
from hallmark.services.storage_node.encoder import Encode, Encoder
from hallmark.services.storage_node.faults import Faults
from hallmark.services.storage_node.gather import Gatherer
from hallmark.services.storage_node.intake import Intake
from hallmark.services.storage_node.repair import Repair
from hallmark.services.storage_node.settings import Settings
from hallmark.services.storage_node.shelf import Shelf
from hallmark.telemetry.metrics import Metrics

DAY_S: Final = 86_400.0


class StorageNodeService:
    """A node's parts; `service` is the ASGI app, `repair` mends it. Then `aclose`.

    Raises InvalidInput `bad_committee`, `not_in_committee`, `bad_bls_key`, `bad_settings`, Conflict
    `blob_store_in_use`, Unavailable `blob_disk`.
    """

    def __init__(self, settings: Settings, *, encode: Encode | None = None) -> None:
        committee = load_committee(Path(settings.committee))
        secret = _secret(Path(settings.key_file))
        me = _index(committee, settings.name, bls.public_key(secret))
        folder = Path(settings.directory)
        self.staging = Staging(folder / "staging", settings.free)
        self.shelf = Shelf(folder, committee.shards)
        self.intake = Intake(settings, self.shelf, self.staging, committee.shards)
        self._pool = Pool()
        clients = {
            index: NodeClient(node, self._pool, answer_s=settings.peer_s)
            for index, node in enumerate(committee.nodes)
        }
        self.faults = Faults(tuple((node.name, node.weight) for node in committee.nodes))
        self.repair = Repair(
            committee,
            me,
            shelf=self.shelf,
            staging=self.staging,
            clients=clients,
            gatherer=Gatherer(committee, clients, self.faults, without=me),
            encode=encode or Encoder(self.staging.folder, 1, committee.shards),
        )
        self.app = NodeApp(committee, me, secret, shelf=self.shelf, intake=self.intake, staging=self.staging)
        self.service = Service(
            self.app,
            health=self._health,
            registry=self._metrics().registry,
            # The intake bounds bodies itself: in bytes, and in how long one may stand still.
            limits=Limits(body=1 << 60, body_s=DAY_S),
        )

    async def aclose(self) -> None:
        """Let go of connections and directory."""
        await self._pool.aclose()
        self.staging.close()

    def _health(self) -> Health:
        return Health("degraded", "slivers_not_mended") if self.repair.last.failed else ready()

    def _metrics(self) -> Metrics:
        metrics = Metrics()
        metrics.gauge("slivers_under_way", "Puts under way.", lambda: self.intake.under_way)
        metrics.gauge(
            "sliver_puts", "Blobs whose slivers were put since the start.", lambda: self.intake.stored
        )
        metrics.gauge("storage_challenges", "Challenges that were answered.", lambda: self.app.challenged)
        metrics.gauge("sliver_blobs", "Blobs at the last look.", lambda: self.repair.last.blobs)
        metrics.gauge(
            "slivers_mended", "Slivers that the last look mended.", lambda: self.repair.last.damaged
        )
        metrics.gauge("slivers_failed", "Blobs that it could not mend.", lambda: self.repair.last.failed)
        metrics.gauge("storage_peers_wrong", "Wrong answers of peers.", lambda: self.faults.wrong)
        return metrics


async def serve_storage_node(settings: Settings) -> None:
    """Serve until SIGTERM. Raises as StorageNodeService."""
    node = StorageNodeService(settings)
    every = settings.look_every_s
    try:
        await serve(node.service, settings.listen, tasks=(node.repair.run(every),) if every else ())
    finally:
        await node.aclose()


def load_committee(path: Path) -> Committee:
    """The committee in a file. Raises InvalidInput `bad_committee`."""
    try:
        return read_committee(path.read_bytes())
    except OSError as error:
        raise InvalidInput(
            "bad_committee", f"The committee file {path} cannot be read.", "See docs/blobs.md."
        ) from error


def _secret(path: Path) -> bytes:
    try:
        return unhex(path.read_text().strip())
    except (OSError, UnicodeDecodeError, HallmarkError) as error:
        raise InvalidInput(
            "bad_bls_key", f"The key file {path} cannot be used.", "hallmark storage-node key writes one."
        ) from error


def _index(committee: Committee, name: str, key: bytes) -> int:
    index = committee.by_name.get(name)
    if index is None or committee.nodes[index].key_bytes != key:
        raise InvalidInput(
            "not_in_committee",
            f"The committee has no node {name!r} with the key of key_file.",
            "Give it the committee file that hallmark storage-node committee wrote, and its own key.",
        )
    return index
