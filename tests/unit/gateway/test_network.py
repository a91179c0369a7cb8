"""Usable capacity, failed requests and the outbox, as the gateway tells them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from hallmark.core.errors import Held, InvalidInput, NotFound, Unavailable, VerificationFailed
from hallmark.core.receipt import Mode
from hallmark.routing.capacity import capacity
from hallmark.routing.eligibility import NoNode, Wanted, eligibility
from hallmark.routing.load import LoadTable
from hallmark.services.gateway.failures import HOUR, OTHER, PAIRS, Failures
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.network import LittleNetwork, Party


def told(
    net: LittleNetwork,
    loads: LoadTable | None = None,
    failing: frozenset[str] = frozenset(),
    *,
    hear: bool = True,
) -> tuple[dict[tuple[str, str], Any], Any]:
    """Rows by model and mode, and the total; every row adds up. `hear`: every node was heard."""
    registry, table = net.replica().registry, loads or LoadTable()
    for key in registry.members if hear else ():
        table.of(key).heard = table.of(key).heard or net.now

    def judge(wanted: Wanted) -> Any:
        return eligibility(registry, wanted, table.loads, now=net.now)

    slots, total = capacity(registry, judge, table.loads, failing=failing)
    for row in (*slots, total):
        assert row.idle + row.busy + row.ineligible + row.offline == row.registered
        assert sum(row.reasons.values()) == row.ineligible
    return {(row.model, row.mode): row for row in slots}, total


def joining(net: LittleNetwork, number: int, **changes: Any) -> Party:
    """Another node with a changed bundle, registered."""
    party = LittleNetwork(nodes=number + 1).nodes[number]
    mode = changes.pop("mode", Mode.TEE)
    party.bundle = msgspec.structs.replace(net.bundle(party, mode), **changes)
    net.register(party)
    return party


def test_slots_are_idle_busy_offline_or_ineligible_and_add_up() -> None:
    """Busy as requests are under way, offline while unreachable, ineligible with the reason."""
    net, loads = LittleNetwork(nodes=4), LoadTable()
    loads.of(net.nodes[0].address).in_flight = 3
    loads.of(net.nodes[1].address).in_flight = 9
    loads.failed(net.nodes[2].address, net.now, unreachable=True)
    net.add(net.compromise(net.nodes[3], net.tree.size))
    rows, total = told(net, loads)
    row = rows["digits", "tee"]
    assert (row.idle, row.busy, row.offline, row.reasons) == (5, 11, 8, {"compromised": 8})
    assert (total.registered, total.idle, total.busy) == (32, 5, 11)


def test_nodes_that_were_stopped_offer_nothing() -> None:
    """Both nodes were heard and are silent now: no slot can take a request, after seconds."""
    net, loads = LittleNetwork(nodes=2), LoadTable()
    for node in net.nodes:
        loads.heard(node.address, net.now - 12_000)
        loads.not_heard(node.address, net.now - 5_000)
    rows, total = told(net, loads)
    assert (rows["digits", "tee"].idle, rows["digits", "tee"].offline) == (0, 16)
    assert (total.registered, total.idle, total.offline) == (16, 0, 16)
    loads.heard(net.nodes[0].address, net.now)
    assert told(net, loads)[1].idle == 8


def test_nodes_that_never_answered_offer_nothing() -> None:
    """A registration alone is no word of anybody that runs."""
    _, total = told(LittleNetwork(nodes=2), hear=False)
    assert (total.registered, total.idle, total.offline) == (16, 0, 16)


def test_a_failing_provider_is_not_idle() -> None:
    """Slots for a model of which only failures came lately are of no use; other models' are."""
    net = LittleNetwork(nodes=1)
    joining(net, 5, upstreams=("big",))
    rows, total = told(net, failing=frozenset(("big", "digits")))
    assert (rows["big", "tee"].idle, rows["big", "tee"].reasons) == (0, {"provider_failing": 8})
    assert rows["digits", "tee"].idle == total.idle == 16


def test_shared_slots_stand_in_each_row_and_once_in_the_total() -> None:
    """A node that serves two labels offers its slots to both; the total counts them once."""
    net = LittleNetwork(nodes=1)
    joining(net, 5, upstreams=("big",))
    rows, total = told(net)
    assert (rows["digits", "tee"].idle, rows["big", "tee"].idle) == (16, 8)
    assert (total.registered, total.idle) == (16, 16)


def test_whoever_left_or_was_replaced_offers_nothing() -> None:
    """Retired and superseded keys do not count; the newer key at the same address does, once."""
    net = LittleNetwork(nodes=2)
    assert net.nodes[0].bundle is not None
    net.add(net.retirement(net.nodes[1]))
    newer = LittleNetwork(nodes=6).nodes[5]
    newer.owner = net.nodes[0].owner
    bundle = net.bundle(newer)
    newer.bundle = msgspec.structs.replace(
        bundle, endpoint=net.nodes[0].bundle.endpoint, owner=net.nodes[0].bundle.owner, epoch=2
    )
    net.register(newer)
    _, total = told(net)
    assert (total.registered, total.idle) == (8, 8)


