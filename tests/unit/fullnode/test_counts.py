"""What a checkpoint costs a full node, counted: one transaction whatever it adds, and for each receipt every
check, once, however it came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hallmark.ledger.tiles import encode_bundle
from hallmark.services.fullnode.node import FullNode
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.testing.fullnodes import Fleet, full_node
from hallmark.verification import fold, receipt_checks
from hallmark.verification.judged_receipt import JudgedReceipt

CHECKS = (
    "form",
    "signature",
    "key",
    "bundle",
    "evidence",
    "mode",
    "sequence",
    "unseen",
    "beacon",
    "artifact",
    "label",
    "route",
    "ticket",
    "candidates",
    "sealed",
    "times",
    "payment",
)
"""Every check of a receipt; one may be added, none taken away."""
RECEIPTS = 7


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Four started full nodes that have cosigned the founding entries."""
    fleet = await Fleet().start()
    assert await fleet.settle() == fleet.network.tree.size
    yield fleet
    fleet.close()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, str]]:
    """How often each check ran on the entry at each position, over all full nodes."""
    found: Counter[tuple[int, str]] = Counter()

    def counting(name: str, rule: receipt_checks.Rule[JudgedReceipt]) -> receipt_checks.Rule[JudgedReceipt]:
        def check(case: JudgedReceipt) -> str:
            found[case.index, name] += 1
            return rule[1](case)

        return name, check

    rules = tuple(counting(rule[0], rule) for rule in receipt_checks.RECEIPT_RULES)
    monkeypatch.setattr(fold, "RECEIPT_RULES", rules)
    return found


def database_of(node: FullNode) -> RawDatabase:
    """The database that a test's full node was opened on."""
    held: RawDatabase = node.database  # type: ignore[attr-defined]
    return held


def _add(fleet: Fleet, count: int) -> list[int]:
    network = fleet.network
    entries = [network.receipt_entry(network.nodes[number % 2]) for number in range(count)]
    return [network.add(entry) for entry in entries]


@pytest.mark.parametrize("batched", [False, True], ids=["one a checkpoint", "all in one"])
async def test_every_check_runs_once_for_each_receipt_and_full_node(
    fleet: Fleet, counted: Counter[tuple[int, str]], batched: bool
) -> None:
    """No check is left out or shared, whether receipts come one by one or many under one checkpoint."""
    places = []
    for count in [RECEIPTS] if batched else [1] * RECEIPTS:
        places += _add(fleet, count)
        await fleet.log.round(list(fleet.nodes))
    assert fleet.log.witnessed() == fleet.network.tree.size
    assert counted == {(at, name): len(fleet.nodes) for at in places for name in CHECKS}


@pytest.mark.parametrize("count", [1, RECEIPTS])
@pytest.mark.parametrize("pushed", [False, True], ids=["fetched", "pushed"])
async def test_a_checkpoint_is_one_transaction(fleet: Fleet, count: int, pushed: bool) -> None:
    """Leaves, tiles, the witness's state and the note become durable together, however many there are."""
    old = fleet.network.tree.size
    _add(fleet, count)
    for node in fleet.nodes.values():
        before = database_of(node).commits
        bundle = encode_bundle(fleet.network.leaves[old:]) if pushed else b""
        await node.add_checkpoint(fleet.log.request(old), bundle)
        assert database_of(node).commits == before + 1
        assert node.store.size == fleet.network.tree.size


async def test_what_is_known_already_takes_no_transaction(fleet: Fleet) -> None:
    """A checkpoint that was cosigned before is cosigned again without writing anything."""
    (node, *_) = fleet.nodes.values()
    before = database_of(node).commits
    await node.add_checkpoint(fleet.log.request(fleet.network.tree.size))
    assert database_of(node).commits == before


async def test_a_cosignature_is_given_only_after_its_checkpoint_is_durable(
    fleet: Fleet, tmp_path: Path
) -> None:
    """When the answer comes, another connection to the file finds the leaves, the state and the note."""
    url = f"sqlite:///{tmp_path}/node.db"
    node = full_node(fleet.log, fleet.network.full_nodes[0], database=url)
    await node.start()
    await node.add_checkpoint(fleet.log.request(0))
    _add(fleet, 1)
    size = fleet.network.tree.size
    line = await node.add_checkpoint(fleet.log.request(size - 1))

    def found(transaction: Transaction) -> list[object]:
        return [
            transaction.fetch("SELECT count(*) FROM log_leaves")[0][0],
            transaction.fetch("SELECT size FROM witness_state")[0][0],
            line in transaction.fetch("SELECT note FROM fullnode_cosigned WHERE size = ?", (size,))[0][0],
        ]

    other = RawDatabase(url)
    assert other.read(found) == [size, size, True]
    other.close()
    database_of(node).close()
