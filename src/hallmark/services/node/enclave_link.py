"""The host's end of one enclave: control messages, passed sockets, the security module's socket."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Final

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.services.enclave import control
from hallmark.services.node.launch import Spawned

NSM_REQUEST: Final = 0x1000 + 1
MAX_QUEUE: Final = 4096

Module = Callable[[bytes], bytes]
"""Answers one security module request."""
Say = Callable[[control.ToEnclave], None]
"""Brings a message to the enclave that runs, if there is one."""


class EnclaveLink:
    """Talks with a spawned enclave on the running loop until either side goes.

    `module` is None for a vanilla node. `on_message` gets everything that `expect` does not wait for;
    `on_ended` is called once when the process has gone.
    """

    def __init__(
        self,
        spawned: Spawned,
        module: Module | None,
        *,
        on_message: Callable[[control.FromEnclave], None],
        on_ended: Callable[[], None],
    ) -> None:
        self._spawned = spawned
        self._module = module
        self._on_message = on_message
        self._on_ended = on_ended
        self._queue: collections.deque[tuple[bytes, Sequence[int], socket.socket | None]] = (
            collections.deque()
        )
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        spawned.control.setblocking(False)
        spawned.nsm.setblocking(False)
        self._loop.add_reader(spawned.control.fileno(), self._readable)
        self._loop.add_reader(spawned.pidfd, self._exited)
        if module is not None:
            self._loop.add_reader(spawned.nsm.fileno(), self._asked)

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return not self._ended.is_set()

    def send(
        self,
        message: control.ToEnclave,
        descriptors: Sequence[int] = (),
        owned: socket.socket | None = None,
    ) -> None:
        """Queue a message; `descriptors` must stay open until it is sent, `owned` is closed then.

        Raises Unavailable `enclave_gone`, `enclave_stuck` when it has stopped reading.
        """
        if not self.alive or len(self._queue) >= MAX_QUEUE:
            if owned is not None:
                owned.close()
            if self.alive:
                raise Unavailable("enclave_stuck", "The enclave does not read its messages.")
            raise Unavailable("enclave_gone", "The enclave has ended.")
        self._queue.append((control.encode(message), descriptors, owned))
        if len(self._queue) == 1:
            self._flush()

    async def wait_ended(self) -> None:
        """Until the process has gone."""
        await self._ended.wait()

    def complaint(self) -> str:
        """What the process last said on standard error before serving; only while the link is open."""
        return self._spawned.complaint()

    def kill(self) -> None:
        """End the enclave; `wait_ended` returns when it is gone."""
        self._spawned.kill()

    async def close(self) -> None:
        """Kill the enclave and wait until it is gone."""
        self._spawned.kill()
        await self._ended.wait()

    def _readable(self) -> None:
        while self.alive:
            try:
                data = self._spawned.control.recv(control.MAX_MESSAGE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._spawned.control.fileno())
                return
            try:
                message = control.decode_from_enclave(data)
            except HallmarkError:
                self._spawned.kill()  # our own measured code does not do that: something is very wrong
                return
            self._on_message(message)

    def _asked(self) -> None:
        assert self._module is not None
        try:
            request = self._spawned.nsm.recv(NSM_REQUEST)
            if request:
                self._spawned.nsm.send(self._module(request))
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._loop.remove_reader(self._spawned.nsm.fileno())

    def _flush(self) -> None:
        while self._queue:
            data, descriptors, owned = self._queue[0]
            try:
                fds = [*descriptors, *([owned.fileno()] if owned is not None else [])]
                socket.send_fds(self._spawned.control, [data], fds)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._spawned.control.fileno(), self._flush)
                return
            except OSError:
                self._drop_queue()
                return
            self._queue.popleft()
            if owned is not None:
                owned.close()
        self._loop.remove_writer(self._spawned.control.fileno())

    def _drop_queue(self) -> None:
        for _, _, owned in self._queue:
            if owned is not None:
                owned.close()
        self._queue.clear()

    def _exited(self) -> None:
        """The process is gone: read what it still said, then give everything back."""
        self._readable()
        self._ended.set()
        for descriptor in (self._spawned.control.fileno(), self._spawned.nsm.fileno(), self._spawned.pidfd):
            with contextlib.suppress(OSError, ValueError):
                self._loop.remove_reader(descriptor)
                self._loop.remove_writer(descriptor)
        self._drop_queue()
        self._on_ended()
        self._spawned.reap()
