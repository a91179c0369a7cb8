"""Committees: whose shards, and which sliver is where."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.core.errors import InvalidInput
from hallmark.hub.committee import even_shards, read_committee, rotation
from hallmark.testing.committees import committee_file, committee_of

URLS = [f"http://127.0.0.1:{port}" for port in (1, 2, 3, 4)]


def test_every_pair_has_one_node() -> None:
    """Whatever the blob: each pair is kept once, by the node that `owner` names."""
    committee = committee_of(7, shards=1000)
    assert [node.weight for node in committee.nodes] == [142, 143, 143, 143, 143, 143, 143]
    for identifier in (bytes(32), b"\xff" * 32, bytes(range(32))):
        kept = [committee.pairs(identifier, node) for node in range(7)]
        assert sorted(pair for pairs in kept for pair in pairs) == list(range(1000))
        assert all(committee.owner(identifier, pair) == node for node in range(7) for pair in kept[node])


@pytest.mark.parametrize(
    ("shards", "number", "pair", "shard"), [(7, 15, 0, 1), (7, 15, 5, 6), (7, 15, 6, 0), (7, 16, 5, 0)]
)
def test_rotation_is_walrus_own(shards: int, number: int, pair: int, shard: int) -> None:
    """The examples of Walrus's own tests: a blob ID is a big-endian number."""
    assert (pair + rotation(number.to_bytes(32, "big"), shards)) % shards == shard


def test_a_quorum_is_more_than_two_thirds() -> None:
    """667 of 1000, 15 of 22, 3 of 4."""
    assert [committee_of(4, shards=shards).quorum for shards in (1000, 22, 4)] == [667, 15, 3]


def test_a_third_of_the_nodes_is_never_a_source_of_all_rows() -> None:
    """With rotation another node has the first row of another blob."""
    committee = committee_of(4, shards=1000)
    first = {committee.owner(number.to_bytes(32, "big"), 0) for number in range(0, 1000, 100)}
    assert first == {0, 1, 2, 3}


def test_even_shards_are_even() -> None:
    """No node has more than one shard more than another, and none is left."""
    for nodes in (1, 3, 7, 1000):
        weights = [sum(count for _, count in runs) for runs in even_shards(nodes)]
        assert sum(weights) == 1000
        assert max(weights) - min(weights) <= 1


def changed(**members: Any) -> bytes:
    """A committee file with other members; `node` changes the first node's."""
    file = msgspec.to_builtins(committee_file(URLS, shards=22))
    file["nodes"][0].update(members.pop("node", {}))
    return msgspec.json.encode({**file, **members})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 5_000,
        changed(format="hallmark.committee/2"),
        changed(epoch=-1),
        changed(epoch=1 << 32),
        changed(shards=3),
        changed(shards=1001),
        changed(nodes=[]),
        changed(more=1),
        changed(shards=23),
        changed(node={"name": "node-1"}),
        changed(node={"name": ""}),
        changed(node={"url": "ftp://host"}),
        changed(node={"url": "http://[::1"}),
        changed(node={"url": "http://host/?x=1"}),
        changed(node={"shards": []}),
        changed(node={"shards": [[0, 6]]}),
        changed(node={"shards": [[0, 5], [4, 1]]}),
        changed(node={"shards": [[-1, 6]]}),
        changed(node={"shards": [[0, 0]]}),
        changed(node={"shards": [[0, 23]]}),
        changed(node={"key": "0x" + "00" * 48}),
        changed(node={"key": "0xc0" + "00" * 47}),
        changed(node={"proof": "0x"}),
        changed(
            node=msgspec.to_builtins(committee_file(URLS, shards=22).nodes[1])
            | {"name": "x", "shards": [[0, 5]]}
        ),
    ],
)
def test_what_is_no_committee_is_refused(data: bytes) -> None:
    """Each with one reason, whatever is wrong."""
    with pytest.raises(InvalidInput) as error:
        read_committee(data)
    assert error.value.reason == "bad_committee"


def test_a_key_needs_its_own_proof() -> None:
    """A key that was made of others' keys cannot be proved, so it cannot sign in their name."""
    nodes = committee_file(URLS, shards=22).nodes
    with pytest.raises(InvalidInput):
        read_committee(changed(node={"proof": nodes[1].proof}))
    assert read_committee(changed()).by_name == {f"node-{index}": index for index in range(4)}
