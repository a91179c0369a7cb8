"""A full node says of an artifact what a process that ends has computed of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hallmark.core.blob_ids import parse_blob_text
from hallmark.services.fullnode.artifacts import HeldArtifacts, identify

HELLO = "VCHdU3RHtQVBYAI3c30jDhM8PNvrgv7OVxIb8eW6Ih4"
"""The published blob ID of `hello` (see tests/unit/hub/test_walrus.py)."""


def test_what_is_held_is_compared(tmp_path: Path) -> None:
    """Blob ID and size of a held artifact are known after reading; nothing is said of any other."""
    (tmp_path / "one.tar").write_bytes(b"hello")
    (tmp_path / "other.txt").write_bytes(b"other")
    held = HeldArtifacts([str(tmp_path), str(tmp_path / "absent.tar")], str(tmp_path / "cache.json"))
    digest, name = hashlib.sha256(b"hello").digest(), parse_blob_text(HELLO)
    assert held.check(name, digest, 5) is None
    held.read()
    assert held.check(name, digest, 5) == ""
    assert held.check(bytes(32), digest, 5) == "artifact_content"
    assert held.check(name, digest, 6) == "artifact_content"
    assert held.check(bytes(32), hashlib.sha256(b"other").digest(), 5) is None
    assert (tmp_path / "cache.json").exists()


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """A file that is missing is not held, and somebody is told."""
    assert identify([str(tmp_path / "absent.tar")], "").unreadable == 1
