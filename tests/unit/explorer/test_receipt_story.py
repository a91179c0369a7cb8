"""The story of a receipt: facts, timeline, route, inputs and lineage say what the log holds, and no more."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import Attempt, InputRecord, RouteRecord, UpstreamRecord
from hallmark.core.receipt import Mode
from hallmark.core.statements import Judgement
from hallmark.services.explorer import receipt_story
from hallmark.services.explorer.receipt_context import ReceiptContext
from hallmark.services.explorer.shared_views import Fact
from hallmark.testing.followed_log import FollowedLogFixture
from hallmark.testing.network import LittleNetwork, Party, sealed_path
from hallmark.verification.tree import root_of


def told(watching: FollowedLogFixture, index: int) -> ReceiptContext:
    """The receipt at `index` as the story reads it."""
    return receipt_story.of_logged(watching.watch.judge.logged(index))


def named(facts: tuple[Fact, ...]) -> dict[str, str]:
    """Values by name."""
    return {fact.name: fact.value for fact in facts}


def vanilla(net: LittleNetwork) -> Party:
    """A node without an enclave, registered."""
    party = LittleNetwork(nodes=3).nodes[2]
    party.bundle = net.bundle(party, Mode.VANILLA)
    net.register(party)
    net.nodes = (*net.nodes, party)
    return party


async def test_facts_say_what_was_signed(watching: FollowedLogFixture) -> None:
    """Label, artifact, node, hardware, tokens and digests stand in the receipt's words, each digest whole."""
    net = watching.net
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    await watching.witness()
    facts = receipt_story.facts(watching.watch, told(watching, index))
    values = named(facts)
    assert values["Label"] == "digits, version 1"
    assert values["Artifact"] == net.manifest.artifact
    assert values["Image"] == "hallmark-enclave 1"
    assert values["Hardware"].startswith("simulated")
    assert values["Tokens"] == "7 in, 2 out, as the node counted"
    assert values["Answered"] == "in 30 ms, by the node's clock"
    assert values["Checks switched off"] == "none, by its configuration"
    assert values["Log position"] == str(index)
    assert {fact.copy for fact in facts} >= {
        hex0x(answer.receipt.digest()),
        hex0x(answer.receipt.request),
        hex0x(answer.receipt.response),
        hex0x(answer.receipt.node),
        hex0x(answer.signature),
    }


async def test_switched_off_checks_are_named() -> None:
    """Insecure switches of the configuration stand among the facts."""
    watching = FollowedLogFixture(LittleNetwork(insecure=("evidence",)))
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    facts = named(receipt_story.facts(watching.watch, told(watching, index)))
    assert facts["Checks switched off"] == "evidence"
    watching.database.close()


async def test_an_unknown_configuration_is_said_to_be_unknown(watching: FollowedLogFixture) -> None:
    """Without the document no page claims that nothing was switched off."""
    watching.gateway.knows = False
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    facts = named(receipt_story.facts(watching.watch, told(watching, index)))
    assert facts["Checks switched off"].startswith("not known here")


@pytest.mark.parametrize("address", ["https://[", "https://a\u2100b", "x", ""])
async def test_an_address_that_is_none_names_no_provider(watching: FollowedLogFixture, address: str) -> None:
    """A node's configuration says what its author wrote: the page is drawn all the same."""
    net = watching.net
    node = net.nodes[0]
    node.configuration = msgspec.structs.replace(net.configure(node), upstreams={"digits": address})
    net.restart(node, configuration=hex0x(node.configuration.digest()), upstreams=("digits",))
    record = UpstreamRecord("example", address, "digits", "digits-9", "r")
    index = net.add(net.receipt_entry(node, upstream_record=record))
    await watching.witness()
    assert receipt_story.asserted_by(watching.watch, told(watching, index)) == "an upstream provider"


