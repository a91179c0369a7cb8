"""`hallmark status` and `down`: said at once, of a home in which nothing runs too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli


def test_looking_loads_nothing_that_starts() -> None:
    """What only a start needs (hosts, founding, the client that asks) is not loaded to look at a network."""
    script = "import hallmark.apps.cli.status, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    heavy = {"hallmark.compose.start", "hallmark.services.node", "hallmark.services.sdk"}
    assert heavy.isdisjoint(loaded.split())


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [(["status"], "Nothing runs", 3), (["status", "--json"], "{}", 3), (["down"], "Nothing was", 0)],
)
def test_where_nothing_runs(tmp_path: Path, command: list[str], said: str, code: int) -> None:
    """It is said, and `status` does not end as if all were ready."""
    done = CliRunner().invoke(cli, ["--home", str(tmp_path / "home"), *command])
    assert (said in done.output, done.exit_code) == (True, code)
