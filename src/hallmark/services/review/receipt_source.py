"""Where the desk sees receipts: in the folded log, and until a quorum covers them in its tail."""

from __future__ import annotations

import msgspec

from hallmark.core.errors import NotFound
from hallmark.core.marks import Mark, Question
from hallmark.services.explorer.receipt_story import ReceiptContext, of_logged, of_pending
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.following.pending_receipts import PendingReceipt


class ReceiptSnapshot(msgspec.Struct, frozen=True):
    """A receipt and its seven marks at a time."""

    told: ReceiptContext
    marks: dict[Question, Mark]


class ReceiptSource:
    """Receipts and marks of any item, as this process sees them now."""

    def __init__(self, watch: FollowedLog) -> None:
        self.watch = watch
        self._pending: dict[bytes, PendingReceipt] = {}
        watch.tail.changed.append(self._changed)

    def position(self, item: bytes) -> int:
        """Where the receipt stands, -1 while no quorum covers it."""
        found = self.watch.replica.receipt_position(item)
        return -1 if found is None else found

    def look(self, item: bytes, now: int) -> ReceiptSnapshot | None:
        """The receipt and its marks at `now`; None when the log does not show it at the moment."""
        judge = self.watch.judge
        try:
            position = self.position(item)
            if position >= 0:
                logged = judge.logged(position)
                return ReceiptSnapshot(of_logged(logged), judge.marks_of(logged, now))
        except NotFound:
            return None
        pending = self._pending.get(item)
        if pending is None:
            return None
        # What the folded log holds against its key it has held since the receipt came: asked again, the same.
        return ReceiptSnapshot(of_pending(pending), judge.claimed(pending.entry, pending.admitted))

    def _changed(self) -> None:
        self._pending = {pending.id: pending for pending in self.watch.tail.receipts}
