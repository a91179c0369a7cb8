"""What the review surfaces show: page, JSON twin, CLI and webhooks all take these and nothing else.

Times are unix ms (0: never), digests and addresses 0x-hex, values in atomic units. Nothing here is computed
by a surface.
"""

from __future__ import annotations

from typing import Protocol

from hallmark.core.shown import ShownMark
from hallmark.services.explorer.shared_views import Fact, InputView, LineageStep, Moment, RouteView, Shown


class Lack(Shown, frozen=True):
    """One thing that holds an item: the mark, why, and what can be done about it.

    `required` and `state` are mark states, `reason` a code, `who` who can mend it, `next` the next step,
    `due` when it should be decided (0: no promise) and `then` what happens at that time.
    """

    question: str
    required: str
    state: str
    reason: str
    sentence: str
    who: str
    next: str
    due: int
    then: str
    failed: bool


class ItemRow(Shown, frozen=True):
    """An item as a line of the queue. `index` -1: not in a cosigned checkpoint yet. `reasons` are
    the `<question>:<code>` of everything that holds it, `reason` the first of them; "" when nothing does.
    `missed` is the first time (unix ms) by which it was promised to be decided and was still in HOLD,
    whatever became of it since; 0: none. `klass` is the class of risk; `overdue` is judged at
    the page's time.
    `points_to` is the artifact that the label names today, where that is another than `artifact`.
    """

    id: str
    state: str
    reason: str
    policy: str
    klass: str
    value: int
    born: int
    due: int
    overdue: bool
    index: int
    node: str
    model: str
    artifact: str
    requester: str
    assigned: str
    marks: tuple[ShownMark, ...]
    sampled: bool = False
    appealed: bool = False
    released_until: int = 0
    points_to: str = ""
    reasons: tuple[str, ...] = ()
    missed: int = 0


class Count(Shown, frozen=True):
    """How many items share a name (a reason, a state, a class)."""

    name: str
    count: int
    sentence: str = ""


class SavedView(Shown, frozen=True):
    """A named filter of somebody (`owner` address), or of everybody (owner "")."""

    name: str
    query: str
    owner: str = ""


class QueuePage(Shown, frozen=True):
    """The queue under a filter. `query` is the filter in URL form; `next` the cursor of the next page or "".
    With `at_least` there are `total` items or more: they were counted that far.
    """

    now: int
    query: str
    rows: tuple[ItemRow, ...]
    total: int
    next: str
    reasons: tuple[Count, ...]
    states: tuple[Count, ...]
    classes: tuple[Count, ...]
    views: tuple[SavedView, ...]
    at_least: bool = False


class ReviewView(Shown, frozen=True):
    """A signed review. `internal` is empty for those who may not read it. `answer` says whether the answer
    was open when judged, as the screen says whose digest was signed; "" where it does not say.
    """

    reviewer: str
    name: str
    judgement: str
    reason: str
    sentence: str
    at: int
    index: int
    witnessed: bool
    comment: str
    internal: str
    screen: str
    answer: str = ""


class DecisionView(Shown, frozen=True):
    """A decision in the item's history; pages, API and CLI list them newest first. `by` is "evaluator" or
    an address; `screen` is the digest of what was on the screen.
    """

    number: int
    at: int
    outcome: str
    by: str
    policy: str
    sentence: str
    screen: str
    previous: str


class Appeal(Shown, frozen=True):
    """An appeal by the subject (a node operator) or a requester."""

    at: int
    by: str
    text: str
    open: bool


class ItemPage(Shown, frozen=True):
    """Everything about one item. `sentence` names policy and time. `screen` is the digest of this very
    screen (see
    `hallmark.review.screens`), which a review signed from it carries; `screen_open` is that of the same
    screen for somebody who has the answer itself open, which the desk never sees.
    """

    now: int
    row: ItemRow
    sentence: str
    screen: str
    policy_digest: str
    answer_at: int
    lacks: tuple[Lack, ...]
    facts: tuple[Fact, ...]
    timeline: tuple[Moment, ...]
    route: RouteView
    inputs: tuple[InputView, ...]
    inputs_note: str
    lineage: tuple[LineageStep, ...]
    reviews: tuple[ReviewView, ...]
    decisions: tuple[DecisionView, ...]
    appeals: tuple[Appeal, ...]
    alike: tuple[ItemRow, ...]
    by_node: tuple[ItemRow, ...]
    may_review: bool = False
    may_not_because: str = ""
    screen_open: str = ""


