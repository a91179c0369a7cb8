"""Checkpoints, parties, labels, measurements, faults, entries, leaves, figures and search."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import UpstreamRecord
from hallmark.core.entries import Kind, decode, split_leaf
from hallmark.core.errors import InvalidInput, NotFound, TooLarge, Unavailable
from hallmark.core.marks import State
from hallmark.core.merkle import leaf_hash
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import Key, recover_statement
from hallmark.faults.checks import Terms, verify_fault
from hallmark.faults.sanctions import Number
from hallmark.ledger.tiles import decode_bundle
from hallmark.services.explorer.entries import words_of
from hallmark.services.explorer.figures import nearest_rank
from hallmark.store import deferred
from hallmark.testing.derivations import derivation
from hallmark.testing.dossiers import clearing_policy
from hallmark.testing.outcomes import outcome
from hallmark.testing.payments import issuer_epoch, keys_of_issuer, offer, price_offer
from hallmark.verification.tree import root_of


def every_kind(net: Any) -> dict[Kind, int]:
    """Log one entry of every kind; the position of each."""
    net.register(net.reviewers[0])
    receipt = net.add(net.receipt_entry(net.nodes[0]))
    verdict = net.add(net.verdict(net.full_nodes[0], receipt, "label_moved"))
    net.add(net.policy_entry("clearing:witnessed", clearing_policy("witnessed", State.WITNESSED, "hardware")))
    net.add(net.review(net.reviewers[0], receipt))
    net.add(net.fault(net.full_nodes[1], net.full_nodes[0].address, "refuted_verdict", verdict, verdict))
    net.add(price_offer(net, offer(net)))
    net.register(net.issuer)
    net.add(issuer_epoch(net, keys_of_issuer(net)))
    net.add(outcome(net, Key(b"\x51" * 32), receipt))
    newer = net.make_manifest("2", b"made from it", hex0x(net.manifest.digest()))
    net.add(net.version(newer))
    net.add(derivation(net, net.maker, net.manifest.digest(), newer.digest()))
    net.add(net.retirement(net.gateway))
    net.add(net.revocation(net.measurement, net.tree.size))
    net.add(net.compromise(net.nodes[1], net.tree.size))
    return {decode(split_leaf(leaf)[1]).kind: at for at, leaf in enumerate(net.leaves)}


async def test_every_kind_of_entry_has_words_and_a_page(exploring: Any) -> None:
    """No kind is without a sentence, lines, and the leaf's own bytes and hash."""
    net = exploring.net
    places = every_kind(net)
    await exploring.witness()
    assert set(places) == set(Kind)
    for kind, index in places.items():
        page = await exploring.explorer.entry(index)
        assert page.kind == kind.name.lower()
        assert page.facts[0].name == "In words"
        assert page.facts[0].value.endswith(".")
        assert unhex(page.bytes) == net.leaves[index]
        assert unhex(page.leaf_hash) == leaf_hash(net.leaves[index])
        assert page.failures == ()
        assert page.link.startswith(("/explore/", "/models/", "/policies/")) or kind in (
            Kind.POLICY,
            Kind.OFFER,
        )
        assert words_of(decode(split_leaf(net.leaves[index])[1])).facts
    told = await exploring.explorer.entry(places[Kind.DERIVATION])
    assert told.facts[0].value.startswith("An owner says")
    assert told.facts[0].value.endswith("Nothing here shows that it was.")
    for index in (-1, net.tree.size):
        with pytest.raises(NotFound, match="unknown_entry"):
            await exploring.explorer.entry(index)


