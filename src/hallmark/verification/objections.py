"""Objections: what full nodes hold against entries, and which of these objections count.

The rules, all of them functions of the log alone:

1. A verdict names many entries, each with a reason, and counts against each while its author is a full node
   that nobody has caught lying about it: once f+1 distinct full nodes have logged a `refuted_verdict` fault,
   what re-checking refutes of the verdict no longer counts and the fault is its author's. What is true of it
   goes on counting.
2. One verdict that counts makes an entry `disputed`; f+1 by distinct full nodes make it `failed`.
3. A proven equivocation makes both receipts `failed`: nobody can say which one the node meant.

f is (n - 1) // 3 for n full nodes registered and in good standing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from hallmark.core.marks import State
from hallmark.core.objected import Run
from hallmark.core.registry import Objection, Registry
from hallmark.core.statements import Role
from hallmark.verification.outcome import JUDGING_FAILED
from hallmark.verification.tables import Codec, Journal, Table
from hallmark.verification.tree import Tree

ADDRESS: Final = 20
INDEX: Final = 6
"""Bytes of an address and of a log position, in rows."""
EQUIVOCATION = "equivocation"
REFUTED_VERDICT = "refuted_verdict"
ARTIFACT_CONTENT = "artifact_content"
UNDECIDABLE_REASONS = frozenset((ARTIFACT_CONTENT, JUDGING_FAILED))
"""Reasons that not every replica can find or refute: it has no copy of the artifact, or not that bug."""


class Judgements:
    """What this replica itself found, by position: the reasons why an entry does not hold.

    `false_verdicts` are positions of logged verdicts of which re-checking refutes something, `refuters` maps
    verdicts to the full nodes that said so. `open` are failed positions against which f+1 do not stand yet
    as far as anybody looked; the other failed ones are settled, the last of them by the entry at `settled`.
    `undecided` holds reasons that this replica could not judge at a position (it has no copy of an artifact);
    it neither raises nor refutes those. `contradictory` holds receipts whose node signed another one for the
    same sequence, `firsts` the first position of each such pair or more; `equivocal` maps those that a fault
    names to its place, `unnamed` are the others. `receipts` maps the id of every receipt that has a place to
    that place and the parties that executed it.
    """

    def __init__(self, journal: Journal) -> None:
        self.tree = Tree(journal)
        self.undecided: dict[int, tuple[str, ...]] = {}
        self.false_verdicts: set[int] = set()
        self.refuters: dict[int, set[bytes]] = {}
        self.open: set[int] = set()
        self.settled = -1
        self.unnamed: set[int] = set()
        self.failed: Table[int, tuple[str, ...]] = Table(
            "failed", Codec.of(tuple[str, ...]), journal, by_place=True
        )
        self.verdicts: Table[int, VerdictPlace] = Table(
            "verdicts", Codec.of(VerdictPlace), journal, by_place=True
        )
        self.contradictory: Table[int, Contradiction] = Table(
            "contradictory", Codec.of(Contradiction), journal
        )
        self.firsts: Table[bytes, int] = Table("firsts", Codec.of(int), journal)
        self.equivocal: Table[int, int] = Table("equivocal", Codec.of(int), journal)
        self.receipts: Table[bytes, ReceiptPlace] = Table("receipts", PLACES, journal)

    @property
    def tables(self) -> tuple[Table[Any, Any], ...]:
        """All that grow with the log."""
        return (
            self.failed,
            self.verdicts,
            self.contradictory,
            self.firsts,
            self.equivocal,
            self.receipts,
            self.tree.tiles,
        )

    @property
    def owing(self) -> bool:
        """Whether something was found that a full node may have to object to."""
        return bool(self.open or self.unnamed or self.false_verdicts)

    def refutes(self, subject: int, reason: str) -> bool:
        """True when re-checking entry `subject` finds that `reason` does not apply to it."""
        return not self.unsure(subject, reason) and reason not in self.failed.get(subject, ())

    def unsure(self, subject: int, reason: str) -> bool:
        """True when this replica cannot say whether `reason` applies to entry `subject`: it has no copy of an
        artifact, or a check of its own stopped on that entry. Then that check might have found this reason,
        and `judging_failed` itself is only known to apply to this program.
        """
        if reason in self.undecided.get(subject, ()):
            return True
        found = self.failed.get(subject, ())
        return JUDGING_FAILED in found and (reason == JUDGING_FAILED or reason not in found)

    def refuted(self, verdict: VerdictPlace) -> tuple[tuple[int, str], ...]:
        """What re-checking refutes of a verdict: (subject, reason) each."""
        return tuple(
            (subject, reason) for subject, reason in verdict.pairs() if self.refutes(subject, reason)
        )


class ReceiptPlace(msgspec.Struct, frozen=True):
    """Where an accepted receipt stands, and who executed its request (20-byte addresses)."""

    index: int
    parties: tuple[bytes, ...]


def _place(data: bytes) -> ReceiptPlace:
    parties = tuple(data[at : at + ADDRESS] for at in range(INDEX, len(data), ADDRESS))
    return ReceiptPlace(int.from_bytes(data[:INDEX], "big"), parties)


PLACES: Final = Codec[ReceiptPlace](
    lambda place: place.index.to_bytes(INDEX, "big") + b"".join(place.parties),
    _place,
    "u48 position | parties, 20 bytes each",
)


class Contradiction(msgspec.Struct, frozen=True):
    """A receipt whose node signed another one for the same sequence."""

    node: bytes
    sequence: int
    digest: bytes

    @staticmethod
    def place(node: bytes, sequence: int) -> bytes:
        """What contradictory receipts share."""
        return node + sequence.to_bytes(8, "big")

    def contradicts(self, other: Contradiction) -> bool:
        """Whether both stand in one place and are two receipts."""
        return (self.node, self.sequence) == (other.node, other.sequence) and self.digest != other.digest


class VerdictPlace(msgspec.Struct, frozen=True):
    """A logged verdict that admission accepted: who says what about which entries."""

    author: bytes
    runs: tuple[Run, ...]

    def pairs(self) -> Iterator[tuple[int, str]]:
        """(subject, reason) of each entry objected to."""
        return ((subject, run.reason) for run in self.runs for subject in range(run.first, run.end))


class Standing(msgspec.Struct, frozen=True):
    """What the log holds against an entry: `state` is DISPUTED or FAILED, or None; who, and why.

    `since` is the position of the entry that brought it about.
    """

    state: State | None
    by: tuple[bytes, ...] = ()
    reason: str = ""
    since: int = 0


def full_nodes(registry: Registry) -> tuple[bytes, ...]:
    """Keys of the full nodes in good standing at the log's end."""
    position = registry.size
    return tuple(
        key
        for key, member in registry.members.items()
        if member.role is Role.FULL_NODE and registry.member(key, Role.FULL_NODE, position) is not None
    )


