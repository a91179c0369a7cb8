"""The state of a fold: what a replica knows, apart from how it judges.

Two parts. `Core` grows with members, models, policies and what full nodes still owe; it is held in memory
whole. Tables grow with the log (`hallmark.verification.tables`).
"""

from __future__ import annotations

from array import array
from typing import Any, Final

from hallmark.core.hashing import ZERO32
from hallmark.core.registry import Chain, Link, Objection, Registry
from hallmark.core.statements import Review
from hallmark.verification.objections import INDEX, Judgements
from hallmark.verification.outcome import Bug
from hallmark.verification.receipts import Memory
from hallmark.verification.tables import Codec, Journal, Table

HASH: Final = len(ZERO32)


def _link(data: bytes) -> Link:
    digest, entry = data[INDEX : INDEX + HASH], data[INDEX + HASH :]
    return Link(int.from_bytes(data[:INDEX], "big"), digest, entry)


LINKS: Final = Codec[Link](
    lambda link: link.position.to_bytes(INDEX, "big") + link.digest + link.entry, _link
)


class FoldState:
    """See the module docstring. `unplaced` are receipts (node, sequence) that should stand in their chain,
    were it not for a bug of this program; `newest_bug` is where it failed, and on which entry.
    """

    def __init__(self) -> None:
        self.journal = journal = Journal()
        self.chains: Table[bytes, Chain] = Table("chains", Codec.of(Chain), journal)
        self.links: Table[int, Link] = Table("links", LINKS, journal)
        self.objections: Table[int, Objection] = Table("objections", Codec.of(Objection), journal)
        self.reviews: Table[bytes, tuple[tuple[int, Review], ...]] = Table(
            "reviews", Codec.of(tuple[tuple[int, Review], ...]), journal
        )
        self.seen: Table[bytes, int] = Table("seen", Codec.of(int), journal)
        self.registry = Registry(
            chains=self.chains,
            links=self.links,
            objections=self.objections,
            reviews=self.reviews,
            seen=self.seen,
        )
        self.judgements = Judgements(journal)
        self.memory = Memory()
        self.times = array("Q")
        self.unplaced: set[tuple[bytes, int]] = set()
        self.bugs = 0
        self.newest_bug: tuple[int, Bug] | None = None

    @property
    def tables(self) -> tuple[Table[Any, Any], ...]:
        """All that grow with the log, but for the tree."""
        own = (self.chains, self.links, self.objections, self.reviews, self.seen)
        return (*own, *self.judgements.tables)
