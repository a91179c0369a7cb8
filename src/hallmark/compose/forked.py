"""The supervisor's side of the fork server: services that it started look like processes of our own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from typing import IO, Final

import msgspec

from hallmark.compose.fork_server import LIMIT, Begun, Ended, Order
from hallmark.core.errors import Unavailable

PROGRAM: Final = ("-m", "hallmark.compose.fork_server")
ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "1"}
"""One heap for all threads of a service: the interpreter runs one at a time, and they share what is free."""
PADDING: Final = "-" * 240
"""Room for a service's own command line in /proc: a fork can show no more than its parent's was long."""


class ForkedProcess:
    """A service's process: what the supervisor uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Until it has ended; its exit code."""
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        """SIGTERM. Raises ProcessLookupError when it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL. Raises ProcessLookupError when it has ended."""
        self._signal(signal.SIGKILL)

    def ended(self, code: int) -> None:
        """It has ended."""
        if not self._ended.done():
            self._ended.set_result(code)
            os.close(self._pidfd)

    def orphaned(self) -> None:
        """Nobody will say how it ended any more: end it, and see when it has."""
        with contextlib.suppress(ProcessLookupError):
            self.kill()
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(self._pidfd)
            self.ended(-signal.SIGKILL)

        loop.add_reader(self._pidfd, gone)

    def _signal(self, number: int) -> None:
        if self._ended.done():
            raise ProcessLookupError
        signal.pidfd_send_signal(self._pidfd, number)


class ForkServer:
    """Starts the fork server when it is needed, and again when it has died (its services died with it)."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._waiting: deque[asyncio.Future[ForkedProcess | None]] = deque()
        self._running: dict[int, ForkedProcess] = {}
        self._server: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()

    async def start(self, order: Order, log: IO[bytes]) -> ForkedProcess:
        """Run a service with its output in `log`. Raises Unavailable `fork_server_ended`."""
        async with self._starting:
            channel = self._channel or await self._connect()
            begun: asyncio.Future[ForkedProcess | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(begun)
            with contextlib.suppress(OSError):
                socket.send_fds(channel, [msgspec.json.encode(order)], [log.fileno()])
            process = await begun
        if process is None:
            raise Unavailable(
                "fork_server_ended", f"{order.name} could not be started.", "See run/supervisor.log."
            )
        return process

    async def close(self) -> None:
        """End the fork server; its services have ended before."""
        if self._server is not None and self._channel is not None:
            self._channel.shutdown(socket.SHUT_RDWR)
            await self._server.wait()

    async def _connect(self) -> socket.socket:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        argv = [sys.executable, *PROGRAM, str(its.fileno()), str(os.getpid())]
        try:
            self._server = await asyncio.create_subprocess_exec(
                *argv,
                PADDING,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(its.fileno(),),
                env={**os.environ, **ALLOCATOR},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read)
        return ours

    def _read(self) -> None:
        assert self._channel is not None
        try:
            data, handle, _, _ = socket.recv_fds(self._channel, LIMIT, 1)
        except BlockingIOError:
            return
        except OSError:
            data, handle = b"", []
        if not data:
            self._lost()
            return
        said = msgspec.json.decode(data, type=Begun | Ended)
        if isinstance(said, Begun):
            begun = self._waiting.popleft()
            process = ForkedProcess(said.pid, handle[0]) if said.pid else None
            if process is not None:
                self._running[said.pid] = process
            if not begun.done():
                begun.set_result(process)
            elif process is not None:  # nobody waits for it any more
                process.kill()
        elif said.pid in self._running:
            self._running.pop(said.pid).ended(said.code)

    def _lost(self) -> None:
        """The fork server has gone, and its services with it."""
        assert self._channel is not None
        asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()
        self._channel = None
        while self._waiting:
            self._waiting.popleft().set_result(None)
        for process in self._running.values():
            process.orphaned()
        self._running.clear()
