"""How an enclave reaches its host: one interface, over inherited sockets here and AF_VSOCK on Nitro.

`InheritedTransport` uses two SEQPACKET sockets that the process is born with: descriptor 3 for control
messages and passed sockets, descriptor 4 for the security module. There is no other way out.
"""

from __future__ import annotations

import asyncio
import collections
import fcntl
import mmap
import os
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from hallmark.core.errors import NotFound, Unavailable, VerificationFailed
from hallmark.services.enclave import control

CONTROL_FD = 3
NSM_FD = 4
NSM_RESPONSE = 0x3000
MAX_DESCRIPTORS = 64
REQUIRED_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW

OnMessage = Callable[[control.ToEnclave], None]
OnConnection = Callable[[socket.socket], None]
OnClosed = Callable[[], None]


class Transport(Protocol):
    """Everything that crosses the enclave's wall."""

    def nsm(self, request: bytes) -> bytes:
        """Ask the security module; blocks for about a millisecond. Raises Unavailable `nsm_unreachable`."""
        ...

    def start(self) -> tuple[control.Start, Mapping[str, memoryview]]:
        """Block until the host says `Start`; also the artifacts by label, in memory that the host cannot
        change any more. Raises Unavailable `host_gone`, VerificationFailed `artifact_not_sealed`.
        """
        ...

    def attach(self, on_message: OnMessage, on_connection: OnConnection, on_closed: OnClosed) -> None:
        """Deliver messages and client sockets to the running event loop from now on."""
        ...

    def send(self, message: control.FromEnclave) -> None:
        """Queue a message to the host; never blocks, keeps order."""
        ...

    async def dial(self, name: str) -> socket.socket:
        """A stream socket to an upstream. Raises NotFound `unknown_upstream`, Unavailable
        `upstream_unreachable`.
        """
        ...


class InheritedTransport:
    """The transport of the software enclave; see the module docstring."""

    def __init__(self, control_fd: int = CONTROL_FD, nsm_fd: int = NSM_FD) -> None:
        self._control = socket.socket(fileno=control_fd)
        self._nsm_fd = nsm_fd
        self._queue: collections.deque[bytes] = collections.deque()
        self._dials: dict[int, asyncio.Future[socket.socket]] = {}
        self._next_dial = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_message: OnMessage = _ignore
        self._on_connection: OnConnection = _close
        self._on_closed: OnClosed = _nothing

    def nsm(self, request: bytes) -> bytes:
        """See `Transport.nsm`."""
        try:
            os.write(self._nsm_fd, request)
            answer = os.read(self._nsm_fd, NSM_RESPONSE)
        except OSError as error:
            raise Unavailable("nsm_unreachable", "The security module does not answer.") from error
        if not answer:
            raise Unavailable("nsm_unreachable", "The security module has gone.")
        return answer

    def start(self) -> tuple[control.Start, Mapping[str, memoryview]]:
        """See `Transport.start`."""
        self._control.setblocking(True)
        data, descriptors = self._receive()
        message = control.decode_to_enclave(data)
        if not isinstance(message, control.Start) or len(descriptors) != len(message.labels):
            raise Unavailable("host_gone", "The host did not start the enclave properly.")
        artifacts = {label: _map(label, fd) for label, fd in zip(message.labels, descriptors, strict=True)}
        return message, artifacts

    def attach(self, on_message: OnMessage, on_connection: OnConnection, on_closed: OnClosed) -> None:
        """See `Transport.attach`."""
        self._on_message, self._on_connection, self._on_closed = on_message, on_connection, on_closed
        self._loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._readable)

    def send(self, message: control.FromEnclave) -> None:
        """See `Transport.send`."""
        self._queue.append(control.encode(message))
        if len(self._queue) == 1:
            self._flush()

    async def dial(self, name: str) -> socket.socket:
        """See `Transport.dial`."""
        number, self._next_dial = self._next_dial, self._next_dial + 1
        waiting: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        self._dials[number] = waiting
        self.send(control.Dial(number, name))
        try:
            return await waiting
        finally:
            self._dials.pop(number, None)

    def _receive(self) -> tuple[bytes, list[int]]:
        data, descriptors, flags, _ = socket.recv_fds(
            self._control, control.MAX_MESSAGE, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            for fd in descriptors:
                os.close(fd)
            raise Unavailable("host_gone", "The control channel has ended.")
        return data, descriptors

    def _readable(self) -> None:
        while True:
            try:
                data, descriptors = self._receive()
                message = control.decode_to_enclave(data)
            except (BlockingIOError, InterruptedError):
                return
            except Exception:
                self._on_closed()
                return
            self._deliver(message, descriptors)

    def _deliver(self, message: control.ToEnclave, descriptors: list[int]) -> None:
        sockets = [socket.socket(fileno=fd) for fd in descriptors]
        if isinstance(message, control.Connection) and len(sockets) == 1:
            self._on_connection(sockets[0])
        elif isinstance(message, control.Dialed):
            self._dialed(message, sockets)
        else:
            for unwanted in sockets:
                unwanted.close()
            self._on_message(message)

    def _dialed(self, message: control.Dialed, sockets: list[socket.socket]) -> None:
        waiting = self._dials.pop(message.id, None)
        if waiting is None or waiting.done():
            for unwanted in sockets:
                unwanted.close()
        elif len(sockets) == 1:
            sockets[0].setblocking(False)
            waiting.set_result(sockets[0])
        elif message.reason == "unknown_upstream":
            waiting.set_exception(NotFound("unknown_upstream", "The configuration names no such upstream."))
        else:
            waiting.set_exception(Unavailable("upstream_unreachable", "The upstream cannot be reached."))

    def _flush(self) -> None:
        while self._queue:
            try:
                self._control.send(self._queue[0])
            except BlockingIOError:
                if self._loop is not None:
                    self._loop.add_writer(self._control.fileno(), self._flush)
                return
            except OSError:
                self._on_closed()
                return
            self._queue.popleft()
        if self._loop is not None:
            self._loop.remove_writer(self._control.fileno())


def _map(label: str, fd: int) -> memoryview:
    """The artifact in place, after making sure that nobody can change it any more."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & REQUIRED_SEALS != REQUIRED_SEALS:
            raise OSError
        size = os.fstat(fd).st_size
        return memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ)) if size else memoryview(b"")
    except OSError as error:
        raise VerificationFailed(
            "artifact_not_sealed", f"The artifact of {label} is not in sealed memory."
        ) from error
    finally:
        os.close(fd)


def _ignore(_message: control.ToEnclave) -> None:
    """Before `attach` there is nobody to tell."""


def _close(connection: socket.socket) -> None:
    connection.close()


def _nothing() -> None:
    """Before `attach` there is nobody to tell."""
