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
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
import sqlalchemy as sa

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.services.review.rows import Record, value_text
from hallmark.services.review.schema import (
    APPEALED,
    ASSIGNED,
    CLASSED,
    HOLDS,
    ITEMS,
    RELEASED,
    REQUESTED,
    SAMPLED,
)
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
MOST_COUNTED: Final = 10_000
RARE: Final = 5_000
"""So few items are sorted for a page."""
Clause = sa.ColumnElement[bool] | sa.TextClause


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
    """Rows of a page, how many there are in all (or more, with `at_least`), and the cursor of the next page
    or "".
    """

    rows: tuple[Record, ...]
    total: int
    next: str
    at_least: bool = False


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


def page_query(found: Filter, cursor: str, limit: int, now: int, *, rare: bool = False) -> sa.Select[Any]:
    """Rows of one page and one more, which says that there is a next page. `rare`: the reason that is asked
    for holds so few items that they are put in order faster than all others are passed over.
    """
    column, rising = ORDERS[found.order]
    query, keys = sa.select(ITEMS), (column, ITEMS.c.number)
    reason, others = _by_reason(found)
    if reason and column is ITEMS.c.born:
        # By age a list of its own is walked, so that a rare reason is found among many items.
        query, keys = query.join(HOLDS, _held_for(reason)), (HOLDS.c.born, HOLDS.c.item)
        found = others
    elif reason and rare:
        some = sa.select(HOLDS.c.item).where(HOLDS.c.code == reason)
        query, found = query.where(ITEMS.c.number.in_(some)), others
    clauses = where(found, now)
    if cursor:
        value, number = _read_cursor(cursor, column)
        after, last = sa.tuple_(*keys), sa.tuple_(sa.literal(value, column.type), sa.literal(number))
        clauses.append(after > last if rising else after < last)
    by = keys if rising else tuple(key.desc() for key in keys)
    return query.where(*clauses).order_by(*by).limit(limit + 1)


def count_query(found: Filter, now: int) -> sa.Select[Any]:
    """How many items a filter finds, up to 10,000."""
    reason, others = _by_reason(found)
    query = sa.select(ITEMS.c.number)
    if reason:
        query = query.join(HOLDS, _held_for(reason)).where(*where(others, now))
    else:
        query = query.where(*where(found, now))
    return sa.select(sa.func.count()).select_from(query.limit(MOST_COUNTED).subquery())


def counted(found: Filter, counts: Mapping[str, Mapping[str, int]]) -> int | None:
    """How many items a filter finds, where that is kept; None where it is not."""
    members = dict(found.members)
    states = counts.get("state", {})
    match sorted(members):
        case []:
            return sum(states.values())
        case ["state"]:
            return sum(states.get(state, 0) for state in set(members["state"].split(",")))
        case ["reason"]:
            return counts.get("reason", {}).get(members["reason"], 0)
        case ["reason", "state"] if members["state"] == "HOLD":
            return counts.get("reason", {}).get(members["reason"], 0)
        case ["class", "state"] if members["state"] == "HOLD":
            return counts.get("held", {}).get(members["class"], 0)
    return None


def _by_reason(found: Filter) -> tuple[str, Filter]:
    """The reason that a filter asks for, "" for none, and the filter without what the list of reasons says by
    itself: the reason, and that an item is in HOLD.
    """
    told = ("reason", "state") if "HOLD" in dict(found.members).get("state", "").split(",") else ("reason",)
    others = tuple(member for member in found.members if member[0] not in told)
    return dict(found.members).get("reason", ""), Filter(others, found.order)


def _held_for(reason: str) -> Clause:
    return sa.and_(HOLDS.c.item == ITEMS.c.number, HOLDS.c.code == reason)


def _held_here(reason: str) -> Clause:
    """The same by the whole key, for an item that is found already."""
    return sa.and_(_held_for(reason), HOLDS.c.born == ITEMS.c.born)


def write_cursor(record: Record, order: str) -> str:
    """The cursor behind a row."""
    value = getattr(record, ORDERS[order][0].name)
    return base64.urlsafe_b64encode(msgspec.json.encode([value, record.number])).rstrip(b"=").decode()