async def test_figures_can_be_recomputed_from_the_leaves(exploring: Any) -> None:
    """Recomputed here from the served leaves by nothing but their bytes, every figure is the same."""
    net = exploring.net
    every_kind(net)
    for number in range(7):
        net.tick(number)
        net.add(net.receipt_entry(net.nodes[number % 2], finished=net.now - 3 * number))
    await exploring.witness()
    figures = await exploring.explorer.figures()
    leaves = decode_bundle(await exploring.explorer.leaves(0, figures.size))
    kinds: dict[str, int] = {}
    nodes: dict[str, int] = {}
    artifacts: dict[str, int] = {}
    gaps = []
    for leaf in leaves:
        admitted, data = split_leaf(leaf)
        entry = decode(data)
        kinds[entry.kind.name.lower()] = kinds.get(entry.kind.name.lower(), 0) + 1
        receipt = entry.statement
        if not isinstance(receipt, Receipt) or len(entry.signatures) != 1:
            continue
        if recover_statement(receipt, net.genesis.chain_id, entry.signatures[0]) == receipt.node:
            node, artifact = hex0x(receipt.node), hex0x(receipt.artifact)
            nodes[node], artifacts[artifact] = nodes.get(node, 0) + 1, artifacts.get(artifact, 0) + 1
            gaps.append(admitted - receipt.finished)
    gaps.sort()
    ranks = {f"p{p}": gaps[math.ceil(p * len(gaps) / 100) - 1] for p in (50, 99)}
    assert (figures.size, figures.root) == (len(leaves), hex0x(root_of(leaves)))
    assert figures.entries == kinds
    assert (figures.receipts_by_node, figures.receipts_by_artifact) == (nodes, artifacts)
    assert figures.admission_gap_ms == ranks
    assert (await exploring.explorer.checkpoint(figures.size)).row.root == figures.root


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [
        ([], 50, -1),
        ([4], 99, 4),
        ([1, 2], 50, 1),
        ([1, 2, 3], 50, 2),
        (list(range(1, 101)), 99, 99),
        ([-5, 2], 50, -5),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[int], percent: int, found: int) -> None:
    """The value at place ceil(p * n / 100) of n in order."""
    assert nearest_rank({v: values.count(v) for v in values}, percent) == found


async def test_leaves_are_served_as_an_entry_bundle_and_bounded(exploring: Any) -> None:
    """Exact leaves; a range that is reversed, too long or past the end is refused."""
    net = exploring.net
    await exploring.witness()
    assert decode_bundle(await exploring.explorer.leaves(2, 5)) == net.leaves[2:5]
    with pytest.raises(InvalidInput, match="bad_range"):
        await exploring.explorer.leaves(3, 2)
    with pytest.raises(TooLarge, match="too_many_leaves"):
        await exploring.explorer.leaves(0, 4_097)
    with pytest.raises(NotFound, match="unknown_entry"):
        await exploring.explorer.leaves(0, net.tree.size + 1)


async def test_checkpoints_name_their_signers_and_what_is_new_in_them(exploring: Any) -> None:
    """Newest first, with the exact note, the recomputed root and the entries that are new in it."""
    net = exploring.net
    await exploring.witness()
    first = net.tree.size
    index = net.add(net.receipt_entry(net.nodes[0]))
    await exploring.witness()
    listed = await exploring.explorer.checkpoints("", 1)
    assert (listed.total, listed.rows[0].size, listed.next) == (2, first + 1, str(first + 1))
    assert [row.size for row in (await exploring.explorer.checkpoints(listed.next, 5)).rows] == [first]
    page = await exploring.explorer.checkpoint(first + 1)
    assert page.note.encode() == exploring.notary.cosigned().encode()
    assert (page.row.root, page.row.of, len(page.row.signers)) == (hex0x(net.tree.root()), 4, 4)
    assert [(f.name, f.link) for f in page.entries] == [(str(index), f"/explore/entries/{index}")]
    assert {f.name: f.value for f in page.facts}[
        "Recomputed here"
    ] == f"{first + 1} leaf hashes give this root"
    with pytest.raises(NotFound, match="unknown_checkpoint"):
        await exploring.explorer.checkpoint(first - 1)