async def test_a_providers_answer_is_asserted_by_it(watching: FollowedLogFixture) -> None:
    """No artifact, no bare label: the provider stands beside what it asserts, as the last hop."""
    net = watching.net
    node = net.nodes[0]
    configuration = net.configure(node)
    node.configuration = msgspec.structs.replace(
        configuration, upstreams={"digits": "https://api.example.com/v1"}
    )
    net.restart(node, configuration=hex0x(node.configuration.digest()), upstreams=("digits",))
    record = UpstreamRecord("example", "https://api.example.com/v1", "digits", "digits-9", "r")
    index = net.add(net.receipt_entry(node, upstream_record=record))
    await watching.witness()
    watch, found = watching.watch, told(watching, index)
    values = named(receipt_story.facts(watch, found))
    assert values["Model"] == "digits, asserted by api.example.com"
    assert values["Artifact"] == "none of this network ran; a provider answered"
    assert "Label" not in values
    hop = receipt_story.route(watch, found).hops[-1]
    assert (hop.role, hop.name, hop.saw) == ("upstream", "api.example.com", True)
    assert receipt_story.lineage(watch, found) == ()
    assert (receipt_story.label(watch, found), receipt_story.asserted_by(watch, found)) == (
        "digits",
        "api.example.com",
    )


async def test_a_provider_nobody_names_is_still_one(watching: FollowedLogFixture) -> None:
    """Without a configuration the provider has no name, and the word asserted stays."""
    watching.gateway.knows = False
    record = UpstreamRecord("example", "https://api.example.com/v1", "digits", "digits-9", "r")
    entry = watching.net.receipt_entry(watching.net.nodes[0], upstream_record=record)
    index = watching.net.add(entry)
    await watching.witness()
    found = told(watching, index)
    values = named(receipt_story.facts(watching.watch, found))
    assert values["Model"] == "digits, asserted by an upstream provider"


async def test_a_vanilla_node_has_no_enclave_on_the_way(watching: FollowedLogFixture) -> None:
    """Without an enclave the node itself saw the prompt, and nothing is said of hardware."""
    net = watching.net
    index = net.add(net.receipt_entry(vanilla(net), mode=Mode.VANILLA))
    await watching.witness()
    found = told(watching, index)
    values = named(receipt_story.facts(watching.watch, found))
    assert values["Image"] == "nothing measured it"
    assert "Hardware" not in values
    hops = {hop.role: hop.saw for hop in receipt_story.route(watching.watch, found).hops}
    assert hops == {"client": True, "gateway": True, "node": True}


async def test_a_replay_receipt_puts_no_enclave_where_none_is(watching: FollowedLogFixture) -> None:
    """Its mode says nothing of the node: the bundle does, and without one the host is taken to have seen."""
    net = watching.net
    bare = net.add(net.receipt_entry(vanilla(net), mode=Mode.REPLAY, sealed=sealed_path()))
    enclosed = net.add(net.receipt_entry(net.nodes[0], mode=Mode.REPLAY, sealed=sealed_path()))
    await watching.witness()

    def hops(index: int) -> dict[str, bool]:
        found = receipt_story.route(watching.watch, told(watching, index))
        return {hop.role: hop.saw for hop in found.hops if hop.role in ("node", "enclave")}

    assert hops(bare) == {"node": True}
    assert hops(enclosed) == {"node": False, "enclave": True}
    watching.watch.replica.memory.attested.clear()
    assert hops(enclosed) == {"node": True}


async def test_the_timeline_is_in_true_order_with_gaps_from_the_last_byte(
    watching: FollowedLogFixture,
) -> None:
    """Asked, answered, logged, witnessed; then what came later, each at its own time."""
    net = watching.net
    for reviewer in net.reviewers:
        net.register(reviewer)
    await watching.witness()
    index = net.add(net.receipt_entry(net.nodes[0]))
    net.tick(8)
    await watching.witness()
    net.tick(1_000)
    net.add(net.review(net.reviewers[0], index))
    net.add(net.verdict(net.full_nodes[0], index, "label_moved"))
    net.tick(1_000)
    net.add(net.revocation(net.measurement, index))
    await watching.witness()
    found = receipt_story.timeline(watching.watch, told(watching, index))
    assert [(m.kind, m.gap) for m in found] == [
        ("asked", -40),
        ("asked", -30),
        ("answered", 0),
        ("logged", 10),
        ("logged", 18),
        ("objected", 1_018),
        ("reviewed", 1_018),
        ("revoked", 2_018),
    ]
    assert found[5].text.startswith("The label did not point to this manifest")
    assert found[5].by == "full node 0"
    assert "image_vulnerable" in found[7].text
    assert found[6].text == "reviewer 0 judged the answer fit (answers_the_question)."


