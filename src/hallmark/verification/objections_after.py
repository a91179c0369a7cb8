"""What was logged between a receipt and the checkpoint that proves it: objections, or that there is none.

A full node cosigns a checkpoint only when its verdicts on everything below are in the log below it. So
whoever holds every leaf between the receipt and the end of the checkpoint sees every objection of those who
cosigned. The leaves prove themselves: the inclusion path's left siblings are the perfect subtrees over
everything before the receipt (RFC 6962 section 2.1.1), and with the receipt's leaf and those after it they
must give the root.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hallmark.core.document import unhex
from hallmark.core.entries import Entry, decode, split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import State
from hallmark.core.merkle import leaf_hash, node_hash
from hallmark.core.objected import decode_runs, digest_of_runs
from hallmark.core.statements import Fault, Verdict, text_of
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.verification.dossier import unbase64
from hallmark.verification.genesis import ProvenPlace
from hallmark.verification.objections import EQUIVOCATION, REFUTED_VERDICT
from hallmark.verification.trust import Trust


class Objections(msgspec.Struct, frozen=True):
    """What the leaves after a receipt hold against it: the state it is in (None: nothing), by how many full
    nodes, and the first reason.
    """

    state: State | None = None
    by: int = 0
    reason: str = ""


def completes(place: ProvenPlace, path: Sequence[bytes], leaf: bytes, after: Sequence[bytes]) -> bool:
    """Whether `after` are all the leaves behind `leaf` in the checkpoint of `place`; `path` is the
    proof's.
    """
    if place.index + 1 + len(after) != place.size:
        return False
    # Left siblings come smallest first; as peaks of a tree of `index` leaves they stand largest first.
    peaks = [sibling for sibling, left in zip(path, _sides(place.index, place.size), strict=False) if left][
        ::-1
    ]
    if len(peaks) != place.index.bit_count():
        return False
    size = place.index
    for data in (leaf, *after):
        value, rest = leaf_hash(data), size
        while rest & 1:
            value, rest = node_hash(peaks.pop(), value), rest >> 1
        peaks.append(value)
        size += 1
    root = peaks.pop()
    while peaks:
        root = node_hash(peaks.pop(), root)
    return root == place.root


def leads(leaf: bytes, index: int, size: int, *, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` leads from the leaf at `index` to the root of `size` leaves (RFC 9162 section
    2.1.3.2).
    """
    if not 0 <= index < size:
        return False
    sides, value = _sides(index, size), leaf_hash(leaf)
    if len(sides) != len(path):
        return False
    for sibling, left in zip(path, sides, strict=True):
        value = node_hash(sibling, value) if left else node_hash(value, sibling)
    return value == root


def objections(index: int, after: Sequence[bytes], trust: Trust) -> Objections:
    """What full nodes of the trust file hold against the entry at `index` in the leaves right behind it.

    A verdict that f+1 of them refute there does not count; one that counts disputes, f+1 make it failed.
    """
    verdicts: dict[bytes, tuple[int, str]] = {}
    refuted: dict[int, set[bytes]] = {}
    for at, data in enumerate(after, start=index + 1):
        entry = _entry(data)
        statement = entry.statement if entry else None
        if entry is None or not isinstance(statement, Verdict | Fault) or not _by_full_node(entry, trust):
            continue
        if isinstance(statement, Verdict):
            reason = _objection(entry, statement, index) if statement.size <= at else ""
            if reason:
                verdicts.setdefault(statement.author, (at, reason))
        elif text_of(statement.kind) == REFUTED_VERDICT:
            refuted.setdefault(statement.first, set()).add(statement.author)
        elif text_of(statement.kind) == EQUIVOCATION and index in (statement.first, statement.second):
            verdicts.setdefault(statement.author, (at, EQUIVOCATION))
    counting = [reason for at, reason in verdicts.values() if len(refuted.get(at, ())) <= trust.f]
    if not counting:
        return Objections()
    state = State.FAILED if len(counting) > trust.f else State.DISPUTED
    return Objections(state, len(counting), counting[0])


def reasons_against(index: int, after: Sequence[bytes]) -> dict[bytes, str]:
    """The reason of each author who objects to the entry at `index` in the leaves right behind it, by
    whatever key signed that: for who is to be told, and decides nothing by it.
    """
    found: dict[bytes, str] = {}
    for data in after:
        entry = _entry(data)
        if entry is not None and isinstance(entry.statement, Verdict):
            reason = _objection(entry, entry.statement, index)
            if reason:
                found.setdefault(entry.statement.author, reason)
    return found


def _objection(entry: Entry, verdict: Verdict, index: int) -> str:
    """Why a verdict objects to the entry at `index`; empty when it does not."""
    if len(entry.attachments) != 1 or digest_of_runs(entry.attachments[0]) != verdict.objected:
        return ""
    try:
        runs = decode_runs(entry.attachments[0])
    except HallmarkError:
        return ""
    if runs[-1].end > verdict.size:
        return ""
    return next((run.reason for run in runs if run.covers(index)), "")


def leaves_of(texts: Sequence[str]) -> tuple[bytes, ...]:
    """The leaves of a dossier's `after`. Raises InvalidInput `not_canonical`."""
    return tuple(unbase64(text) for text in texts)


def path_of(proof: str) -> tuple[bytes, ...]:
    """The inclusion path of a tlog-proof text, from the leaf's sibling up."""
    head = proof.split("\n\n", 1)[0].split("\n")
    return tuple(unbase64(line) for line in head[2:])


def _sides(index: int, size: int) -> list[bool]:
    """For each step of an inclusion path whether the sibling stands left (RFC 9162 section 2.1.3.2)."""
    sides, at, last = [], index, size - 1
    while last:
        left = bool(at & 1) or at == last
        sides.append(left)
        while left and not at & 1 and at:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    return sides


def _entry(data: bytes) -> Entry | None:
    try:
        return decode(split_leaf(data)[1])
    except HallmarkError:
        return None


def _by_full_node(entry: Entry, trust: Trust) -> bool:
    statement = entry.statement
    if not isinstance(statement, Verdict | Fault) or len(entry.signatures) != 1:
        return False
    try:
        signer = recover_statement(statement, trust.chain_id, entry.signatures[0])
    except HallmarkError:
        return False
    known = signer in {unhex(address) for address in trust.full_nodes}
    return known and signer == statement.author and statement.network == trust.network_id
