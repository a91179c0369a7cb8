"""The network page: capacity from the gateway, everything else measured or verified here."""

from __future__ import annotations

from typing import Any

from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.services.explorer.trust_gap import Measured, Saw

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
    assert page.sentence.startswith("5 of 16 registered slots can take a request now")
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
    """Whoever's cosignature is missing from the newest checkpoint stands with how far it was seen."""
    net = exploring.net
    await exploring.witness()
    size = net.tree.size
    net.add(net.receipt_entry(net.nodes[0]))
    net.tick(2_000)
    three = [party.name for party in net.full_nodes[:3]]
    note = exploring.notary.cosigned(signers=three)
    exploring.log.checkpoint = lambda: _answer(note.encode())
    await exploring.follow()
    facts = {f.name: f.value for f in (await exploring.explorer.network()).full_nodes}
    assert facts["full-node-0"] == f"cosigned {size + 1} entries, the newest checkpoint"
    assert facts["full-node-3"] == f"last seen at {size} entries, 1 entry behind, 2.0 s ago"
    exploring.log.checkpoint = lambda: _answer(exploring.notary.cosigned().encode())
    facts = {f.name: f.value for f in (await exploring.explorer.network()).full_nodes}
    assert facts["full-node-3"] == f"cosigned {size + 1} entries, the newest checkpoint"


async def _answer(data: bytes) -> bytes:
    return data


async def test_a_full_node_that_was_never_seen_says_so(exploring: Any) -> None:
    """Before any checkpoint nothing is said of anybody."""
    exploring.log.down = True
    page = await exploring.explorer.network()
    assert {f.value for f in page.full_nodes} == {"no cosignature seen since this process started"}
    assert len(page.full_nodes) == 4


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
        ("gateway gateway", "5 of 6 prompts seen in clear"),
        (f"node {hex0x(net.nodes[0].address)}", "5 of 6 prompts seen in clear"),
        (f"node {hex0x(net.nodes[1].address)}", "1 of 6 prompts seen in clear"),
        ("upstream an upstream provider", "1 of 6 prompts seen in clear"),
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