def test_modes_are_rows_of_their_own_and_idle_hands_are_ineligible() -> None:
    """A vanilla node has its own row; a node that offers nothing known is ineligible, and in no row."""
    net = LittleNetwork(nodes=1)
    joining(net, 5, mode=Mode.VANILLA)
    joining(net, 6, artifacts=("0x" + "77" * 32,))
    rows, total = told(net)
    assert {name: row.idle for name, row in rows.items()} == {("digits", "tee"): 8, ("digits", "vanilla"): 8}
    assert (total.registered, total.reasons) == (24, {"model_not_offered": 8})


def test_a_network_without_nodes_has_no_capacity() -> None:
    """Nothing registered: no rows, a total of nothing."""
    rows, total = told(LittleNetwork(nodes=0))
    assert (rows, total.registered) == ({}, 0)


def test_failures_are_counted_for_an_hour() -> None:
    """What failed is counted by model and reason, newest time kept, and forgotten after an hour."""
    now = [HOUR * 10]
    failures = Failures(lambda: now[0])
    failures.add("digits", "answer_lost")
    now[0] += HOUR // 2
    failures.add("digits", "answer_lost")
    failures.add("big", "timed_out")
    listed = {(f.model, f.reason): (f.count, f.last) for f in failures.listed()}
    assert listed == {("digits", "answer_lost"): (2, now[0]), ("big", "timed_out"): (1, now[0])}
    now[0] += HOUR // 2 + 60_000
    assert {(f.model, f.count) for f in failures.listed()} == {("digits", 1), ("big", 1)}
    now[0] += HOUR
    assert failures.listed() == ()


def test_failures_are_bounded() -> None:
    """However many names come, the table stays small and loses no count."""
    failures = Failures(lambda: HOUR)
    for number in range(PAIRS + 40):
        failures.add(f"model {number}", "no_node")
    listed = failures.listed()
    assert len(listed) == PAIRS + 1
    assert (listed[0].model, listed[0].count) == (OTHER, 40)


def test_the_askers_own_mistakes_are_no_failures() -> None:
    """What was asked wrongly is not counted; what was withheld, lost or not served is."""
    failures = Failures(lambda: HOUR)
    for error in (
        InvalidInput("bad_request", ""),
        NotFound("model_not_found", ""),
        Held("held", ""),
        Unavailable("answer_lost", ""),
        VerificationFailed("answer_unsigned", ""),
        NoNode("", busy=False),
        NoNode("", busy=True),
    ):
        failures.note("digits", error)
    assert {f.reason for f in failures.listed()} == {
        "held",
        "answer_lost",
        "answer_unsigned",
        "no_node",
        "at_capacity",
    }


async def test_the_network_tells_slots_failures_and_outbox(ask: Any, local: LocalNetwork) -> None:
    """A request that every node fails is counted; names that nobody published are shown to nobody."""
    _, before = await ask.get("/v1/hallmark/network")
    assert before["capacity"]["idle"] == before["capacity"]["registered"] == 16
    assert (before["failures"], before["outbox"]) == ([], 0)
    assert "shared" in before["capacity_note"]
    for node in local.nodes:
        node.behaviour = "unsigned"
    assert (await ask.chat())[0] != 200
    assert (await ask.chat(model="plant a canary"))[0] == 404
    _, after = await ask.get("/v1/hallmark/network")
    assert [(f["model"], f["reason"], f["count"]) for f in after["failures"]] == [
        ("digits", "answer_unsigned", 1)
    ]
    assert [(s["model"], s["mode"]) for s in after["slots"]] == [("digits", "tee")]


async def test_an_answer_that_breaks_off_is_a_failure(ask: Any, local: LocalNetwork) -> None:
    """A stream that the node loses midway answered 200, and is counted all the same."""
    for node in local.nodes:
        node.behaviour = "die_midway"
    status, _, _ = await ask.chat(stream=True)
    assert status == 200
    _, told = await ask.get("/v1/hallmark/network")
    assert [(f["reason"], f["count"]) for f in told["failures"]] == [("answer_lost", 1)]


async def test_receipts_that_the_log_does_not_take_wait_in_the_outbox(ask: Any, local: LocalNetwork) -> None:
    """While the log is away the outbox shows what waits for it."""
    local.log.down = True
    await ask.chat()
    _, told = await ask.get("/v1/hallmark/network")
    assert told["outbox"] == 1
    local.log.down = False
    async with asyncio.timeout(60):
        while (await ask.get("/v1/hallmark/network"))[1]["outbox"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
