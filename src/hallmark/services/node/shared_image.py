"""One sealed image for all hosts of a user on a machine: who has it hands it to who starts.

A host that holds an image listens beside the image's file, on `<image>.<pid>.sock`, and hands two descriptors
to processes of its own user: the sealed memory, and the loop device over it. What is mounted from one device
is in memory once, however many enclaves run from it.

Who takes it believes nothing of it. In this order:

1. the sender is a process of the same user (SO_PEERCRED);
2. the memory carries every seal, so nobody, its maker included, can change it any more;
3. it holds the bytes of the image's file, every one;
4. it is hashed here, as a copy of one's own would be;
5. the device, says the kernel, holds that memory from its first byte to the squashfs's last, read-only.

Whatever fails, the host seals a copy of its own. A device and its memory stay while anybody has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.services.node.loop_device import holding
from hallmark.services.node.measure import SealedImage, hashed, seal

PATIENCE_S: Final = 3.0
BACKLOG: Final = 16
CHUNK: Final = 1 << 20
CREDENTIALS: Final = struct.Struct("3i")  # pid, user, group


class SharedImage:
    """An image that this process holds and hands on. `serve` once there is an event loop; `close` at the end.

    `sealed` belongs to the caller.
    """

    def __init__(self, sealed: SealedImage, listening: socket.socket | None, path: Path) -> None:
        self.sealed = sealed
        self._listening = listening
        self._path = path

    def serve(self) -> None:
        """Hand the image to whoever asks, on the running loop."""
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening.fileno(), self._asked)

    def close(self) -> None:
        """Hand out nothing any more."""
        if self._listening is None:
            return
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
        self._listening.close()
        self._path.unlink(missing_ok=True)
        self._listening = None

    def _asked(self) -> None:
        assert self._listening is not None
        with contextlib.suppress(OSError):
            peer, _ = self._listening.accept()
            with peer:
                if _is_ours(peer) and self.sealed.loop is not None:
                    peer.setblocking(False)
                    socket.send_fds(peer, [b"\0"], [self.sealed.fd, self.sealed.loop.fd])


def obtain(path: Path) -> SharedImage:
    """The image at `path` from a host that holds it, else sealed here; blocks.

    Hosts that start at the same time do so in turn. Raises as `seal` and `SealedImage.attach` do.
    """
    with _turn(path):
        sealed = _from_others(path)
        if sealed is None:
            sealed = seal(path)
        try:
            sealed.attach()
            place = path.with_suffix(f".{os.getpid()}.sock")
            return SharedImage(sealed, _listen(place), place)
        except BaseException:
            sealed.close()
            raise


def take(peer: socket.socket, path: Path) -> SealedImage | None:
    """What a connected peer hands over, if it is what the module docstring asks for; else None."""
    found: list[int] = []
    try:
        peer.settimeout(PATIENCE_S)
        if not _is_ours(peer):
            return None
        _, found, _, _ = socket.recv_fds(peer, 1, 2)
        if len(found) != 2:
            return None
        memory, device = found
        sealed = hashed(memory)
        if _same_bytes(memory, path) and (loop := holding(device, memory, sealed.layout.squashfs)):
            sealed.loop, found = loop, []
            return sealed
    except (OSError, HallmarkError):
        return None
    finally:
        for fd in found:
            os.close(fd)
    return None


def _from_others(path: Path) -> SealedImage | None:
    for place in sorted(path.parent.glob(f"{path.stem}.*.sock")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer, _short(place) as address:
            try:
                peer.settimeout(PATIENCE_S)
                peer.connect(address)
            except ConnectionRefusedError:  # nobody listens there any more
                place.unlink(missing_ok=True)
                continue
            except OSError:
                continue
            sealed = take(peer, path)
            if sealed is not None:
                return sealed
    return None


def _listen(place: Path) -> socket.socket | None:
    """A listening socket; None where there can be none: then this host alone uses its copy."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.unlink(missing_ok=True)
        with _short(place) as address:
            listening.bind(address)
        place.chmod(0o600)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        return None
    return listening


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other host is at it."""
    try:
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("image_unreadable", f"The image's folder: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _short(place: Path) -> Iterator[str]:
    """An address for a socket's path, which may be longer than the 107 bytes that an address has room for."""
    folder = os.open(place.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{place.name}"
    finally:
        os.close(folder)


def _is_ours(peer: socket.socket) -> bool:
    _, user, _ = CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return bool(user == os.geteuid())


def _same_bytes(memory: int, path: Path) -> bool:
    with path.open("rb") as file:
        size = os.fstat(memory).st_size
        if os.fstat(file.fileno()).st_size != size:
            return False
        with mmap.mmap(memory, size, prot=mmap.PROT_READ) as view:
            return all(view[at : at + CHUNK] == file.read(CHUNK) for at in range(0, size, CHUNK))
