"""A fold that is kept and taken up again is the fold that never stopped."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.core.document import Document, digest_of, hex0x
from hallmark.core.documents import KeyBundle
from hallmark.core.hashing import sha256
from hallmark.core.merkle import leaf_hash
from hallmark.core.receipt import Mode
from hallmark.core.statements import Role, Said
from hallmark.core.tokens import TokenSpend
from hallmark.crypto.secp256k1 import Key as Signer
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.outcomes import outcome
from hallmark.testing.payments import (
    issuer_epoch,
    keys_of_issuer,
    offer,
    paid_receipt,
    price_offer,
    token_answer,
)
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.testing.tokens import tokens_of
from hallmark.verification.fold import Replica
from hallmark.verification.fold_state import FoldState
from hallmark.verification.outcome import Check
from hallmark.verification.snapshot import HEAD, STATED, Head, Stated, packed_row, unpacked_row
from hallmark.verification.tables import Changes, Index, Key, MemoryIndex, StateUnavailable
from hallmark.verification.tree import Tree


@functools.cache
def _network() -> LittleNetwork:
    """A log with entries of every kind, some of which do not hold, and with verdicts and faults on them."""
    net = LittleNetwork()
    net.register(net.reviewers[0])
    node, other = net.nodes[0], net.nodes[1]
    good = net.add(net.receipt_entry(node))
    bad = net.add(net.receipt_entry(node, charged=1))
    net.add(price_offer(net, offer(net)))
    for number in range(2):
        net.add(paid_receipt(net, offer(net), nonce=bytes([number]) * 32))
    net.register(net.issuer)
    net.add(issuer_epoch(net, keys_of_issuer(net)))
    for value in range(2):
        spend = TokenSpend.of(keys_of_issuer(net).digest(), tokens_of(keys_of_issuer(net), 2 + value))
        net.add(token_answer(net, offer(net), keys_of_issuer(net), spend).entry)
    net.add(net.review(net.reviewers[0], good))
    for said in (Said.WRONG, Said.RIGHT):
        net.add(outcome(net, Signer(b"\x51" * 32), good, said))
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, bad, "payment_record_absent"))
    lie = net.add(net.verdict(net.full_nodes[1], good, "bad_signature"))
    for author in (net.full_nodes[0], net.full_nodes[2]):
        net.add(net.fault(author, net.full_nodes[1].address, "refuted_verdict", lie, lie))
    firsts = [net.add(net.receipt_entry(other, advance=advance)) for advance in (False, True)]
    net.add(net.fault(net.full_nodes[0], other.address, "equivocation", *firsts))
    manifest = net.make_manifest("2", b"artifact 2", derived_from=hex0x(net.manifest.digest()))
    net.add(net.version(manifest))
    for _ in range(6):
        net.add(net.receipt_entry(node))
    net.add(net.receipt_entry(node, charged=1))
    measurement = msgspec.structs.replace(net.measurement, version="2")
    net.add(net.approval(measurement))
    net.add(net.revocation(measurement, net.tree.size))
    net.add(net.policy_entry("attestation", msgspec.structs.replace(net.attestation, version=2)))
    net.add(net.publication(msgspec.structs.replace(net.card, label="letters")))
    net.add(net.retirement(other))
    net.add(net.compromise(node, 3))
    return net


def _fresh(net: LittleNetwork) -> Replica:
    return Replica(net.genesis, verify_stub_evidence)


def _resumed(net: LittleNetwork, index: Index) -> Replica:
    replica = _fresh(net)
    replica.resume(index, net.has)
    return replica


def _keep(replica: Replica, index: Index) -> None:
    changes = replica.changes()
    index.write(changes)
    replica.kept(changes.size)


def _known(replica: Replica, author: bytes) -> dict[str, object]:
    """Everything that a replica has established."""
    registry, judgements = replica.registry, replica.judgements
    fields = {name: getattr(registry, name) for name in registry.__struct_fields__}
    fields |= {table.name: table for table in judgements.tables if table.name != "tiles"}
    fields = {name: dict(v) if isinstance(v, Mapping) else v for name, v in fields.items()}
    fields["roots"] = [replica.root(size) for size in range(replica.size + 1)]
    fields["leaves"] = [(replica.leaf_hash(at), replica.admitted(at)) for at in range(replica.size)]
    fields["standing"] = [replica.standing(at) for at in range(replica.size)]
    fields["order"] = [*registry.members], [*registry.approved]
    fields["due"] = replica.objections_due(author, replica.size), replica.faults_due(author)
    fields["attested"] = dict(replica.memory.attested)
    return fields


@functools.cache
def _whole() -> tuple[dict[str, object], tuple[tuple[Check, ...], ...]]:
    net, replica = _network(), _fresh(_network())
    checks = tuple(replica.feed(at, leaf) for at, leaf in enumerate(net.leaves))
    return _known(replica, net.full_nodes[2].address), checks


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=12))
@settings(max_examples=25, deadline=None)
def test_a_fold_with_restarts_is_the_fold(steps: Sequence[tuple[int, bool, bool]]) -> None:
    """Fed in pieces, kept or not after each, taken up again or not: the same checks, and the same state."""
    net, index = _network(), MemoryIndex()
    replica, (known, checks) = _resumed(net, index), _whole()
    for count, kept, again in (*steps, (len(net.leaves), True, True)):
        for at in range(replica.size, min(replica.size + count, len(net.leaves))):
            assert replica.feed(at, net.leaves[at]) == checks[at]
        if kept:
            _keep(replica, index)
        if again:
            replica = _resumed(net, index)
    for at in range(replica.size, len(net.leaves)):
        replica.feed(at, net.leaves[at])
    assert _known(replica, net.full_nodes[2].address) == known


@pytest.mark.parametrize("name", ["epoch", "mode", "capacity"])
def test_numbers_that_cannot_be_written_down_stop_nobody(name: str) -> None:
    """A registration whose bundle has a number of any size is refused, and the fold can still be kept."""
    net = LittleNetwork()
    party = Party("a new node", Role.NODE)
    sound = net.bundle(party, Mode.VANILLA)
    for number in (1 << 63, 1 << 64, 10**400, -1, -(1 << 63) - 1):
        # Such a bundle cannot be made any more: its bytes can.
        field = f'"{name}":{getattr(sound, name)}'.encode()
        party.bundle = sound
        whole = net.registration(party)
        data = whole.attachments[0].replace(field, f'"{name}":{number}'.encode())
        statement = msgspec.structs.replace(whole.statement, document=digest_of(KeyBundle, data))
        net.add(net.entry(statement, (party.key, party.owner), data, b""))
        replica = net.replica()
        assert "document_unreadable" in replica.failures(replica.size - 1)
        _keep(replica, MemoryIndex())


def test_documents_that_are_kept_have_bounded_numbers() -> None:
    """No document behind what statements established has a number without bounds, however deep."""
    assert _unbounded(msgspec.inspect.type_info(Stated), within=False) == []


def _unbounded(info: msgspec.inspect.Type, *, within: bool) -> list[str]:
    match info:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            inside = within or issubclass(cls, Document)
            found = [(field.name, _unbounded(field.type, within=inside)) for field in fields]
            return [f"{cls.__name__}.{name} {path}" for name, paths in found for path in paths]
        case msgspec.inspect.IntType(ge=ge, le=le):
            return ["int"] if within and (ge is None or le is None) else []
        case msgspec.inspect.UnionType(types=types):
            parts: tuple[msgspec.inspect.Type, ...] = types
        case msgspec.inspect.TupleType(item_types=items):
            parts = items
        case msgspec.inspect.CollectionType(item_type=item):
            parts = (item,)
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            parts = (key, value)
        case _:
            parts = ()
    return [path for part in parts for path in _unbounded(part, within=within)]


class _Counting(MemoryIndex):
    """Counts what is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def get(self, table: str, key: Key) -> bytes | None:
        self.read += 1
        return super().get(table, key)

    def many(self, table: str, keys: Sequence[Key]) -> dict[Key, bytes]:
        self.read += len(keys)
        return super().many(table, keys)


