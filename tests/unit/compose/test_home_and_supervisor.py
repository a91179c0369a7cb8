"""The home directory keeps files whole, and the supervisor keeps processes running and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from hallmark.compose import running
from hallmark.compose.home import Home
from hallmark.compose.keys import load_keys
from hallmark.compose.plan import load_plan, make_plan
from hallmark.compose.supervisor import Service, Supervisor, snapshot
from hallmark.core.errors import Conflict, InvalidInput, Unavailable


def test_secrets_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """A key file is 0600 and a second write is refused."""
    home = Home(tmp_path / "home")
    path = home.write_secret(b"key", "keys", "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Conflict) as caught:
        home.write_secret(b"other", "keys", "a")
    assert caught.value.reason == "key_exists"
    assert path.read_bytes() == b"key"


def test_a_failed_write_leaves_the_old_file_and_no_scraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that cannot reach the disk changes nothing."""
    home = Home(tmp_path)
    home.write(b"old", "file")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable) as caught:
        home.write(b"new", "file")
    assert caught.value.reason == "home_unwritable"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_one_process_holds_a_home(tmp_path: Path) -> None:
    """A second lock is refused until the first is let go."""
    home = Home(tmp_path)
    held = home.lock()
    assert home.is_locked()
    with pytest.raises(Conflict) as caught:
        home.lock()
    assert caught.value.reason == "already_running"
    held.close()
    assert not home.is_locked()


def test_plan_and_keys_are_made_once(tmp_path: Path) -> None:
    """The second start reads the same plan and keys; a damaged plan is refused, not replaced."""
    home = Home(tmp_path)
    plan = load_plan(home, base=21_900)
    keys = load_keys(home, plan)
    assert load_plan(home) == plan
    again = load_keys(home, plan)
    assert [key.address for key in again.authority] == [key.address for key in keys.authority]
    assert again.full_node_seeds == keys.full_node_seeds
    assert len({key.address for key in (*keys.authority, *keys.full_nodes, *keys.owners, keys.gateway)}) == 10
    home.write(b"{", "network.json")
    with pytest.raises(InvalidInput) as caught:
        load_plan(home)
    assert caught.value.reason == "bad_plan"


def test_two_networks_never_share_an_origin() -> None:
    """Each plan gets a name and origin of its own, below the ephemeral ports."""
    first, second = make_plan(21_500), make_plan(21_500)
    assert first.origin != second.origin
    assert first.chain_port < 32_768


async def _until(check, seconds: float = 10.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_dead_service_is_started_again_and_stopped_at_the_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL on a child leads to a new process, beside which the record says how the first one ended, as
    does a line of the supervisor's log; stopping ends it and clears the record.
    """
    home = Home(tmp_path)
    held = home.lock()
    argv = (sys.executable, "-c", "import time; time.sleep(60)")
    supervisor = Supervisor(home, (Service("sleeper", argv, "", ""),))
    running = asyncio.create_task(supervisor.run())

    def pid() -> int:
        found = snapshot(home)
        return found.services["sleeper"].pid if found else 0

    await _until(pid)
    first = pid()
    os.kill(first, signal.SIGKILL)
    await _until(lambda: pid() not in (0, first))
    second = pid()
    found = snapshot(home)
    assert found is not None
    sleeper = found.services["sleeper"]
    assert (sleeper.restarts, sleeper.exit) == (1, -signal.SIGKILL)
    assert sleeper.ended <= sleeper.since
    said = msgspec.json.decode(capfd.readouterr().err)
    assert (said["service"], said["exit"], said["pid"]) == ("sleeper", -signal.SIGKILL, first)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert not _alive(second)
    assert snapshot(home) is None
    held.close()


async def test_what_was_started_later_is_stopped_first(tmp_path: Path) -> None:
    """A node may settle at its end: its chain is still there then."""
    home, told = Home(tmp_path), tmp_path / "told"
    held = home.lock()
    script = (
        "import signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    time.sleep(float(sys.argv[2]))\n"
        "    with pathlib.Path(sys.argv[3]).open('a') as out: out.write(sys.argv[1])\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path(sys.argv[3] + sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )

    def service(name: str, seconds: str) -> Service:
        return Service(name, (sys.executable, "-c", script, name, seconds, str(told)), "", "")

    supervisor = Supervisor(home, (service("chain", "0"),), later=(service("node", "0.3"),))
    running = asyncio.create_task(supervisor.run())
    await _until(lambda: all((tmp_path / f"told{name}").exists() for name in ("chain", "node")))
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert told.read_text() == "nodechain"
    held.close()


async def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    """SIGKILL on the supervisor leaves no service running."""
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from hallmark.compose.home import Home\n"
        "from hallmark.compose.supervisor import Service, Supervisor\n"
        "home = Home(Path(sys.argv[1])); held = home.lock()\n"
        "argv = (sys.executable, '-c', 'import time; time.sleep(60)')\n"
        "asyncio.run(Supervisor(home, (Service('sleeper', argv, '', ''),)).run())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])  # noqa: ASYNC220 - killed below
    home = Home(tmp_path)
    await _until(lambda: (found := snapshot(home)) is not None and found.services["sleeper"].pid)
    found = snapshot(home)
    assert found is not None
    child = found.services["sleeper"].pid
    process.kill()
    process.wait()
    await _until(lambda: not _alive(child))
    assert not home.is_locked()


@pytest.mark.parametrize("written", [True, False])
def test_why_the_supervisor_ended_is_said(tmp_path: Path, written: bool) -> None:
    """The cause that it left, with its own hint; never a line of a traceback."""
    home = Home(tmp_path)
    home.write(b"Traceback\n    +------------------------------------\n", "run", "supervisor.log")
    if written:
        home.write(
            msgspec.json.encode(running.Ended("wrong_network", "It is.", "Do this.")), "run", "ended.json"
        )
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    process.wait()
    with pytest.raises(Unavailable) as caught:
        running.is_over(process, home)
    assert caught.value.reason == "supervisor_ended"
    assert "-----" not in f"{caught.value.message}{caught.value.hint}"
    assert ("wrong_network: It is." in caught.value.message) is written
    assert (caught.value.hint == "Do this.") is written


def test_a_supervisor_leaves_the_cause_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is found inside the groups that asyncio wraps it in; a bug is called one."""
    home = Home(tmp_path)

    async def fails(_home: Home, _held: int | None) -> None:
        raise BaseExceptionGroup("unhandled", [ExceptionGroup("x", [KeyError("a"), Conflict("why", "So.")])])

    monkeypatch.setattr(running, "supervise", fails)
    assert running.run_supervisor(home, None) == 1
    assert msgspec.json.decode((tmp_path / "run" / "ended.json").read_bytes())["reason"] == "why"

    async def breaks(_home: Home, _held: int | None) -> None:
        raise KeyError("content")

    monkeypatch.setattr(running, "supervise", breaks)
    assert running.run_supervisor(home, None) == 1
    left = (tmp_path / "run" / "ended.json").read_text()
    assert "internal_error" in left
    assert "content" not in left


def test_a_new_start_forgets_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    """`down` and `status` never act on process ids of before."""
    home = Home(tmp_path)
    home.write(b'{"supervisor": 1, "services": {}}', "run", "services.json")
    with running.hold(home):
        assert snapshot(home) is None
