"""Verdicts on many entries: the list's form, and that one verdict on many says what many on one each say."""

from __future__ import annotations

import random

import pytest

from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import State
from hallmark.core.objected import (
    MAX_POSITIONS,
    MAX_RUNS,
    Run,
    batches,
    decode_runs,
    encode_runs,
    runs_of,
)
from hallmark.core.statements import Retirement, code
from hallmark.testing.network import LittleNetwork
from hallmark.verification.fold import Replica

REASONS = ("bad_signature", "key_unknown", "chain_broken")


def test_lists_come_apart_as_they_were_put_together() -> None:
    """Neighbours with one reason share a run; a list is read as it was written."""
    runs = runs_of([(7, "a"), (5, "a"), (6, "a"), (8, "b"), (20, "b")])
    assert runs == [Run(5, 3, "a"), Run(8, 1, "b"), Run(20, 1, "b")]
    assert decode_runs(encode_runs(runs)) == tuple(runs)
    assert len(encode_runs(runs)) == 3 * 44


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode_runs([Run(1, 1, "a")])[:-1],
        encode_runs([Run(2, 1, "a"), Run(1, 1, "a")]),
        encode_runs([Run(1, 2, "a"), Run(2, 1, "a")]),
        encode_runs([Run(1, 0, "a")]),
        encode_runs([Run(1, MAX_POSITIONS + 1, "a")]),
        encode_runs([Run(2 * at, 1, "a") for at in range(MAX_RUNS + 1)]),
        bytes(11) + b"\1" + bytes(32),
        bytes(11) + b"\1" + b"a\0b".ljust(32, b"\0"),
        bytes(11) + b"\1" + b"\xff".ljust(32, b"\0"),
    ],
)
def test_lists_that_are_refused(data: bytes) -> None:
    """Empty, cut, disordered, overlapping, too long, without a readable reason."""
    with pytest.raises(InvalidInput) as caught:
        decode_runs(data)
    assert caught.value.reason == "objected_malformed"


def test_what_is_too_much_for_one_verdict_is_split() -> None:
    """Nothing is lost, and every part can be read."""
    scattered = [(3 * at, "a") for at in range(3 * MAX_RUNS + 5)]
    dense = [(100_000 + at, "b") for at in range(2 * MAX_POSITIONS + 9)]
    lists = batches(runs_of(scattered + dense))
    found = [
        (at, run.reason)
        for runs in lists
        for run in decode_runs(encode_runs(runs))
        for at in range(run.first, run.end)
    ]
    assert found == scattered + dense
    assert len(lists) <= 7


def _junk(net: LittleNetwork, count: int) -> list[int]:
    found = []
    for number in range(count):
        statement = Retirement(net.genesis.network, bytes(20), code("junk"), number)
        found.append(net.add(Entry(statement, (bytes(65),))))
    return found


def _standings(net: LittleNetwork, subjects: list[int]) -> list[tuple[object, ...]]:
    """What the log holds against each subject, without the places of the verdicts."""
    replica = net.replica()
    found = []
    for at in subjects:
        known, objection = replica.standing(at), replica.registry.objections.get(at)
        by = {a: reason for a, (_, reason) in objection.by.items()} if objection else {}
        refuted = {a: frozenset(names) for a, names in objection.refuted_by.items()} if objection else {}
        found.append((known.state, frozenset(known.by), known.reason, by, refuted))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_one_verdict_on_many_is_many_verdicts(seed: int) -> None:
    """True and false objections by several full nodes, and refutations of them: batched or single, every
    entry stands the same, and the same full nodes are at fault.
    """
    chance = random.Random(seed)
    single, batched = LittleNetwork(), LittleNetwork()
    subjects = _junk(single, 12)
    assert _junk(batched, 12) == subjects
    for net in (single, batched):
        subjects.append(net.add(net.receipt_entry(net.nodes[0])))
        net.add(net.receipt_entry(net.nodes[0]))
    subjects = sorted({*subjects, subjects[-1] + 1, *range(3)} - {len(single.leaves)})
    true = {at: single.replica().failures(at) for at in subjects}
    singles: dict[int, list[int]] = {}
    batch: dict[int, int] = {}
    for number in range(3):
        chosen = [at for at in subjects if chance.random() < 0.6]
        said = [
            (at, chance.choice(REASONS) if chance.random() < 0.3 else (*true[at], "chain_broken")[0])
            for at in chosen
        ]
        if not said:
            continue
        author = number
        singles[author] = [
            single.add(single.verdict(single.full_nodes[author], at, reason)) for at, reason in said
        ]
        batch[author] = batched.add(batched.verdict_on(batched.full_nodes[author], runs_of(said)))
    for author, places in singles.items():
        for refuter in chance.sample([n for n in range(4) if n != author], 2):
            for net, lies in ((single, places), (batched, [batch[author]])):
                false = net.replica().judgements.false_verdicts
                for lie in lies:
                    if lie in false:
                        culprit = net.full_nodes[author].address
                        net.add(net.fault(net.full_nodes[refuter], culprit, "refuted_verdict", lie, lie))
    assert _standings(single, subjects) == _standings(batched, subjects)
    assert _at_fault(single) == _at_fault(batched)


def _at_fault(net: LittleNetwork) -> set[bytes]:
    return {key for key, member in net.replica().registry.members.items() if member.faults}


def test_an_objection_above_the_end_does_not_count_below_it() -> None:
    """A checkpoint is cosigned with the verdicts below its own size, not with those that came later."""
    net = LittleNetwork()
    (at,) = _junk(net, 1)
    end = net.tree.size
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, at, "key_unknown"))
    replica, other = net.replica(), net.full_nodes[3].address
    assert replica.objections_due(other, replica.size) == ()
    assert replica.objections_due(other, end) == (at,)
    assert replica.objections_due(net.full_nodes[0].address, end) == (at,)


def test_what_was_settled_opens_again_when_who_counts_changes() -> None:
    """A compromised full node's objection is nobody's, so another one is due."""
    net = LittleNetwork(full_nodes=5)
    (at,) = _junk(net, 1)
    first = net.add(net.verdict(net.full_nodes[0], at, "key_unknown"))
    net.add(net.verdict(net.full_nodes[1], at, "key_unknown"))
    replica, other = net.replica(), net.full_nodes[3].address
    assert replica.objections_due(other, replica.size) == ()
    _fed(net, replica, net.add(net.compromise(net.full_nodes[0], first)))
    assert replica.standing(at).state is State.DISPUTED
    assert replica.objections_due(other, replica.size) == (at,)


def _fed(net: LittleNetwork, replica: Replica, index: int) -> None:
    replica.feed(index, net.leaves[index])
