"""What people can do at the desk: one method per act, one frozen struct per request.

Pages, the JSON API and the CLI all call these and nothing else, so none of them can do more than another.
Reason codes are lower-case names of at most 32 characters. `screen` is the digest of the screen that was
before
the person's eyes (`ItemPage.screen`); without it the desk keeps the screen that it would show at that
moment. Addresses, digests and salts are 0x-hex, times
unix ms, values in atomic units.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec

from hallmark.core.document import Hex32, HexBytes
from hallmark.core.hashing import sha256
from hallmark.services.review.views import ItemRow, Person, PolicyRow, SavedView

Code = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$(?!\n)")]
Text = Annotated[str, msgspec.Meta(max_length=4_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
Shown = Annotated[str, msgspec.Meta(pattern=r"^(0x[0-9a-f]{64})?$(?!\n)")]
Value = Annotated[int, msgspec.Meta(ge=0)]
EventName = Annotated[str, msgspec.Meta(pattern=r"^(item|policy)[.][a-z]+$(?!\n)")]
MAX_BULK = 500
COMMENT_TAG = b"hallmark/comment/v1\0"


class _Texts(msgspec.Struct, frozen=True):
    comment: str
    internal: str


def comment_digest(comment: str, internal: str, salt: bytes) -> bytes:
    """What a review commits to of its two texts; 32 bytes.

    SHA-256("hallmark/comment/v1" || 0x00 || salt || {"comment":..,"internal":..}), the JSON without
    white space
    in UTF-8, as `JSON.stringify` writes it; `salt` is 32 random bytes.
    """
    return sha256(COMMENT_TAG, salt, msgspec.json.encode(_Texts(comment, internal)))


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of what is asked for; JSON names are the field names."""


class ReviewRequest(Request, frozen=True):
    """A signed review. `entry` is the log entry's bytes (a Review statement with its one signature, no
    attachments). `comment` is told to the subject, `internal` never is; the statement's `comment` is the
    digest of both with `salt` (see `comment_digest`), zero without comments.
    """

    entry: HexBytes
    comment: Text = ""
    internal: Text = ""
    salt: Hex32 = "0x" + "00" * 32


class DeclareRequest(Request, frozen=True):
    """What an item is about: class of risk, value at risk, who asked for it. Empty members are left as
    they are;
    a declaration may only tighten.
    """

    klass: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.-]{0,32}$(?!\n)")] = ""
    value: Value | None = None
    requester: Annotated[str, msgspec.Meta(pattern=r"^(0x[0-9a-f]{40})?$(?!\n)")] = ""


class AssignRequest(Request, frozen=True):
    """Who takes the item; "" gives it back to the queue."""

    to: Annotated[str, msgspec.Meta(pattern=r"^(0x[0-9a-f]{40})?$(?!\n)")] = ""


class CommentRequest(Request, frozen=True):
    """A remark without a judgement. `comment` is told to the subject, `internal` never is."""

    comment: Text = ""
    internal: Text = ""


class AppealRequest(Request, frozen=True):
    """The node's owner or the requester says why the item should be looked at again."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]


class AnswerAppealRequest(Request, frozen=True):
    """A reviewer's answer to the open appeal."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4_000)]
    upheld: bool
    screen: Shown = ""


class ReleaseRequest(Request, frozen=True):
    """Break-glass: the item stays HOLD, and a named person lets it be used until `until`, for a reason."""

    reason: Code
    text: Annotated[str, msgspec.Meta(min_length=10, max_length=4_000)]
    until: int
    screen: Shown = ""


class RejectRequest(Request, frozen=True):
    """Ends the item. `comment` is told to the subject, `internal` never is."""

    reason: Code
    comment: Text = ""
    internal: Text = ""
    screen: Shown = ""


class BulkRequest(Request, frozen=True):
    """One act on many items that are all held for the same `reason` ("<question>:<code>"). Exactly one of the
    acts is given.
    """

    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=80)]
    items: Annotated[tuple[Hex32, ...], msgspec.Meta(min_length=1, max_length=MAX_BULK)]
    assign: AssignRequest | None = None
    reject: RejectRequest | None = None
    comment: CommentRequest | None = None


class BulkDone(Request, frozen=True):
    """What became of a bulk act: ids that it was done to, and reason code by id where it was not."""

    done: tuple[str, ...]
    refused: dict[str, str]


