"""Tables of the desk.

    review_items        one row an item, made from the fold of its events: what queue queries and timers need;
                        `head` is the digest of the newest record of its history, `marks` the seven as the
                        evaluator saw them last, packed JSON, empty where decision `seen` has the same
    review_holds        every reason for which an item is in HOLD, made from the same fold as its row
    review_events       append-only; `data` is an event, packed JSON: with those before it it makes the record
                        of the item's hash chain (`hallmark.review.history`), whose newest digest is `head`
    review_decisions    the exact screen, packed, of every event that decides
    review_counts       how many items there are of a state, reason, class, policy, and sums for figures,
                        written with the rows that they count
    review_screens      screens that were before a reviewer's eyes, by digest, packed
    review_comments     texts with their salts; the log holds the salted digest alone
    review_submissions  signed reviews on their way into the log
    review_deliveries   what receivers are still to be told, in order
    review_hooks, review_views, review_proposals, review_meta

Other tables than comments, submissions and deliveries name an item by its `number` in this database. `Term`
columns hold numbers of `store.terms`; `value` is bytes that sort as the number does. `wake` is when the item
is to be looked at next (unix ms; 0: at once; null: when something happens); `roused` counts how often
something happened, so that a call that comes while the item is being looked at is not lost. Addresses of
nobody are empty.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store import Migration, Term

METADATA = sa.MetaData()
VALUE_DIGITS: Final = 39
# Conditions of indices that hold few rows; a query that is to use one says the very same.
CLASSED: Final = "klass != ''"
REQUESTED: Final = "length(requester) > 0"
ASSIGNED: Final = "length(assigned) > 0"
SAMPLED: Final = "sampled = 1"
APPEALED: Final = "appealed = 1"
RELEASED: Final = "released_until > 0"


def _id(name: str = "item", size: int = 32, **kinds: Any) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(size), nullable=False, **kinds)


def _number(name: str, **kinds: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, **kinds)


def _text(name: str, size: int = 80, **kinds: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), nullable=False, **kinds)


def value_bytes(value: str) -> bytes:
    """A value (`rows.value_text`) as the column holds it: how many bytes there are, then the number,
    big-endian.
    """
    number = int(value)
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")


class _Value(sa.types.TypeDecorator[str]):
    """See `value_bytes`."""

    impl, cache_ok = sa.LargeBinary, True

    def process_bind_param(self, value: str | None, _: sa.Dialect) -> bytes | None:
        return None if value is None else value_bytes(value)

    def process_result_value(self, value: bytes | None, _: sa.Dialect) -> str | None:
        return (
            None if value is None else str(int.from_bytes(bytes(value)[1:], "big")).rjust(VALUE_DIGITS, "0")
        )


def _term(name: str, *, text: bool = True) -> sa.Column[Any]:
    return sa.Column(name, Term(text=text), nullable=False)


def _some(name: str, where: str, *columns: str) -> sa.Index:
    """An index of the few rows that a condition is true of; queries say the same condition."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