async def test_parties_of_every_role_with_their_record(exploring: Any) -> None:
    """Nodes, gateways, full nodes and reviewers stand in one list; each page has its history and receipts."""
    net = exploring.net
    every_kind(net)
    await exploring.witness()
    listed = await exploring.explorer.nodes()
    assert {row.role for row in listed.rows} == {"node", "gateway", "full_node", "reviewer", "issuer"}
    rows = {row.key: row for row in listed.rows}
    node = rows[hex0x(net.nodes[0].address)]
    assert (node.receipts, node.assurance, node.capacity, node.until) == (1, "simulated", 8, -1)
    assert rows[hex0x(net.gateway.address)].standing.startswith("retired at log position")
    assert rows[hex0x(net.nodes[1].address)].standing.startswith("not to be believed from log position")
    page = await exploring.explorer.node(hex0x(net.nodes[1].address))
    assert [m.kind for m in page.history] == ["logged", "revoked"]
    assert page.history[-1].link.startswith("/explore/entries/")
    assert len((await exploring.explorer.node(hex0x(net.nodes[0].address))).receipts) == 1
    for unknown in ("0x" + "00" * 20, "0x12", "nobody"):
        with pytest.raises(NotFound, match="unknown_node"):
            await exploring.explorer.node(unknown)


async def test_a_caught_node_carries_its_fault(exploring: Any) -> None:
    """An equivocating node has a fault; the faults' page names both receipts, with evidence that holds."""
    net = exploring.net
    node = net.nodes[0]
    one = net.add(net.answers.make(node, advance=False).entry)
    two = net.add(net.answers.make(node).entry)
    net.add(net.fault(net.full_nodes[0], node.address, "equivocation", one, two))
    await exploring.witness()
    row = (await exploring.explorer.faults("", 10)).rows[0]
    assert (row.kind, row.culprit, row.subjects, row.state) == (
        "equivocation",
        hex0x(node.address),
        (one, two),
        "proven",
    )
    rows = {row.key: row for row in (await exploring.explorer.nodes()).rows}
    assert (rows[row.culprit].faults, rows[row.culprit].standing) == (1, "caught in 1 fault")
    shown = verify_fault(unhex(row.evidence), Terms(net.genesis.network, net.genesis.chain_id))
    assert (shown.number, shown.culprit) == (Number.EQUIVOCATION, node.address)


async def test_objections_say_what_became_of_them(exploring: Any) -> None:
    """Disputed, failed, refuted: an objection's state is the log's, and strangers accuse nobody."""
    net = exploring.net
    index = net.add(net.receipt_entry(net.nodes[0]))
    verdict = net.add(net.verdict(net.full_nodes[0], index, "label_moved"))
    net.add(net.verdict(net.nodes[1], index, "label_moved"))
    await exploring.witness()
    page = await exploring.explorer.faults("", 10)
    assert [(r.index, r.state, r.culprit) for r in page.rows] == [
        (verdict, "disputed", hex0x(net.nodes[0].address))
    ]
    net.add(net.fault(net.full_nodes[1], net.full_nodes[0].address, "refuted_verdict", verdict, verdict))
    await exploring.witness()
    states = {r.kind: r.state for r in (await exploring.explorer.faults("", 10)).rows}
    assert states == {"verdict": "disputed", "refuted_verdict": "said"}
    net.add(net.fault(net.full_nodes[2], net.full_nodes[0].address, "refuted_verdict", verdict, verdict))
    await exploring.witness()
    page = await exploring.explorer.faults("", 2)
    assert [(r.kind, r.state, r.evidence) for r in page.rows] == [("refuted_verdict", "proven", "")] * 2
    rest = await exploring.explorer.faults(page.next, 10)
    assert [(r.kind, r.state) for r in rest.rows] == [("verdict", "refuted")]


async def test_labels_published_and_passed_on(exploring: Any) -> None:
    """A label shows what it points to; one that a node passes on shows that a provider asserts it."""
    net = exploring.net
    net.restart(net.nodes[1], upstreams=("big",))
    net.add(net.receipt_entry(net.nodes[0]))
    record = UpstreamRecord("example", "https://api.example", "digits", "x", "r")
    net.add(net.receipt_entry(net.nodes[0], upstream_record=record))
    newer = net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))
    net.add(net.version(newer))
    await exploring.witness()
    rows = (await exploring.explorer.models()).rows
    assert [(r.label, r.asserted, r.version, r.artifact, r.receipts) for r in rows] == [
        ("digits", False, "2", newer.artifact, 1),
        ("big", True, "", "", 0),
    ]
    page = await exploring.explorer.model("digits")
    assert [(s.version, s.now) for s in page.lineage] == [("1", False), ("2", True)]
    assert [r.asserted_by for r in page.receipts] == ["an upstream provider", ""]
    passed = await exploring.explorer.model("big")
    assert "the provider alone asserts" in passed.description
    assert passed.row.artifact == ""
    with pytest.raises(NotFound, match="unknown_model"):
        await exploring.explorer.model("unheard-of")


