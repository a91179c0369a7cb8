"""What the desk learns from elsewhere than the log, and which items that can change.

1. A configuration of an enclave that arrives: items of the nodes that registered it.
2. A checkpoint that the chain is found to hold: items below it, where a policy in force weighs anchoring, or
   where the chain spoke against the log before. A chain that speaks against the log: items that no earlier
   anchor covers.
3. Policies in force that are others than those by which was judged last: everything undecided. So a trust
   file that was changed while the desk was away counts like a policy that the log holds.

What was passed on is noted in the transaction that has the items looked at again, so that it is passed on
once, whenever a process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hallmark.core.hashing import sha256
from hallmark.review.gate import policy_digest
from hallmark.review.policies import WARN
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.review.affected_items import UNDECIDED, Clause, anchored, configured, weighs_anchors
from hallmark.services.review.item_writer import Noted
from hallmark.services.review.policies_in_force import PoliciesInForce
from hallmark.services.review.schema import ITEMS
from hallmark.services.review.store import DeskStore

ANCHORED: Final = "anchored"
POLICIES: Final = "policies"
CONFIGURED: Final = "configured"


class Triggers:
    """See the module docstring. `wake` is called when there is something to pass on."""

    def __init__(
        self, watch: FollowedLog, store: DeskStore, policies: PoliciesInForce, *, wake: Callable[[], None]
    ) -> None:
        self._watch, self._policies, self._wake = watch, policies, wake
        self._anchored_before = max(store.meta(ANCHORED), 0)
        self._judged_by = store.meta(POLICIES)
        known = set(store.metas(CONFIGURED))
        self._configurations = [d for d in watch.configurations.known if _name(d) not in known]
        self._anchored_to = 0
        self._against = 0
        self._anchors: list[tuple[int, int, bool]] = []
        watch.chain.changed.append(self._chain_changed)
        watch.configurations.changed.append(self._configured)

    @contextmanager
    def taken(self) -> Iterator[Noted]:
        """What is to be noted now. It is passed on when the body ends, and kept for later when it raises."""
        configurations, anchors, policies = self._configurations, self._anchors, self._fingerprint()
        clauses: list[Clause] = []
        numbers: list[tuple[str, int]] = []
        for digest in configurations:
            clauses += configured(self._watch.replica, digest)
            numbers.append((_name(digest), 1))
        if anchors:
            clauses += self._by_anchors(anchors)
            numbers.append((ANCHORED, max(self._anchored_before, self._anchored_to)))
        if policies != self._judged_by:
            clauses.append(UNDECIDED)
            numbers.append((POLICIES, policies))
        self._configurations, self._anchors = [], []
        try:
            yield Noted(tuple(clauses), tuple(numbers))
        except BaseException:
            self._configurations, self._anchors = (
                configurations + self._configurations,
                anchors + self._anchors,
            )
            raise
        self._judged_by = policies

    def _by_anchors(self, anchors: list[tuple[int, int, bool]]) -> Iterator[Clause]:
        weighed = weighs_anchors(self._policies.policies())
        for before, size, against in anchors:
            if against:
                yield anchored(before, size)
            elif weighed and size <= self._anchored_before:
                # Told by an earlier process: only what was judged here before the chain was read is behind.
                yield anchored(before, size) & (ITEMS.c.state == "HOLD")
            elif weighed:
                yield anchored(before, size)

    def _chain_changed(self, size: int) -> None:
        chain = self._watch.chain
        if chain.contradicted:
            self._anchors.append((chain.size, chain.contradicted, True))
            self._against = max(self._against, chain.contradicted)
        else:
            self._anchors.append((self._anchored_to, max(size, self._against), bool(self._against)))
            self._anchored_to, self._against = size, 0
        self._wake()

    def _configured(self, digest: bytes) -> None:
        self._configurations.append(digest)
        self._wake()

    def _fingerprint(self) -> int:
        """A number that stands for the enforced policies in force; warning ones decide nothing."""
        digests = sorted(policy_digest(p) for p in self._policies.policies() if p.enforcement != WARN)
        return int.from_bytes(sha256("".join(digests).encode())[:7], "big")


def _name(digest: bytes) -> str:
    return f"{CONFIGURED}:{digest.hex()[:20]}"
