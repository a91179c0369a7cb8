"""Networks of builds, each started in a home of its own and counted from outside.

A build is a checkout with its own environment: its `./hallmark` is what is run. Nothing of it is imported, so
two builds of any age can be compared. Standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from proc_tree import Tree

HERE = Path(__file__).resolve().parents[1]
START_S = 300.0
SETTLED_SHARE = 0.15
SETTLED_S = 3.0
FIXED = "fixed"
"""How networks and benches call the model of the fixed upstream."""


class Running:
    """A network that runs from `home`, by the build in `checkout`."""

    def __init__(self, name: str, checkout: Path, home: Path) -> None:
        self.name, self.checkout, self.home = name, checkout, home

    def command(self, *arguments: str) -> str:
        """What `./hallmark --home HOME ...` prints. Raises SystemExit when it fails."""
        program = str(self.checkout / "hallmark")
        done = subprocess.run(
            [program, "--home", str(self.home), *arguments],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"{self.name}: {' '.join(arguments)} failed.\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout

    def python(self) -> str:
        """Which Python its environment has: a build of Python alone can make a third of a difference."""
        program = "import platform, sys; print(platform.python_version(), sys.base_prefix)"
        argv = [str(self.checkout / ".venv" / "bin" / "python"), "-c", program]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def up(self, port: int, *arguments: str) -> float:
        """Start it; seconds until every service was ready."""
        began = time.monotonic()
        self.command("up", "--detach", "--no-ask", "--port", str(port), *arguments)
        return time.monotonic() - began

    def down(self) -> None:
        """Stop it."""
        self.command("down")

    @property
    def base_url(self) -> str:
        """Where its gateway answers, with /v1."""
        return json.loads((self.home / "client.json").read_text())["base_url"] + "/v1"

    def tree(self) -> Tree:
        """All of its processes."""
        return Tree(self._recorded()["supervisor"], self._names)

    def _recorded(self) -> dict:
        return json.loads((self.home / "run" / "services.json").read_text())

    def _names(self) -> dict[int, str]:
        return {service["pid"]: name for name, service in self._recorded()["services"].items()}


@contextlib.contextmanager
def homes(names: dict[str, Path]) -> Iterator[list[Running]]:
    """A build for each name, with homes under one temporary folder; whatever runs is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="hallmark-bench-") as folder:
        builds = [Running(name, path.resolve(), Path(folder, name)) for name, path in names.items()]
        try:
            yield builds
        finally:
            for build in builds:
                if build.home.exists():
                    build.down()


def settle(tree: Tree, *, at_least_s: float = 1.0, at_most_s: float = 60.0) -> None:
    """Wait until a tree uses less than `SETTLED_SHARE` of a core for `SETTLED_S`."""
    began = quiet = time.monotonic()
    before = sum(tree.count().spent_ms.values())
    while time.monotonic() - began < at_most_s:
        time.sleep(0.5)
        now = sum(tree.count().spent_ms.values())
        if now - before > SETTLED_SHARE * 500:
            quiet = time.monotonic()
        before = now
        if time.monotonic() - quiet > SETTLED_S and time.monotonic() - began > at_least_s:
            return


@contextlib.contextmanager
def started(argv: list[str], ready_url: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program, from when `ready_url` answers until the end of the block."""
    process = subprocess.Popen(
        argv, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(ready_url, process)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], at_most_s: float = 120.0) -> None:
    until = time.monotonic() + at_most_s
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), urlopen(url, timeout=5) as response:
            if response.status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"{process.args} did not answer at {url}.")


@contextlib.contextmanager
def fixed_upstream(port: int, gap_ms: float = 2.0) -> Iterator[str]:
    """The fixed upstream (`fixed_upstream.py`), in a process that belongs to no network; its URL with /v1."""
    program = [sys.executable, str(Path(__file__).with_name("fixed_upstream.py")), str(port)]
    program += ["--gap-ms", str(gap_ms)]
    with started(program, f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}/v1"


def offer_of(upstream: str) -> tuple[str, str]:
    """What `Running.up` is given so that a network serves the model of the fixed upstream."""
    return "--upstream", f"{FIXED}={upstream}#{FIXED}"
