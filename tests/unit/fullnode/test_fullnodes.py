"""Four full nodes and a sequencer in memory: what happens when each of the parties lies or dies."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from hallmark.core.entries import Entry, leaf
from hallmark.core.errors import Conflict, HallmarkError, NotFound, RateLimited, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.marks import State
from hallmark.core.registry import Registry
from hallmark.core.statements import AnchoredCheckpoint, Retirement, Role, code
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.asgi import Receive, Scope, Send
from hallmark.http.errors import respond_error
from hallmark.ledger.tiles import TileName, decode_bundle
from hallmark.services.fullnode.objector import TURN_MS
from hallmark.testing.fullnodes import Fleet, MemoryLog, full_node
from hallmark.testing.network import LittleNetwork, Party

HOSTS = [f"fn{number}.test" for number in range(4)]


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Four started full nodes that have cosigned the founding entries."""
    fleet = await Fleet().start()
    assert await fleet.settle() == fleet.network.tree.size
    yield fleet
    fleet.close()


def _receipt(fleet: Fleet, **changes: object) -> int:
    return fleet.network.add(fleet.network.receipt_entry(fleet.network.nodes[0], **changes))


async def test_honest_receipts_are_witnessed_at_once(fleet: Fleet) -> None:
    """All four cosign in one round, and nobody submits anything."""
    _receipt(fleet)
    statuses = await fleet.log.round(HOSTS)
    assert set(statuses.values()) == {200}
    assert fleet.log.witnessed() == fleet.network.tree.size
    assert all(not node.duties.owed(node.replica.size) for node in fleet.nodes.values())


