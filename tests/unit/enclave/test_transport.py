"""Both transports without a sandbox: inherited sockets, and vsock's framing over Unix sockets."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import threading

import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import HallmarkError
from hallmark.services.enclave import control, vsock
from hallmark.services.enclave.transport import REQUIRED_SEALS, InheritedTransport

CONFIGURATION = EnclaveConfiguration(
    network=hex0x(bytes(32)), chain_id=1, owner=hex0x(bytes(20)), endpoint="", payment=hex0x(bytes(20)),
    mode=1, capacity=1, models={}, upstreams={"b": "http://b", "a": "http://a"}, limits={},
).encode()  # fmt: skip
START = control.Start(CONFIGURATION, (), ("one",), bytes(48), "nitro-dev", 1, 0, bytes(32))


def inherited() -> tuple[InheritedTransport, socket.socket, socket.socket]:
    """A transport and the host's ends of its control and security module sockets."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nsm, its_nsm = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return InheritedTransport(theirs.detach(), its_nsm.detach()), ours, nsm


def memory(data: bytes, seals: int) -> int:
    """A memfd with `data` and `seals`."""
    fd = os.memfd_create("artifact", os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def test_start_brings_sealed_artifacts() -> None:
    """An artifact in sealed memory is mapped in place."""
    transport, host, _ = inherited()
    socket.send_fds(host, [control.encode(START)], [memory(b"weights", REQUIRED_SEALS)])
    message, artifacts = transport.start()
    assert message == START
    assert bytes(artifacts["one"]) == b"weights"


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_WRITE, REQUIRED_SEALS & ~fcntl.F_SEAL_WRITE])
def test_unsealed_artifacts_are_refused(seals: int) -> None:
    """Memory that the host could still change is no artifact."""
    transport, host, _ = inherited()
    socket.send_fds(host, [control.encode(START)], [memory(b"weights", seals)])
    with pytest.raises(HallmarkError) as refused:
        transport.start()
    assert refused.value.reason == "artifact_not_sealed"


@pytest.mark.parametrize("message", [START, control.Connection()])
def test_a_start_without_its_descriptors_is_refused(message: control.ToEnclave) -> None:
    """The first message must be Start with one descriptor a label."""
    transport, host, _ = inherited()
    host.send(control.encode(message))
    with pytest.raises(HallmarkError) as refused:
        transport.start()
    assert refused.value.reason == "host_gone"


def test_the_security_module_is_asked() -> None:
    """A request goes out as one datagram and its answer comes back; a closed socket is an error."""
    transport, _, module = inherited()
    module.send(b"answer")
    assert transport.nsm(b"request") == b"answer"
    assert module.recv(100) == b"request"
    module.close()
    with pytest.raises(HallmarkError):
        transport.nsm(b"request")


async def test_messages_connections_and_dials_find_their_places() -> None:
    """Messages go to the shell, sockets to the server, answers to whoever dialled."""
    transport, host, _ = inherited()
    host.setblocking(False)
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[control.ToEnclave] = asyncio.Queue()
    connections: asyncio.Queue[socket.socket] = asyncio.Queue()
    closed = asyncio.Event()
    transport.attach(messages.put_nowait, connections.put_nowait, closed.set)
    left, right = socket.socketpair()
    socket.send_fds(host, [control.encode(control.Connection())], [right.fileno()])
    host.send(control.encode(control.Stored(4)))
    taken = await connections.get()
    left.send(b"x")
    assert taken.recv(1) == b"x"
    assert await messages.get() == control.Stored(4)

    dialling = asyncio.create_task(transport.dial("name"))
    asked = control.decode_from_enclave(await loop.sock_recv(host, 1000))
    assert asked == control.Dial(0, "name")
    socket.send_fds(host, [control.encode(control.Dialed(0))], [right.fileno()])
    assert (await dialling).family == socket.AF_UNIX
    refused = asyncio.create_task(transport.dial("other"))
    await loop.sock_recv(host, 1000)
    host.send(control.encode(control.Dialed(1, "unknown_upstream")))
    with pytest.raises(HallmarkError) as error:
        await refused
    assert error.value.reason == "unknown_upstream"
    host.close()
    await closed.wait()


async def test_a_full_channel_keeps_order() -> None:
    """Messages beyond what the socket takes wait, and arrive in order."""
    transport, host, _ = inherited()
    host.setblocking(False)
    transport.attach(lambda _: None, lambda _: None, lambda: None)
    for number in range(300):
        transport.send(control.Signed(number, bytes(20_000)))
    loop = asyncio.get_running_loop()
    for number in range(300):
        message = control.decode_from_enclave(await loop.sock_recv(host, control.MAX_MESSAGE))
        assert isinstance(message, control.Signed)
        assert message.sequence == number


class Parent:
    """Plays the parent instance: hands out one end of a socket pair for each port that is connected to."""

    def __init__(self) -> None:
        self.ends: dict[int, socket.socket] = {}

    def connect(self, port: int) -> socket.socket:
        """The enclave's end; an artifact stream is answered at once."""
        ours, theirs = socket.socketpair()
        self.ends[port] = ours
        if port == vsock.ARTIFACT_PORT:
            threading.Thread(target=self._artifact, args=(ours,)).start()
        return theirs

    def _artifact(self, stream: socket.socket) -> None:
        size = int.from_bytes(vsock.read_exactly(stream, 2), "big")
        assert vsock.read_exactly(stream, size) == b"one"
        stream.sendall((7).to_bytes(8, "big") + b"weights")


def frame(message: control.ToEnclave) -> bytes:
    """A message as it crosses vsock."""
    data = control.encode(message)
    return len(data).to_bytes(4, "big") + data


async def test_vsock_framing() -> None:
    """Over streams the same messages are framed, split anywhere; artifacts and upstreams have own streams."""
    parent = Parent()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(b"\0hallmark-test-" + os.urandom(8).hex().encode())
    listening.listen()
    transport = vsock.VsockTransport(parent.connect, lambda: listening)
    host = parent.ends[vsock.CONTROL_PORT]
    host.sendall(frame(START))
    message, artifacts = transport.start()
    assert message == START
    assert bytes(artifacts["one"]) == b"weights"
    assert artifacts["one"].readonly

    messages: asyncio.Queue[control.ToEnclave] = asyncio.Queue()
    connections: asyncio.Queue[socket.socket] = asyncio.Queue()
    closed = asyncio.Event()
    transport.attach(messages.put_nowait, connections.put_nowait, closed.set)
    data = frame(control.Stored(1)) + frame(control.Stored(2))
    for at in range(0, len(data), 5):
        host.send(data[at : at + 5])
        await asyncio.sleep(0)
    assert [await messages.get(), await messages.get()] == [control.Stored(1), control.Stored(2)]
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(listening.getsockname())
    await connections.get()
    await transport.dial("b")
    assert vsock.UPSTREAM_PORT + 1 in parent.ends
    with pytest.raises(HallmarkError):
        await transport.dial("c")
    transport.send(control.Dial(1, "x"))
    assert control.decode_from_enclave(vsock.read_frame(host)) == control.Dial(1, "x")
    host.sendall((1 << 30).to_bytes(4, "big"))
    await closed.wait()
