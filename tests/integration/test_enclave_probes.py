"""Attempts to get out, run inside the real sandbox. Every one must be denied; the control shows that it could
have succeeded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node.confinement import RLIMIT, Limits
from hallmark.services.node.enclave_start import Running, Starter
from hallmark.testing import enclaves

pytestmark = pytest.mark.integration
APP = Path(__file__).parent / "probes" / "probe_app.py"
MEMORY = 768 << 20
TASKS = 40
TMP = 16 << 20
LIMITS = Limits(memory_bytes=MEMORY, tasks=TASKS, files=256, tmp_bytes=TMP)


@pytest.fixture
def outsider() -> Iterator[int]:
    """A process outside the sandbox, for probes to aim at."""
    process = subprocess.Popen(["sleep", "300"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
async def enclave() -> AsyncIterator[Running]:
    """A running enclave with the probes inside and small limits."""
    launcher = enclaves.launcher(APP, LIMITS)
    running = await Starter(launcher, enclaves.root(), 60).start(
        enclaves.cargo(), epoch=1, beacon=Beacon(0, bytes(32)), on_message=print, on_ended=lambda: None
    )
    yield running
    await running.link.close()
    launcher.close()


async def test_every_probe_is_denied(enclave: Running, outsider: int) -> None:
    """No probe gets through, neither while the enclave loads nor while it serves."""
    found = json.loads(await enclaves.ask(enclave, "/probes", str(outsider).encode()))
    got_through = {
        f"{stage}/{name}": outcome
        for stage in ("loading", "serving")
        for name, outcome in found[stage].items()
        if not outcome.startswith("E")
    }
    assert got_through == {}
    assert len(found["loading"]) >= 70
    assert len(found["serving"]) >= 78


async def test_what_the_enclave_sees_of_itself(enclave: Running, outsider: int) -> None:
    """User nobody, process 1 of its name space, no environment, no core dumps, nothing but its sockets."""
    found = json.loads(await enclaves.ask(enclave, "/probes", str(outsider).encode()))["facts"]
    assert (found["uid"], found["gid"], found["pid"], found["host"]) == (65534, 65534, 1, "enclave")
    assert set(found["environment"]) <= {"PWD", "LC_CTYPE"}
    assert found["core"] == [0, 0]
    assert found["dumpable"] == 0
    descriptors = found["descriptors"]
    assert {descriptors[n] for n in "012"} == {"character"}
    assert (descriptors["3"], descriptors["4"]) == ("socket", "socket")
    assert {"file", "directory"} & set(descriptors.values()) == set()
    sockets = [n for n, kind in descriptors.items() if kind == "socket"]
    assert len(sockets) <= 5  # control, security module, this request, and the event loop's own pair


async def test_the_temporary_file_system_is_capped(enclave: Running, outsider: int) -> None:
    """/tmp takes no more than its limit."""
    found = json.loads(await enclaves.ask(enclave, "/probes", str(outsider).encode()))
    assert TMP // 2 < found["filled"] <= TMP


async def test_threads_and_descriptors_are_capped(enclave: Running) -> None:
    """A bomb of threads or of open files ends at the limit, and the enclave lives on."""
    assert 0 < json.loads(await enclaves.ask(enclave, "/threads")) < TASKS
    assert 0 < json.loads(await enclaves.ask(enclave, "/files")) < LIMITS.files
    assert json.loads(await enclaves.ask(enclave, "/none")) is None


async def test_memory_is_capped(enclave: Running) -> None:
    """An enclave that takes more memory than its limit is refused it or killed; the host stays as it was."""
    try:
        answer = await enclaves.ask(enclave, "/memory", str(4 * MEMORY).encode())
    except OSError:
        answer = b""
    if answer:
        assert json.loads(answer) < MEMORY + (1 << 30 if enclave_uses_rlimits() else 0)
    else:
        await enclave.link.wait_ended()
        assert not enclave.link.alive


async def test_another_architecture_kills(enclave: Running) -> None:
    """A system call by the x32 numbers does not pass the filter as another call."""
    try:
        answer = await enclaves.ask(enclave, "/x32")
    except OSError:
        answer = b""
    assert b"allowed" not in answer


def enclave_uses_rlimits() -> bool:
    """Whether this machine caps by rlimits, which count address space."""
    from hallmark.services.node import machine

    return machine.detect().enforced_by == RLIMIT


@pytest.mark.skipif(os.geteuid() != 0, reason="the control needs root, for whom the probes are possible")
def test_the_control_gets_through(outsider: int) -> None:
    """Outside the sandbox the same probes succeed, so a denial inside is the sandbox's doing."""
    done = subprocess.run(
        ["unshare", "-m", "-u", "-i", sys.executable, str(APP), str(outsider)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )
    outcomes = json.loads(done.stdout)
    may_fail = _may_fail()
    denied = {name: out for name, out in outcomes.items() if not out.startswith("allowed")}
    assert set(denied) <= may_fail
    assert len(outcomes) - len(denied) >= 50


def _may_fail() -> set[str]:
    import importlib.util

    spec = importlib.util.spec_from_file_location("probe_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return set(module.CONTROL_MAY_FAIL)
