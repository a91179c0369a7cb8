"""The documentation's own program for blob IDs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hallmark.hub import blob_id

DOCUMENT = Path(__file__).parents[3] / "docs" / "artifacts.md"


def test_program_of_the_documentation_gives_the_same_ids() -> None:
    """The program that a stranger would copy agrees with the package, whatever the length."""
    program = next(
        text
        for text in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
        if "def blob_id" in text
    )
    names: dict[str, Any] = {"__name__": "by_hand"}
    exec(program, names)
    by_hand: Callable[[bytes, int], bytes] = names["blob_id"]
    for length in (0, 5, 56, 57, 3000):
        data = bytes(n % 251 for n in range(length))
        for shards in (4, 7, 10, 13):
            assert by_hand(data, shards) == blob_id(data, shards)
