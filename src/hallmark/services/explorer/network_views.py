"""What the network page shows: capacity, failures, parties, the trust gap, who saw prompts.

Times are unix ms, addresses 0x-hex.
"""

from __future__ import annotations

from hallmark.services.explorer.shared_views import Fact, Shown
from hallmark.telemetry.parts import ObservedPart


class Bin(Shown, frozen=True):
    """A bar of a histogram: `low` to `high` ms."""

    low: int
    high: int
    count: int


class Slots(Shown, frozen=True):
    """Capacity of one model in one mode, in slots. They add up to what is registered: idle + busy +
    ineligible + offline.
    """

    model: str
    mode: str
    idle: int
    busy: int
    ineligible: int
    offline: int
    reasons: dict[str, int]


class Failed(Shown, frozen=True):
    """Requests that failed lately, by model and reason."""

    model: str
    reason: str
    sentence: str
    count: int
    last: int


class Party(Shown, frozen=True):
    """A party as it was last heard: its state by its own word, or "silent"; with a reason since when (unix
    ms, 0: not known), what was observed and what to do. `heard` is when it last answered `by` (0: never since
    that one's start).
    """

    name: str
    role: str
    state: str
    reason: str
    since: int
    told: str
    next: str
    heard: int
    by: str
    link: str = ""


class FullNodeSeen(Shown, frozen=True):
    """A full node's newest cosignature that was seen here: up to which size (0: none, and then nothing is
    known of how far behind it is), when by its own clock (unix ms), how many entries of the newest checkpoint
    that the log signed it leaves out.
    """

    name: str
    link: str
    size: int
    cosigned_at: int
    behind: int
    newest: bool


class Lately(Shown, frozen=True):
    """Requests that were finished in the newest minutes that were observed."""

    minutes: int = 0
    answered: int = 0
    failed: int = 0


class Observed(Shown, frozen=True):
    """Requests that one gateway finished itself; what other gateways do is not in it."""

    by: str = ""
    lately: Lately = Lately()
    hours: int = 1
    points: tuple[ObservedPart, ...] = ()


class ModelPrice(Shown, frozen=True):
    """What a model costs under one offer in force, in words, and what the offer serves for nothing."""

    label: str
    price: str
    free: str
    offer: str


class TakesSealed(Shown, frozen=True):
    """A present node that takes sealed requests, by its registered key bundle: the root under which the keys
    of all windows stand, the window now and until when it lasts (unix ms); -1 and 0 when they have run out.
    """

    name: str
    link: str
    node: str
    root: str
    window: int
    until: int


class NetworkPage(Shown, frozen=True):
    """Usable capacity now. `trust_gap_*` are ms over the last `trust_gap_count` receipts, measured
    here; `backlog` is how many log entries no quorum covers yet, `signed` the size of the newest checkpoint
    that the log signed, `trouble` who is not ready, `outbox` how many receipts the gateway has not brought
    into the log.
    """

    now: int
    slots: tuple[Slots, ...]
    failed: tuple[Failed, ...]
    trust_gap_p50: int
    trust_gap_p99: int
    trust_gap_count: int
    trust_gap_bins: tuple[Bin, ...]
    backlog: int
    backlog_since: int
    outbox: int
    size: int
    cosigned: int
    cosigned_at: int
    full_nodes: tuple[FullNodeSeen, ...]
    exposure: tuple[Fact, ...]
    sentence: str
    signed: int = 0
    parties: tuple[Party, ...] = ()
    trouble: str = ""
    gateway_answers: bool = False
    observed: Observed = Observed()
    prices: tuple[ModelPrice, ...] = ()
    sealed: tuple[TakesSealed, ...] = ()