async def test_an_answer_that_nothing_speaks_against_is_witnessed_on_its_timeline(
    watching: FollowedLogFixture,
) -> None:
    """The word witnessed stands only where nothing speaks against the receipt."""
    net = watching.net
    await watching.witness()
    index = net.add(net.receipt_entry(net.nodes[0]))
    net.tick(8)
    await watching.witness()
    last = receipt_story.timeline(watching.watch, told(watching, index))[-1]
    assert (last.kind, last.gap, last.by) == ("witnessed", 18, "4 of 4 full nodes")
    assert last.link == f"/explore/checkpoints/{index + 1}"


async def test_what_was_read_while_catching_up_says_so(watching: FollowedLogFixture) -> None:
    """The first checkpoint of a process says that it may have been there before."""
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    found = receipt_story.timeline(watching.watch, told(watching, index))
    assert "may have been there before" in next(m.text for m in found if m.kind == "witnessed")


async def test_own_checks_equivocation_and_a_compromise_stand_on_the_timeline(
    watching: FollowedLogFixture,
) -> None:
    """What this process found, a proven fault and a key taken back are moments of their own."""
    net = watching.net
    first = net.answers.make(net.nodes[0], advance=False)
    second = net.answers.make(net.nodes[0])
    one, two = net.add(first.entry), net.add(second.entry)
    net.add(net.fault(net.full_nodes[0], net.nodes[0].address, "equivocation", one, two))
    net.add(net.compromise(net.nodes[0], one))
    await watching.witness()
    found = receipt_story.timeline(watching.watch, told(watching, two))
    by = {(m.kind, m.by) for m in found}
    assert {("objected", "this explorer"), ("objected", "a proven fault"), ("revoked", "the log")} <= by
    assert "witnessed" not in {m.kind for m in found}


async def test_a_refuted_objection_says_that_it_does_not_count(watching: FollowedLogFixture) -> None:
    """A verdict that f+1 others refuted stays on the timeline with that remark."""
    net = watching.net
    index = net.add(net.receipt_entry(net.nodes[0]))
    verdict = net.add(net.verdict(net.full_nodes[0], index, "label_moved"))
    for author in net.full_nodes[1:3]:
        net.add(net.fault(author, net.full_nodes[0].address, "refuted_verdict", verdict, verdict))
    await watching.witness()
    moment = next(
        m for m in receipt_story.timeline(watching.watch, told(watching, index)) if m.kind == "objected"
    )
    assert "does not count" in moment.text


async def test_the_route_tells_every_party_and_who_was_left_out(watching: FollowedLogFixture) -> None:
    """Hops, candidates, exclusions with sentences, and what was tried before."""
    net = watching.net
    answer = net.answer(net.nodes[0])
    failed = hex0x(net.nodes[1].address)
    record = msgspec.structs.replace(answer.route, attempts=(Attempt(failed, "timed_out"),))
    receipt = msgspec.structs.replace(answer.receipt, route=record.digest())
    entry = net.entry(receipt, (net.nodes[0].key,), record.encode(), *answer.entry.attachments[1:])
    index = net.add(entry)
    await watching.witness()
    found = receipt_story.route(watching.watch, told(watching, index))
    assert [(h.role, h.saw) for h in found.hops] == [("client", True), ("gateway", True), ("node", True)]
    assert found.hops[1].name == "gateway"
    assert found.candidates == tuple(hex0x(n.address) for n in net.nodes)
    assert [(e.node, e.reason, e.tried) for e in found.left] == [
        (failed, "timed_out", True),
        ("0x" + "ee" * 20, "at_capacity", False),
    ]
    assert all(left.sentence for left in found.left)
    seen = receipt_story.saw_prompt(watching.watch, told(watching, index))
    assert [hop.role for hop in seen] == ["gateway", "node"]


async def test_a_direct_route_has_no_gateway_and_an_enclave_is_a_hop(watching: FollowedLogFixture) -> None:
    """Direct: no ticket, nobody chose. The host did not see what the enclave saw."""
    net = watching.net
    answer = net.answers.make(net.nodes[0], direct=True)
    record = RouteRecord(answer.route.ticket, "direct", ("enclave",), answer.route.chosen)
    receipt = msgspec.structs.replace(answer.receipt, route=record.digest())
    index = net.add(net.entry(receipt, (net.nodes[0].key,), record.encode(), b"", b""))
    await watching.witness()
    found = receipt_story.route(watching.watch, told(watching, index))
    hops = {h.role: h.saw for h in found.hops}
    assert hops == {"client": True, "node": False, "enclave": True}
    host = next(h for h in found.hops if h.role == "node")
    assert host.told == "could read the prompt: simulated hardware"
    assert (found.path, found.ticket, found.candidates) == ("direct", "", ())