LIES = {
    "bad signature": {"charged": 1},
    "foreign bundle": {"bundle": b"\x07" * 32},
    "wrong artifact": {"artifact": b"\x07" * 32},
    "future beacon": {"beacon_size": 10_000},
    "reordered": {"previous": b"\x07" * 32},
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_bad_receipt_is_cosigned_only_with_its_verdicts(fleet: Fleet, lie: str) -> None:
    """A lying node: nobody cosigns before verdicts stand in the log, then the quorum does, and it is
    failed.
    """
    at = _receipt(fleet, **LIES[lie])
    before = fleet.log.witnessed()
    statuses = await fleet.log.round(HOSTS)
    assert set(statuses.values()) == {503}
    assert fleet.log.witnessed() == before
    assert await fleet.settle() == fleet.network.tree.size > at + 2
    for node in fleet.nodes.values():
        assert node.replica.standing(at).state is State.FAILED
        assert (await node.status()).objections[0].index == at


async def test_a_flood_of_junk_costs_a_few_entries(fleet: Fleet) -> None:
    """Two thousand junk entries that a lying log took, receipts among them: f+1 full nodes object to all of
    them in an entry or two each, in fewer bytes than the junk has, and everything is witnessed again.
    """
    net, bad = fleet.network, []
    for number in range(2_000):
        statement = Retirement(net.genesis.network, bytes(20), code("junk"), number)
        bad.append(net.add(Entry(statement, (bytes(65),))))
        if number % 400 == 0:
            _receipt(fleet)
    flooded = net.tree.size
    assert await fleet.settle() == net.tree.size
    written = [net.leaves[at] for at in range(flooded, net.tree.size)]
    assert len(written) <= 4
    assert sum(map(len, written)) < sum(len(net.leaves[at]) for at in bad) / 100
    for node in fleet.nodes.values():
        assert {node.replica.standing(at).state for at in bad} == {State.FAILED}
        assert not node.replica.judgements.open


async def test_who_is_silent_is_stood_in_for(fleet: Fleet) -> None:
    """Full nodes whose turn is first may be dead: the others object after them."""
    at = _receipt(fleet, charged=1)
    fleet.kill(HOSTS[0])
    assert await fleet.settle() == fleet.network.tree.size
    assert fleet.nodes[HOSTS[1]].replica.standing(at).state is State.FAILED


async def test_equivocation_is_proven_in_the_log(fleet: Fleet) -> None:
    """Two receipts for one position: a fault entry names both, and the node's key is at fault."""
    first, second = _receipt(fleet, advance=False), _receipt(fleet)
    await fleet.settle()
    node = fleet.nodes[HOSTS[0]].replica
    assert node.registry.members[fleet.network.nodes[0].address].faults
    assert {node.standing(at).state for at in (first, second)} == {State.FAILED}
    assert fleet.log.witnessed() == fleet.network.tree.size


async def test_a_false_verdict_is_refuted_and_faulted(fleet: Fleet) -> None:
    """A lying full node: honest ones log that its verdict is false, it stops counting, receipts stay
    witnessed.
    """
    at = _receipt(fleet)
    liar = fleet.network.full_nodes[3]
    fleet.network.add(fleet.network.verdict(liar, at, "bad_signature"))
    await fleet.settle()
    replica = fleet.nodes[HOSTS[0]].replica
    assert replica.standing(at).state is None
    assert replica.registry.members[liar.address].faults
    assert fleet.log.witnessed() == fleet.network.tree.size


async def test_one_dead_full_node_changes_nothing(fleet: Fleet) -> None:
    """Three of four are the quorum."""
    fleet.kill(HOSTS[2])
    _receipt(fleet)
    assert await fleet.settle() == fleet.network.tree.size


async def test_with_two_dead_nothing_is_witnessed(fleet: Fleet) -> None:
    """Two of four are not; what was witnessed before stays."""
    fleet.kill(HOSTS[1])
    fleet.kill(HOSTS[2])
    before = fleet.log.witnessed()
    _receipt(fleet)
    statuses = await fleet.log.round(HOSTS)
    assert sorted(statuses.values()) == [0, 0, 200, 200]
    assert fleet.log.cosigned is not None
    assert fleet.log.witnessed() in (0, before)


async def test_a_forked_log_is_refused_for_ever(fleet: Fleet) -> None:
    """A log that signs a second history of one size is never cosigned again, and everybody can see why."""
    _receipt(fleet)
    await fleet.settle()
    other = _branch(fleet, len(fleet.network.leaves) - 1)
    other.add(other.receipt_entry(other.nodes[1]))
    liar = MemoryLog(other, fleet.pool)
    liar.known = dict.fromkeys(HOSTS, other.tree.size)
    assert set((await liar.round(HOSTS)).values()) == {422}
    for node in fleet.nodes.values():
        assert (node.health.state, node.health.reason) == ("refusing", "log_fork")
        assert (await node.status()).reason == "log_fork"
    honest = MemoryLog(fleet.network, fleet.pool)
    _receipt(fleet)
    assert set((await honest.round(HOSTS)).values()) == {503}


def _branch(fleet: Fleet, size: int) -> LittleNetwork:
    """A network whose log has the fleet's first `size` leaves."""
    other = LittleNetwork(found=False)
    for party, known in zip(other.nodes, fleet.network.nodes, strict=True):
        party.bundle, party.configuration = known.bundle, known.configuration
    for data in fleet.network.leaves[:size]:
        other.add(data[8:], int.from_bytes(data[:8], "big"))
    return other


async def test_a_rollback_is_refused(fleet: Fleet) -> None:
    """A log that forgot its end gets no cosignature for the shorter history."""
    size = fleet.network.tree.size
    _receipt(fleet)
    await fleet.settle()
    liar = MemoryLog(_branch(fleet, size), fleet.pool)
    assert set((await liar.round(HOSTS)).values()) <= {400, 409}
    assert liar.witnessed() == 0


async def test_a_rewritten_entry_is_refused(fleet: Fleet) -> None:
    """A log that changed an old entry cannot prove consistency, so nobody cosigns."""
    other = LittleNetwork(found=False)
    for index, data in enumerate(fleet.network.leaves):
        time = int.from_bytes(data[:8], "big")
        other.add(data[8:], time - 1 if index == 0 else time)
    other.add(other.publication(msgspec.structs.replace(other.card, label="new")))
    liar = MemoryLog(other, fleet.pool)
    liar.known = dict.fromkeys(HOSTS, fleet.network.tree.size)
    assert set((await liar.round(HOSTS)).values()) == {422}
    assert all(node.health.state == "ready" for node in fleet.nodes.values())


@pytest.mark.parametrize("what", ["log_time_reversed", "log_duplicate_entry", "log_predecessor_absent"])
async def test_a_log_that_breaks_its_order_is_refused_for_ever(fleet: Fleet, what: str) -> None:
    """Time running backwards, an entry twice, a receipt before its predecessor: misbehaviour of the log."""
    net = fleet.network
    if what == "log_time_reversed":
        net.add(net.receipt_entry(net.nodes[0]), net.now - 1)
    elif what == "log_duplicate_entry":
        net.add(net.entry_bytes(3))
    else:
        net.receipt_entry(net.nodes[0])
        net.add(net.receipt_entry(net.nodes[0]))
    statuses = await fleet.log.round(HOSTS)
    assert set(statuses.values()) == {422}
    for node in fleet.nodes.values():
        assert (node.health.state, node.health.reason) == ("refusing", what)
    assert set((await fleet.log.round(HOSTS)).values()) == {503}


async def test_a_log_whose_time_is_ahead_waits(fleet: Fleet) -> None:
    """A log that dates entries into the future is not cosigned before that time has come."""
    net = fleet.network
    net.add(net.receipt_entry(net.nodes[0]), net.now + 120_000)
    assert set((await fleet.log.round(HOSTS)).values()) == {503}
    assert (await fleet.nodes[HOSTS[0]].status()).last_refusal == "log_time_ahead"
    net.tick(120_000)
    assert set((await fleet.log.round(HOSTS)).values()) == {200}


async def test_a_log_whose_time_stands_still_shows(fleet: Fleet) -> None:
    """A log that dates entries too early, so that evidence never ages, makes honest receipts fail visibly."""
    net = fleet.network
    stopped = net.now
    net.tick(3_600_000)
    at = net.add(net.receipt_entry(net.nodes[0]), stopped)
    await fleet.log.round(HOSTS)
    assert fleet.nodes[HOSTS[0]].replica.failures(at) == ("finished_in_future",)


async def test_leaves_that_do_not_have_the_signed_root_are_not_believed(fleet: Fleet) -> None:
    """A log that serves other leaves than it signed is not cosigned until it serves the right ones."""
    net = fleet.network
    _receipt(fleet)
    true = net.leaves[-1]
    net.leaves[-1] = leaf(net.now, net.receipt_entry(net.nodes[1]).encode())
    assert set((await fleet.log.round(HOSTS)).values()) == {503}
    net.leaves[-1] = true
    assert set((await fleet.log.round(HOSTS)).values()) == {200}


async def test_signatures_for_the_chain_are_for_cosigned_checkpoints_alone(fleet: Fleet) -> None:
    """A full node signs for the chain exactly what it cosigned: not another root, size, or log."""
    node, net = fleet.nodes[HOSTS[0]], fleet.network
    size, root = net.beacon()
    signature = await node.anchor_signature(net.genesis.origin, size, root)
    statement = AnchoredCheckpoint(net.genesis.network, sha256(net.genesis.origin.encode()), size, root)
    assert recover_statement(statement, net.genesis.chain_id, signature) == net.full_nodes[0].address
    with pytest.raises(Conflict):
        await node.anchor_signature(net.genesis.origin, size, bytes(32))
    with pytest.raises(NotFound):
        await node.anchor_signature(net.genesis.origin, size - 1, net.tree.root(size - 1))
    with pytest.raises(NotFound):
        await node.anchor_signature("other.test/log", size, root)


async def test_an_unregistered_full_node_does_not_cosign_what_it_cannot_object_to(fleet: Fleet) -> None:
    """A node that may not object yet waits for f+1 others, then cosigns."""
    party = Party("full node 4", Role.FULL_NODE)
    fifth = full_node(fleet.log, party)
    await fifth.start()
    fleet.add("fn4.test", fifth)
    _receipt(fleet, charged=1)
    assert await fleet.log.ask("fn4.test") == 503
    assert (await fifth.status()).last_refusal == "objections_impossible"
    await fleet.settle()
    assert await fleet.log.ask("fn4.test") == 200


async def test_a_fifth_copies_and_catches_up_from_a_peer(fleet: Fleet) -> None:
    """With the log's leaves out of reach, a new full node takes its copy from another one, judging all
    of it.
    """
    for _ in range(3):
        _receipt(fleet)
    await fleet.settle()
    fifth = full_node(fleet.log, Party("full node 4", Role.FULL_NODE), copy_from=f"http://{HOSTS[1]}")
    served, fleet.log.network.leaves = fleet.log.network.leaves, []
    await fifth.start()
    fleet.log.network.leaves = served
    assert fifth.store.size == fleet.network.tree.size
    assert fifth.replica.root() == fleet.network.tree.root()
    assert fifth.replica.registry == fleet.nodes[HOSTS[0]].replica.registry
    fleet.add("fn4.test", fifth)
    _receipt(fleet)
    assert await fleet.log.ask("fn4.test") == 200


async def test_a_mirror_that_lies_to_a_newcomer_is_not_believed(fleet: Fleet) -> None:
    """A peer that serves other leaves than its checkpoint's costs the newcomer nothing but the attempt."""
    original = fleet.nodes[HOSTS[1]].store.leaves

    async def lying(start: int, end: int) -> list[bytes]:
        return [bytes(40) for _ in await original(start, end)]

    fleet.nodes[HOSTS[1]].store.leaves = lying  # type: ignore[method-assign]
    fifth = full_node(fleet.log, Party("full node 4", Role.FULL_NODE), copy_from=f"http://{HOSTS[1]}")
    fleet.pool.unmount("log.test")
    await fifth.start()
    assert fifth.replica.size == 0
    assert fifth.health.state == "ready"


def _plain(registry: Registry) -> dict[str, object]:
    fields = {name: getattr(registry, name) for name in registry.__struct_fields__}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}


