"""A prepared network as it runs: starting its supervisor, asking its services how they are, stopping it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.supervisor import Running, Service, Supervisor, snapshot
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.http.client import Pool, Timeouts

STOP_S = 30.0


class Runnable(msgspec.Struct, frozen=True):
    """run/prepared.json: what the supervisor is to run."""

    first: tuple[Service, ...]
    later: tuple[Service, ...]


class Status(msgspec.Struct, frozen=True):
    """One service as it says itself. States: ready, starting, degraded, refusing, stopping, down."""

    state: str
    url: str
    reason: str = ""
    pid: int = 0
    restarts: int = 0


async def supervise(home: Home) -> None:
    """Hold the home and run its services until told to stop. Raises Conflict `already_running`."""
    held = home.lock()
    try:
        runnable = msgspec.json.decode(home.file("run", "prepared.json").read_bytes(), type=Runnable)
        mark = home.file("run", "founded")
        said = str(len(list(home.dir("genesis").glob("*.entry")))).encode()

        async def prepare() -> None:
            # Imported here: the services start while this loads.
            from hallmark.compose.founding import Founding
            from hallmark.compose.plan import load_plan
            from hallmark.compose.start import submit_founding

            await submit_founding(load_plan(home), Founding(home))
            home.write(said, "run", "founded")

        # Nodes and gateway need what was said in the log; when all of it is there since an earlier
        # start, nobody waits.
        if mark.exists() and mark.read_bytes() == said:
            runnable = Runnable((*runnable.first, *runnable.later), ())
        await Supervisor(home, runnable.first, prepare=prepare, later=runnable.later).run()
    finally:
        held.close()


def launch(home: Home, runnable: Runnable) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own, so that it outlives this terminal."""
    home.write(msgspec.json.encode(runnable), "run", "prepared.json")
    argv = (sys.executable, "-m", "hallmark.compose", "--home", str(home.path))
    with open(home.file("run", "supervisor.log"), "wb") as log:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )


def is_over(process: subprocess.Popen[bytes], home: Home) -> None:
    """Raise Unavailable `supervisor_ended` when the supervisor has given up, with its last words."""
    if process.poll() is None:
        return
    words = home.file("run", "supervisor.log").read_text(errors="replace").strip().splitlines()
    raise Unavailable(
        "supervisor_ended", "The network stopped while it was starting.", words[-1] if words else ""
    )


async def statuses(home: Home) -> dict[str, Status]:
    """Every service of the running network; empty when nothing runs from this home."""
    found = snapshot(home)
    if found is None:
        return {}
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
    def status(state: str, reason: str = "") -> Status:
        return Status(state, service.url, reason, service.pid, service.restarts)

    if not service.pid:
        return status("down", f"ended_with_{service.exit}" if service.exit is not None else "not_started")
    try:
        async with pool.request("GET", service.health) as response:
            said = await response.json(dict[str, Any])
    except HallmarkError as error:
        return status("starting", error.reason)
    return status(str(said.get("state", "unknown")), str(said.get("reason", "")))
