"""The transport on AWS Nitro: AF_VSOCK to the parent instance, /dev/nsm for the security module.

UNTESTED ON HARDWARE. The framing is tested over Unix sockets; the addresses, /dev/nsm's ioctl and vsock
itself are written from AWS's documentation (aws-nitro-enclaves-nsm-api, vsock(7)) and never ran.

    enclave connects to the parent (CID 3):
        port 5002          control: u32be length || message, both directions
        port 5003          one artifact: u16be length || label, then u64be size || bytes come back
        port 6000 + n      upstream number n of the sorted names in the configuration
    parent connects to the enclave:
        port 5001          one client

Descriptors cannot cross, so there is no `Connection` or `Dialed` message and no sealed memfd: artifacts are
read into this enclave's own memory, which nobody else can write.
"""

from __future__ import annotations

import asyncio
import collections
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Final

from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import NotFound, TooLarge, Unavailable
from hallmark.services.enclave import control
from hallmark.services.enclave.transport import OnClosed, OnConnection, OnMessage

PARENT: Final = 3
CLIENT_PORT: Final = 5001
CONTROL_PORT: Final = 5002
ARTIFACT_PORT: Final = 5003
UPSTREAM_PORT: Final = 6000
BACKLOG: Final = 1024
MAX_ARTIFACT: Final = 64 << 30
CHUNK: Final = 1 << 20
# _IOWR(0x0A, 0, struct nsm_message): two iovecs, request and response
NSM_IOCTL: Final = 3 << 30 | 32 << 16 | 0x0A << 8
NSM_RESPONSE: Final = 0x3000

Connect = Callable[[int], socket.socket]
"""Opens a blocking stream to a port of the parent."""