def test_taking_up_reads_two_rows_and_feeds_nothing() -> None:
    """However long the log is."""
    net, index = _network(), _Counting()
    replica = _resumed(net, index)
    for at, leaf in enumerate(net.leaves):
        replica.feed(at, leaf)
    _keep(replica, index)
    index.read = 0
    again = _fresh(net)
    assert again.resume(index, net.has)
    assert (again.size, again.root(), index.read) == (len(net.leaves), net.tree.root(), 2)


def test_what_cannot_be_trusted_is_begun_anew() -> None:
    """Another network, another version, a row that is not whole, another log, a log that is shorter."""
    net, index = _network(), MemoryIndex()
    replica = _resumed(net, index)
    for at, leaf in enumerate(net.leaves):
        replica.feed(at, leaf)
    _keep(replica, index)
    core = dict(index.tables["core"])
    head = unpacked_row(core[HEAD], Head)
    assert head is not None
    spoiled = [
        {**core, HEAD: packed_row(msgspec.structs.replace(head, network=bytes(32)))},
        {**core, HEAD: packed_row(msgspec.structs.replace(head, version=bytes(32)))},
        {**core, HEAD: packed_row(msgspec.structs.replace(head, edge=(bytes(32) * 5,)))},
        {**core, HEAD: core[HEAD][:-1]},
        {**core, STATED: core[STATED][:9] + b"?" + core[STATED][10:]},
        {**core, STATED: sha256(b"\xc1") + b"\xc1"},
        {HEAD: core[HEAD]},
        {},
    ]
    for rows in spoiled:
        index.tables["core"] = dict(rows)
        assert not _fresh(net).resume(index, net.has)
    index.tables["core"] = core
    again = _fresh(net)
    assert not again.resume(index, lambda size, root: False)
    assert again.size == 0
    again.feed(0, net.leaves[0])
    _keep(again, index)
    assert list(index.tables["tables" if "tables" in index.tables else "seen"]) == [sha256(net.leaves[0][8:])]


