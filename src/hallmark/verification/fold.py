"""The replica: everything that the log has established, by folding its leaves in order.

Rules that it keeps:

1. Leaves are fed in log order, each exactly once; the root is recomputed from them, never taken over.
2. Every check of an entry is run, whatever another one said, and is a function of the log alone: two replicas
   fed the same leaves agree on every outcome and on the whole registry.
3. An entry changes the registry only when all of its checks hold that follow from the log alone (what only
   holders of an artifact can see is objected to, and counts once f+1 have). A receipt with a good signature
   takes its place in its key's chain in any case.
4. What only a misbehaving log can bring about is not an entry's fault: it raises `LogMisbehaviour`, the
   replica stays where it was, and nothing after it is judged.
5. Nothing else stops it. Whatever judging or applying an entry raises is a bug of this program: the entry
   does not hold (`judging_failed`), nothing of it is applied, and the bug is counted (`bugs`, `newest_bug`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from hallmark.core.entries import Entry, Kind, decode, split_leaf
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.hashing import sha256
from hallmark.core.marks import State
from hallmark.core.merkle import leaf_hash
from hallmark.core.receipt import Receipt
from hallmark.core.registry import Registry
from hallmark.verification import entry_checks
from hallmark.verification.fold_state import Confirms, FoldState
from hallmark.verification.genesis import Genesis
from hallmark.verification.judged_entry import CheckArtifact, Context
from hallmark.verification.judged_receipt import NO_CHAIN, JudgedReceipt
from hallmark.verification.judged_statement import JudgedStatement
from hallmark.verification.objections import (
    FaultDue,
    ReceiptPlace,
    Standing,
    faults_due,
    standing,
)
from hallmark.verification.outcome import (
    JUDGING_FAILED,
    SKIP,
    Bug,
    Check,
    bug_of,
    failures,
    judge,
    outcome,
)
from hallmark.verification.packed import packed_size
from hallmark.verification.receipt_checks import RECEIPT_RULES
from hallmark.verification.reviews import parties
from hallmark.verification.tables import Changes, Index
from hallmark.verification.transitions import TRANSITIONS, extend_chain

# A leaf is u64be admitted || u8 entry version || u8 kind || packed statement ...
PACKED_AT = 10
TABLED = frozenset((Kind.VERDICT, Kind.REVIEW, Kind.OUTCOME))
"""Statements that change nothing but tables and what full nodes owe."""
UNDECIDABLE = {"content": "artifact_content"}


class LogMisbehaviour(VerificationFailed):
    """The log itself broke its rules at `index`: it must not be cosigned from here on."""

    def __init__(self, reason: str, message: str, index: int) -> None:
        super().__init__(reason, message, f"Log position {index}.")
        self.index = index


class Replica:
    """A verifying copy of the log's meaning. Holds no leaf bytes and reads no clock."""

    def __init__(
        self,
        genesis: Genesis,
        verify_evidence: VerifyEvidence,
        *,
        check_artifact: CheckArtifact | None = None,
    ) -> None:
        self._state = FoldState()
        self.judgements = self._state.judgements
        self.memory = self._state.memory
        self._context = Context(genesis, verify_evidence, self._state.registry, self.judgements)
        self._context.check_artifact = check_artifact
        self._linked = False

    @property
    def genesis(self) -> Genesis:
        """What this replica started from."""
        return self._context.genesis

    @property
    def registry(self) -> Registry:
        """What the log has established so far. Read only."""
        return self._context.registry

    @property
    def size(self) -> int:
        """How many leaves were folded."""
        return self.registry.size

    @property
    def bugs(self) -> int:
        """How often a check stopped in a bug of this program."""
        return self._state.bugs

    @property
    def newest_bug(self) -> tuple[int, Bug] | None:
        """Position of the entry, and where this program failed on it."""
        return self._state.newest_bug

    def resume(self, index: Index, confirms: Confirms) -> bool:
        """Before anything is fed: go on from what `index` keeps of this network's log, and keep it there.

        False when it keeps nothing that can be gone on from: of another version of this program or another
        network, or of a log of which `confirms` does not say that it has this root at this size. Then the
        fold begins anew, and so does the index.
        """
        found = self._state.restore(index, self.genesis.network, confirms)
        if found:
            self._state.check_again(self._context.check_artifact)
        return found

    def changes(self) -> Changes:
        """What to write into the index so that it stands for `size`. Nothing may be fed meanwhile; then
        either `kept` or again `changes` is called once it is known whether it was written.
        """
        return self._state.changes(self.genesis.network)

    def kept(self, size: int) -> None:
        """What `changes` gave at `size` is durable: it need not be held any more."""
        self._state.kept(size)

    @property
    def kept_size(self) -> int:
        """How many leaves the index stands for."""
        return self._state.kept_size

    def root(self, size: int | None = None) -> bytes:
        """The log's root over the first `size` leaves (all by default); 32 bytes."""
        return self.judgements.tree.root(size)

    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees that the log consists of, the largest first."""
        return self.judgements.tree.peaks()

    def node(self, level: int, index: int) -> bytes:
        """The hash over leaves [index << level, (index + 1) << level), all of them folded; 32 bytes."""
        return self.judgements.tree.node(level, index)

    def leaf_hash(self, index: int) -> bytes:
        """The leaf hash at `index`; 32 bytes."""
        return self.judgements.tree.leaf(index)

    def admitted(self, index: int) -> int:
        """When the log took entry `index`, unix ms. Raises IndexError past the end."""
        return self._state.times[index]

    def failures(self, index: int) -> tuple[str, ...]:
        """Reasons why entry `index` does not hold, by this replica's own checks; empty when it does."""
        found: tuple[str, ...] = self.judgements.failed.get(index, ())
        return found

    def standing(self, index: int) -> Standing:
        """What full nodes hold against entry `index`, by the verdicts that count."""
        return standing(self.registry, self.judgements.equivocal, index)

    def receipt_position(self, receipt_digest: bytes) -> int | None:
        """Where the receipt with this id stands; None when it is not in the log."""
        place = self.judgements.receipts.get(receipt_digest)
        return None if place is None else place.index

    def objections_due(self, author: bytes, end: int) -> tuple[int, ...]:
        """Positions below `end` that do not hold, to which `author` has not objected below `end`, nor f+1
        others. What f+1 object to is not looked at again until something changes who counts.
        """
        judgements, due = self.judgements, []
        looked = judgements.open
        if end <= judgements.settled:
            looked = looked.union(judgements.failed)
        for at in sorted(looked):
            if at >= end:
                break
            known = self.standing(at)
            if known.state is State.FAILED and known.since < end:
                judgements.open.discard(at)
                judgements.settled = max(judgements.settled, known.since)
                continue
            objection = self.registry.objections.get(at)
            own = objection.by.get(author) if objection is not None else None
            if own is None or own[0] >= end:
                due.append(at)
        return tuple(due)

    def faults_due(self, author: bytes) -> tuple[FaultDue, ...]:
        """Faults that re-checking shows and that the log does not hold yet, as far as `author` has a say."""
        return faults_due(self.registry, self.judgements, author)

    def feed(self, index: int, leaf: bytes) -> tuple[Check, ...]:
        """Judge the leaf at `index` and apply it if it holds. Raises LogMisbehaviour (see the rules above),
        and StateUnavailable when what is kept of the log cannot be looked up: then nothing of it was applied.
        """
        self._state.journal.begin()
        entry, admitted, name = self._take(index, leaf)
        self._linked = False
        checks = self._judged(index, admitted, entry, leaf=leaf, name=name)
        found = failures(checks)
        if found:
            self.judgements.failed[index] = found
            self.judgements.open.add(index)
        unsure = tuple([UNDECIDABLE[c.name] for c in checks if c.outcome is SKIP and c.name in UNDECIDABLE])
        if unsure:
            self.judgements.undecided[index] = unsure
        self.judgements.tree.append(leaf_hash(leaf))
        self._state.times.append(admitted)
        if not self._linked:
            self.registry.seen[name] = index
        self.registry.size, self.registry.last_admitted = index + 1, admitted
        self._state.expire(admitted)
        return checks

    def _judged(
        self, index: int, admitted: int, entry: Entry | None, *, leaf: bytes, name: bytes
    ) -> tuple[Check, ...]:
        """The checks of an entry, applied where they hold; the last resort of rule 5."""
        if entry is None:
            return (outcome("entry", JUDGING_FAILED),)
        try:
            kind = type(entry.statement)
            packed = leaf[PACKED_AT : PACKED_AT + packed_size(kind)]
            if kind is Receipt:
                return self._receipt(index, admitted, entry, packed=packed, name=name)
            return self._statement(index, admitted, entry, packed)
        except LogMisbehaviour:
            raise
        except BaseException as error:
            bug = bug_of("entry", error)
            self._refuse_seen(index, name, entry)
            self._stopped(index, bug)
            if isinstance(entry.statement, Receipt):
                self._state.unplaced.add((entry.statement.node, entry.statement.sequence))
            return (outcome("entry", JUDGING_FAILED),)

    def _stopped(self, index: int, bug: Bug) -> None:
        self._state.bugs += 1
        self._state.newest_bug = (index, bug)

    def _apply(self, index: int, change: Callable[[], None]) -> tuple[Check, ...]:
        """Applies an entry; no check when that went well, a failed one when it raised."""
        try:
            change()
        except BaseException as error:
            self._state.journal.undo()
            bug = bug_of("apply", error)
            self._stopped(index, bug)
            return (outcome("apply", JUDGING_FAILED),)
        return ()

    def _take(self, index: int, leaf: bytes) -> tuple[Entry | None, int, bytes]:
        if index != self.size:
            raise ValueError(f"leaf {index} was fed to a replica of size {self.size}")
        entry: Entry | None = None
        try:
            admitted, data = split_leaf(leaf)
            entry = decode(data)
        except HallmarkError as error:
            raise LogMisbehaviour(
                "log_undecodable_leaf", "The log holds bytes that are no entry.", index
            ) from error
        except BaseException as error:
            self._stopped(index, bug_of("decode", error))
            admitted, data = int.from_bytes(leaf[:8], "big"), leaf[8:]
        if admitted < self.registry.last_admitted:
            raise LogMisbehaviour("log_time_reversed", "The log's admission time went backwards.", index)
        name = sha256(data)
        if not self._is_next(entry):
            self._refuse_seen(index, name, entry)
        return entry, admitted, name

    def _is_next(self, entry: Entry | None) -> bool:
        """Whether this is a receipt behind all that stand in its key's chain. If its signature is good, then
        it was not there before: it would have taken this place, whoever brought it. That saves the look-up.
        """
        if entry is None or not isinstance(entry.statement, Receipt):
            return False
        receipt = entry.statement
        chain = self.registry.chains.get(receipt.node, NO_CHAIN)
        return receipt.sequence > chain.sequence and (
            (receipt.node, receipt.sequence) not in self._state.unplaced
        )

    def _refuse_seen(self, index: int, name: bytes, entry: Entry | None) -> None:
        """Raises when the entry of this id is in the log already."""
        seen = name in self.registry.seen
        if not seen and entry is not None and isinstance(entry.statement, Receipt):
            chain = self.registry.chains.get(entry.statement.node, NO_CHAIN)
            link = self.registry.link(chain, entry.statement.sequence)
            seen = link is not None and link.entry == name
        if seen:
            raise LogMisbehaviour("log_duplicate_entry", "The log holds the same entry twice.", index)

    def _receipt(
        self, index: int, admitted: int, entry: Entry, *, packed: bytes, name: bytes
    ) -> tuple[Check, ...]:
        case = JudgedReceipt(
            self._context, self.memory, index=index, admitted=admitted, entry=entry, packed=packed
        )
        case.name = name
        signed = case.signer(0) == case.receipt.node
        if not signed:
            self._refuse_seen(index, name, entry)
        elif self._skips_predecessor(case):
            raise LogMisbehaviour(
                "log_predecessor_absent", "The log took a receipt before the one that it follows.", index
            )
        checks = judge(RECEIPT_RULES, case, functools.partial(self._stopped, index))
        if not signed:
            return checks
        applied = self._apply(index, lambda: self._place(case, checks))
        if applied:
            self._state.unplaced.add((case.receipt.node, case.receipt.sequence))
        self._linked = not applied and case.taken is None
        return (*checks, *applied)

    def _place(self, case: JudgedReceipt, checks: tuple[Check, ...]) -> None:
        """A signed receipt takes its place; computed first, so that it is taken whole or not at all."""
        found = failures(checks)
        owner = case.node.owner if case.node else None
        passage = None if JUDGING_FAILED in found else case.passage
        gateway = passage.ticket.gateway if passage else None
        place = ReceiptPlace(case.index, parties(case.receipt, owner, gateway))
        extend_chain(case, not found)
        if not found or case.digest not in self.judgements.receipts:
            self.judgements.receipts[case.digest] = place

    def _skips_predecessor(self, case: JudgedReceipt) -> bool:
        before = case.receipt.sequence - 1
        return before >= 0 and case.before is None and (case.receipt.node, before) not in self._state.unplaced

    def _statement(self, index: int, admitted: int, entry: Entry, packed: bytes) -> tuple[Check, ...]:
        case = JudgedStatement(self._context, index, admitted, entry, packed=packed)
        self._state.stated = self._state.stated or entry.kind not in TABLED
        checks = judge(entry_checks.RULES[entry.kind], case, functools.partial(self._stopped, index))
        if set(failures(checks)).difference(UNDECIDABLE.values()):
            return checks
        return (*checks, *self._apply(index, lambda: TRANSITIONS[entry.kind](case, self.memory)))
