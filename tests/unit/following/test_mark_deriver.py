"""Marks of logged receipts: nothing above claimed before a verified checkpoint covers them; stable times."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from hallmark.core.documents import UpstreamRecord
from hallmark.core.errors import NotFound
from hallmark.core.marks import Question, State
from hallmark.core.receipt import Mode
from hallmark.core.statements import Judgement
from hallmark.services.following.chain import ReadAnchor
from hallmark.testing.anchors import anchored
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import LittleNetwork

STRUCK = (Question.RAN, Question.MODEL, Question.ROUTE, Question.PROVED)


def states(watching: FollowedLogFixture, index: int, now: int = 0) -> dict[str, str]:
    """State by question."""
    marks = watching.watch.judge.marks(index, now or watching.net.now)
    return {question.value: mark.state.value for question, mark in marks.items()}


async def test_a_covered_receipt_is_witnessed(watching: FollowedLogFixture) -> None:
    """With a verified checkpoint and the node's configuration, what evidence bears is witnessed."""
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    found = states(watching, index)
    assert {found[question.value] for question in STRUCK} == {"witnessed"}
    assert (found["inputs"], found["paid"], found["reviewed"]) == ("absent", "absent", "absent")


async def test_without_its_configuration_nothing_the_enclave_says_rises(watching: FollowedLogFixture) -> None:
    """A gateway that does not know the configuration leaves `ran` claimed, while `proved` is witnessed."""
    watching.gateway.knows = False
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    assert states(watching, index)["ran"] == "claimed"
    assert states(watching, index)["proved"] == "witnessed"
    watching.gateway.knows = True
    heard: list[bytes] = []
    watching.watch.configurations.changed.append(heard.append)
    watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    assert states(watching, index)["ran"] == "witnessed"
    assert len(heard) == 1


async def test_two_calls_agree_and_since_does_not_move(watching: FollowedLogFixture) -> None:
    """Asked again later, with more checkpoints seen, the marks are the same to the last field."""
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    first = watching.watch.judge.marks(index, watching.net.now)
    assert first == watching.watch.judge.marks(index, watching.net.now)
    at = watching.net.now
    watching.net.tick(60_000)
    watching.net.add(watching.net.receipt_entry(watching.net.nodes[1]))
    await watching.witness()
    later = watching.watch.judge.marks(index, watching.net.now)
    assert later == first
    assert later[Question.PROVED].since == at


async def test_a_receipt_that_nothing_covers_is_claimed(watching: FollowedLogFixture) -> None:
    """A receipt of the tail says no more than its node does, and `proved` is absent."""
    watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    entry = watching.net.receipt_entry(watching.net.nodes[0])
    marks = watching.watch.judge.claimed(entry)
    assert {q.value: m.state.value for q, m in marks.items() if m.state is not State.ABSENT} == {
        "ran": "claimed",
        "model": "claimed",
        "route": "claimed",
    }
    assert all(m.shows.startswith("The node alone says") for m in marks.values() if m.state is State.CLAIMED)
    assert marks[Question.RAN].assurance == "simulated"


async def test_an_unregistered_node_still_only_claims(watching: FollowedLogFixture) -> None:
    """A receipt whose node the folded log does not know has three claims and nothing else."""
    stranger = LittleNetwork(nodes=3).nodes[2]
    stranger.bundle = watching.net.bundle(stranger)
    marks = watching.watch.judge.claimed(watching.net.receipt_entry(stranger))
    assert [m.state for m in marks.values()] == [State.CLAIMED] * 3 + [State.ABSENT] * 4


async def test_a_compromised_key_is_revoked_since_the_log_took_it(watching: FollowedLogFixture) -> None:
    """What rests on the key is revoked, since the admission time of the entry that says so, for good."""
    net = watching.net
    index = net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    net.tick(5_000)
    taken = net.now
    net.add(net.compromise(net.nodes[0], index))
    await watching.witness()
    net.tick(5_000)
    marks = watching.watch.judge.marks(index, net.now)
    assert {marks[q].state for q in STRUCK} == {State.REVOKED}
    assert {marks[q].since for q in STRUCK} == {taken}
    claimed = watching.watch.judge.claimed(net.receipt_entry(net.nodes[0]), net.now)
    assert claimed[Question.RAN].state is State.REVOKED


