"""Everything that following a log gives a desk or an explorer, wired together once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from hallmark.core.entries import KIND_AT, Kind
from hallmark.http.client import Pool
from hallmark.services.following.anchors import Anchors
from hallmark.services.following.chain import Chain
from hallmark.services.following.checkpoints import Checkpoints
from hallmark.services.following.configurations import Configurations
from hallmark.services.following.follower import Follower
from hallmark.services.following.leaf_store import LeafStore
from hallmark.services.following.log_client import LogClient
from hallmark.services.following.mark_deriver import MarkDeriver
from hallmark.services.following.pending_receipts import PendingReceipts
from hallmark.store import Database
from hallmark.verification.revocation_times import RevocationTimes

ASKED_AGAIN: Final = 256
"""Newest leaves in which a start looks for nodes whose configuration is not known."""


class FollowedLog:
    """The parts, in the order in which a leaf passes them. Further taps are added before `run`."""

    def __init__(
        self,
        follower: Follower,
        log: LogClient,
        database: Database,
        *,
        pool: Pool,
        gateway_url: str,
        anchors: Anchors | None,
        clock: Callable[[], int],
        by: str = "this desk",
        names: Mapping[bytes, str] = MappingProxyType({}),
    ) -> None:
        replica = follower.replica
        self.follower, self.log, self.replica, self.clock = follower, log, replica, clock
        # What the operator calls the nodes of these owners; nobody registered these names.
        self.names = names
        self.leaves = LeafStore(database)
        self.heads = Checkpoints(database, replica, of=follower.size_of_quorum, clock=clock)
        self.configurations = Configurations(database, replica, pool, gateway_url)
        self.chain = Chain(anchors, replica, database)
        self.tail = PendingReceipts(log, replica, clock)
        self.beginnings = RevocationTimes(replica)
        self.judge = MarkDeriver(
            replica,
            self.leaves,
            self.heads,
            configurations=self.configurations,
            chain=self.chain,
            beginnings=self.beginnings,
            by=by,
        )
        follower.taps += (self.leaves.take, self._configured)
        follower.flushes += (self.leaves.flush, self.heads.flush)
        follower.durable.append(lambda: self.leaves.size)
        follower.resumed.append(self._resumed)
        follower.heads += (self.heads.take, self.tail.folded, self.chain.folded)
        follower.told.append(self.tail.covered)
        follower.tails.append(self.tail.take)
        self.tail.pulls = follower.pulls

    async def run(self) -> None:
        """Follow, for ever."""
        parts = (self.follower, self.leaves, self.heads, self.configurations, self.chain, self.tail)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follower.kept())
            group.create_task(self.chain.keep())
            for part in parts:
                group.create_task(part.run())

    def _resumed(self, size: int) -> None:
        """Configurations that an earlier process had not fetched yet are asked for again."""
        for index in range(max(size - ASKED_AGAIN, 0), size):
            self._configured(index, self.leaves.leaf(index))

    def _configured(self, index: int, leaf: bytes) -> None:
        if leaf[KIND_AT] == Kind.RECEIPT:
            logged = self.judge.logged(index)
            self.configurations.want(logged.receipt, logged.id)