class Queue:
    """Pages and facets. What there is is counted as it is written, and read again after a commit."""

    def __init__(self, store: DeskStore) -> None:
        self._store = store
        self._known: tuple[int, dict[str, dict[str, int]]] | None = None

    async def page(self, found: Filter, cursor: str, limit: int, now: int) -> Page:
        """One page. Raises InvalidInput `bad_query`."""
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidInput("bad_query", f"A page has 1 to {MAX_LIMIT} rows.")
        counts = await self.counts()
        held = counts.get("reason", {}).get(dict(found.members).get("reason", ""), 0)
        query = page_query(found, cursor, limit, now, rare=held <= RARE)
        rows = await self._store.records(query)
        more, rows = len(rows) > limit, rows[:limit]
        following = write_cursor(rows[-1], found.order) if more else ""
        if not cursor and not more:
            return Page(tuple(rows), len(rows), "")
        total = counted(found, counts)
        if total is not None:
            return Page(tuple(rows), total, following)
        total = int((await self._store.read(count_query(found, now)))[0][0])
        return Page(tuple(rows), total, following, at_least=total == MOST_COUNTED)

    async def facets(self) -> Facets:
        """What there is."""
        counts = await self.counts()
        states = dict.fromkeys(STATES, 0) | counts.get("state", {})
        return Facets(
            _counts(counts.get("reason", {})),
            tuple(Count(name, count) for name, count in states.items()),
            _counts(counts.get("held", {})),
        )

    async def counts(self) -> dict[str, dict[str, int]]:
        """What is counted of items, see `counts`; of after this process's last commit."""
        commits = self._store.commits
        if self._known is None or self._known[0] != commits:
            self._known = (commits, await self._store.counts())
        return self._known[1]


def _counts(found: Mapping[str, int]) -> tuple[Count, ...]:
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Count(name, count) for name, count in ordered[:FACET_ROWS])


_Number = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
_Place = _Number | Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{39}\Z")]


def _read_cursor(cursor: str, column: sa.Column[Any]) -> tuple[object, int]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, number = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=tuple[_Place, _Number])
        if isinstance(value, str) is not (column is ITEMS.c.value):
            raise ValueError("a cursor of another order")
        return value, number
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
    if value == "none":
        return ITEMS.c.assigned == b""
    return sa.and_(ITEMS.c.assigned == _address(value), sa.text(ASSIGNED))


def _class(value: str, _: int) -> Clause:
    return sa.and_(ITEMS.c.klass == value, sa.text(CLASSED)) if value else ITEMS.c.klass == ""


def _flag(clause: Callable[[int], Clause]) -> Callable[[str, int], Clause]:
    def read(value: str, now: int) -> Clause:
        if value != "1":
            raise InvalidInput("bad_query", "A switch in a filter is 1, or left out.")
        return clause(now)

    return read


CLAUSES: Final[Mapping[str, Callable[[str, int], Clause]]] = {
    "state": _state,
    "reason": lambda value, _: sa.exists().where(_held_here(value)).correlate(ITEMS),
    "class": _class,
    "min_value": _least_value,
    "node": lambda value, _: ITEMS.c.node == _address(value),
    "model": lambda value, _: ITEMS.c.model == value,
    "requester": lambda value, _: sa.and_(ITEMS.c.requester == _address(value), sa.text(REQUESTED)),
    "assigned": _assigned,
    "overdue": _flag(lambda now: sa.and_(ITEMS.c.state == "HOLD", ITEMS.c.due <= now)),
    "missed": _flag(
        lambda now: sa.or_(ITEMS.c.missed > 0, sa.and_(ITEMS.c.state == "HOLD", ITEMS.c.due <= now))
    ),
    "sampled": _flag(lambda _: sa.text(SAMPLED)),
    "appealed": _flag(lambda _: sa.text(APPEALED)),
    "released": _flag(lambda now: sa.and_(ITEMS.c.released_until > now, sa.text(RELEASED))),
}
