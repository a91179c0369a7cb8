"""The network page: capacity from the gateway, everything else measured or verified here."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.http.asgi import Receive, Scope, Send, respond_json
from hallmark.http.health import Health
from hallmark.ledger.note import Note
from hallmark.services.explorer.health_probe import HealthProbe
from hallmark.services.explorer.trust_gap import Measured, Saw
from hallmark.testing.wire import MemoryPool

NETWORK = {
    "slots": [
        {
            "model": "digits",
            "mode": "tee",
            "registered": 16,
            "idle": 5,
            "busy": 2,
            "ineligible": 8,
            "offline": 1,
            "reasons": {"measurement_revoked": 8},
        }
    ],
    "capacity": {"registered": 16, "idle": 5, "busy": 2, "ineligible": 8, "offline": 1, "reasons": {}},
    "failures": [{"model": "digits", "reason": "answer_lost", "count": 3, "last": 7}],
    "outbox": 4,
}


async def test_capacity_failures_and_outbox_are_the_gateways(exploring: Any) -> None:
    """They come from the gateway as it tells them, each failure with its sentence."""
    exploring.gateway.network = NETWORK
    await exploring.witness()
    page = await exploring.explorer.network()
    (row,) = page.slots
    assert row.idle + row.busy + row.ineligible + row.offline == 16
    assert row.reasons == {"measurement_revoked": 8}
    assert [(f.reason, f.sentence) for f in page.failed] == [
        ("answer_lost", "The node stopped before its answer was complete.")
    ]
    assert page.outbox == 4
    assert page.sentence.startswith("5 of 16 slots that nodes say they have can take a request now")
    assert "shared" in page.sentence


async def test_a_silent_gateway_is_said_to_be_silent(exploring: Any) -> None:
    """Without the gateway nothing is made up: no slots, an unknown outbox, and a sentence that says so."""
    await exploring.witness()
    for answer in (None, "down"):
        if answer == "down":
            exploring.pool.unmount("gateway.test")
        page = await exploring.explorer.network()
        assert (page.slots, page.failed, page.outbox) == ((), (), -1)
        assert page.sentence.startswith("The gateway does not answer")


async def test_the_trust_gap_is_measured_live_only(exploring: Any) -> None:
    """Receipts that were read while catching up are not measured; later ones are, to the millisecond."""
    net = exploring.net
    for _ in range(3):
        net.add(net.receipt_entry(net.nodes[0]))
    await exploring.witness()
    page = await exploring.explorer.network()
    assert (page.trust_gap_count, page.trust_gap_p50, page.trust_gap_bins) == (0, -1, ())
    assert "No trust gap was measured" in page.sentence
    for wait in (8, 30, 990):
        net.add(net.receipt_entry(net.nodes[0]))
        net.tick(wait)
        await exploring.witness()
    page = await exploring.explorer.network()
    assert (page.trust_gap_count, page.trust_gap_p50, page.trust_gap_p99) == (3, 40, 1_000)
    assert [(b.low, b.high, b.count) for b in page.trust_gap_bins if b.count] == [
        (10, 20, 1),
        (20, 50, 1),
        (1_000, 2_000, 1),
    ]
    assert page.trust_gap_bins[0].low == 10


async def test_with_full_nodes_stopped_the_backlog_grows(exploring: Any) -> None:
    """Entries that no quorum covers are counted, with since when, and are gone when the quorum is back."""
    net = exploring.net
    await exploring.witness()
    for _ in range(4):
        net.add(net.receipt_entry(net.nodes[0]))
    await exploring.watch.tail.poll()
    net.tick(65_000)
    await exploring.watch.tail.poll()
    page = await exploring.explorer.network()
    assert (page.backlog, page.backlog_since) == (4, net.start)
    assert (page.size, page.cosigned) == (net.tree.size, net.tree.size - 4)
    assert "4 entries wait for a quorum, for 1 min now." in page.sentence
    await exploring.witness()
    await exploring.watch.tail.poll()
    page = await exploring.explorer.network()
    assert (page.backlog, page.backlog_since, page.cosigned) == (0, 0, net.tree.size)


async def test_a_full_node_that_lags_is_named(exploring: Any) -> None:
    """Whose cosignature is missing from the newest checkpoint stands with how far it was seen, and when."""
    net = exploring.net
    await exploring.witness()
    await exploring.explorer.network()
    size, began = net.tree.size, net.now // 1000 * 1000
    net.add(net.receipt_entry(net.nodes[0]))
    net.tick(2_000)
    exploring.log.signers = [party.name for party in net.full_nodes[:3]]
    found = {f.name: f for f in (await exploring.explorer.network()).full_nodes}
    assert (found["full-node-0"].size, found["full-node-0"].newest) == (size + 1, True)
    lagging = found["full-node-3"]
    assert (lagging.size, lagging.cosigned_at, lagging.behind, lagging.newest) == (size, began, 1, False)
    exploring.log.signers = [party.name for party in net.full_nodes]
    found = {f.name: f for f in (await exploring.explorer.network()).full_nodes}
    assert found["full-node-3"].newest


async def test_three_of_four_full_nodes_that_stopped_show_as_such(exploring: Any) -> None:
    """Without a quorum the newest checkpoint is still the log's newest: one cosigned it, three did not."""
    net = exploring.net
    await exploring.witness()
    await exploring.explorer.network()
    net.add(net.receipt_entry(net.nodes[0]))
    exploring.log.signers = [net.full_nodes[1].name]
    page = await exploring.explorer.network()
    assert (page.signed, page.cosigned) == (net.tree.size, net.tree.size - 1)
    assert [(f.newest, f.behind) for f in page.full_nodes] == [(False, 1), (True, 0), (False, 1), (False, 1)]


