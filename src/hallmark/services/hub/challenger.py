"""Asks storage nodes, again and again, for random symbols of what they confirmed."""

from __future__ import annotations

import asyncio
import secrets

from hallmark.core.errors import HallmarkError
from hallmark.services.hub.slivers import SliverStorage
from hallmark.services.storage_node.client import challenged
from hallmark.telemetry.logs import get_logger


class Challenger:
    """Challenges the nodes behind a storage: in each round one blob, drawn at random, and all who signed for
    it.
    """

    def __init__(self, storage: SliverStorage) -> None:
        self._storage = storage
        self.rounds = 0

    async def run(self, every_s: float) -> None:
        """A round every so often, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.round()
            except HallmarkError as error:
                get_logger().warning("storage_challenges_not_made", reason=error.reason)

    async def round(self) -> None:
        """One round. Raises what reading the records raises."""
        names = await asyncio.to_thread(self._storage.names)
        if names:
            name = secrets.choice(names)
            certificate = await self._storage.certificate(name)
            await asyncio.gather(*(self.challenge(index, name) for index in certificate.signers))
        self.rounds += 1

    async def challenge(self, index: int, identifier: str) -> HallmarkError | None:
        """Challenge a node for a blob (text), with a fresh seed; why it failed, or None."""
        committee = self._storage.committee
        failed = await challenged(self._storage.clients[index], committee, index, identifier)
        self._storage.faults.challenged(committee.nodes[index].name, failed, identifier)
        return failed
