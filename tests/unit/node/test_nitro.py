"""The Nitro path as far as it runs without Nitro: both ends of the channel, deterministic ramdisks."""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import Unavailable
from hallmark.services.enclave import control, vsock
from hallmark.services.node import nitro

RECIPE = Path(__file__).parents[3] / "deploy/nitro/build_eif.py"


class Ports:
    """Abstract Unix sockets in place of vsock ports."""

    def __init__(self) -> None:
        self._prefix = "\0hallmark-nitro-" + os.urandom(8).hex()

    def listen(self, port: int) -> socket.socket:
        """A listening, non-blocking socket."""
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{self._prefix}-{port}")
        listening.listen()
        listening.setblocking(False)
        return listening

    def connect(self, port: int) -> socket.socket:
        """A blocking connection."""
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(f"{self._prefix}-{port}")
        return stream

    async def client(self) -> socket.socket:
        """A non-blocking connection to the client port."""
        stream = self.connect(vsock.CLIENT_PORT)
        stream.setblocking(False)
        return stream


async def test_both_ends_of_the_vsock_path_understand_each_other() -> None:
    """Start, artifacts, messages both ways, a client and an upstream, between the real classes."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(5)).upper())
        writer.close()

    upstream = await asyncio.start_server(shout, "127.0.0.1", 0)
    upstreams = {"up": f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"}
    zero = hex0x(bytes(32))
    configuration = EnclaveConfiguration(
        network=zero, chain_id=1, owner=hex0x(bytes(20)), endpoint="", payment=hex0x(bytes(20)), mode=1,
        capacity=1, models={}, upstreams=upstreams, limits={},
    )  # fmt: skip
    ports, heard = Ports(), asyncio.Queue[control.FromEnclave]()
    link = nitro.NitroLink(
        artifacts={"one": b"weights"}, upstreams=upstreams, connect=ports.client, listen=ports.listen,
        on_message=heard.put_nowait,
    )  # fmt: skip
    opening = asyncio.create_task(link.open())
    async with asyncio.timeout(60):
        while len(link._servers) < 3:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0)
        transport = await asyncio.to_thread(
            vsock.VsockTransport, ports.connect, lambda: ports.listen(vsock.CLIENT_PORT)
        )
        await opening
        start = control.Start(configuration.encode(), (), ("one",), bytes(48), "nitro", 1, 0, bytes(32))
        link.send(start)
        message, artifacts = await asyncio.to_thread(transport.start)
        assert message == start
        assert bytes(artifacts["one"]) == b"weights"

        told: asyncio.Queue[control.ToEnclave] = asyncio.Queue()
        connections: asyncio.Queue[socket.socket] = asyncio.Queue()
        gone = asyncio.Event()
        transport.attach(told.put_nowait, connections.put_nowait, gone.set)
        link.send(control.Stored(3))
        assert await told.get() == control.Stored(3)
        transport.send(control.Signed(1, b"entry"))
        assert await heard.get() == control.Signed(1, b"entry")

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        link.send(control.Connection(), owned=theirs)
        inside = await connections.get()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, b"hello")
        inside.setblocking(False)
        assert await loop.sock_recv(inside, 5) == b"hello"

        far = await transport.dial("up")
        await loop.sock_sendall(far, b"hello")
        assert await loop.sock_recv(far, 5) == b"HELLO"
        await link.close()
        await gone.wait()
        with pytest.raises(Unavailable):
            link.send(control.Stored(4))
    upstream.close()


def recipe() -> Any:
    """The EIF recipe as a module."""
    spec = importlib.util.spec_from_file_location("build_eif", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image_tree(top: Path) -> Path:
    """A tree like an extracted image."""
    for name in ("usr/bin/python3", "app/enclave.py", "dev/null"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
        (top / name).chmod(0o555)
    return top


def test_ramdisks_are_deterministic(tmp_path: Path) -> None:
    """Two trees with the same files give the same bytes, whatever their times and inodes."""
    module = recipe()
    first = module.application(image_tree(tmp_path / "a"))
    os.utime(image_tree(tmp_path / "b") / "app/enclave.py", (1, 1))
    assert module.application(tmp_path / "b") == first
    (tmp_path / "b/app/enclave.py").chmod(0o444)
    assert module.application(tmp_path / "b") != first


@pytest.mark.skipif(
    subprocess.run(["which", "cpio"], capture_output=True).returncode != 0, reason="needs cpio"
)
def test_cpio_reads_the_ramdisk(tmp_path: Path) -> None:
    """Another implementation unpacks it, with the command file and without our placeholder devices."""
    data = gzip.decompress(recipe().application(image_tree(tmp_path / "a")))
    listing = (
        subprocess.run(["cpio", "-t"], input=data, capture_output=True, check=True).stdout.decode().split()
    )
    assert {"cmd", "env", "rootfs/usr/bin/python3", "rootfs/app/enclave.py", "rootfs/dev"} <= set(listing)
    assert "rootfs/dev/null" not in listing


def test_the_recipe_starts_the_vsock_program() -> None:
    """The command line in the ramdisk is the software enclave's, with the other transport."""
    from hallmark.services.node import confinement

    words = recipe().COMMAND.split()
    ours = confinement.confinement(confinement.SEALED, "cgroup2", confinement.NOBODY).arguments
    assert words[:-1] == list(ours[ours.index("/usr/bin/python3") :])
    assert words[-1] == "--vsock"