class VsockTransport:
    """See the module docstring; `connect` and `listen` stand in for vsock in tests."""

    def __init__(
        self,
        connect: Connect | None = None,
        listen: Callable[[], socket.socket] | None = None,
        nsm_path: str = "/dev/nsm",
    ) -> None:
        self._connect = connect or connect_parent
        self._listening = (listen or listen_for_clients)()
        self._control = self._connect(CONTROL_PORT)
        self._nsm_path = nsm_path
        self._nsm = -1
        self._upstreams: dict[str, int] = {}
        self._queue: collections.deque[bytes] = collections.deque()
        self._received = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_message: OnMessage = lambda _: None
        self._on_connection: OnConnection = lambda connection: connection.close()
        self._on_closed: OnClosed = lambda: None

    def nsm(self, request: bytes) -> bytes:
        """See `Transport.nsm`. UNTESTED ON HARDWARE."""
        if self._nsm < 0:
            self._nsm = os.open(self._nsm_path, os.O_RDWR | os.O_CLOEXEC)
        asked = ctypes.create_string_buffer(request, len(request))
        answer = ctypes.create_string_buffer(NSM_RESPONSE)
        addresses = (ctypes.addressof(asked), len(request), ctypes.addressof(answer), NSM_RESPONSE)
        message = bytearray(struct.pack("@PNPN", *addresses))
        try:
            fcntl.ioctl(self._nsm, NSM_IOCTL, message)
        except OSError as error:
            raise Unavailable("nsm_unreachable", "The security module does not answer.") from error
        return answer.raw[: struct.unpack("@PNPN", message)[3]]

    def start(self) -> tuple[control.Start, Mapping[str, memoryview]]:
        """See `Transport.start`."""
        message = control.decode_to_enclave(read_frame(self._control))
        if not isinstance(message, control.Start):
            raise Unavailable("host_gone", "The host did not start the enclave properly.")
        names = sorted(EnclaveConfiguration.decode(message.configuration).upstreams)
        self._upstreams = {name: UPSTREAM_PORT + number for number, name in enumerate(names)}
        return message, {label: self._artifact(label) for label in message.labels}

    def attach(self, on_message: OnMessage, on_connection: OnConnection, on_closed: OnClosed) -> None:
        """See `Transport.attach`."""
        self._on_message, self._on_connection, self._on_closed = on_message, on_connection, on_closed
        self._loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        self._listening.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._readable)
        self._loop.add_reader(self._listening.fileno(), self._acceptable)

    def send(self, message: control.FromEnclave) -> None:
        """See `Transport.send`."""
        data = control.encode(message)
        self._queue.append(len(data).to_bytes(4, "big") + data)
        if len(self._queue) == 1:
            self._flush()

    async def dial(self, name: str) -> socket.socket:
        """See `Transport.dial`: the parent runs a proxy to the upstream on its own port."""
        port = self._upstreams.get(name)
        if port is None:
            raise NotFound("unknown_upstream", "The configuration names no such upstream.")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(None, self._connect, port)
        except OSError as error:
            raise Unavailable("upstream_unreachable", "The upstream cannot be reached.") from error
        connection.setblocking(False)
        return connection

    def _artifact(self, label: str) -> memoryview:
        with self._connect(ARTIFACT_PORT) as stream:
            name = label.encode()
            stream.sendall(len(name).to_bytes(2, "big") + name)
            size = int.from_bytes(read_exactly(stream, 8), "big")
            if size > MAX_ARTIFACT:
                raise TooLarge("artifact_too_large", f"The artifact of {label} is too large.")
            return memoryview(read_exactly(stream, size)).toreadonly()

    def _readable(self) -> None:
        try:
            data = self._control.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._on_closed()
            return
        self._received += data
        try:
            for frame in take_frames(self._received):
                self._on_message(control.decode_to_enclave(frame))
        except Exception:
            self._on_closed()

    def _acceptable(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        self._on_connection(connection)

    def _flush(self) -> None:
        while self._queue:
            try:
                sent = self._control.send(self._queue[0])
            except BlockingIOError:
                if self._loop is not None:
                    self._loop.add_writer(self._control.fileno(), self._flush)
                return
            except OSError:
                self._on_closed()
                return
            if sent < len(self._queue[0]):
                self._queue[0] = self._queue[0][sent:]
            else:
                self._queue.popleft()
        if self._loop is not None:
            self._loop.remove_writer(self._control.fileno())


def connect_parent(port: int) -> socket.socket:
    """A stream to a port of the parent instance. UNTESTED ON HARDWARE. Raises OSError."""
    stream = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    stream.connect((PARENT, port))
    return stream


def listen_for_clients() -> socket.socket:
    """The enclave's listening socket. UNTESTED ON HARDWARE. Raises OSError."""
    listening = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listening.bind((socket.VMADDR_CID_ANY, CLIENT_PORT))
    listening.listen(BACKLOG)
    return listening


def read_exactly(stream: socket.socket, size: int) -> bytearray:
    """`size` bytes. Raises Unavailable `host_gone`."""
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = stream.recv_into(view[done:])
        if not count:
            raise Unavailable("host_gone", "The host closed the stream.")
        done += count
    return data


def read_frame(stream: socket.socket) -> bytes:
    """One length-prefixed message. Raises Unavailable `host_gone`, TooLarge `message_too_large`."""
    size = int.from_bytes(read_exactly(stream, 4), "big")
    if size > control.MAX_MESSAGE:
        raise TooLarge("message_too_large", f"A control message has at most {control.MAX_MESSAGE} bytes.")
    return bytes(read_exactly(stream, size))


def take_frames(received: bytearray) -> list[bytes]:
    """Take every whole frame off the front of `received`. Raises TooLarge `message_too_large`."""
    frames = []
    while len(received) >= 4:
        size = int.from_bytes(received[:4], "big")
        if size > control.MAX_MESSAGE:
            raise TooLarge("message_too_large", f"A control message has at most {control.MAX_MESSAGE} bytes.")
        if len(received) < 4 + size:
            break
        frames.append(bytes(received[4 : 4 + size]))
        del received[: 4 + size]
    return frames
