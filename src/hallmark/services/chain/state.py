"""The development chain's state file: checked, trimmed and kept before each start of anvil.

Anvil writes its whole state as one JSON object in place, so a kill in the middle leaves half a file. It also
keeps every block for ever, at about 1.6 kB on disk and 20 to 190 kB in memory each. So before each start the
file is parsed; if it is damaged, the copy of the last good start takes its place (the chain lost its tail);
blocks older than the newest `KEEP_BLOCKS` are dropped with their transactions. Contract storage is untouched.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Any, Final

import msgspec

KEEP_BLOCKS: Final = 300


class Restored(enum.StrEnum):
    """What a start found."""

    FRESH = "fresh"
    WHOLE = "whole"
    EARLIER = "earlier"
    LOST = "lost"


def prepare_state(path: Path, *, keep: int = KEEP_BLOCKS) -> Restored:
    """Make `path` a state that anvil can load, or absent.

    FRESH: there was none. WHOLE: it was good. EARLIER: it was damaged and the copy of the last good start
    took its place. LOST: both were damaged; the chain starts again from nothing. Damaged files stay as
    *.damaged.
    """
    copy = path.with_suffix(".good")
    if not path.exists() and not copy.exists():
        return Restored.FRESH
    state, found = _load(path), Restored.WHOLE
    if state is None:
        if path.exists():
            os.replace(path, path.with_suffix(".damaged"))
        state, found = _load(copy), Restored.EARLIER
    if state is None:
        copy.unlink(missing_ok=True)
        return Restored.LOST
    data = msgspec.json.encode(trim(state, keep))
    for target in (copy, path):
        _replace(target, data)
    return found


def trim(state: dict[str, Any], keep: int) -> dict[str, Any]:
    """The state with its newest `keep` blocks and their transactions only."""
    blocks = sorted(state["blocks"], key=_number)[-keep:]
    kept = {_number(block) for block in blocks}
    transactions = [t for t in state["transactions"] if int(str(t.get("block_number", 0)), 0) in kept]
    return {**state, "blocks": blocks, "transactions": transactions}


def _number(block: dict[str, Any]) -> int:
    return int(str(block["header"]["number"]), 16)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        state = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        trim(state, 1)
    except (
        OSError,
        msgspec.DecodeError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ):
        return None
    return state if state["blocks"] else None


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
