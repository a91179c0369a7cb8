"""What a service does not need any more goes back to the kernel."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from pathlib import Path
from hallmark.http.memory import give_back
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
blocks = [b"x" * (60_000 + n) for n in range(1000)]
kept = blocks[-1]
holes = resident()
blocks.clear()
give_back()
print(holes - resident())
"""


def test_free_memory_below_what_is_kept_is_given_back() -> None:
    """60 MB of freed blocks under one that stays in use: most of it is no longer the process's."""
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert int(told) > 50_000_000
