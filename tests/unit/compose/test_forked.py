"""Services are forked from one process that has imported what they share, and are processes of their own."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hallmark.compose import fork_server
from hallmark.compose.fork_server import Order
from hallmark.compose.forked import ForkedProcess, ForkServer

SERVICE = """
import os, signal, sys, threading
def main():
    print("arguments", *sys.argv[1:], flush=True)
    print("session", os.getsid(0) == os.getpid(), "open", sorted(os.listdir("/proc/self/fd"))[:3], flush=True)
    threading.Thread(target=lambda: os.write(1, b"thread\\n")).start()
    if sys.argv[1] == "exit":
        sys.exit(7)
    if sys.argv[1] == "words":
        sys.exit("what to do next")
    if sys.argv[1] == "bug":
        raise KeyError("bug")
    if sys.argv[1] == "wait":
        signal.pause()
"""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small package with a `__main__`, which only a fork server started in this environment can find."""
    package = tmp_path / "forked_service"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(SERVICE)
    shared = "import sys; from hallmark.compose import fork_server as f; f.PRELOADED = (); f.main()"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("hallmark.compose.forked.PROGRAM", ("-c", shared))
    return "forked_service"


async def _run(server: ForkServer, order: Order, log: Path) -> ForkedProcess:
    with log.open("ab") as out:
        return await server.start(order, out)


@pytest.mark.parametrize(("how", "code"), [("return", 0), ("exit", 7), ("words", 1), ("bug", 1)])
async def test_a_service_ends_as_a_program_of_its_own_would(
    service: str, tmp_path: Path, how: str, code: int
) -> None:
    """Its exit code comes back, its words and its threads' words are in its log, a bug leaves a traceback."""
    server = ForkServer()
    process = await _run(server, Order("one", service, (how, "b")), tmp_path / "log")
    assert await process.wait() == code
    assert process.returncode == code
    with pytest.raises(ProcessLookupError):
        process.kill()
    await server.close()
    said = (tmp_path / "log").read_text()
    assert f"arguments {how} b" in said
    assert "session True" in said
    assert "thread" in said
    assert ("KeyError: 'bug'" in said) is (how == "bug")
    assert ("what to do next" in said) is (how == "words")


async def test_services_are_told_apart_and_stopped_one_by_one(service: str, tmp_path: Path) -> None:
    """Two from one server: SIGTERM for one leaves the other; /proc shows the service's own command line."""
    server = ForkServer()
    first = await _run(server, Order("first", service, ("wait", "a")), tmp_path / "a")
    second = await _run(server, Order("second", service, ("wait", "b"), nice=3), tmp_path / "b")
    assert first.pid != second.pid
    while "session" not in (tmp_path / "b").read_text():  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0)
    shown = Path(f"/proc/{second.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert shown == [sys.executable.encode(), b"-m", service.encode(), b"wait", b"b"]
    assert Path(f"/proc/{second.pid}/comm").read_text().strip() == "second"
    assert os.getpriority(os.PRIO_PROCESS, second.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 3
    first.terminate()
    assert await first.wait() == -signal.SIGTERM
    assert second.returncode is None
    second.kill()
    assert await second.wait() == -signal.SIGKILL
    await server.close()


async def test_services_end_with_their_server_and_the_next_one_starts_another(
    service: str, tmp_path: Path
) -> None:
    """No service outlives a killed server; what is started then has a server again."""
    server = ForkServer()
    orphan = await _run(server, Order("orphan", service, ("wait",)), tmp_path / "a")
    parent = int(Path(f"/proc/{orphan.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    assert await orphan.wait() < 0
    assert not Path(f"/proc/{orphan.pid}").exists() or _is_zombie(orphan.pid)
    again = await _run(server, Order("again", service, ("exit",)), tmp_path / "b")
    assert await again.wait() == 7
    await server.close()


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


SHARED = """
import sys
from hallmark.compose import fork_server
limit = sys.getrecursionlimit()
fork_server.preload()
assert sys.getrecursionlimit() == limit
threads = next(line for line in open("/proc/self/status") if line.startswith("Threads:"))
print(int(threads.split()[1]), *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_what_is_shared_starts_no_thread_and_holds_no_science() -> None:
    """A fork has only the thread that made it; nobody at rest pays for fonts, images or tensors."""
    told = subprocess.run([sys.executable, "-c", SHARED], capture_output=True, text=True, check=True).stdout
    threads, *imported = told.split()
    assert threads == "1"
    heavy = {"numpy", "PIL", "fpdf", "fontTools", "onnxruntime", "onnxruntime_genai"}
    assert heavy.isdisjoint(imported)
    assert {"hallmark", "sqlalchemy", "uvloop", "eth_account"} <= set(imported)


def test_the_supervisor_imports_no_service() -> None:
    """What stays to look after the others knows nothing of pages, stores, keys and connections."""
    script = "import hallmark.compose.__main__, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert {"cryptography", "sqlalchemy", "uvicorn", "httptools", "structlog"}.isdisjoint(told.split())


def test_everything_that_is_forked_has_a_main() -> None:
    """The modules that a network's wiring names are those that the server knows."""
    for module in fork_server.PRELOADED:
        assert not inspect.signature(fork_server.entry_of(module)).parameters
