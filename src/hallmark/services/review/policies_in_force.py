"""The clearing policies in force: the newest version of each that the log holds; the trust file's where the
log
holds none at all.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.documents import ClearingPolicy
from hallmark.review.policies import WARN
from hallmark.verification.fold import Replica
from hallmark.verification.trust import Trust

LOG: Final = "log"
TRUST_FILE: Final = "trust file"
PROPOSAL: Final = "proposal"


class Stands(msgspec.Struct, frozen=True):
    """A policy and where it comes from; `index` is its log position, -1 outside the log."""

    policy: ClearingPolicy
    source: str
    index: int


class PoliciesInForce:
    """Policies as the folded log has them now. Reads the registry, keeps nothing but the newest answer."""

    def __init__(self, replica: Replica, trust: Trust) -> None:
        self._replica, self._trust = replica, trust
        self._known: tuple[tuple[tuple[str, int], ...], tuple[Stands, ...]] | None = None

    def all(self) -> tuple[Stands, ...]:
        """Every policy in force, warning ones too, by name."""
        clearing = self._replica.registry.clearing
        version = tuple((name, versions[-1][0]) for name, versions in clearing.items())
        if self._known is None or self._known[0] != version:
            self._known = version, self._find()
        return self._known[1]

    def policies(self) -> tuple[ClearingPolicy, ...]:
        """The documents alone."""
        return tuple(stands.policy for stands in self.all())

    def history(self, name: str) -> tuple[Stands, ...]:
        """Every version of a name, newest first."""
        logged = self._replica.registry.clearing.get(name, ())
        found = [Stands(policy, LOG, index) for index, _, policy in reversed(logged)]
        return tuple(found) or tuple(s for s in self.all() if s.policy.name == name)

    def warns(self, name: str) -> bool:
        """Whether the policy of this name only warns."""
        return any(s.policy.name == name and s.policy.enforcement == WARN for s in self.all())

    def _find(self) -> tuple[Stands, ...]:
        clearing = self._replica.registry.clearing
        if clearing:
            newest = (versions[-1] for versions in clearing.values())
            found = [Stands(policy, LOG, index) for index, _, policy in newest]
        else:
            found = [Stands(policy, TRUST_FILE, -1) for policy in self._trust.policy]
        return tuple(sorted(found, key=lambda stands: stands.policy.name))
