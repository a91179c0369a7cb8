"""What `hallmark up` becomes while the network runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STARTER = """
import signal, subprocess, sys
from hallmark.compose.attended import attend
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
attend(child.pid)
"""
WAITS = "import signal; print(flush=True); signal.sigwait({signal.SIGTERM})"


@pytest.fixture
def attending() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A program that attends a child that ends with SIGTERM, and the child's number."""
    waits = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}}); {WAITS}"
    process = start(waits)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    yield process, child
    process.kill()
    process.wait()


def start(child: str) -> subprocess.Popen[str]:
    """The starter with that child, in a session of its own."""
    argv = [sys.executable, "-c", STARTER, child]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_ctrl_c_ends_the_network_and_waits_for_it(attending: tuple[subprocess.Popen[str], int]) -> None:
    """Also one that comes between the two programs: the child has ended when the command returns."""
    process, child = attending
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate()
    assert (told.strip(), process.returncode) == ("Stopping.", 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(("code", "ends_with"), [(0, 0), (3, 1)])
def test_a_network_that_ends_by_itself_is_told(code: int, ends_with: int) -> None:
    """With an exit code that says whether it ended as it should."""
    process = start(f"print(flush=True); raise SystemExit({code})")
    told, _ = process.communicate()
    assert told.splitlines()[1:] == ["The network has ended."]
    assert process.returncode == ends_with


def test_the_waiting_program_needs_nothing_of_ours() -> None:
    """It is run by its path without site packages: what it imports comes with Python."""
    from hallmark.compose import attended

    argv = [sys.executable, "-I", "-S", "-X", "importtime", str(Path(attended.__file__)), str(os.getpid())]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "ChildProcessError" in run.stderr  # nobody is its child, so it ends; it had imported what it needs
    assert "hallmark" not in run.stderr.partition("Traceback")[0]
    assert "site-packages" not in run.stderr
