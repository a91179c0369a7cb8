"""The state of a fold: what a replica knows, apart from how it judges, and how it outlives the process.

Three parts. What members, models and policies say grows with them; it is held in memory whole and is one row,
written when a statement was folded. The head is the position that everything stands for, the right edge of
the tree, and what full nodes still owe: one row, written each time. The rest grows with the log and stands in
tables (`hallmark.verification.tables`). All rows of one position are written in one transaction.

Nothing that was kept is believed unseen: version and network must be this program's, the rows must be whole
(SHA-256), and the root at the head's position must be the one that the owner's own copy of the log has.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from hallmark.core.document import unhex
from hallmark.core.hashing import ZERO32
from hallmark.core.registry import Chain, Link, Objection, Registry
from hallmark.core.statements import Review
from hallmark.core.tokens import GRACE_MS
from hallmark.verification.judged_entry import CheckArtifact
from hallmark.verification.judged_receipt import ReceiptCaches
from hallmark.verification.objections import INDEX, Judgements
from hallmark.verification.outcome import Bug
from hallmark.verification.snapshot import (
    HEAD,
    STATED,
    Confirms,
    Head,
    Stated,
    Times,
    packed_row,
    unpacked_row,
)
from hallmark.verification.state_version import version
from hallmark.verification.tables import Changes, Codec, Index, Journal, Rows, Table
from hallmark.verification.tree import Tree

CORE: Final = "core"
HASH: Final = len(ZERO32)
STATED_NAMES: Final = (
    "members",
    "labels",
    "manifests",
    "approved",
    "attestation",
    "clearing",
    "offers",
    "epochs",
    "issuers",
    "issuer_keys",
)

__all__ = ["FoldState", "Confirms"]


def _link(data: bytes) -> Link:
    digest, entry = data[INDEX : INDEX + HASH], data[INDEX + HASH :]
    return Link(int.from_bytes(data[:INDEX], "big"), digest, entry)


LINKS: Final = Codec[Link](
    lambda link: link.position.to_bytes(INDEX, "big") + link.digest + link.entry,
    _link,
    "u48 position | digest 32 | entry 32",
)


@functools.cache
def state_version() -> bytes:
    """The version of what is kept of a fold by this program: of its rows and of its rules; 32 bytes."""
    tables = ((table.name, table.codec.kind) for table in FoldState().tables)
    return version(((HEAD.decode(), Head), (STATED.decode(), Stated), *tables))


class FoldState:
    """See the module docstring. `unplaced` are receipts (node, sequence) that should stand in their chain,
    were it not for a bug of this program; `newest_bug` is where it failed, and on which entry; `stated` says
    that a statement was folded since the last write.
    """

    def __init__(self) -> None:
        self.journal = journal = Journal()
        self.chains: Table[bytes, Chain] = Table("chains", Codec.of(Chain), journal)
        self.links: Table[int, Link] = Table("links", LINKS, journal)
        self.objections: Table[int, Objection] = Table("objections", Codec.of(Objection), journal)
        self.reviews: Table[bytes, tuple[tuple[int, Review], ...]] = Table(
            "reviews", Codec.of(tuple[tuple[int, Review], ...]), journal
        )
        self.outcomes: Table[bytes, tuple[tuple[int, int], ...]] = Table(
            "outcomes", Codec.of(tuple[tuple[int, int], ...]), journal
        )
        self.seen: Table[bytes, int] = Table("seen", Codec.of(int), journal)
        self.spent: Table[bytes, int] = Table("spent", Codec.of(int), journal)
        self.nullifiers: Table[bytes, int] = Table("nullifiers", Codec.of(int), journal)
        self.registry = Registry(
            nullifiers=self.nullifiers,
            chains=self.chains,
            links=self.links,
            objections=self.objections,
            reviews=self.reviews,
            outcomes=self.outcomes,
            seen=self.seen,
            spent=self.spent,
        )
        self.judgements = Judgements(journal)
        self.memory = ReceiptCaches()
        self.times = Times(journal)
        self.unplaced: set[tuple[bytes, int]] = set()
        self.bugs = 0
        self.newest_bug: tuple[int, Bug] | None = None
        self.stated = True
        self.kept_size = 0
        self._index: Index | None = None
        self._attached = False

    @property
    def tables(self) -> tuple[Table[Any, Any], ...]:
        """All that grow with the log."""
        own = (self.chains, self.links, self.objections, self.reviews, self.seen, self.spent)
        return (*own, self.outcomes, self.nullifiers, self.times.pages, *self.judgements.tables)

    def restore(self, index: Index, network: bytes, confirms: Confirms) -> bool:
        """See `Replica.resume`. Raises as the index does."""
        self._index = index
        rows = index.many(CORE, (HEAD, STATED))
        head = unpacked_row(rows.get(HEAD, b""), Head)
        stated = unpacked_row(rows.get(STATED, b""), Stated)
        if head is None or stated is None or not head.is_of(network, state_version()):
            return False
        tree = Tree()
        tree.restore(head.size, head.edge)
        if not confirms(head.size, tree.root()):
            return False
        self._take_up(head, stated)
        self._attach(head.size)
        return True

    def check_again(self, check_artifact: CheckArtifact | None) -> None:
        """Artifacts of which no copy was held when their entries were folded, and one may be held now."""
        judgements = self.judgements
        for position, manifest in self.registry.manifests.values():
            if check_artifact is None or position not in judgements.undecided:
                continue
            found = check_artifact(unhex(manifest.artifact), unhex(manifest.sha256), manifest.size)
            if found is None:
                continue
            del judgements.undecided[position]
            if found:
                judgements.failed[position] = (*judgements.failed.get(position, ()), found)
                judgements.open.add(position)

    def expire(self, admitted: int) -> None:
        """Forget key sets, and what was spent of them, by which no receipt is taken from now (unix ms) on."""
        issued = self.registry.issuer_keys
        over = [digest for digest, one in issued.items() if one.document.until + GRACE_MS <= admitted]
        for digest in over:
            self.nullifiers.forget(issued.pop(digest).position.to_bytes(8, "big"))
            self.stated = True

    def changes(self, network: bytes) -> Changes:
        """See `Replica.changes`."""
        rows: dict[str, Rows] = {}
        for table in self.tables:
            if found := table.prepare():
                rows[table.name] = found
        core: Rows = {HEAD: packed_row(self._head(network))}
        if self.stated:
            core[STATED] = packed_row(self._stated())
        rows[CORE] = core
        gone = self.nullifiers.forgotten()
        forget = {self.nullifiers.name: gone} if gone else {}
        return Changes(self.registry.size, rows, anew=not self._attached, forget=forget)

    def kept(self, size: int) -> None:
        """See `Replica.kept`."""
        self._attach(size)
        for table in self.tables:
            table.committed(size)
        self.stated = False

    def _attach(self, size: int) -> None:
        self._attached, self.kept_size = True, size
        if self._index is not None:
            for table in self.tables:
                table.attach(self._index, size)

    def _head(self, network: bytes) -> Head:
        registry, judgements = self.registry, self.judgements
        return Head(
            version=state_version(),
            network=network,
            size=registry.size,
            last_admitted=registry.last_admitted,
            edge=judgements.tree.edge,
            times=self.times.last.tobytes(),
            chain_count=registry.chain_count,
            undecided=judgements.undecided,
            false_verdicts=judgements.false_verdicts,
            refuters=judgements.refuters,
            open=judgements.open,
            settled=judgements.settled,
            unnamed=judgements.unnamed,
            bugs=self.bugs,
        )

    def _stated(self) -> Stated:
        registry, memory = self.registry, self.memory
        return Stated(
            members=registry.members,
            labels=registry.labels,
            manifests=registry.manifests,
            approved=registry.approved,
            attestation=registry.attestation,
            clearing=registry.clearing,
            offers=registry.offers,
            epochs=registry.epochs,
            issuers=registry.issuers,
            issuer_keys=registry.issuer_keys,
            attested=[(key, digest, known) for (key, digest), known in memory.attested.items()],
            artifacts=memory.artifacts,
        )

    def _take_up(self, head: Head, stated: Stated) -> None:
        registry, judgements, memory = self.registry, self.judgements, self.memory
        for name in STATED_NAMES:
            setattr(registry, name, getattr(stated, name))
        for name in ("size", "last_admitted", "chain_count"):
            setattr(registry, name, getattr(head, name))
        for name in ("undecided", "false_verdicts", "refuters", "open", "settled", "unnamed"):
            setattr(judgements, name, getattr(head, name))
        memory.attested.update({(key, digest): known for key, digest, known in stated.attested})
        memory.artifacts.update(stated.artifacts)
        judgements.tree.restore(head.size, head.edge)
        self.times.restore(head.size, head.times)
        self.stated = False