async def test_a_route_record_that_is_not_the_receipts_is_not_told(watching: FollowedLogFixture) -> None:
    """Without the record that the receipt commits to, the route is unknown."""
    net = watching.net
    entry = net.receipt_entry(net.nodes[0])
    index = net.add(msgspec.structs.replace(entry, attachments=(b"{}", *entry.attachments[1:])))
    await watching.witness()
    found = receipt_story.route(watching.watch, told(watching, index))
    assert (found.known, found.hops) == (False, ())


async def test_lineage_shows_the_break_between_tuesday_and_thursday(watching: FollowedLogFixture) -> None:
    """Same label, new artifact: the old receipt's step is no longer what the label points to."""
    net = watching.net
    tuesday = net.add(net.receipt_entry(net.nodes[0]))
    newer = net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))
    net.tick(2 * 86_400_000)
    net.version_index = net.add(net.version(newer))
    await watching.witness()
    steps = receipt_story.lineage(watching.watch, told(watching, tuesday))
    assert [(s.version, s.here, s.then, s.now) for s in steps] == [
        ("1", True, True, False),
        ("2", False, False, True),
    ]
    assert receipt_story.moved(steps)
    assert steps[0].artifact != steps[1].artifact
    assert [s.at for s in steps] == [net.start, net.now]


async def test_a_steady_lineage_has_not_moved(watching: FollowedLogFixture) -> None:
    """The newest version is here, then and now at once."""
    index = watching.net.add(watching.net.receipt_entry(watching.net.nodes[0]))
    await watching.witness()
    steps = receipt_story.lineage(watching.watch, told(watching, index))
    assert [(s.here, s.then, s.now) for s in steps] == [(True, True, True)]
    assert not receipt_story.moved(steps)


@pytest.mark.parametrize("shown", ["none", "right", "wrong"])
async def test_inputs_are_the_owners_to_show(watching: FollowedLogFixture, shown: str) -> None:
    """The log names a root; records count when they hash to it, and are never called validated."""
    net = watching.net
    record = InputRecord("memory", "0x" + "ab" * 32, "client", net.now - 90_000)
    other = msgspec.structs.replace(record, as_of=0)
    index = net.add(net.receipt_entry(net.nodes[0], inputs_root=root_of([record.encode()])))
    await watching.witness()
    records = {"none": (), "right": (record.encode(),), "wrong": (other.encode(),)}[shown]
    views, note = receipt_story.inputs(told(watching, index), records)
    if shown == "right":
        assert [(v.kind, v.as_of, v.age, v.validated) for v in views] == [
            ("memory", record.as_of, 90_000 - 40, False)
        ]
        assert "not re-validated" in note
    else:
        assert views == ()
        assert "owner" in note or "left out" in note


async def test_a_receipt_of_the_tail_tells_what_its_node_signed(watching: FollowedLogFixture) -> None:
    """Before any quorum covers it there is a story too, without a log position and without a proof."""
    net = watching.net
    await watching.witness()
    net.add(net.receipt_entry(net.nodes[0]))
    await watching.watch.tail.poll()
    found = receipt_story.of_pending(watching.watch.tail.receipts[0])
    assert "no quorum covers it yet" in named(receipt_story.facts(watching.watch, found))["Log position"]
    assert [m.kind for m in receipt_story.timeline(watching.watch, found)] == [
        "asked",
        "asked",
        "answered",
        "logged",
    ]
    assert receipt_story.route(watching.watch, found).known
    assert [s.here for s in receipt_story.lineage(watching.watch, found)] == [True]


async def test_a_withdrawn_review_is_told_as_withdrawn(watching: FollowedLogFixture) -> None:
    """Undecided withdraws what the same reviewer said before, and the timeline says so."""
    net = watching.net
    net.register(net.reviewers[0])
    index = net.add(net.receipt_entry(net.nodes[0]))
    net.add(net.review(net.reviewers[0], index))
    net.tick(5)
    net.add(net.review(net.reviewers[0], index, Judgement.UNDECIDED, reason="not_sure"))
    await watching.witness()
    texts = [
        m.text for m in receipt_story.timeline(watching.watch, told(watching, index)) if m.kind == "reviewed"
    ]
    assert texts[1] == "reviewer 0 withdrew an earlier judgement (not_sure)."