class _Broken(MemoryIndex):
    def get(self, table: str, key: Key) -> bytes | None:
        raise StateUnavailable("store_unavailable", "It does not answer.")


def test_a_row_that_cannot_be_looked_up_is_no_entrys_fault() -> None:
    """Feeding raises, nothing of the entry is applied, and it can be fed again."""
    net, index = _network(), MemoryIndex()
    replica = _resumed(net, index)
    broken = 0
    for at, leaf in enumerate(net.leaves):
        replica.feed(at, leaf)
        _keep(replica, index)
        if at + 1 == len(net.leaves):
            break
        lost = _Broken()
        lost.tables = index.tables
        other = _resumed(net, lost)
        try:
            other.feed(at + 1, net.leaves[at + 1])
        except StateUnavailable:
            broken += 1
            assert (other.size, other.bugs, other.root()) == (at + 1, 0, replica.root())
            changes = other.changes()
            assert list(changes.rows) == ["core"]
            head, before = (unpacked_row(rows["core"][HEAD], Head) for rows in (changes.rows, index.tables))
            assert head == before
    assert broken > 10


def test_what_could_not_be_written_is_still_known() -> None:
    """From the first write of a new fold on: the log is not blamed for a store that is full."""
    net, index = _network(), MemoryIndex()
    held, plain = _resumed(net, index), Replica(net.genesis, verify_stub_evidence)
    for at, leaf in enumerate(net.leaves):
        held.changes()
        assert plain.feed(at, leaf) == held.feed(at, leaf)
    assert held.root() == plain.root()
    _keep(held, index)
    assert _resumed(net, index).root() == plain.root()


def test_a_damaged_row_is_told_and_begun_anew() -> None:
    """Not judged by: whoever takes the fold up the next time folds the log again."""
    net, index = _network(), MemoryIndex()
    replica = _resumed(net, index)
    for at, leaf in enumerate(net.leaves):
        replica.feed(at, leaf)
    _keep(replica, index)
    again = _resumed(net, index)
    at = next(iter(index.tables["failed"]))
    index.tables["failed"][at] = b"\xc1"
    with pytest.raises(StateUnavailable) as caught:
        again.failures(int(at))
    assert caught.value.reason == "state_damaged"
    assert _resumed(net, index).size == 0


def _spoiled(row: bytes, at: int) -> bytes:
    return row[:at] + bytes([row[at] ^ 1]) + row[at + 1 :]


def test_no_row_is_believed_that_is_not_as_it_was_written() -> None:
    """Of any table: a bit that changed anywhere in it, a row that is cut, one that stands in another's place;
    of a dense table one that is gone.
    """
    net, index = _network(), MemoryIndex()
    replica = _resumed(net, index)
    for at, leaf in enumerate(net.leaves):
        replica.feed(at, leaf)
    for _ in range(600):
        replica.feed(net.add(net.receipt_entry(net.nodes[1])), net.leaves[-1])
    _keep(replica, index)
    whole = {name: dict(rows) for name, rows in index.tables.items()}
    looked = 0
    for table in FoldState().tables:
        rows = whole[table.name]
        first, last = min(rows), max(rows)  # type: ignore[type-var]  # of one kind
        spoiled: list[bytes | None] = [_spoiled(rows[last], at) for at in range(0, len(rows[last]), 7)]
        spoiled += [_spoiled(rows[last], -1), rows[last][:-1], b""]
        spoiled += [rows[first]] if first != last else []
        spoiled += [None] if table.name in ("tiles", "times") else []
        for row in spoiled:
            index.tables = {name: dict(kept) for name, kept in whole.items()}
            if row is None:
                del index.tables[table.name][last]
            else:
                index.tables[table.name][last] = row
            state = FoldState()
            assert state.restore(index, net.genesis.network, lambda size, root: True)
            (again,) = [t for t in state.tables if t.name == table.name]
            with pytest.raises(StateUnavailable) as caught:
                again[last]
            assert caught.value.reason == "state_damaged"
            assert _resumed(net, index).size == 0
            looked += 1
    assert looked > 100


def test_tiles_are_looked_up_when_they_are_old() -> None:
    """Roots, leaves and nodes of a tree whose tiles went out of memory are those of one that holds all."""
    index, held, kept = MemoryIndex(), Tree(), Tree()
    for at in range(70_000):
        for tree in (held, kept):
            tree.append(leaf_hash(at.to_bytes(4, "big")))
    index.write(Changes(70_000, {"tiles": kept.tiles.prepare()}))
    again = Tree()
    again.restore(70_000, kept.edge)
    again.tiles.attach(index, 70_000)
    for size in (0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, 70_000):
        assert again.root(size) == held.root(size)
    assert again.leaf(12_345) == held.leaf(12_345)
    assert again.node(16, 0) == held.node(16, 0)
    assert again.node(9, 3) == held.node(9, 3)