def tolerated(registry: Registry) -> int:
    """f: how many full nodes may lie or be dead. f+1 are believed."""
    return max(len(full_nodes(registry)) - 1, 0) // 3


def counting(registry: Registry, objection: Objection) -> Mapping[bytes, tuple[int, str]]:
    """The verdicts of `objection` that count: author to (position, reason)."""
    needed = tolerated(registry) + 1
    live = {}
    for author, (position, reason) in objection.by.items():
        if len(objection.refuted_by.get(author, ())) >= needed:
            continue
        if registry.member(author, Role.FULL_NODE, position) is None:
            continue
        live[author] = (position, reason)
    return live


def standing(registry: Registry, equivocal: Mapping[int, int], index: int) -> Standing:
    """Where entry `index` stands; `equivocal` maps positions of contradictory receipts to the fault's."""
    if index in equivocal:
        return Standing(State.FAILED, (), "equivocation", equivocal[index])
    objection = registry.objections.get(index)
    live = counting(registry, objection) if objection else {}
    if not live:
        return Standing(None)
    authors = sorted(live, key=lambda author: live[author][0])
    needed = tolerated(registry) + 1
    state = State.FAILED if len(live) >= needed else State.DISPUTED
    decisive = authors[min(needed, len(authors)) - 1]
    return Standing(state, tuple(authors), live[authors[0]][1], live[decisive][0])


class FaultDue(msgspec.Struct, frozen=True):
    """A fault that can be proven from the log: who, what kind, and the two entries (equal when one is
    enough).
    """

    culprit: bytes
    kind: str
    first: int
    second: int


def faults_due(registry: Registry, judgements: Judgements, author: bytes) -> tuple[FaultDue, ...]:
    """Contradictory receipts that no fault names yet, and false verdicts that neither `author` nor f+1 others
    have refuted.
    """
    found: list[FaultDue] = []
    for at in sorted(judgements.unnamed):
        known = judgements.contradictory[at]
        first = judgements.firsts[Contradiction.place(known.node, known.sequence)]
        if at != first:
            found.append(FaultDue(known.node, EQUIVOCATION, first, at))
    needed = tolerated(registry) + 1
    for at in sorted(judgements.false_verdicts):
        verdict = judgements.verdicts[at]
        refuters = judgements.refuters.get(at, set())
        if verdict.author != author and author not in refuters and len(refuters) < needed:
            found.append(FaultDue(verdict.author, REFUTED_VERDICT, at, at))
    return tuple(found)
