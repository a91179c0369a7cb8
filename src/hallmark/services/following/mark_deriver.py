"""Marks of any receipt in the folded log, as this process sees them.

A pure function of what was folded, the checkpoints and anchors that were verified, the configurations that
are known, and `now`: asked twice it says the same. Nothing rises above `claimed` before a quorum-cosigned
checkpoint that covers the receipt was verified here. "Since" is when a state was first known here (checked,
witnessed), when the chain took the checkpoint (anchored), or when the log took what speaks against it.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from hallmark.core.entries import Entry
from hallmark.core.errors import NotFound
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Mark, Question, State, derive_marks
from hallmark.core.receipt import Receipt
from hallmark.services.following.chain import Chain
from hallmark.services.following.checkpoints import Checkpoints
from hallmark.services.following.configurations import Configurations
from hallmark.services.following.leaf_store import LeafStore
from hallmark.verification.fold import Replica
from hallmark.verification.live import Inclusion, live_findings
from hallmark.verification.reviews import Counted, conclude
from hallmark.verification.revocation_times import RevocationTimes
from hallmark.verification.wording import by_its_word


class Logged(msgspec.Struct, frozen=True):
    """A receipt at its place in the folded log; `id` is 32 bytes, `admitted` unix ms."""

    index: int
    admitted: int
    id: bytes
    entry: Entry
    receipt: Receipt


class MarkDeriver:
    """See the module docstring. `by` is who checks, as marks name it."""

    def __init__(
        self,
        replica: Replica,
        leaves: LeafStore,
        heads: Checkpoints,
        *,
        configurations: Configurations,
        chain: Chain,
        beginnings: RevocationTimes,
        by: str,
    ) -> None:
        self._replica, self._leaves, self._heads = replica, leaves, heads
        self._configurations, self._chain, self._beginnings = configurations, chain, beginnings
        self.by = by
        self._read: Logged | None = None

    def logged(self, index: int) -> Logged:
        """The receipt at a log position. Raises NotFound `unknown_receipt`."""
        if not 0 <= index < self._replica.size:
            raise NotFound("unknown_receipt", "There is no receipt at this log position.")
        admitted, entry = self._leaves.entry(index)
        if self._read is not None and self._read.entry is entry:
            return self._read
        receipt = entry.statement
        if not isinstance(receipt, Receipt):
            raise NotFound("unknown_receipt", "There is no receipt at this log position.")
        self._read = Logged(index, admitted, receipt.digest(), entry, receipt)
        return self._read

    def position(self, receipt_id: bytes) -> int:
        """The log position of a receipt id (32 bytes). Raises NotFound `unknown_receipt`."""
        found = self._replica.receipt_position(receipt_id)
        if found is None:
            raise NotFound(
                "unknown_receipt", "The folded log holds no receipt of this id.", "It may not be logged yet."
            )
        return found

    def marks(self, index: int, now: int) -> dict[Question, Mark]:
        """The seven marks of the receipt at `index`. Raises NotFound `unknown_receipt`."""
        return self.marks_of(self.logged(index), now)

    def marks_of(self, logged: Logged, now: int) -> dict[Question, Mark]:
        """The same for a receipt that was looked up already."""
        return derive_marks(self.findings(logged, now))

    def findings(self, logged: Logged, now: int) -> list[Finding]:
        """What the marks are derived from."""
        inclusion = self.inclusion(logged.index)
        if inclusion is None:
            return self._claims(logged.index, logged.entry, now)
        found = live_findings(
            self._replica,
            logged.index,
            logged.entry,
            inclusion,
            by=self.by,
            now=now,
            configuration=self._configurations.of(logged.receipt),
        )
        timed = [self._timed(f, logged, inclusion) for f in found if f.question is not Question.REVIEWED]
        return [*timed, *self._reviewed(logged.id)]

    def inclusion(self, index: int) -> Inclusion | None:
        """How the quorum and the chain hold the entry at `index`; None while nothing verified covers it."""
        return self._chain.extend(self._heads.covering(index), index)

    def claimed(self, entry: Entry, now: int = 0) -> dict[Question, Mark]:
        """The marks of a receipt that no verified checkpoint covers: what the node alone says, and what the
        folded log already holds against its key or image.
        """
        return derive_marks(self._claims(self._replica.size, entry, now))

    def _claims(self, index: int, entry: Entry, now: int) -> list[Finding]:
        receipt = cast(Receipt, entry.statement)
        found = live_findings(self._replica, index, entry, None, by=self.by, now=now)
        kept = [f for f in found if f.state is State.CLAIMED or f.reason in TAKEN_BACK]
        spoken = {finding.question for finding in kept}
        bare = [
            Finding(question, State.CLAIMED, "the node", receipt.finished, detail={"what": what})
            for question, what in by_its_word(receipt.upstream != ZERO32).items()
            if question not in spoken
        ]
        return [*kept, *bare]

    def _timed(self, finding: Finding, logged: Logged, inclusion: Inclusion) -> Finding:
        """The finding with the time since when it stands, in place of the time of asking."""
        if finding.state is State.CHECKED or (finding.state is State.FAILED and finding.by == self.by):
            return msgspec.structs.replace(finding, at=inclusion.at)
        if not finding.state.is_negative:
            return finding
        return msgspec.structs.replace(finding, at=self._began(finding, logged) or finding.at)

    def _began(self, finding: Finding, logged: Logged) -> int:
        if finding.state is State.REVOKED:
            attested = self._replica.memory.attested.get((logged.receipt.node, logged.receipt.bundle))
            if finding.reason == "key_compromised":
                return self._beginnings.compromised(logged.receipt.node, logged.index)
            return self._beginnings.revoked(attested.measurement, logged.index) if attested else 0
        return self._beginnings.objected(self._replica.standing(logged.index).since)

    def _reviewed(self, receipt_id: bytes) -> list[Finding]:
        """Reviews, each struck by the first checkpoint that covers it itself, not the receipt alone."""
        counted = []
        for position, review in self._replica.registry.reviews.get(receipt_id, ()):
            seen = self._heads.covering(position)
            counted.append(
                Counted(review, State.WITNESSED, max(seen.at, self._replica.admitted(position)))
                if seen is not None
                else Counted(review, State.CHECKED, review.at)
            )
        return conclude(counted, receipt_id)


TAKEN_BACK: Final = frozenset(("key_compromised", "measurement_revoked"))
