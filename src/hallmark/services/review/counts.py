"""What is counted of items, kept with their rows: how many there are of each state, reason, class and policy,
and the sums that figures are made of. So that no page counts a million rows.

    state   <state>             held    <class>, of items in HOLD
    reason  <code>              policy  <state> <policy>, under which items were last judged
    sum     <figure>            took    <ms>: from birth to the first CLEAR, to three significant digits
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.services.review.rows import Record
from hallmark.services.review.schema import COUNTS
from hallmark.store.upserts import put

Counted: TypeAlias = tuple[str, str]
DIGITS: Final = 3


def counted(record: Record) -> Counter[Counted]:
    """What one item adds."""
    found: Counter[Counted] = Counter([("state", record.state)])
    if record.state == "HOLD":
        found["held", record.klass] += 1
    found.update(("reason", code) for code in record.held_for)
    found.update(("policy", f"{record.state} {name}") for name in record.policy.split(" and ") if name)
    for name in ("overturned", "releases", "false_holds", "false_clears", "appealed"):
        found["sum", name] += int(getattr(record, name))
    if record.first_cleared:
        found["sum", "cleared"] += 1
        found["sum", "alone"] += record.reviews == 0
        found["took", str(rounded(record.first_cleared - record.born))] += 1
    return found


def rounded(ms: int) -> int:
    """A time to three significant digits, downwards."""
    unit = int(10 ** max(len(str(max(ms, 0))) - DIGITS, 0))
    return max(ms, 0) // unit * unit


def add(connection: Connection, changes: Mapping[Counted, int]) -> None:
    """Add to what is kept, in the caller's transaction; in one order, so that processes do not lock."""
    rows = [{"what": what, "key": key, "count": n} for (what, key), n in sorted(changes.items()) if n]
    put(connection, COUNTS, rows, adds="count")


def read(connection: Connection) -> dict[str, dict[str, int]]:
    """Everything that is counted: by what, then by key."""
    found: dict[str, dict[str, int]] = {}
    for what, key, count in connection.execute(sa.select(COUNTS.c.what, COUNTS.c.key, COUNTS.c["count"])):
        if count:
            found.setdefault(str(what), {})[str(key)] = int(count)
    return found


def nearest_rank(took: Mapping[str, int], percent: int) -> int | None:
    """The nearest-rank percentile of times; None when there is none."""
    rank, seen = max(-(-sum(took.values()) * percent // 100), 1), 0
    for ms, count in sorted((int(ms), count) for ms, count in took.items()):
        seen += count
        if seen >= rank:
            return ms
    return None
