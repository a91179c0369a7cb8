"""Prometheus metrics whose label values come from closed sets, so that no content can become a label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "hallmark_"
# Seconds, from a tenth of a millisecond to half a minute.
SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 2.5, 10, 30)
MAX_VALUES: Final = 200
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class Metrics:
    """A process's metrics in a registry of its own. Names get the prefix `hallmark_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def counter(self, name: str, what: str, labels: Iterable[str] = ()) -> LabelledCounter:
        """A counter; Prometheus appends `_total`."""
        return LabelledCounter(Counter(PREFIX + name, what, tuple(labels), registry=self.registry))

    def histogram(
        self, name: str, what: str, labels: Iterable[str] = (), buckets: tuple[float, ...] = SECONDS
    ) -> LabelledHistogram:
        """A histogram, in seconds unless `buckets` says otherwise."""
        return LabelledHistogram(
            Histogram(PREFIX + name, what, tuple(labels), registry=self.registry, buckets=buckets)
        )

    def gauge(self, name: str, what: str, read: Callable[[], float] | None = None) -> Gauge:
        """A gauge; with `read` it is asked at every scrape."""
        gauge = Gauge(PREFIX + name, what, registry=self.registry)
        if read is not None:
            gauge.set_function(read)
        return gauge


class _Values:
    """Guards label values: codes and identifiers only, and at most MAX_VALUES different sets."""

    def __init__(self) -> None:
        self._known: set[tuple[str, ...]] = set()

    def guard(self, values: tuple[str, ...]) -> tuple[str, ...]:
        if values in self._known:
            return values
        safe = tuple(value if _VALUE.fullmatch(value) else "other" for value in values)
        if safe not in self._known and len(self._known) >= MAX_VALUES:
            return tuple("other" for _ in values)
        self._known.add(safe)
        return safe


class LabelledCounter:
    """A counter with guarded label values."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._values = _Values()

    def add(self, *values: str, n: float = 1) -> None:
        """Count `n` under the label values."""
        (self._counter.labels(*self._values.guard(values)) if values else self._counter).inc(n)


class LabelledHistogram:
    """A histogram with guarded label values."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._values = _Values()

    def observe(self, value: float, *values: str) -> None:
        """Record one value under the label values."""
        (self._histogram.labels(*self._values.guard(values)) if values else self._histogram).observe(value)
