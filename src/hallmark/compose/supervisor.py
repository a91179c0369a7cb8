"""Starts the services of one network, restarts what dies, stops them all.

Every service is a process of its own with its own log file. A Python module is forked from a process that
holds what all of them import (`fork_server.py`), anything else is executed. A child dies with its supervisor
(PR_SET_PDEATHSIG), so a killed supervisor leaves nothing behind. What runs, and how what ran before it ended,
is written to run/services.json after every change; every end is a line of run/supervisor.log.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO

import msgspec

from hallmark.compose.fork_server import Order
from hallmark.compose.forked import ForkedProcess, ForkServer
from hallmark.compose.home import Home
from hallmark.compose.process import die_with_parent
from hallmark.core.errors import HallmarkError, Unavailable

BACKOFF = (0.1, 0.5, 1.0, 2.0, 5.0)
STOP_GRACE = 8.0
MAX_LOG = 20_000_000
Process = asyncio.subprocess.Process | ForkedProcess


class Service(msgspec.Struct, frozen=True):
    """One process to run: its argv, where it serves, where its health is asked (JSON-RPC for a chain), and by
    how much others come before it.
    """

    name: str
    argv: tuple[str, ...]
    url: str
    health: str
    kind: str = "http"
    nice: int = 0


class Running(msgspec.Struct):
    """What is known of one service now. `exit` and `ended` (unix seconds) are of the process before this one:
    its exit code, or minus the number of the signal.
    """

    url: str
    health: str
    kind: str
    pid: int = 0
    restarts: int = 0
    since: float = 0.0
    exit: int | None = None
    ended: float = 0.0


class Supervisor:
    """Runs services until told to stop."""

    def __init__(
        self,
        home: Home,
        services: tuple[Service, ...],
        *,
        prepare: Callable[[], Awaitable[None]] | None = None,
        later: tuple[Service, ...] = (),
    ) -> None:
        """Run `services` at once; when `prepare` has finished (it may wait for them), run `later` as well.
        What was started later is stopped first: it may have something to say to the others at its end.
        """
        self._home = home
        self._services = services
        self._prepare = prepare
        self._later = later
        self._running = {s.name: Running(s.url, s.health, s.kind) for s in (*services, *later)}
        self._stopping, self._later_ended = asyncio.Event(), asyncio.Event()
        self._forks = ForkServer()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; returns when everything has stopped."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._record()
        async with asyncio.TaskGroup() as group:
            for service in self._services:
                group.create_task(self._keep(service))
            group.create_task(self._start_later(group))
        await self._forks.close()
        self._home.file("run", "services.json").unlink(missing_ok=True)

    async def run_to_end(self, service: Service) -> int:
        """Run what does one thing and ends; its exit code. It is stopped when nobody waits any more.

        Raises Unavailable `fork_server_ended`.
        """
        process = await self._spawn(service)
        try:
            return await process.wait()
        finally:
            await self._stop(process)

    async def _start_later(self, group: asyncio.TaskGroup) -> None:
        try:
            await self._run_later(group)
        finally:
            self._later_ended.set()

    async def _run_later(self, group: asyncio.TaskGroup) -> None:
        if self._prepare is not None:
            preparing = asyncio.ensure_future(self._prepare())
            stopping = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait((preparing, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if self._stopping.is_set():
                preparing.cancel()
                return
            try:
                await preparing
            except BaseException:
                # Without its preparation a network is of no use: stop what runs, then say why.
                self._stopping.set()
                raise
        if self._later:
            await asyncio.wait([group.create_task(self._keep(service)) for service in self._later])

    async def _keep(self, service: Service) -> None:
        state, failures = self._running[service.name], 0
        while not self._stopping.is_set():
            started = time.monotonic()
            with contextlib.suppress(Unavailable):
                process = await self._spawn(service)
                state.pid, state.since = process.pid, time.time()
                self._record()
                await self._ended_or_stopping(process)
                if self._stopping.is_set():
                    if service in self._services:
                        await self._later_ended.wait()
                    await self._stop(process)
                    return
                state.exit, state.ended = process.returncode, time.time()
                _tell_end(service.name, state)
            state.pid = 0
            state.restarts += 1
            self._record()
            failures = 0 if time.monotonic() - started > 10 else failures + 1
            with contextlib.suppress(TimeoutError):
                pause = BACKOFF[min(failures, len(BACKOFF) - 1)]
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _ended_or_stopping(self, process: Process) -> None:
        waiting = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _spawn(self, service: Service) -> Process:
        """Its process. Raises Unavailable `fork_server_ended`."""
        with self._log_of(service) as log:
            if service.argv[:2] == (sys.executable, "-m"):
                order = Order(service.name, service.argv[2], service.argv[3:], service.nice)
                return await self._forks.start(order, log)
            return await asyncio.create_subprocess_exec(
                *service.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),
            )

    def _log_of(self, service: Service) -> IO[bytes]:
        """Where a service's lines go: its log file, or nowhere while the disk has no room for one."""
        try:
            path = self._home.file("services", service.name, "log.jsonl")
            if path.exists() and path.stat().st_size > MAX_LOG:
                path.replace(path.with_suffix(".old"))
            return path.open("ab")
        except (OSError, HallmarkError):
            return open(os.devnull, "ab")

    async def _stop(self, process: Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _record(self) -> None:
        shown = {"supervisor": os.getpid(), "services": self._running}
        # A full disk must not end what runs; what is written next time is whole again.
        with contextlib.suppress(HallmarkError):
            self._home.write(msgspec.json.encode(shown), "run", "services.json")


def _tell_end(name: str, state: Running) -> None:
    """One line about a service that ended by itself."""
    end = {"event": "service_ended", "service": name, "exit": state.exit, "pid": state.pid}
    line = {**end, "seconds": round(state.ended - state.since, 3), "at": int(state.ended * 1000)}
    with contextlib.suppress(OSError):
        print(msgspec.json.encode(line).decode(), file=sys.stderr, flush=True)


class Snapshot(msgspec.Struct, frozen=True):
    """What run/services.json holds."""

    supervisor: int
    services: Mapping[str, Running]


def snapshot(home: Home) -> Snapshot | None:
    """What the running supervisor last recorded; None when nothing runs from this home."""
    path: Path = home.path / "run" / "services.json"
    if not home.is_locked() or not path.exists():
        return None
    return msgspec.json.decode(path.read_bytes(), type=Snapshot)
