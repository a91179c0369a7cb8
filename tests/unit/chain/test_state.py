"""The development chain's state file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hallmark.services.chain.state import Restored, prepare_state, trim


def state(blocks: int) -> dict[str, Any]:
    """A state as anvil dumps it, blocks in any order, one transaction each."""
    return {
        "accounts": {"0x01": {"storage": {"0x0": "0x1"}}},
        "best_block_number": blocks - 1,
        "blocks": [{"header": {"number": hex(n)}} for n in reversed(range(blocks))],
        "transactions": [{"block_number": n} for n in range(blocks)],
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state would be."""
    return tmp_path / "state.json"


def test_first_start_is_fresh(path: Path) -> None:
    """Without a file there is nothing to restore."""
    assert prepare_state(path) is Restored.FRESH
    assert not path.exists()


def test_good_state_is_kept_and_trimmed(path: Path) -> None:
    """A good file stays, without its oldest blocks and their transactions; accounts are untouched."""
    path.write_text(json.dumps(state(10)))
    assert prepare_state(path, keep=3) is Restored.WHOLE
    kept = json.loads(path.read_text())
    assert [block["header"]["number"] for block in kept["blocks"]] == ["0x7", "0x8", "0x9"]
    assert [t["block_number"] for t in kept["transactions"]] == [7, 8, 9]
    assert kept["accounts"] == state(10)["accounts"]
    assert path.with_suffix(".good").read_text() == path.read_text()


def test_trimming_twice_changes_nothing() -> None:
    """Trimming is idempotent."""
    once = trim(state(10), 4)
    assert trim(once, 4) == once


@pytest.mark.parametrize("damage", ["", "{", '{"blocks": []}', '{"blocks": [1], "transactions": []}', "\xff"])
def test_damaged_state_is_replaced_by_the_last_good_one(damage: str, path: Path) -> None:
    """Half a file is set aside, and the copy of the last good start takes its place."""
    path.write_text(json.dumps(state(5)))
    prepare_state(path)
    path.write_text(damage)
    assert prepare_state(path) is Restored.EARLIER
    assert len(json.loads(path.read_text())["blocks"]) == 5
    assert path.with_suffix(".damaged").read_text() == damage


def test_missing_state_with_a_copy_is_restored(path: Path) -> None:
    """A file that vanished comes back from the copy."""
    path.write_text(json.dumps(state(5)))
    prepare_state(path)
    path.unlink()
    assert prepare_state(path) is Restored.EARLIER
    assert path.exists()


def test_everything_damaged_starts_anew(path: Path) -> None:
    """When the copy is damaged too, the chain starts from nothing and says so."""
    path.write_text("{")
    path.with_suffix(".good").write_text("{")
    assert prepare_state(path) is Restored.LOST
    assert not path.exists()
    assert prepare_state(path) is Restored.FRESH