async def test_a_revoked_measurement_says_until_where_it_counts(exploring: Any) -> None:
    """Where it ended and why; and how many nodes still run it."""
    net = exploring.net
    net.add(net.revocation(net.measurement, 5))
    await exploring.witness()
    row = (await exploring.explorer.measurements()).rows[0]
    assert (row.since, row.until, row.reason, row.nodes) == (1, 5, "image_vulnerable", 2)
    assert row.registers == dict(net.measurement.registers)


async def test_search_finds_by_any_id_and_prefix(exploring: Any) -> None:
    """Whole or by six digits, with or without 0x, in either case, every kind of thing leads to its page."""
    net = exploring.net
    places = every_kind(net)
    answer_at = places[Kind.RECEIPT]
    await exploring.witness()
    receipt = decode(net.entry_bytes(answer_at)).statement
    assert isinstance(receipt, Receipt)

    async def found(query: str) -> set[tuple[str, str]]:
        return {(f.kind, f.link) for f in (await exploring.explorer.search(query)).rows}

    receipt_id = hex0x(receipt.digest())
    page = ("receipt", f"/explore/receipts/{receipt_id}")
    for query in (receipt_id, receipt_id[2:8], receipt_id[:9].upper().replace("X", "x"), f" {receipt_id} "):
        assert page in await found(query), query
    for digest in (receipt.request, receipt.response):
        assert await found(hex0x(digest)) == {page}
    assert ("entry", f"/explore/entries/{answer_at}") in await found(hex0x(leaf_hash(net.leaves[answer_at])))
    node = hex0x(net.nodes[0].address)
    assert await found(node) == {("node", f"/explore/nodes/{node}")}
    assert ("node", f"/explore/nodes/{node}") in await found(hex0x(receipt.bundle))
    assert await found(net.manifest.artifact) == {("artifact", "/models/digits")}
    assert await found(hex0x(net.manifest.digest())) == {("manifest", "/models/digits")}
    digest = hex0x(net.measurement.digest())
    assert await found(digest) == {("measurement", f"/explore/measurements#{digest}")}
    await exploring.flush()
    assert await found(hex0x(net.tree.root())) == {("checkpoint", f"/explore/checkpoints/{net.tree.size}")}
    assert ("entry", "/explore/entries/3") in await found("3")
    assert ("checkpoint", f"/explore/checkpoints/{net.tree.size}") in await found(str(net.tree.size))
    assert await found("DIGI") == {("model", "/models/digits")}
    assert ("node", f"/explore/nodes/{hex0x(net.gateway.address)}") in await found("gateway")
    assert await found("witnessed") == {("policy", "/policies/witnessed")}
    for nothing in ("", "  ", "0x", "zzzz", "0x12345", "ffffffffffff", "9" * 30, "<script>", "%"):
        assert await found(nothing) == set(), nothing


