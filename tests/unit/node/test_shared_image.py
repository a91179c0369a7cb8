"""An image that another process hands over is not believed: seals, bytes and device are looked at here."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.services.node import image, shared_image
from hallmark.services.node.loop_device import INFO, LO_FLAGS_READ_ONLY, holding
from hallmark.services.node.measure import SEALS

MANIFEST = b"aa 444 1 app/x\n"
CONTENT = b"squash" + MANIFEST + image.TRAILER.pack(image.MAGIC, 6, len(MANIFEST))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An image's file."""
    path = tmp_path / "enclave-1.img"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, its:
        yield ours, its


def memory(content: bytes, seals: int = SEALS) -> int:
    """Memory with `content`, sealed."""
    fd = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def open_files() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def device(monkeypatch: pytest.MonkeyPatch, fd: int, **changes: int) -> None:
    """Let the kernel say that every device holds the memory `fd`, but for `changes`."""
    of = os.fstat(fd)
    said = {"dev": of.st_dev, "ino": of.st_ino, "offset": 0, "size": 6, "flags": LO_FLAGS_READ_ONLY} | changes
    packed = INFO.pack(
        said["dev"], said["ino"], 0, said["offset"], said["size"], 0, 0, 0, said["flags"], b"", b"", b"", 0, 0
    )
    monkeypatch.setattr("hallmark.services.node.loop_device.fcntl.ioctl", lambda *_: packed)
    null = os.stat("/dev/null")
    real = os.stat
    monkeypatch.setattr(
        "hallmark.services.node.loop_device.os.stat",
        lambda path, **kw: null if path == "/dev/loop0" else real(path, **kw),
    )


def test_a_sealed_equal_image_is_taken(
    file: Path, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealed memory with the file's bytes, under a device that holds it, is used; its hash is made here."""
    fd, null = memory(CONTENT), os.open(os.devnull, os.O_RDONLY)
    device(monkeypatch, fd)
    socket.send_fds(pair[1], [b"\0"], [fd, null])
    sealed = shared_image.take(pair[0], file)
    assert sealed is not None
    assert os.fstat(sealed.fd).st_ino == os.fstat(fd).st_ino
    assert sealed.manifest == MANIFEST
    assert sealed.attach().path == "/dev/loop0"
    sealed.close()
    os.close(fd)
    os.close(null)


@pytest.mark.parametrize(
    ("content", "seals"),
    [
        (CONTENT, SEALS & ~fcntl.F_SEAL_WRITE),
        (CONTENT, SEALS & ~fcntl.F_SEAL_SEAL),
        (CONTENT, SEALS & ~fcntl.F_SEAL_GROW),
        (CONTENT.replace(b"squash", b"squosh"), SEALS),
        (CONTENT + b"x", SEALS),
        (b"", SEALS),
    ],
)
def test_other_memory_is_refused(
    file: Path,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    seals: int,
) -> None:
    """Memory that can still change, or holds other bytes than the file, is not used; nothing stays open."""
    fd, null = memory(content, seals), os.open(os.devnull, os.O_RDONLY)
    device(monkeypatch, fd)
    before = open_files()
    socket.send_fds(pair[1], [b"\0"], [fd, null])
    assert shared_image.take(pair[0], file) is None
    assert open_files() == before
    os.close(fd)
    os.close(null)


@pytest.mark.parametrize("change", [{"ino": 1}, {"dev": 9999}, {"offset": 4096}, {"size": 5}, {"flags": 0}])
def test_a_device_over_anything_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, int]
) -> None:
    """Another file, another part of it, or a device that can be written to is not the image."""
    fd, null = memory(CONTENT), os.open(os.devnull, os.O_RDONLY)
    device(monkeypatch, fd)
    assert holding(null, fd, 6) is not None
    device(monkeypatch, fd, **change)
    assert holding(null, fd, 6) is None
    os.close(fd)
    os.close(null)


def test_what_is_no_device_is_refused(file: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    """A descriptor that is no loop device, or none at all, is refused."""
    fd = memory(CONTENT)
    with file.open("rb") as other:
        socket.send_fds(pair[1], [b"\0"], [fd, other.fileno()])
        assert shared_image.take(pair[0], file) is None
    socket.send_fds(pair[1], [b"\0"], [fd])
    assert shared_image.take(pair[0], file) is None
    os.close(fd)


def test_a_strangers_image_is_not_looked_at(
    file: Path, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process of another user offers is not read."""
    monkeypatch.setattr("hallmark.services.node.shared_image.os.geteuid", lambda: os.getuid() + 1)
    fd = memory(CONTENT)
    socket.send_fds(pair[1], [b"\0"], [fd, fd])
    assert shared_image.take(pair[0], file) is None
    os.close(fd)
