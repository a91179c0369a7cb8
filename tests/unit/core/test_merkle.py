"""Merkle trees against the definition of RFC 6962, for every size up to 300."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from hallmark.core import merkle
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.ledger.tree import Tree, partial_widths

SIZES = 300
LEAVES = [bytes((i % 251, i // 251)) * (i % 5) for i in range(SIZES)]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]

# RFC 6962's reference inputs and roots, as published with Certificate Transparency.
REFERENCE = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
REFERENCE_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def mth(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash, written down from RFC 6962 section 2.1 without any of our code."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def tree_of(count: int) -> Tree:
    """A tree of the first leaves, grown in uneven steps."""
    tree, full = Tree(lambda level, index: tiles[level, index]), []
    tiles: dict[tuple[int, int], bytes] = {}
    at = 0
    while at < count:
        step = min(count - at, 1 + at % 7)
        edge, full = tree.stage(HASHES[at : at + step])
        tiles.update({(t.level, t.index): t.hashes for t in full})
        tree.adopt(edge)
        at += step
    return tree


ROOTS = [mth(LEAVES[:n]) for n in range(SIZES + 1)]
TREE = tree_of(SIZES)


def test_reference_roots() -> None:
    """The published inputs of RFC 6962 give the published roots."""
    leaves = [merkle.leaf_hash(bytes.fromhex(text)) for text in REFERENCE]
    for size, expected in REFERENCE_ROOTS.items():
        assert merkle.root(leaves[:size]).hex() == expected


def test_published_consistency_proof() -> None:
    """The published proof from size 6 to 8 is what we make, and it verifies."""
    leaves = [merkle.leaf_hash(bytes.fromhex(text)) for text in REFERENCE]
    tree = Tree(lambda level, index: b"")
    tree.adopt(tree.stage(leaves)[0])
    proof = tree.consistency_proof(6, 8)
    assert [step.hex()[:16] for step in proof] == ["0ebc5d3437fbe2db", "ca854ea128ed050b", "d37ee418976dd957"]
    merkle.verify_consistency(6, 8, proof, old_root=tree.root(6), new_root=tree.root(8))


def test_every_root_up_to_300() -> None:
    """Compact range, stored tree and the definition agree on every size."""
    grown = merkle.CompactRange()
    for size in range(SIZES + 1):
        assert grown.root() == TREE.root(size) == merkle.root(HASHES[:size]) == ROOTS[size]
        if size < SIZES:
            grown.append(HASHES[size])


def test_every_inclusion_proof_up_to_300() -> None:
    """Every leaf of every size has a proof that verifies, and none that verifies for its neighbour."""
    for size in range(1, SIZES + 1):
        for index in range(size) if size < 130 or size % 37 == 0 else {0, size // 2, size - 1}:
            proof = TREE.inclusion_proof(index, size)
            merkle.verify_inclusion(HASHES[index], index, size, proof, ROOTS[size])
            if size > 1:
                with pytest.raises(VerificationFailed):
                    merkle.verify_inclusion(HASHES[index], index ^ 1, size, proof, ROOTS[size])


def test_every_consistency_proof_up_to_300() -> None:
    """Every pair of sizes has a proof that verifies, and fails for another old root."""
    for new in range(SIZES + 1):
        for old in range(new + 1) if new < 130 or new % 37 == 0 else {0, 1, new // 2, new - 1, new}:
            proof = TREE.consistency_proof(old, new)
            merkle.verify_consistency(old, new, proof, old_root=ROOTS[old], new_root=ROOTS[new])
            with pytest.raises(VerificationFailed):
                merkle.verify_consistency(old, new, proof, old_root=bytes(32), new_root=ROOTS[new])


def test_damaged_proofs_fail() -> None:
    """A changed, dropped, added or swapped step never verifies."""
    rng = random.Random(7)
    for _ in range(2000):
        size = rng.randrange(2, SIZES + 1)
        index, old = rng.randrange(size), rng.randrange(1, size)
        inclusion = damaged(TREE.inclusion_proof(index, size), rng)
        with pytest.raises(VerificationFailed):
            merkle.verify_inclusion(HASHES[index], index, size, inclusion, ROOTS[size])
        consistency = damaged(TREE.consistency_proof(old, size), rng)
        with pytest.raises(VerificationFailed):
            merkle.verify_consistency(old, size, consistency, old_root=ROOTS[old], new_root=ROOTS[size])


def damaged(proof: tuple[bytes, ...], rng: random.Random) -> list[bytes]:
    """A proof with one step changed, dropped or added."""
    steps, at = list(proof), rng.randrange(len(proof))
    how = rng.randrange(3)
    if how == 0:
        steps[at] = bytes((steps[at][0] ^ 1,)) + steps[at][1:]
    elif how == 1:
        del steps[at]
    else:
        steps.insert(at, rng.randbytes(32))
    return steps


def test_huge_sizes_and_lengths_are_refused() -> None:
    """Numbers far out of range raise a reason code, they neither hang nor overflow."""
    for size, count in ((1 << 62, 0), (1 << 62, 63), (2, 65), (3, 1000)):
        with pytest.raises(VerificationFailed):
            merkle.verify_inclusion(HASHES[0], 1, size, [bytes(32)] * count, bytes(32))
        with pytest.raises(VerificationFailed):
            merkle.verify_consistency(1, size, [bytes(32)] * count, old_root=HASHES[0], new_root=bytes(32))


def test_empty_tree_has_one_root() -> None:
    """Size 0 is consistent with everything, but only under the empty tree's root."""
    merkle.verify_consistency(0, 5, (), old_root=merkle.EMPTY_ROOT, new_root=ROOTS[5])
    for old_root, new, new_root in ((bytes(32), 5, ROOTS[5]), (merkle.EMPTY_ROOT, 0, bytes(32))):
        with pytest.raises(VerificationFailed) as caught:
            merkle.verify_consistency(0, new, (), old_root=old_root, new_root=new_root)
        assert caught.value.reason == "empty_root"