async def test_a_restart_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    """After a restart a full node knows what it knew without judging again what it judged before its fold was
    last kept; it cosigns on, and still refuses a log that lied.
    """
    fleet = Fleet()
    net, url = fleet.network, f"sqlite:///{tmp_path}/fullnode.db"
    node = full_node(fleet.log, net.full_nodes[0], database=url)
    await node.start()
    fleet.add("fn0.test", node)
    at = _receipt(fleet, charged=1)
    for author in net.full_nodes[1:3]:
        net.add(net.verdict(author, at, "payment_record_absent"))
    assert await fleet.log.ask("fn0.test") == 200
    registry, checkpoint = _plain(node.replica.registry), node.checkpoint()
    kept = node.replica.kept_size
    fleet.close()

    again = full_node(fleet.log, net.full_nodes[0], database=url)
    with pytest.raises(Unavailable):
        await again.add_checkpoint(fleet.log.request(net.tree.size))
    await again.start()
    fleet.add("fn0.test", again)
    assert _plain(again.replica.registry) == registry
    assert again.judged == net.tree.size - kept < 4
    assert again.checkpoint() == checkpoint
    size, root = net.beacon()
    assert await again.anchor_signature(net.genesis.origin, size, root)
    net.add(net.entry_bytes(3))
    assert await fleet.log.ask("fn0.test") == 422
    fleet.close()

    third = full_node(fleet.log, net.full_nodes[0], database=url)
    await third.start()
    assert (third.health.state, third.health.reason) == ("refusing", "log_duplicate_entry")
    third.database.close()  # type: ignore[attr-defined]