async def test_a_cosignature_that_does_not_verify_counts_for_nobody(exploring: Any) -> None:
    """What the log serves as its newest checkpoint is checked line by line."""
    await exploring.witness()
    before = [f.size for f in (await exploring.explorer.network()).full_nodes]
    exploring.net.add(exploring.net.receipt_entry(exploring.net.nodes[0]))
    note = exploring.notary.cosigned()
    *lines, last = note.signatures
    forged = msgspec.structs.replace(last, data=last.data[:-1] + bytes([last.data[-1] ^ 1]))
    exploring.log.latest = lambda: _answer(Note(note.text, (*lines, forged)).encode())
    assert [f.size for f in (await exploring.explorer.network()).full_nodes] == before


async def _answer(data: bytes) -> bytes:
    return data


async def test_a_full_node_that_was_never_seen_is_not_said_to_be_behind(exploring: Any) -> None:
    """Of one that never cosigned while others did, nothing is known of how far behind it is."""
    await exploring.witness()
    exploring.log.signers = [exploring.net.full_nodes[1].name]
    exploring.net.add(exploring.net.receipt_entry(exploring.net.nodes[0]))
    exploring.explorer._network._measured.cosigned.clear()
    page = await exploring.explorer.network()
    assert [(f.size > 0, f.behind) for f in page.full_nodes] == [
        (False, 0),
        (True, 0),
        (False, 0),
        (False, 0),
    ]


async def test_a_full_node_that_was_never_seen_says_so(exploring: Any) -> None:
    """Before any checkpoint nothing is said of anybody."""
    exploring.log.down = True
    page = await exploring.explorer.network()
    assert {(f.size, f.cosigned_at, f.behind, f.newest) for f in page.full_nodes} == {(0, 0, 0, False)}
    assert len(page.full_nodes) == 4


async def test_nodes_are_as_the_gateway_hears_them(exploring: Any) -> None:
    """Both stopped: silent since their last word, by whom it was heard; the sentence offers no slot."""
    now = exploring.net.now
    stopped = {"key": "0x" + "11" * 20, "endpoint": "https://one", "heard": now - 12_000, "answers": False}
    never = {"key": "0x" + "22" * 20, "endpoint": "https://two", "heard": 0, "answers": False}
    exploring.gateway.network = NETWORK | {
        "nodes": [stopped, never],
        "capacity": {"registered": 32, "idle": 0, "busy": 0, "ineligible": 0, "offline": 32},
    }
    await exploring.witness()
    page = await exploring.explorer.network()
    nodes = [p for p in page.parties if p.role == "node"]
    assert [(p.name, p.state, p.since, p.heard, p.by) for p in nodes] == [
        ("https://one", "silent", now - 12_000, now - 12_000, "the gateway"),
        ("https://two", "silent", 0, 0, "the gateway"),
    ]
    assert page.sentence.startswith("0 of 32 slots that nodes say they have")
    assert "https://one: silent, no_answer" in page.trouble


async def test_nodes_are_called_as_their_operator_calls_them(exploring: Any) -> None:
    """By this explorer's own settings, else by the gateway's; exposure says no word twice."""
    net = exploring.net
    one, two = net.nodes[:2]
    await exploring.witness()
    members = exploring.watch.replica.registry.members
    exploring.watch.names = {members[one.address].owner: "node-1"}
    exploring.gateway.network = NETWORK | {
        "nodes": [
            {"key": hex0x(one.address), "endpoint": "https://one", "name": "theirs"},
            {"key": hex0x(two.address), "endpoint": "https://two", "name": "node-2"},
            {"key": "0x" + "22" * 20, "endpoint": "https://three"},
        ]
    }
    net.add(net.answer(one).entry)
    await exploring.witness()
    page = await exploring.explorer.network()
    assert [p.name for p in page.parties if p.role == "node"] == ["node-1", "node-2", "https://three"]
    names = [fact.name for fact in page.exposure]
    assert any(name.endswith("node-1") for name in names), names
    assert not [name for name in names if "node node" in name or "gateway gateway" in name]