async def test_a_revoked_measurement_takes_back_what_ran(watching: FollowedLogFixture) -> None:
    """A measurement that no longer counts at the receipt's place revokes `ran`, and `ran` alone."""
    net = watching.net
    index = net.add(net.receipt_entry(net.nodes[0]))
    net.tick(1_000)
    net.add(net.revocation(net.measurement, index))
    await watching.witness()
    found = watching.watch.judge.marks(index, net.now)
    assert (found[Question.RAN].state, found[Question.RAN].since) == (State.REVOKED, net.now)
    assert found[Question.PROVED].state is State.WITNESSED


async def test_objections_count_from_when_they_were_logged(watching: FollowedLogFixture) -> None:
    """One verdict disputes; f+1 make it failed, since the one that decided it."""
    net = watching.net
    index = net.add(net.receipt_entry(net.nodes[0], mode=Mode.REPLAY))
    await watching.witness()
    assert states(watching, index)["ran"] == "failed"
    assert watching.watch.judge.marks(index, 1)[Question.RAN].since == net.now
    for number in range(2):
        net.tick(1_000)
        net.add(net.verdict(net.full_nodes[number], index, "mode_mismatch"))
    await watching.witness()
    proved = watching.watch.judge.marks(index, 1)[Question.PROVED]
    assert (proved.state, proved.since) == (State.FAILED, net.now)


async def test_equivocation_fails_both_receipts(watching: FollowedLogFixture) -> None:
    """Two receipts for one position fail together once the fault is logged."""
    net = watching.net
    node = net.nodes[0]
    first = net.answers.make(node, advance=False)
    second = net.answers.make(node)
    one, two = net.add(first.entry), net.add(second.entry)
    net.add(net.fault(net.full_nodes[0], node.address, "equivocation", one, two))
    await watching.witness()
    assert states(watching, one)["proved"] == "failed"
    assert states(watching, two)["proved"] == "failed"


async def test_a_review_is_struck_by_the_checkpoint_that_covers_the_review(
    watching: FollowedLogFixture,
) -> None:
    """A review that comes after the receipt's checkpoint becomes witnessed with the next one."""
    net = watching.net
    for reviewer in net.reviewers:
        net.register(reviewer)
    index = net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    net.tick(10_000)
    net.add(net.review(net.reviewers[0], index))
    await watching.witness()
    mark = watching.watch.judge.marks(index, net.now)[Question.REVIEWED]
    assert (mark.state, mark.since) == (State.WITNESSED, net.now)
    net.add(net.review(net.reviewers[1], index, Judgement.UNFIT, reason="answer_wrong"))
    await watching.witness()
    mark = watching.watch.judge.marks(index, net.now)[Question.REVIEWED]
    assert (mark.state, mark.reason) == (State.DISPUTED, "reviewers_disagree")


async def test_an_upstream_is_never_more_than_asserted(watching: FollowedLogFixture) -> None:
    """The model of an upstream provider stays claimed under any checkpoint, and says who asserts it."""
    net = watching.net
    record = UpstreamRecord("example", "https://api.example", "big", "big-1", "r1")
    index = net.add(net.receipt_entry(net.nodes[0], upstream_record=record))
    await watching.witness()
    mark = watching.watch.judge.marks(index, net.now)[Question.MODEL]
    assert mark.state is State.CLAIMED
    assert "asserted by" in mark.shows
    assert mark.detail["asserted_by"] == "an upstream provider"


async def test_a_vanilla_node_never_rises_above_claimed() -> None:
    """Without an enclave nothing measured the code, whatever the quorum cosigned."""
    net = LittleNetwork()
    party = LittleNetwork(nodes=3).nodes[2]
    party.bundle = net.bundle(party, Mode.VANILLA)
    net.register(party)
    net.nodes = (*net.nodes, party)
    index = net.add(net.receipt_entry(party, mode=Mode.VANILLA))
    watching = FollowedLogFixture(net)
    await watching.witness()
    found = states(watching, index)
    assert (found["ran"], found["model"], found["proved"]) == ("claimed", "claimed", "witnessed")
    watching.database.close()