async def test_what_is_owed_survives_a_log_that_is_down(fleet: Fleet) -> None:
    """Verdicts that could not be submitted are submitted later; nothing is cosigned meanwhile."""
    at = _receipt(fleet, charged=1)
    await fleet.log.round(HOSTS)
    fleet.kill("log.test")
    node = fleet.nodes[HOSTS[0]]
    with contextlib.suppress(Unavailable):  # it may be this node's turn at once
        await node.duties.perform()
    fleet.network.tick(len(HOSTS) * TURN_MS)
    with pytest.raises(Unavailable):
        await node.duties.perform()
    fleet.pool.mount("log.test", fleet.log.app)
    assert await fleet.settle() == fleet.network.tree.size
    assert node.replica.standing(at).state is State.FAILED


@pytest.mark.parametrize("error", [Conflict, RateLimited], ids=["for good", "for now"])
async def test_what_the_log_refuses_for_good_holds_up_nothing(
    fleet: Fleet, error: type[HallmarkError]
) -> None:
    """A verdict that it will never take is let go, and not called submitted; over a quota it stays, with the
    log's own time to come again.
    """
    _receipt(fleet, charged=1)
    await fleet.log.round(HOSTS)
    node = fleet.nodes[HOSTS[0]]
    tried = 0

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal tried
        tried += 1
        made = RateLimited("quota_used", "Later.", 7) if error is RateLimited else Conflict("gone", "No.")
        await respond_error(send, made)

    fleet.pool.mount("log.test", refusing)
    with contextlib.suppress(Unavailable):  # it may be this node's turn at once
        await node.duties.perform()
    fleet.network.tick(len(HOSTS) * TURN_MS)
    before = tried
    if error is RateLimited:
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                await node.duties.perform()
            assert caught.value.retry_after == "7"
        assert tried == before + 2
    else:
        await node.duties.perform()
        await node.duties.perform()
        assert tried == 1


