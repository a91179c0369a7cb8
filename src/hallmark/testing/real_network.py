"""A real network for tests: the command line as a process, pointed at a home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.models import models_root
from hallmark.compose.plan import known_plan
from hallmark.compose.trustfile import full_node_name
from hallmark.hub.artifact import pack_artifact
from hallmark.hub.cache import BlobIdCache
from hallmark.testing.enclaves import making, usual_image

FULL_NODES = 4


@dataclass(frozen=True)
class Network:
    """A running network: its home, and the command line pointed at it."""

    home: Path

    def run(self, *arguments: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `hallmark --home ...` with these arguments."""
        return hallmark(self.home, *arguments, stdin=stdin, **env)

    def status(self) -> dict[str, Any]:
        """Every service, as `status --json` says."""
        done = self.run("status", "--json")
        assert done.stdout, f"status ended with {done.returncode}: {done.stderr}"
        found: dict[str, Any] = msgspec.json.decode(done.stdout)
        return found

    def ended(self) -> str:
        """Which services were started again: how the process before ended, the end of its log and of the
        supervisor's. Empty when every service is the process that was started first.
        """
        again = {name: service for name, service in self.status().items() if service["restarts"]}
        if not again:
            return ""
        logs = [_end(self.home / "services" / name / "log.jsonl", 25) for name in again]
        return "\n".join([str(again), *logs, _end(self.home / "run" / "supervisor.log", 25)])

    @property
    def gateway(self) -> str:
        """The gateway's address, as the plan has it; `status` says whether it answers there."""
        plan = known_plan(Home(self.home))
        assert plan is not None, f"{self.home} has no plan"
        return f"http://127.0.0.1:{plan.gateway_port}"

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


def start_network(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `hallmark up --detach` in a new home, see `prepare_home`; it must start."""
    prepare_home(home)
    started = hallmark(home, "up", "--detach", *arguments)
    assert started.returncode == 0, started.stdout + started.stderr + logs(home)
    return started


def prepare_home(home: Path) -> None:
    """Put into a new home what is the same in each and takes half a minute of processor time: the enclave
    image, and the blob IDs of the shipped models, as if home and full nodes had computed them before. Both
    are made once on this machine. The tests' fixture `network` starts in an empty home.
    """
    built = usual_image()
    shutil.copyfile(built, Home(home).file("image", built.name))
    with making() as folder:
        kept = folder / "blob-ids.json"
        known = BlobIdCache(kept)
        for artifact in sorted(models_root().glob("*/artifact")):
            known.identify(pack_artifact(artifact))
    for owner in (("artifacts",), *(("services", full_node_name(n)) for n in range(1, FULL_NODES + 1))):
        shutil.copyfile(kept, Home(home).file(*owner, "blob-ids.json"))


def logs(home: Path) -> str:
    """The end of every service's log, for a failed start."""
    return "\n".join(_end(path, 5) for path in sorted(home.glob("services/*/log.jsonl")))


def _end(path: Path, lines: int) -> str:
    """The last lines of a log, under the name of whose it is."""
    name = path.stem if path.parent.name == "run" else path.parent.name
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        text = f"({error.strerror})"
    return f"== {name}\n" + "\n".join(text.splitlines()[-lines:])
