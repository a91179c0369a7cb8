"""A real network for tests: the command line as a process, pointed at a home."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec


@dataclass(frozen=True)
class Network:
    """A running network: its home, and the command line pointed at it."""

    home: Path

    def run(self, *arguments: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `hallmark --home ...` with these arguments."""
        return hallmark(self.home, *arguments, stdin=stdin, **env)

    def status(self) -> dict[str, Any]:
        """Every service, as `status --json` says."""
        found: dict[str, Any] = msgspec.json.decode(self.run("status", "--json").stdout)
        return found

    @property
    def gateway(self) -> str:
        """The gateway's address."""
        url: str = self.status()["gateway"]["url"]
        return url

    @property
    def trust(self) -> Path:
        """The trust file."""
        return self.home / "trust.toml"


def hallmark(
    home: Path, *arguments: str, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "hallmark.apps.cli.main", "--home", str(home), *arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "160", **env},
    )


def logs(home: Path) -> str:
    """The end of every service's log, for a failed start."""
    parts = []
    for path in sorted(home.glob("services/*/log.jsonl")):
        parts.append(f"== {path.parent.name}\n" + "\n".join(path.read_text().splitlines()[-5:]))
    return "\n".join(parts)
