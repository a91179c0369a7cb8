"""Queue queries: a filter in URL form to SQL, a page at a time by keyset, so that page 200 costs what page
1 does.

    state=HOLD  reason=proved:state_too_low  class=payment  node=0x..  model=digits  assigned=0x..|none
    requester=0x..  min_value=1000  overdue=1  missed=1  sampled=1  appealed=1  released=1
    order=age (oldest first) | newest | value (highest first) | due (soonest first)

`reason` finds an item by any of the reasons that hold it; `overdue` is in HOLD past its time now, `missed`
was so at some time, whatever became of it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
import sqlalchemy as sa

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.services.review.rows import Record, value_text
from hallmark.services.review.schema import HOLDS, ITEMS
from hallmark.services.review.store import DeskStore
from hallmark.services.review.views import Count

STATES: Final = ("HOLD", "CLEAR", "FINAL", "REJECTED")
ORDERS: Final[Mapping[str, tuple[sa.Column[Any], bool]]] = {
    "age": (ITEMS.c.born, True),
    "newest": (ITEMS.c.born, False),
    "value": (ITEMS.c.value, False),
    "due": (ITEMS.c.due, True),
}
MAX_LIMIT: Final = 500
MAX_QUERY: Final = 1_000
FACET_ROWS: Final = 50
FACETS_MS: Final = 500
MANY: Final = 20_000
Clause = sa.ColumnElement[bool]


class Filter(msgspec.Struct, frozen=True):
    """A parsed filter: its members as given, in one order, and the order of rows."""

    members: tuple[tuple[str, str], ...]
    order: str = "age"

    @property
    def text(self) -> str:
        """URL form, always the same for the same filter."""
        ordered = self.members if self.order == "age" else (*self.members, ("order", self.order))
        return urlencode(ordered, safe=":,")


class Page(msgspec.Struct, frozen=True):
    """Rows of a page, how many there are in all, and the cursor of the next page or ""."""

    rows: tuple[Record, ...]
    total: int
    next: str


class Facets(msgspec.Struct, frozen=True):
    """What there is: every reason that holds an item and how many items it holds (one item may be held for
    several), classes of items in HOLD, and items by state.
    """

    reasons: tuple[Count, ...]
    states: tuple[Count, ...]
    classes: tuple[Count, ...]


def parse(query: str) -> Filter:
    """Read a filter. Raises InvalidInput `bad_query`."""
    if len(query) > MAX_QUERY:
        raise InvalidInput("bad_query", f"A filter has at most {MAX_QUERY} characters.")
    members: dict[str, str] = {}
    order = "age"
    for name, value in parse_qsl(query.lstrip("?"), keep_blank_values=False):
        if name == "order":
            if value not in ORDERS:
                raise InvalidInput("bad_query", f"Items are ordered by {', '.join(ORDERS)}.")
            order = value
            continue
        if name not in CLAUSES or name in members:
            raise InvalidInput(
                "bad_query",
                "The filter has an unknown or repeated member.",
                f"It has {', '.join(CLAUSES)} and order, each once.",
            )
        CLAUSES[name](value, 0)
        members[name] = value
    return Filter(tuple((name, members[name]) for name in CLAUSES if name in members), order)


def where(found: Filter, now: int) -> list[Clause]:
    """The conditions of a filter at `now`."""
    return [CLAUSES[name](value, now) for name, value in found.members]


def page_query(found: Filter, cursor: str, limit: int, now: int) -> sa.Select[Any]:
    """Rows of one page and one more, which says that there is a next page."""
    column, rising = ORDERS[found.order]
    query, keys = sa.select(ITEMS), (column, ITEMS.c.id)
    reason, others = _by_reason(found)
    if reason and column is ITEMS.c.born:
        # By age a list of its own is walked, so that a rare reason is found among many items.
        query, keys = query.join(HOLDS, _held_for(reason)), (HOLDS.c.born, HOLDS.c.item)
        found = others
    clauses = where(found, now)
    if cursor:
        value, item = _read_cursor(cursor, column)
        after, last = sa.tuple_(*keys), sa.tuple_(sa.literal(value), sa.literal(item))
        clauses.append(after > last if rising else after < last)
    by = keys if rising else tuple(key.desc() for key in keys)
    return query.where(*clauses).order_by(*by).limit(limit + 1)


def count_query(found: Filter, now: int) -> sa.Select[Any]:
    """How many items a filter finds."""
    reason, others = _by_reason(found)
    query = sa.select(sa.func.count()).select_from(ITEMS)
    if reason:
        return query.join(HOLDS, _held_for(reason)).where(*where(others, now))
    return query.where(*where(found, now))


def _by_reason(found: Filter) -> tuple[str, Filter]:
    """The reason that a filter asks for, "" for none, and the filter without what the list of reasons says by
    itself: the reason, and that an item is in HOLD.
    """
    told = ("reason", "state") if "HOLD" in dict(found.members).get("state", "").split(",") else ("reason",)
    others = tuple(member for member in found.members if member[0] not in told)
    return dict(found.members).get("reason", ""), Filter(others, found.order)


def _held_for(reason: str) -> Clause:
    return sa.and_(HOLDS.c.item == ITEMS.c.id, HOLDS.c.code == reason)


def write_cursor(record: Record, order: str) -> str:
    """The cursor behind a row."""
    value = getattr(record, ORDERS[order][0].name)
    return base64.urlsafe_b64encode(msgspec.json.encode([value, record.id.hex()])).rstrip(b"=").decode()


class Queue:
    """Pages and facets. Among many items facets are counted every half second at most, however many people
    look.
    """

    def __init__(self, store: DeskStore) -> None:
        self._store = store
        self._facets: tuple[int, int, Facets] | None = None

    async def page(self, found: Filter, cursor: str, limit: int, now: int) -> Page:
        """One page. Raises InvalidInput `bad_query`."""
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidInput("bad_query", f"A page has 1 to {MAX_LIMIT} rows.")
        rows = await self._store.records(page_query(found, cursor, limit, now))
        more, rows = len(rows) > limit, rows[:limit]
        if not cursor and not more:
            total = len(rows)
        else:
            total = int((await self._store.read(count_query(found, now)))[0][0])
        return Page(tuple(rows), total, write_cursor(rows[-1], found.order) if more else "")

    async def facets(self, now: int) -> Facets:
        """What there is; among many items at most half a second old."""
        if self._facets is not None:
            at, commits, facets = self._facets
            young = sum(count.count for count in facets.states) > MANY and 0 <= now - at < FACETS_MS
            if young or commits == self._store.commits:
                return facets
        commits = self._store.commits
        items = sa.func.count().label("items")
        by_class = sa.select(ITEMS.c.state, ITEMS.c.klass, items)
        by_reason = sa.select(HOLDS.c.code, items).group_by(HOLDS.c.code)
        rows, held = await self._store.read_all((by_class.group_by(ITEMS.c.state, ITEMS.c.klass), by_reason))
        states, classes = dict.fromkeys(STATES, 0), dict[str, int]()
        for row in rows:
            states[row.state] += row.items
            if row.state == "HOLD":
                classes[row.klass] = classes.get(row.klass, 0) + row.items
        reasons = {row.code: row.items for row in held}
        facets = Facets(
            _counts(reasons), tuple(Count(name, count) for name, count in states.items()), _counts(classes)
        )
        self._facets = (now, commits, facets)
        return facets


def _counts(found: Mapping[str, int]) -> tuple[Count, ...]:
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Count(name, count) for name, count in ordered[:FACET_ROWS])


def _read_cursor(cursor: str, column: sa.Column[Any]) -> tuple[object, bytes]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, item = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=tuple[int | str, str])
        if isinstance(value, str) is not (column is ITEMS.c.value):
            raise ValueError("a cursor of another order")
        return value, bytes.fromhex(item)
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidInput(
            "bad_query", "The cursor is not one of ours.", "Leave it out to begin anew."
        ) from error


def _address(value: str) -> bytes:
    try:
        found = unhex(value)
    except HallmarkError:
        found = b""
    if len(found) != 20:
        raise InvalidInput("bad_query", "A party is named by its address.")
    return found


def _state(value: str, _: int) -> Clause:
    names = value.split(",")
    if not set(names) <= set(STATES):
        raise InvalidInput("bad_query", f"A state is one of {', '.join(STATES)}.")
    return ITEMS.c.state == names[0] if len(names) == 1 else ITEMS.c.state.in_(names)


def _least_value(value: str, _: int) -> Clause:
    if not value.isascii() or not value.isdigit() or len(value) > 39:
        raise InvalidInput("bad_query", "A value is a whole number of atomic units.")
    return ITEMS.c.value >= value_text(int(value))


def _assigned(value: str, _: int) -> Clause:
    return ITEMS.c.assigned == (b"" if value == "none" else _address(value))


def _flag(clause: Callable[[int], Clause]) -> Callable[[str, int], Clause]:
    def read(value: str, now: int) -> Clause:
        if value != "1":
            raise InvalidInput("bad_query", "A switch in a filter is 1, or left out.")
        return clause(now)

    return read


CLAUSES: Final[Mapping[str, Callable[[str, int], Clause]]] = {
    "state": _state,
    "reason": lambda value, _: sa.exists().where(_held_for(value)).correlate(ITEMS),
    "class": lambda value, _: ITEMS.c.klass == value,
    "min_value": _least_value,
    "node": lambda value, _: ITEMS.c.node == _address(value),
    "model": lambda value, _: ITEMS.c.model == value,
    "requester": lambda value, _: ITEMS.c.requester == _address(value),
    "assigned": _assigned,
    "overdue": _flag(lambda now: sa.and_(ITEMS.c.state == "HOLD", ITEMS.c.due <= now)),
    "missed": _flag(
        lambda now: sa.or_(ITEMS.c.missed > 0, sa.and_(ITEMS.c.state == "HOLD", ITEMS.c.due <= now))
    ),
    "sampled": _flag(lambda _: ITEMS.c.sampled == 1),
    "appealed": _flag(lambda _: ITEMS.c.appealed == 1),
    "released": _flag(lambda now: ITEMS.c.released_until > now),
}
