"""The host's side on AWS Nitro: the same messages as `Link`, over AF_VSOCK.

UNTESTED ON HARDWARE: `vsock_connect`, `vsock_listen` and `run_enclave` never ran. The rest is tested over
Unix sockets against `enclave.vsock`, whose docstring has the ports. There is no security module here: on
Nitro the hypervisor is one, the enclave asks it through /dev/nsm, and its evidence kind is "nitro".
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.services.enclave import control, vsock
from hallmark.services.node.pipe import End, Meter

CHUNK: Final = 1 << 20
Connect = Callable[[], Awaitable[socket.socket]]
"""Opens a non-blocking stream to the enclave's client port."""


class NitroLink:
    """Speaks with one Nitro enclave; `send` is that of `Link`, so a `Node` need not know the difference.

    `listen` gives a listening, non-blocking socket for a port of this parent. `artifacts` are served by
    label, `upstreams` (name to URL, as in the configuration) by port in the order of their names.
    """

    def __init__(
        self,
        *,
        artifacts: Mapping[str, bytes],
        upstreams: Mapping[str, str],
        connect: Connect,
        listen: Callable[[int], socket.socket],
        on_message: Callable[[control.FromEnclave], None],
    ) -> None:
        self._artifacts = artifacts
        self._upstreams = upstreams
        self._connect = connect
        self._listen = listen
        self._on_message = on_message
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._control: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._meter = Meter()

    @property
    def alive(self) -> bool:
        """Whether the control channel has not ended."""
        return not self._ended.is_set()

    async def open(self) -> None:
        """Listen on every port and wait for the enclave to connect its control channel."""
        await self._serve(vsock.CONTROL_PORT, self._converse)
        await self._serve(vsock.ARTIFACT_PORT, self._bring)
        for number, name in enumerate(sorted(self._upstreams)):
            await self._serve(vsock.UPSTREAM_PORT + number, self._forward(self._upstreams[name]))
        await self._connected.wait()

    def send(
        self,
        message: control.ToEnclave,
        descriptors: Sequence[int] = (),
        owned: socket.socket | None = None,
    ) -> None:
        """See `Link.send`. A `Connection` becomes a stream to the enclave's client port, piped to `owned`."""
        del descriptors  # artifacts have a port of their own
        if isinstance(message, control.Connection) and owned is not None:
            self._run(self._client(owned))
            return
        if self._control is None or not self.alive:
            raise Unavailable("enclave_gone", "The enclave has ended.")
        data = control.encode(message)
        self._control.write(len(data).to_bytes(4, "big") + data)

    async def wait_ended(self) -> None:
        """Until the control channel has ended."""
        await self._ended.wait()

    async def close(self) -> None:
        """Stop listening and drop the control channel: the enclave ends itself then."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        if self._control is not None:
            self._control.close()
        self._ended.set()

    async def _serve(
        self, port: int, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        self._servers.append(await asyncio.start_server(handle, sock=self._listen(port)))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._control is not None:
            writer.close()  # there is one enclave, and it connects once
            return
        self._control = writer
        self._connected.set()
        received = bytearray()
        with contextlib.suppress(OSError, HallmarkError):
            while data := await reader.read(CHUNK):
                received += data
                for frame in vsock.take_frames(received):
                    self._on_message(control.decode_from_enclave(frame))
        self._ended.set()

    async def _bring(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            data = self._artifacts.get((await reader.readexactly(size)).decode("utf-8", "replace"), b"")
            writer.write(len(data).to_bytes(8, "big"))
            writer.write(data)
            await writer.drain()
        writer.close()

    def _forward(self, url: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection(parts.hostname, port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

        return forward

    async def _client(self, owned: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        owned.setblocking(False)
        near, far = End(self._meter), End(self._meter)
        try:
            stream = await self._connect()
            await loop.create_unix_connection(lambda: near, sock=owned)
            await loop.create_connection(lambda: far, sock=stream)
        except OSError:
            owned.close()
            return
        near.join(far)

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


def vsock_connect(cid: int) -> Connect:
    """Connects to the client port of the enclave with context id `cid`. UNTESTED ON HARDWARE."""

    async def connect() -> socket.socket:
        stream = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        stream.setblocking(False)
        await asyncio.get_running_loop().sock_connect(stream, (cid, vsock.CLIENT_PORT))
        return stream

    return connect


def vsock_listen(port: int) -> socket.socket:
    """A listening socket for enclaves of this instance. UNTESTED ON HARDWARE."""
    listening = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listening.setblocking(False)
    listening.bind((socket.VMADDR_CID_ANY, port))
    listening.listen(vsock.BACKLOG)
    return listening


class _Described(msgspec.Struct, frozen=True):
    EnclaveCID: int
    EnclaveID: str


def run_enclave(eif: str, *, cpus: int, memory_mib: int) -> int:
    """Start an enclave with nitro-cli; its context id. UNTESTED ON HARDWARE.

    Raises Unavailable `nitro_cli_missing`, `launch_failed`; InvalidInput `bad_nitro_answer`.
    """
    tool = shutil.which("nitro-cli")
    if tool is None:
        raise Unavailable("nitro_cli_missing", "nitro-cli is missing.", "See deploy/nitro/README.md.")
    command = [tool, "run-enclave", "--eif-path", eif, "--cpu-count", str(cpus), "--memory", str(memory_mib)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable("launch_failed", f"nitro-cli failed: {done.stderr.strip()[-300:]}")
    try:
        return msgspec.json.decode(done.stdout, type=_Described).EnclaveCID
    except msgspec.DecodeError as error:
        raise InvalidInput("bad_nitro_answer", "nitro-cli's answer cannot be read.") from error
