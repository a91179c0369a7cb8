"""Searching models: the catalogue as the folded log has it, the order of this hour, and what was shown.

The seed of an hour is the log's root over the entries that it took before that hour began (`seed`), so that
everybody who has the log computes the same order, and nobody knew it much earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from hallmark.core.document import unhex
from hallmark.core.entries import KIND_AT, Kind
from hallmark.core.registry import Label
from hallmark.discovery.attribution import Scope
from hallmark.discovery.catalogue import Catalogue, Item
from hallmark.discovery.ranking import PERIOD_MS, seed_of
from hallmark.discovery.record import Record
from hallmark.services.explorer import outcomes
from hallmark.services.explorer.figures import Tally
from hallmark.services.explorer.licences import Licences
from hallmark.services.explorer.models import asserted_labels
from hallmark.services.following.followed_log import FollowedLog

TOUCHES: Final = frozenset((Kind.PUBLICATION, Kind.VERSION, Kind.OUTCOME, Kind.REGISTRATION))
AT_ONCE: Final = 5_000
"""So many labels are sorted at once; more of them in a thread, and at most every `REST_S`."""
REST_S: Final = 10.0


class Discovery:
    """See the module docstring."""

    def __init__(self, watch: FollowedLog, licences: Licences) -> None:
        self._watch, self.licences = watch, licences
        self.catalogue = Catalogue()
        self._versions: dict[str, int] = {}
        self._asserted: set[str] = set()
        self._dirty = True
        self._sorted: tuple[bytes, int] = (b"", -1)
        self._at = 0.0
        self._lock = asyncio.Lock()
        self.seed, self.size, self.period = b"", 0, -1
        self._settled = False

    def take(self, leaf: bytes) -> None:
        """A folded leaf may have changed what there is, or what is known of it."""
        self._dirty = self._dirty or leaf[KIND_AT] in TOUCHES

    async def refresh(self, tally: Tally, now: int) -> None:
        """Take in what changed, and the order of the hour of `now` (unix ms), before `catalogue` is searched.
        While that is made for many, the one before stands.
        """
        if self._lock.locked() and self._sorted[1] >= 0 and len(self.catalogue) > AT_ONCE:
            return
        async with self._lock:
            self._take_seed(now)
            due = (self.seed, self.licences.version)
            loop, many = asyncio.get_running_loop(), len(self.catalogue) > AT_ONCE
            rests = many and self._sorted[0] == self.seed and loop.time() < self._at + REST_S
            if rests or not (self._dirty or due != self._sorted):
                return
            self._dirty, self._at = False, loop.time()
            labels, asserted = (
                list(self._watch.replica.registry.labels.items()),
                set(asserted_labels(self._watch)),
            )
            if len(labels) > AT_ONCE:
                await asyncio.to_thread(self._take_in, labels, asserted, tally)
            else:
                self._take_in(labels, asserted, tally)
            self._sorted = due

    def _take_in(self, labels: Sequence[tuple[str, Label]], asserted: set[str], tally: Tally) -> None:
        """Labels whose version or licence is not the one that the catalogue has; providers'; the order."""
        for name, label in labels:
            licence, versions = self.licences.of(name), len(label.versions)
            known = self.catalogue.find(name)
            if known is None or known.licence != licence or self._versions[name] != versions:
                self._versions[name] = versions
                self.catalogue.put(item_of(name, label, licence))
        for name in self._asserted - asserted:
            self.catalogue.drop(name, asserted=True)
        for name in asserted - self._asserted:
            self.catalogue.put(Item(name, b"", asserted=True))
        self._asserted = asserted
        self.catalogue.sort(lambda item: record_of(tally, item), self.seed)

    def _take_seed(self, now: int) -> None:
        period = now // PERIOD_MS
        replica = self._watch.replica
        settled = replica.registry.last_admitted >= period * PERIOD_MS
        if period == self.period and settled and self._settled:
            return
        self.period, self._settled = period, settled
        self.size = self._taken_before(period * PERIOD_MS)
        root = replica.root(self.size)
        self.seed = seed_of(replica.genesis.network, self.size, root)

    def _taken_before(self, at: int) -> int:
        """How many entries the log took before a time."""
        low, high = 0, self._watch.replica.size
        while low < high:
            middle = (low + high) // 2
            if self._watch.replica.admitted(middle) < at:
                low = middle + 1
            else:
                high = middle
        return low


def item_of(name: str, label: Label, licence: str) -> Item:
    """A published label as it is found."""
    newest = label.versions[-1][2] if label.versions else None
    if newest is None:
        return Item(name, label.owner, task=label.card.task, licence=licence)
    return Item(name, label.owner, newest.artifact, label.card.task, newest.format, newest.size, licence)


def record_of(tally: Tally, item: Item) -> Record:
    """What is said of the artifact that a label points to now, or of what a provider answers under it."""
    if item.artifact:
        return outcomes.record(tally, Scope.ARTIFACT, unhex(item.artifact))
    return outcomes.record(tally, Scope.ASSERTED, item.label.encode())
