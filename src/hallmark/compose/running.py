"""A prepared network as it runs: starting its supervisor, asking its services how they are, stopping it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

import msgspec

from hallmark.compose.ended import Ended
from hallmark.compose.home import Home
from hallmark.compose.supervisor import Running, Service, Supervisor, snapshot
from hallmark.core.errors import HallmarkError, Unavailable

if TYPE_CHECKING:
    from hallmark.http.client import Pool

STOP_S = 30.0


class Runnable(msgspec.Struct, frozen=True):
    """run/prepared.json: what the supervisor is to run."""

    first: tuple[Service, ...]
    later: tuple[Service, ...]


class Status(msgspec.Struct, frozen=True):
    """One service as it says itself, with what its own words lack: `down` when its process is gone, `silent`
    when that runs and does not answer. `since` is unix ms, 0: not known; `next` is what to do, in words.
    Of the process before this one: `exit`, its exit code or minus the number of the signal, and when it
    `ended` (unix ms, 0: there was none).
    """

    state: str
    url: str
    reason: str = ""
    pid: int = 0
    restarts: int = 0
    exit: int | None = None
    ended: int = 0
    since: int = 0
    told: str = ""
    next: str = ""


class _Said(msgspec.Struct, frozen=True):
    """What `status` reads of a /healthz."""

    state: str = "unknown"
    reason: str = ""
    since: int = 0
    told: str = ""
    next: str = ""


def was_killed(home: Home) -> bool:
    """True when a supervisor has left its record behind: its services may still be about to follow it."""
    return (home.path / "run" / "services.json").exists()


def hold(home: Home) -> IO[bytes]:
    """Hold the home, and forget what a supervisor that was killed has left behind about its services.

    Raises Conflict `already_running`, Unavailable `home_unwritable`.
    """
    held = home.lock()
    for name in ("services.json", "ended.json"):
        (home.path / "run" / name).unlink(missing_ok=True)
    return held


def run_supervisor(home: Home, held: int | None) -> int:
    """Run the home's services until told to stop; the exit code. `held` is an inherited file that holds it.

    Why it gave up is written to run/ended.json, for whoever started it.
    """
    try:
        asyncio.run(supervise(home, held))
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, HallmarkError):
            ended = Ended(cause.reason, cause.message, cause.hint)
        else:
            traceback.print_exception(error)
            ended = Ended("internal_error", f"A bug: {type(cause).__name__}.", "See run/supervisor.log.")
        with contextlib.suppress(HallmarkError):
            home.write(msgspec.json.encode(ended), "run", "ended.json")
        return 1
    return 0


def _cause(error: BaseException) -> BaseException:
    """The first error inside groups of errors, our own before others."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(one) for one in error.exceptions]
    return next((one for one in causes if isinstance(one, HallmarkError)), causes[0])


async def supervise(home: Home, inherited: int | None = None) -> None:
    """Hold the home and run its services until told to stop. Raises Conflict `already_running`."""
    held = hold(home) if inherited is None else os.fdopen(inherited, "ab")
    try:
        runnable = msgspec.json.decode(home.file("run", "prepared.json").read_bytes(), type=Runnable)
        mark = home.file("run", "founded")
        said = str(len(list(home.dir("genesis").glob("*.entry")))).encode()

        async def prepare() -> None:
            argv = (sys.executable, "-m", "hallmark.compose.submit", "--home", str(home.path))
            if await supervisor.run_to_end(Service("founding", argv, "", "")):
                raise _left_by(home)
            home.write(said, "run", "founded")

        # Nodes and gateway need what was said in the log; when all of it is there since an earlier
        # start, nobody waits.
        if mark.exists() and mark.read_bytes() == said:
            runnable = Runnable((*runnable.first, *runnable.later), ())
        supervisor = Supervisor(home, runnable.first, prepare=prepare, later=runnable.later)
        await supervisor.run()
    finally:
        held.close()


def _left_by(home: Home) -> HallmarkError:
    """What the founding said when it failed; where it said nothing, a bug is in its log."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        ended = msgspec.json.decode((home.path / "run" / "ended.json").read_bytes(), type=Ended)
        return Unavailable(ended.reason, ended.message, ended.hint)
    return Unavailable(
        "founding_failed", "The founding ended without a word.", "See services/founding/log.jsonl."
    )


def launch(
    home: Home, runnable: Runnable, held: IO[bytes], claimed: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own, so that it outlives this terminal. It inherits the held
    home and the claimed ports.
    """
    home.write(msgspec.json.encode(runnable), "run", "prepared.json")
    argv = (sys.executable, "-m", "hallmark.compose", "--home", str(home.path), "--held", str(held.fileno()))
    with open(home.file("run", "supervisor.log"), "wb") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            pass_fds=(held.fileno(), *claimed),
        )


def is_over(process: subprocess.Popen[bytes], home: Home) -> None:
    """Raise Unavailable `supervisor_ended` when the supervisor has given up, with the cause that it left."""
    if process.poll() is None:
        return
    path = home.path / "run" / "ended.json"
    try:
        ended = msgspec.json.decode(path.read_bytes(), type=Ended)
    except (OSError, msgspec.DecodeError):
        ended = Ended("", f"It ended with {process.returncode}.", f"See {home.path}/run/supervisor.log.")
    told = f"{ended.reason}: {ended.message}" if ended.reason else ended.message
    raise Unavailable("supervisor_ended", f"The network stopped while it was starting. {told}", ended.hint)


async def statuses(home: Home) -> dict[str, Status]:
    """Every service of the running network; empty when nothing runs from this home."""
    found = snapshot(home)
    if found is None:
        return {}
    # Imported here: the supervisor, which stays, asks nobody.
    from hallmark.http.client import Pool, Timeouts

    pool = Pool(timeouts=Timeouts(connect=1.0, head=2.0, idle=2.0))
    try:
        states = await asyncio.gather(*(_ask(pool, service) for service in found.services.values()))
    finally:
        await pool.aclose()
    return dict(zip(found.services, states, strict=True))


def stop(home: Home) -> bool:
    """Stop the network of this home and wait until it has; False when nothing ran.

    Raises Unavailable `would_not_stop`.
    """
    found = snapshot(home)
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.supervisor, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while home.is_locked():
        if time.monotonic() > deadline:
            raise Unavailable(
                "would_not_stop", f"Process {found.supervisor} is still running.", "See run/supervisor.log."
            )
        time.sleep(0.05)
    return True


async def _ask(pool: Pool, service: Running) -> Status:
    """A service's own word; without one, what can be seen from here."""
    if not service.pid:
        ended = f"ended_with_{service.exit}" if service.exit is not None else "not_started"
        said = unheard("down", ended)
    else:
        try:
            async with pool.request("GET", service.health) as response:
                said = await response.json(_Said)
        except HallmarkError as error:
            # Whoever accepts no connection does not listen yet; whoever accepts one and is silent was there.
            said = unheard("starting", error.reason)
            if error.reason == "timed_out":
                said = unheard("silent", "no_answer")
    return Status(
        url=service.url,
        pid=service.pid,
        restarts=service.restarts,
        exit=service.exit,
        ended=int(service.ended * 1000),
        **msgspec.structs.asdict(said),
    )


def unheard(state: str, reason: str) -> _Said:
    """What stands in the place of a /healthz that did not answer."""
    from hallmark.http.health import Health

    return _Said(state, reason, 0, "", Health(state, reason).step)
