"""The folded log by one set of rules on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from hallmark.services.following.fold_store import FoldIndex, FoldKeeper
from hallmark.store.raw import RawDatabase
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.fold import Replica
from hallmark.verification.fold_state import CORE
from hallmark.verification.tables import Changes


async def test_rows_come_back_as_they_were_put(opened: Callable[[], RawDatabase]) -> None:
    """By either kind of key, replaced, in order over pages, and gone when it is begun anew."""
    index = FoldIndex(opened())
    index.write(
        Changes(1, {"tiles": {at: bytes([at % 256]) for at in range(1_200)}, "seen": {b"\xff": b"1"}})
    )
    index.write(Changes(2, {"tiles": {3: b"new", 2**62: b"far"}, "seen": {b"\0": b"0"}}))
    again = FoldIndex(opened())
    assert (again.get("tiles", 3), again.get("tiles", 5_000)) == (b"new", None)
    assert again.many("seen", (b"\0", b"?")) == {b"\0": b"0"}
    rows = list(again.rows("tiles"))
    assert (len(rows), rows[3], rows[-1]) == (1_201, (3, b"new"), (2**62, b"far"))
    assert list(again.rows("seen")) == [(b"\0", b"0"), (b"\xff", b"1")]
    again.write(Changes(3, {CORE: {b"head": b"1"}}, anew=True))
    assert (list(again.rows("tiles")), again.get(CORE, b"head")) == ([], b"1")
    again.distrust()
    assert FoldIndex(opened()).get(CORE, b"head") is None


async def test_a_fold_goes_on_over_restarts(opened: Callable[[], RawDatabase]) -> None:
    """Whatever each process fed, the last one stands where one that never stopped would."""
    net = LittleNetwork()
    for number in range(20):
        net.add(net.receipt_entry(net.nodes[number % 2], charged=number % 7 == 6))
    for end in (5, 6, 13, len(net.leaves)):
        replica = Replica(net.genesis, verify_stub_evidence)
        keeper = FoldKeeper(replica, FoldIndex(opened()), every=3)
        keeper.resume(net.has)
        for at in range(replica.size, end):
            replica.feed(at, net.leaves[at])
            await keeper.keep()
    whole = net.replica()
    assert replica.root() == whole.root()
    assert dict(replica.judgements.failed) == dict(whole.judgements.failed)
    assert replica.registry.members == whole.registry.members
    assert dict(replica.registry.links) == dict(whole.registry.links)
