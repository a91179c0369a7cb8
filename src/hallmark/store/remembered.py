"""A small JSON object in a file: what a client remembers between two runs, and can do without.

Nothing here raises: a file that is not there or cannot be read holds nothing, and what cannot be written is
remembered by this process alone.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec


def recall(path: Path | None) -> dict[str, str]:
    """What the file holds."""
    if path is not None:
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    return {}


def remember(path: Path | None, known: Mapping[str, str]) -> None:
    """Replace what the file holds, whole or not at all."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.json.encode(known))
        os.replace(temporary, path)