def test_out_of_range_requests() -> None:
    """Proofs of what is not there are refused."""
    for make in (
        lambda: TREE.inclusion_proof(5, 5),
        lambda: TREE.inclusion_proof(0, SIZES + 1),
        lambda: TREE.consistency_proof(6, 5),
        lambda: TREE.root(SIZES + 1),
        lambda: merkle.CompactRange(3, [bytes(32)]),
    ):
        with pytest.raises(InvalidInput):
            make()


def test_large_tree_from_tiles() -> None:
    """A tree of 70,000 leaves answers from its full tiles, also after a restart, with a tiny cache."""
    hashes = [merkle.leaf_hash(i.to_bytes(4, "big")) for i in range(70_000)]
    tiles: dict[tuple[int, int], bytes] = {}
    roots: dict[tuple[int, int], bytes] = {}
    tree = Tree(lambda level, index: tiles[level, index], cached_tiles=2)
    for at in range(0, len(hashes), 999):
        edge, full = tree.stage(hashes[at : at + 999])
        tiles.update({(t.level, t.index): t.hashes for t in full})
        roots.update({(t.level, t.index): t.root for t in full})
        tree.adopt(edge)
    assert (sum(1 for level, _ in tiles if level == 0), sum(1 for level, _ in tiles if level == 1)) == (
        273,
        1,
    )
    assert partial_widths(70_000) == [112, 17, 1]
    whole = merkle.CompactRange()
    whole.extend(hashes)
    again = Tree(lambda level, index: tiles[level, index], cached_tiles=2)
    again.restore(70_000, [hashes[69_888:], [roots[0, i] for i in range(256, 273)], [roots[1, 0]]])
    for one in (tree, again):
        assert one.root() == whole.root()
        assert one.root(65_536) == roots[1, 0]
        for index in (0, 255, 256, 40_000, 65_535, 65_536, 69_999):
            merkle.verify_inclusion(
                hashes[index], index, 70_000, one.inclusion_proof(index, 70_000), one.root()
            )
        for old in (1, 256, 65_535, 65_536, 69_120, 69_999):
            proof = one.consistency_proof(old, 70_000)
            merkle.verify_consistency(old, 70_000, proof, old_root=one.root(old), new_root=one.root())
    again.adopt(again.stage([HASHES[0]])[0])
    tree.adopt(tree.stage([HASHES[0]])[0])
    assert again.root() == tree.root()


def test_staging_changes_nothing() -> None:
    """What was staged and not adopted leaves the tree as it was."""
    tree = tree_of(260)
    tree.stage(HASHES[:200])
    assert (tree.size, tree.root()) == (260, ROOTS[260])
    with pytest.raises(HallmarkError):
        tree.root(261)
