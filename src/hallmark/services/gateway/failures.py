"""Requests that failed within the last hour, by model and reason, counted by the minute; bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, Held, InvalidInput, NotFound
from hallmark.routing.eligibility import NoNode, NoNodeForPayee
from hallmark.services.gateway.traffic import Traffic

HOUR: Final = 3_600_000
MINUTE: Final = 60_000
PAIRS: Final = 512
"""Pairs of model and reason that are kept; more are counted together."""
OTHER: Final = "(other)"
REFUSALS: Final = frozenset((401, 402, 403, 429))
"""Statuses with which a provider refuses whoever asks, whatever was asked."""
UNKNOWN: Final = "(unknown)"
"""Stands for a model that the network does not know."""


class Failure(msgspec.Struct, frozen=True):
    """How often requests for a model failed for a reason within the hour, and when last (unix ms)."""

    model: str
    reason: str
    count: int
    last: int


class Failures:
    """What the client asked for wrongly is no failure of the network and is not counted."""

    def __init__(self, clock: Callable[[], int], traffic: Traffic | None = None) -> None:
        self._clock, self._traffic = clock, traffic
        self._minutes: dict[tuple[str, str], dict[int, int]] = {}
        self._last: dict[tuple[str, str], int] = {}

    def note(self, model: str, error: HallmarkError) -> None:
        """Count a request that ended in `error`, unless the request itself was at fault."""
        if isinstance(error, NoNode):
            self.add(model, "at_capacity" if error.busy else error.reason, shows=not error.bound)
        elif isinstance(error, Held) or not isinstance(error, InvalidInput | NotFound | NoNodeForPayee):
            self.add(model, error.reason)

    def ended(self, model: str, status: int) -> None:
        """Count a request that was answered with `status`, which the asker or the network may have caused."""
        if status == 200 and self._traffic is not None:
            self._traffic.answered(model)
        elif status in REFUSALS or status >= 500:
            self.add(model, "refused")

    def add(self, model: str, reason: str, *, shows: bool = True) -> None:
        """Count one failed request; whether it `shows` that the model's answers fail, as `Traffic.failed`."""
        now = self._clock()
        self._forget(now)
        if self._traffic is not None:
            self._traffic.failed(model, reason, shows=shows)
        pair = (model, reason)
        if pair not in self._minutes and len(self._minutes) >= PAIRS:
            pair = (OTHER, OTHER)
        minutes = self._minutes.setdefault(pair, {})
        minutes[now // MINUTE] = minutes.get(now // MINUTE, 0) + 1
        self._last[pair] = now

    def listed(self) -> tuple[Failure, ...]:
        """Every pair, most failures first."""
        self._forget(self._clock())
        found = [
            Failure(*pair, sum(minutes.values()), self._last[pair]) for pair, minutes in self._minutes.items()
        ]
        return tuple(sorted(found, key=lambda f: (-f.count, f.model, f.reason)))

    def _forget(self, now: int) -> None:
        oldest = (now - HOUR) // MINUTE
        for pair, minutes in list(self._minutes.items()):
            for minute in [m for m in minutes if m <= oldest]:
                del minutes[minute]
            if not minutes:
                del self._minutes[pair], self._last[pair]