async def test_the_mirror_serves_what_was_checked(fleet: Fleet) -> None:
    """Tiles, bundles, leaves and checkpoint of a full node are those of the log that it cosigned."""
    net = fleet.network
    size = net.tree.size
    bundle = TileName(None, 0, size).path
    for path in (f"/{bundle}", f"/leaves?start=0&end={size}"):
        async with fleet.pool.request("GET", f"http://{HOSTS[0]}{path}") as response:
            assert decode_bundle(await response.read()) == net.leaves
    async with fleet.pool.request("GET", f"http://{HOSTS[0]}/{TileName(0, 0, size).path}") as response:
        assert await response.read() == b"".join(net.tree.leaf(index) for index in range(size))
    async with fleet.pool.request("GET", f"http://{HOSTS[0]}/checkpoint") as response:
        assert str(size).encode() in (await response.read()).split(b"\n")
    async with fleet.pool.request("GET", f"http://{HOSTS[0]}/tile/entries/009") as response:
        assert response.status == 404


async def test_bad_requests_have_reasons(fleet: Fleet) -> None:
    """Nonsense on every path answers a reason code, not a stack trace."""
    for method, path, body, status in (
        ("POST", "/add-checkpoint", b"nonsense", 400),
        ("POST", "/anchor-signature", b"[]", 400),
        ("POST", "/anchor-signature", b'{"origin":"x","size":1,"root":"0x00"}', 400),
        ("POST", "/hallmark/leaves?start=0", b"", 404),
        ("POST", "/hallmark/add-checkpoint", b"\xff\xff", 400),
        ("GET", "/tile/0/zzz", b"", 400),
        ("GET", "/leaves?start=99999", b"", 404),
        ("GET", "/nothing", b"", 404),
    ):
        async with fleet.pool.request(method, f"http://{HOSTS[0]}{path}", (), body) as response:
            assert (path, response.status) == (path, status)