class SaveViewRequest(Request, frozen=True):
    """A named filter; `shared` makes it everybody's."""

    name: Name
    query: Annotated[str, msgspec.Meta(max_length=1_000)]
    shared: bool = False


class WebhookRequest(Request, frozen=True):
    """A receiver of events; no events means all of them."""

    url: Annotated[str, msgspec.Meta(max_length=2_000)]
    events: tuple[EventName, ...] = ()


class WebhookRow(Request, frozen=True):
    """A receiver. `secret` (`whsec_` and base64) is shown once, when it is made, and is "" afterwards."""

    id: str
    url: str
    events: tuple[str, ...]
    at: int
    by: str
    waiting: int = 0
    dead: int = 0
    last_status: int = 0
    last_at: int = 0
    secret: str = ""


class Letter(Request, frozen=True):
    """A delivery that was given up. `status` is the last HTTP status, 0 when there was no answer."""

    id: str
    event: str
    item: str
    at: int
    attempts: int
    status: int
    reason: str


class ProposeRequest(Request, frozen=True):
    """A policy file that the authority is asked to sign."""

    toml: Annotated[str, msgspec.Meta(max_length=65_536)]
    text: Text = ""


class DeskActions(Protocol):
    """Acts of a signed-in person. All raise NotFound `unknown_item`, Unauthorized `not_signed_in`,
    `reviewers_only` or `operators_only`, Conflict when the item's state does not allow it, InvalidInput for
    what cannot be used.
    """

    async def review(self, person: Person, item: str, request: ReviewRequest) -> ItemRow:
        """Take a signed review and bring it into the log. Raises InvalidInput `review_not_yours`,
        `review_other_item`, `screen_not_shown`, `review_other_policy`, `comment_digest`; Conflict
        `reviewer_is_executor`, `reviewer_is_requester`, `item_not_witnessed_yet`.
        """
        ...

    async def declare(self, person: Person | None, token: str, item: str, request: DeclareRequest) -> ItemRow:
        """Say what an item is about, as a person or by an API token."""
        ...

    async def assign(self, person: Person, item: str, request: AssignRequest) -> ItemRow:
        """Take an item, give it to another reviewer, or back."""
        ...

    async def comment(self, person: Person, item: str, request: CommentRequest) -> ItemRow:
        """Remark on an item."""
        ...

    async def appeal(self, person: Person, item: str, request: AppealRequest) -> ItemRow:
        """Appeal. Raises Conflict `not_a_party`."""
        ...

    async def answer_appeal(self, person: Person, item: str, request: AnswerAppealRequest) -> ItemRow:
        """Answer the open appeal. Raises Conflict `no_open_appeal`."""
        ...

    async def release(self, person: Person, item: str, request: ReleaseRequest) -> ItemRow:
        """Break glass. Raises InvalidInput `release_too_long`."""
        ...

    async def reject(self, person: Person, item: str, request: RejectRequest) -> ItemRow:
        """End an item that is in HOLD."""
        ...

    async def bulk(self, person: Person, request: BulkRequest) -> BulkDone:
        """One act on many. Raises InvalidInput `bulk_mixed_reasons`, `bulk_one_act`."""
        ...

    async def save_view(self, person: Person, request: SaveViewRequest) -> SavedView:
        """Keep a filter."""
        ...

    async def forget_view(self, person: Person, name: str, shared: bool = False) -> None:
        """Drop a filter. Raises NotFound `unknown_view`."""
        ...

    async def webhooks(self, person: Person) -> tuple[WebhookRow, ...]:
        """Every receiver."""
        ...

    async def add_webhook(self, person: Person, request: WebhookRequest) -> WebhookRow:
        """Add a receiver; the secret is in this answer alone. Raises InvalidInput `bad_webhook_url`."""
        ...

    async def remove_webhook(self, person: Person, webhook: str) -> None:
        """Remove a receiver and what waits for it. Raises NotFound `unknown_webhook`."""
        ...

    async def dead_letters(self, person: Person, webhook: str) -> tuple[Letter, ...]:
        """Deliveries that were given up, newest first, at most 200."""
        ...

    async def redeliver(self, person: Person, webhook: str, delivery: str) -> None:
        """Try a dead letter again. Raises NotFound `unknown_delivery`."""
        ...

    async def propose(self, person: Person, request: ProposeRequest) -> PolicyRow:
        """Propose a policy; the authority signs it with its own keys. Raises InvalidInput `bad_policy`."""
        ...