class AsSeen(Shown, frozen=True):
    """A screen as it was at decision `number`, beside today's marks. `holds` is true when the stored
    screen still has the digest
    that the decision (and, for a review, the log) carries. `answer` says whether the answer was open, or "".
    """

    id: str
    number: int
    at: int
    by: str
    digest: str
    holds: bool
    sentence: str
    then: tuple[ShownMark, ...]
    now: tuple[ShownMark, ...]
    now_at: int
    answer: str = ""


class Figures(Shown, frozen=True):
    """Aggregates that anyone may see. Times in ms, from an item's birth on this desk to its first CLEAR, None
    while nothing has been CLEAR; shares in per mille.
    """

    items: int
    held: int
    cleared: int
    final: int
    rejected: int
    hold_reasons: tuple[Count, ...]
    time_to_clear_p50: int | None
    time_to_clear_p95: int | None
    cleared_without_person: int
    overturned: int
    released_under_glass: int
    false_holds: int
    false_clears: int
    open_appeals: int


class PolicyRow(Shown, frozen=True):
    """A clearing policy in force or proposed. `source` is "log" (signed by the authority, at `index`),
    "trust file" or "proposal".
    """

    name: str
    version: int
    digest: str
    enforcement: str
    source: str
    index: int
    at: int
    classes: tuple[str, ...]
    min_value: int
    sentence: str


class RequirementRow(Shown, frozen=True):
    """One line of a policy: a mark, its least state, and the rest in words."""

    question: str
    state: str
    sentence: str


class PolicyPage(Shown, frozen=True):
    """A policy with its earlier versions and its TOML text."""

    row: PolicyRow
    requires: tuple[RequirementRow, ...]
    not_required: tuple[str, ...]
    toml: str
    history: tuple[PolicyRow, ...]
    held_now: int
    cleared_now: int


class DryRun(Shown, frozen=True):
    """A policy tried on past items: "would have held 214, released 9". Examples are item ids."""

    policy: str
    digest: str
    since: int
    judged: int
    held: int
    cleared: int
    newly_held: int
    newly_cleared: int
    reasons: tuple[Count, ...]
    held_examples: tuple[str, ...]
    cleared_examples: tuple[str, ...]
    sentence: str


class Person(Shown, frozen=True):
    """Who is signed in: the address of the key that they proved to hold."""

    address: str
    name: str
    reviewer: bool


class DeskView(Protocol):
    """What pages ask of the desk. Raises NotFound `unknown_item`, `unknown_decision`, `policy_unknown`;
    InvalidInput
    `bad_query`.
    """

    async def queue(self, query: str, cursor: str, limit: int, person: Person | None = None) -> QueuePage:
        """Items under a filter such as
        `state=HOLD&reason=proved:state_too_low&class=payment&min_value=1000&overdue=1&order=value`; `person`
        has their own saved views beside everybody's.
        """
        ...

    async def item(self, receipt: str, person: Person | None) -> ItemPage:
        """One item, as this person may see it."""
        ...

    async def as_seen(self, receipt: str, number: int) -> AsSeen:
        """The screen of a decision; number 0 means the newest one."""
        ...

    async def figures(self) -> Figures:
        """Aggregates."""
        ...

    async def policies(self) -> tuple[PolicyRow, ...]:
        """Every clearing policy, newest version first of each."""
        ...

    async def policy(self, name: str) -> PolicyPage:
        """One policy."""
        ...

    async def dry_run(self, toml: str, since: int) -> DryRun:
        """Try a policy file on past items. Raises InvalidInput `bad_policy`."""
        ...
