"""The replica's own Merkle tree."""

from __future__ import annotations

import hashlib

import pytest

from hallmark.core import merkle
from hallmark.core.merkle import leaf_hash
from hallmark.verification.tree import Tree, root_of


def test_roots_agree_with_the_ledger_at_every_size() -> None:
    """The root at each size is what the ledger's own tree computes, also after later appends."""
    leaves = [bytes([i]) * (i % 5) for i in range(70)]
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf_hash(leaf))
    for size in range(len(leaves) + 1):
        assert tree.root(size) == merkle.root([merkle.leaf_hash(leaf) for leaf in leaves[:size]])
    assert root_of(leaves) == tree.root()


def test_empty_tree_has_the_hash_of_nothing() -> None:
    """RFC 6962: the root of no leaves is SHA-256 of the empty string."""
    assert Tree().root() == hashlib.sha256().digest() == root_of([])


def test_sizes_past_the_end_are_refused() -> None:
    """A root or leaf that is not there raises."""
    tree = Tree()
    tree.append(bytes(32))
    with pytest.raises(IndexError):
        tree.root(2)
    with pytest.raises(IndexError):
        tree.leaf(1)