async def test_an_ambiguous_prefix_gives_every_match(exploring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two receipts that share their first digits are both found; nobody is sent straight to one of them."""
    net = exploring.net
    shared = bytes.fromhex("abcdef")
    monkeypatch.setattr(Receipt, "digest", lambda self: shared + self.struct_hash()[3:])
    for node in net.nodes:
        net.add(net.receipt_entry(node))
    await exploring.witness()
    rows = (await exploring.explorer.search("0xabcdef")).rows
    assert [row.kind for row in rows] == ["receipt", "receipt"]
    assert len({row.link for row in rows}) == 2


async def test_the_tail_is_searched(exploring: Any) -> None:
    """A receipt that no quorum covers is found by its id."""
    net = exploring.net
    await exploring.witness()
    answer = net.answer(net.nodes[0])
    net.add(answer.entry)
    await exploring.watch.tail.poll()
    rows = (await exploring.explorer.search(hex0x(answer.receipt.digest()))).rows
    assert [row.kind for row in rows] == ["receipt"]


async def test_a_restart_indexes_nothing_twice(exploring: Any, restarted: Any) -> None:
    """The next process has the same lists, totals and figures over the same database."""
    net = exploring.net
    for number in range(4):
        net.add(net.receipt_entry(net.nodes[number % 2]))
    await exploring.witness()
    await exploring.flush()
    before = await exploring.explorer.receipts("", "", 10)
    figures = await exploring.explorer.figures()
    again = restarted(exploring)
    await again.witness()
    after = await again.explorer.receipts("", "", 10)
    assert (after.total, [row.id for row in after.rows]) == (before.total, [row.id for row in before.rows])
    assert await again.explorer.figures() == figures
    net.add(net.receipt_entry(net.nodes[0]))
    await again.witness()
    assert (await again.explorer.receipts("", "", 10)).total == 5


async def test_a_crash_between_batches_goes_on_from_there(exploring: Any, restarted: Any) -> None:
    """Entries that were folded but not indexed when the process died are indexed by the next one."""
    net = exploring.net
    net.add(net.receipt_entry(net.nodes[0]))
    await exploring.witness()
    await exploring.flush()
    net.add(net.receipt_entry(net.nodes[1]))
    exploring.log.witnessed = net.tree.size
    await exploring.follow()
    again = restarted(exploring)
    await again.witness()
    assert len((await again.explorer.receipts("", "", 10)).rows) == 2


async def test_an_index_of_another_log_is_made_anew(exploring: Any) -> None:
    """The same database under another network holds nothing of the old one."""
    net = exploring.net
    net.add(net.receipt_entry(net.nodes[0]))
    await exploring.witness()
    await exploring.flush()
    other = type("Later", (type(net),), {"start": net.start + 1_000})()
    again = type(exploring)(other, exploring.database)
    await again.witness()
    assert (await again.explorer.receipts("", "", 10)).rows == ()
    assert (await again.explorer.figures()).size == other.tree.size


async def test_a_full_disk_is_tried_again(exploring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store refuses, what waits stays in line; once it takes again, nothing is missing."""
    monkeypatch.setattr(deferred, "RETRY_S", 0.001)
    monkeypatch.setattr(deferred, "LINGER_S", 0)
    net, index = exploring.net, exploring.explorer._index
    loop, refused = asyncio.get_running_loop(), asyncio.Event()
    written = exploring.database._commit

    def full(work: Any) -> Any:
        loop.call_soon_threadsafe(refused.set)
        raise Unavailable("store_full", "The store has no space left.")

    monkeypatch.setattr(exploring.database, "_commit", full)
    running = asyncio.ensure_future(exploring.explorer.run())
    net.add(net.receipt_entry(net.nodes[0]))
    exploring.log.witnessed = net.tree.size
    await exploring.follow()
    await refused.wait()
    assert len(index._waiting) == net.tree.size
    monkeypatch.setattr(exploring.database, "_commit", written)
    await exploring.explorer.flush()
    assert len((await exploring.explorer.receipts("", "", 10)).rows) == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nodes_have_the_names_that_their_operator_gives(exploring: Any) -> None:
    """A registration names no node; the declared name stands beside its address, and a search finds it."""
    node = exploring.net.nodes[0]
    await exploring.witness()
    member = exploring.watch.replica.registry.members[node.address]
    assert member.profile is None
    exploring.watch.names = {member.owner: "node-1"}
    key = hex0x(node.address)
    named = {row.key: row.name for row in (await exploring.explorer.nodes()).rows}
    assert named[key] == "node-1"
    assert (await exploring.explorer.node(key)).row.name == "node-1"
    found = (await exploring.explorer.search("Node-1")).rows
    assert ("node", f"/explore/nodes/{key}") in {(one.kind, one.link) for one in found}
    answer = exploring.net.answer(node)
    exploring.net.add(answer.entry)
    await exploring.witness()
    page = await exploring.explorer.receipt(hex0x(answer.receipt.digest()))
    assert [fact.value for fact in page.facts if fact.name == "Node"] == ["node-1"]
    assert page.row.called == "node-1"
    assert page.sentence.startswith("An answer by node node-1 under label")
    assert (await exploring.explorer.receipts("", "", 10)).rows[0].called == "node-1"
    assert "node-1" in [hop.name for hop in page.route.hops]