async def test_only_receipts_have_marks(watching: FollowedLogFixture) -> None:
    """Another entry, or one past the end, is no receipt."""
    await watching.witness()
    for index in (0, -1, 10_000):
        with pytest.raises(NotFound, match="unknown_receipt"):
            watching.watch.judge.marks(index, 1)


async def test_proved_is_anchored_only_by_what_the_chain_gave_and_is_recomputed_here() -> None:
    """An anchor with another root contradicts, and `proved` fails; the right one makes it anchored, since its
    block.
    """
    net = LittleNetwork()
    index = net.add(net.receipt_entry(net.nodes[0]))

    class Chain:
        """What the anchoring service and the chain say."""

        root = bytes(32)

        async def covering(self, position: int) -> object:
            """The record, and what the chain itself says."""
            size = net.tree.size
            assert position < size
            return anchored(size, self.root)

    chain = Chain()
    watching = FollowedLogFixture(net, anchors=chain)
    await watching.witness()
    told: list[int] = []
    watching.watch.chain.changed.append(told.append)
    assert states(watching, index)["proved"] == "witnessed"
    for _ in range(2):
        assert not await watching.watch.chain.read()
    mark = watching.watch.judge.marks(index, net.now)[Question.PROVED]
    assert (mark.state, mark.reason, mark.by) == (State.FAILED, "anchor_contradicted", "the chain")
    assert told == [net.tree.size]
    watching.database.close()
    chain.root = net.tree.root()
    watching = FollowedLogFixture(net, anchors=chain)
    await watching.witness()
    heard: list[int] = []
    watching.watch.chain.changed.append(heard.append)
    assert await watching.watch.chain.read()
    assert not await watching.watch.chain.read()
    mark = watching.watch.judge.marks(index, net.now)[Question.PROVED]
    assert (mark.state, mark.since, mark.detail["confirmations"]) == (State.ANCHORED, 4_000, "3")
    assert heard == [net.tree.size]
    assert isinstance(watching.watch.chain.covering(index), ReadAnchor)
    assert watching.watch.chain.covering(net.tree.size) is None
    watching.database.close()


async def test_nothing_looks_for_anchors_while_all_is_anchored(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer runs then; a checkpoint that covers more has the chain looked at again."""
    net = LittleNetwork()

    class Chain:
        """Anchors everything at once."""

        asked = 0

        async def covering(self, position: int) -> object:
            """All of the log."""
            self.asked += 1
            assert position < net.tree.size
            return anchored(net.tree.size, net.tree.root())

    monkeypatch.setattr("hallmark.services.following.chain.POLL_S", 0)
    chain = Chain()
    watching = FollowedLogFixture(net, anchors=chain)
    await watching.witness()
    running = asyncio.create_task(watching.watch.chain.run())
    loop: Any = asyncio.get_running_loop()
    await turns()
    assert (chain.asked, watching.watch.chain.size, loop._scheduled) == (1, net.tree.size, [])
    net.add(net.receipt_entry(net.nodes[0]))
    await watching.witness()
    await turns()
    assert (chain.asked, watching.watch.chain.size) == (2, net.tree.size)
    running.cancel()
    watching.database.close()


async def turns() -> None:
    """Let tasks go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_lying_gateway_cannot_give_a_configuration(watching: FollowedLogFixture) -> None:
    """A configuration with another digest than the bundle's is not kept."""
    node = watching.net.nodes[0]
    assert node.configuration is not None
    node.configuration = msgspec.structs.replace(node.configuration, endpoint="https://elsewhere")
    index = watching.net.add(watching.net.receipt_entry(node))
    await watching.witness()
    assert len(watching.watch.configurations) == 0
    assert states(watching, index)["ran"] == "claimed"
