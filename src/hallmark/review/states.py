"""What an item is at one moment: state, matters, release. The rules are in `hallmark.review.items`."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

NOT_JUDGED: Final = ("item:not_judged_yet",)


class ItemState(enum.StrEnum):
    """Where an item stands."""

    HOLD = "HOLD"
    CLEAR = "CLEAR"
    FINAL = "FINAL"
    REJECTED = "REJECTED"


class Matter(msgspec.Struct, frozen=True):
    """An appeal, or a sample that was disagreed with. `against` is the state that it speaks against; `upheld`
    means nothing before `answered` (unix ms, 0: open).
    """

    number: int
    kind: str
    at: int
    by: str
    against: ItemState
    text: str
    answered: int = 0
    answered_by: str = ""
    upheld: bool = False
    answer: str = ""

    @property
    def open(self) -> bool:
        """True until somebody answers."""
        return not self.answered


class Release(msgspec.Struct, frozen=True):
    """A break-glass release in force."""

    at: int
    by: str
    name: str
    reason: str
    text: str
    until: int


class Item(msgspec.Struct, frozen=True):
    """An item as it is now. `version` counts its events; `klass` is the newest class, `classes` all of them.

    `cleared_at` is since when it is CLEAR (0: it is not), `window` its dispute window in ms (0: it never
    becomes FINAL), `due` when it should be decided (0: no promise), `missed` the first promise that
    passed while it was in HOLD (0: none; it stays, whatever is decided or promised later), `contested` the
    number of the upheld matter that stands against clearing it (0: none). `requester_by` said who asked
    while nobody had: their own review does not count, or they could name a stranger and judge themselves.
    """

    id: str
    born: int
    version: int = 1
    state: ItemState = ItemState.HOLD
    index: int = -1
    klass: str = ""
    classes: tuple[str, ...] = ("",)
    value: int = 0
    requester: str = ""
    requesters: tuple[str, ...] = ()
    requester_by: str = ""
    node: str = ""
    owner: str = ""
    gateway: str = ""
    model: str = ""
    artifact: str = ""
    decided: int = 0
    lacks: tuple[str, ...] = NOT_JUDGED
    policies: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    decision: str = ""
    screen: str = ""
    due: int = 0
    missed: int = 0
    window: int = 0
    cleared_at: int = 0
    finalised_at: int = 0
    rejected_at: int = 0
    assigned: str = ""
    sampled: bool = False
    samples: int = 0
    matters: tuple[Matter, ...] = ()
    contested: int = 0
    release: Release | None = None
    releases: int = 0
    reviews: int = 0
    comments: int = 0
    last: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """Who executed it: the node's key, its owner, the gateway; those that are known."""
        return tuple(party for party in (self.node, self.owner, self.gateway) if party)

    @property
    def open_matters(self) -> tuple[Matter, ...]:
        """Appeals and disagreements that nobody has answered."""
        return tuple(matter for matter in self.matters if matter.open)

    @property
    def appealed(self) -> bool:
        """True while a matter is open."""
        return bool(self.open_matters)

    @property
    def final_at(self) -> int:
        """When the dispute window closes (unix ms); 0 when it does not run."""
        return self.cleared_at + self.window if self.cleared_at and self.window else 0

    @property
    def released_until(self) -> int:
        """Until when a break-glass release lets it be used (unix ms); 0 without one."""
        return self.release.until if self.release else 0
