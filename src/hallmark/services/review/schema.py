"""Tables of the desk.

    review_events       append-only; `data` is the record of an event in the item's hash chain
                        (`hallmark.review.history`), an item the fold of its events in the order of `number`
    review_items        one row an item, made from the fold: what queue queries and timers need; `head` is the
                        digest of the newest record, `marks` the seven as the evaluator saw them last, as JSON
    review_holds        every reason for which an item is in HOLD, made from the same fold as its row
    review_decisions    decisions with the exact screen; each names the digest of the item's decision
    before it
    review_screens      screens that were before a reviewer's eyes, by digest
    review_comments     texts with their salts; the log holds the salted digest alone
    review_submissions  signed reviews on their way into the log
    review_deliveries   what receivers are still to be told, in order
    review_hooks, review_views, review_proposals, review_meta

`value` is text of 39 digits, so that 128-bit values sort. `wake` is when the item is to be looked at next
(unix
ms; 0: at once; null: when something happens); `roused` counts how often something happened, so that a call
that comes while the item is being looked at is not lost. Addresses of nobody are empty.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.store import Migration

METADATA = sa.MetaData()
VALUE_DIGITS: Final = 39


def _id(name: str = "item", size: int = 32, **kinds: Any) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(size), nullable=False, **kinds)


def _number(name: str, **kinds: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, **kinds)


def _text(name: str, size: int = 80, **kinds: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), nullable=False, **kinds)


ITEMS: Final = sa.Table(
    "review_items",
    METADATA,
    _id("id", primary_key=True),
    _number("version"),
    _id("head"),
    _text("state", 10),
    _text("reason"),
    _text("policy"),
    _text("klass", 32),
    _text("value", VALUE_DIGITS),
    _number("born"),
    _number("due"),
    _number("position"),
    _id("node", 20),
    _text("model", 200),
    _id("artifact"),
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
    sa.Column("marks", sa.LargeBinary, nullable=False),
    sa.Column("reasons", sa.Text, nullable=False),
    _number("missed"),
    sa.Index("review_items_state", "state", "reason", "klass"),
    sa.Index("review_items_born", "state", "born", "id"),
    sa.Index("review_items_reason", "state", "reason", "born", "id"),
    sa.Index("review_items_value", "state", "value", "id"),
    sa.Index("review_items_due", "state", "due", "id"),
    sa.Index("review_items_class", "state", "klass", "born", "id"),
    sa.Index("review_items_node", "node", "born", "id"),
    sa.Index("review_items_age", "born", "id"),
    sa.Index("review_items_assigned", "assigned", "born", "id"),
    sa.Index("review_items_sampled", "sampled", "born", "id"),
    sa.Index("review_items_appealed", "appealed", "born", "id"),
    sa.Index("review_items_position", "position"),
    sa.Index("review_items_wake", "wake"),
    sa.Index("review_items_cleared", "first_cleared"),
)
HOLDS: Final = sa.Table(
    "review_holds",
    METADATA,
    _id("item", primary_key=True),
    _text("code", primary_key=True),
    _number("born"),
    sa.Index("review_holds_code", "code", "born", "item"),
)
EVENTS: Final = sa.Table(
    "review_events",
    METADATA,
    _id("item", primary_key=True),
    _number("number", primary_key=True, autoincrement=False),
    _number("at"),
    _text("kind", 32),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
DECISIONS: Final = sa.Table(
    "review_decisions",
    METADATA,
    _id("item", primary_key=True),
    _number("number", primary_key=True, autoincrement=False),
    _number("at"),
    _text("outcome", 16),
    _text("by", 64),
    _text("policy"),
    _text("sentence", 400),
    sa.Column("screen", sa.LargeBinary, nullable=False),
    _id("digest"),
    _id("previous"),
    _id("record"),
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
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
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