SERIAL: Final = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ITEMS: Final = sa.Table(
    "review_items",
    METADATA,
    sa.Column("number", SERIAL, primary_key=True),
    _id("id", unique=True),
    _number("version"),
    _id("head"),
    _text("state", 10),
    _term("policy"),
    _text("klass", 32),
    sa.Column("value", _Value, nullable=False),
    _number("born"),
    _number("due"),
    _number("position"),
    _term("node", text=False),
    _term("model"),
    _term("artifact", text=False),
    _id("requester", 20),
    _id("assigned", 20),
    _number("finished"),
    _number("sampled"),
    _number("appealed"),
    _number("released_until"),
    sa.Column("wake", sa.BigInteger),
    _number("roused"),
    _number("tries"),
    # What the figures add up.
    _number("first_cleared"),
    _number("reviews"),
    _number("releases"),
    _number("overturned"),
    _number("false_holds"),
    _number("false_clears"),
    _term("reasons"),
    _number("missed"),
    _number("seen"),
    sa.Column("marks", sa.LargeBinary, nullable=False),
    sa.Index("review_items_age", "born"),
    sa.Index("review_items_value", "value"),
    sa.Index("review_items_due", "due"),
    sa.Index("review_items_state", "state", "born"),
    sa.Index("review_items_state_value", "state", "value"),
    sa.Index("review_items_state_due", "state", "due"),
    sa.Index("review_items_node", "node", "born"),
    sa.Index("review_items_node_value", "node", "value"),
    sa.Index("review_items_node_due", "node", "due"),
    sa.Index("review_items_model", "model", "born"),
    sa.Index("review_items_model_value", "model", "value"),
    sa.Index("review_items_model_due", "model", "due"),
    sa.Index("review_items_position", "position"),
    _some("review_items_class", CLASSED, "klass", "born"),
    _some("review_items_requester", REQUESTED, "requester", "born"),
    _some("review_items_assigned", ASSIGNED, "assigned", "born"),
    _some("review_items_sampled", SAMPLED, "born"),
    _some("review_items_appealed", APPEALED, "born"),
    _some("review_items_released", RELEASED, "born"),
    _some("review_items_wake", "wake IS NOT NULL", "wake"),
)
HOLDS: Final = sa.Table(
    "review_holds",
    METADATA,
    sa.Column("code", Term(text=True), primary_key=True, autoincrement=False),
    _number("born", primary_key=True, autoincrement=False),
    _number("item", primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
EVENTS: Final = sa.Table(
    "review_events",
    METADATA,
    _number("item", primary_key=True, autoincrement=False),
    _number("number", primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
DECISIONS: Final = sa.Table(
    "review_decisions",
    METADATA,
    _number("item", primary_key=True, autoincrement=False),
    _number("number", primary_key=True, autoincrement=False),
    sa.Column("screen", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
COUNTS: Final = sa.Table(
    "review_counts",
    METADATA,
    _text("what", 16, primary_key=True),
    _text("key", 120, primary_key=True),
    _number("count"),
    sqlite_with_rowid=False,
)
SCREENS: Final = sa.Table(
    "review_screens",
    METADATA,
    _id("item", primary_key=True),
    _id("digest", primary_key=True),
    _number("at"),
    sa.Column("screen", sa.LargeBinary, nullable=False),
)
COMMENTS: Final = sa.Table(
    "review_comments",
    METADATA,
    _id("item", primary_key=True),
    _id("digest", primary_key=True),
    _number("at"),
    _id("by", 20),
    _id("salt"),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("internal", sa.Text, nullable=False),
)
SUBMISSIONS: Final = sa.Table(
    "review_submissions",
    METADATA,
    _id("id", primary_key=True),
    _id("item"),
    _id("reviewer", 20),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    _number("at"),
    sa.Column("position", sa.BigInteger),
    _text("refused", 64),
    sa.Index("review_submissions_pending", "refused", "position"),
    sa.Index("review_submissions_item", "item"),
)
DELIVERIES: Final = sa.Table(
    "review_deliveries",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True),
    _text("receiver", 32),
    _text("event", 32),
    _id("item"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _number("at"),
    _number("attempts"),
    _number("next"),
    _number("status"),
    _text("reason", 64),
    _number("dead"),
    sa.Index("review_deliveries_waiting", "receiver", "dead", "id"),
    sqlite_autoincrement=True,
)
HOOKS: Final = sa.Table(
    "review_hooks",
    METADATA,
    _text("id", 32, primary_key=True),
    _text("url", 2000),
    _text("events", 400),
    _number("at"),
    _id("by", 20),
    _number("last_status"),
    _number("last_at"),
)
VIEWS: Final = sa.Table(
    "review_views",
    METADATA,
    _id("owner", 20, primary_key=True),
    _text("name", 80, primary_key=True),
    _text("query", 1000),
)
PROPOSALS: Final = sa.Table(
    "review_proposals",
    METADATA,
    _id("digest", primary_key=True),
    _text("name"),
    _number("version"),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("toml", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    _id("by", 20),
    _number("at"),
)
META: Final = sa.Table("review_meta", METADATA, _text("name", 32, primary_key=True), _number("value"))


def _create(connection: Connection) -> None:
    METADATA.create_all(connection)


MIGRATIONS: Final[tuple[Migration, ...]] = (_create,)
