"""Aggregates that anyone may see, of what is counted as items are written (see `counts`)."""

from __future__ import annotations

from hallmark.review.wording import about
from hallmark.services.review.counts import nearest_rank
from hallmark.services.review.queue import Queue
from hallmark.services.review.views import Count, Figures


async def figures(queue: Queue) -> Figures:
    """Aggregates; see `Figures`.

    Time to clear is from birth to the first CLEAR, by nearest rank, of times to three significant digits.
    Cleared without a person: no review was logged. Overturned: appeals upheld and sampled CLEARs that a
    person disagreed with. A false hold was let go though no mark said anything else than it did when it was
    held; a false clear was held again because a mark failed, was revoked or disputed.
    """
    counts, facets = await queue.counts(), await queue.facets()
    states = {count.name: count.count for count in facets.states}
    sums, took = counts.get("sum", {}), counts.get("took", {})
    return Figures(
        sum(states.values()),
        states["HOLD"],
        states["CLEAR"],
        states["FINAL"],
        states["REJECTED"],
        tuple(Count(count.name, count.count, about(count.name)) for count in facets.reasons),
        nearest_rank(took, 50),
        nearest_rank(took, 95),
        sums.get("alone", 0),
        sums.get("overturned", 0),
        sums.get("releases", 0),
        sums.get("false_holds", 0),
        sums.get("false_clears", 0),
        sums.get("appealed", 0),
    )