async def test_what_the_gateway_observed_is_passed_on_as_it_is(exploring: Any) -> None:
    """Finished requests over the range that was asked for; without the gateway no data, not zero."""
    observed = {"by": "this gateway", "lately": {"minutes": 5, "answered": 10, "failed": 1}, "hours": 6}
    points = [{"at": 1, "observed": 0}, {"at": 2, "observed": 6, "answered": 10, "failed": 1}]
    exploring.gateway.network = NETWORK | {"observed": observed | {"points": points}}
    await exploring.witness()
    page = await exploring.explorer.network(6)
    assert (page.observed.hours, page.observed.lately.answered) == (6, 10)
    assert [p.observed for p in page.observed.points] == [0, 6]
    exploring.gateway.network = None
    page = await exploring.explorer.network(6)
    assert (page.gateway_answers, page.observed.points, page.observed.lately.minutes) == (False, (), 0)


async def test_parties_are_heard_or_silent_with_since_when() -> None:
    """Each says its own health; the silent keep when they were last heard; asked once for many readers."""
    pool, now, asked = MemoryPool(), [100_000], []
    health = Health("degraded", "log_time_ahead", 40_000, "For 60 s.")

    async def one(_scope: Scope, _receive: Receive, send: Send) -> None:
        asked.append(1)
        await respond_json(send, health.to_json())

    urls = {"one": ("full node", pool.mount("one.test", one)), "two": ("full node", "http://two.test")}
    hearing = HealthProbe(cast(Any, pool), urls, lambda: now[0])
    first, second = await hearing.parties()
    assert (first.state, first.reason) == ("degraded", "log_time_ahead")
    assert (first.since, first.heard) == (40_000, 100_000)
    assert first.next == health.step
    assert (second.state, second.since, second.heard) == ("silent", 100_000, 0)
    await hearing.parties()
    assert asked == [1]
    pool.unmount("one.test")
    now[0] += 12_000
    first, second = await hearing.parties()
    assert (first.state, first.since, first.heard) == ("silent", 112_000, 100_000)
    assert second.since == 100_000


async def test_exposure_counts_prompts_seen_in_clear(exploring: Any) -> None:
    """Each gateway, node and provider with its share; whoever saw nothing is not listed."""
    net = exploring.net
    for number in range(4):
        net.add(net.receipt_entry(net.nodes[0 if number else 1]))
    record = UpstreamRecord("example", "https://api.example", "digits", "x", "r")
    net.add(net.receipt_entry(net.nodes[0], upstream_record=record))
    net.add(net.answers.make(net.nodes[0], direct=True).entry)
    await exploring.witness()
    exposure = (await exploring.explorer.network()).exposure
    assert [(f.name, f.value) for f in exposure] == [
        ("gateway", "5 of 6 prompts seen in clear"),
        (f"node {hex0x(net.nodes[0].address)}", "5 of 6 prompts seen in clear"),
        (f"node {hex0x(net.nodes[1].address)}", "1 of 6 prompts seen in clear"),
        ("an upstream provider", "1 of 6 prompts seen in clear"),
    ]
    assert exposure[0].link == f"/explore/nodes/{hex0x(net.gateway.address)}"
    assert exposure[-1].link == ""


def test_only_the_newest_thousand_count() -> None:
    """Older gaps and prompts leave the figures."""
    now = [0]
    measured = Measured(lambda: now[0])
    measured._live = True
    for finished in range(1_500):
        measured.receipt(-finished, (Saw("node", "0x1" if finished < 500 else "0x2", ""),))
    measured._gaps.extend(-f for f in measured._fresh)
    assert (measured.count, measured.prompts) == (1_000, 1_000)
    assert measured.exposure() == ((Saw("node", "0x2", ""), 1_000),)
    assert min(measured._gaps) == 500


def test_clocks_that_differ_have_a_bar_of_their_own() -> None:
    """A node's clock that is ahead gives gaps below zero, which are shown as such; very long ones too."""
    measured = Measured(lambda: 0)
    measured._gaps.extend((-40, 3, 4_000_000))
    bins = measured.bins()
    assert (bins[0].low, bins[0].high, bins[0].count) == (-40, 0, 1)
    assert (bins[-1].high, bins[-1].count) == (4_000_001, 1)
    assert sum(b.count for b in bins) == 3
