"""Measures an image: seals a copy in memory, hashes that copy, mounts that copy.

PCR0-2 as AWS Nitro computes them: PCRn = SHA-384(48 zero bytes || SHA-384(content)), where the content is

    PCR0   the whole image file
    PCR1   the boot part: `Confinement.encode()`
    PCR2   the application layer: the image manifest's lines for /app
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, Unavailable, VerificationFailed
from hallmark.services.node import image
from hallmark.services.node.confinement import Confinement
from hallmark.services.node.image_contents import ENGINES
from hallmark.services.node.machine import detect

SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
LOOP_CTL_GET_FREE: Final = 0x4C82
LOOP_CONFIGURE: Final = 0x4C0A
LO_FLAGS_READ_ONLY: Final = 1
LO_FLAGS_AUTOCLEAR: Final = 4
_ATTEMPTS: Final = 16
SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 430, 431, 432  # the same on all architectures
FSOPEN_CLOEXEC = FSMOUNT_CLOEXEC = MOUNT_ATTR_RDONLY = 1
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6


class Measurements(msgspec.Struct, frozen=True):
    """What an image measures to. `image` is SHA-384 of the file; registers are 48 bytes each."""

    image: bytes
    pcr0: bytes
    pcr1: bytes
    pcr2: bytes


class ImageInfo(msgspec.Struct, frozen=True):
    """A built image and what it measures to under the confinement that this machine allows. Hex digests."""

    path: str
    size: int
    sha384: str
    pcr0: str
    pcr1: str
    pcr2: str
    confinement: Confinement


class SealedImage:
    """An image in a sealed memfd. Close it when no enclave will be started from it any more."""

    def __init__(self, fd: int, layout: image.Layout, manifest: bytes, digest: bytes) -> None:
        self.fd = fd
        self.layout = layout
        self.manifest = manifest
        self.digest = digest

    def close(self) -> None:
        """Release the memory (mounted copies keep theirs)."""
        os.close(self.fd)

    def measure(self, confinement: Confinement) -> Measurements:
        """PCR0-2 of this image under `confinement`."""
        application = image.application_lines(self.manifest)
        return Measurements(
            self.digest,
            extend(bytes(48), self.digest),
            extend(bytes(48), hashlib.sha384(confinement.encode()).digest()),
            extend(bytes(48), hashlib.sha384(application).digest()),
        )


def extend(register: bytes, data: bytes) -> bytes:
    """SHA-384(register || data): how a platform configuration register takes a value; 48 bytes."""
    return hashlib.sha384(register + data).digest()


def seal(path: Path) -> SealedImage:
    """Copy an image into a memfd, seal it against every change, then hash the sealed copy.

    Raises InvalidInput `bad_image`, Unavailable `image_unreadable`.
    """
    try:
        with path.open("rb") as source:
            fd = _sealed_copy(source.fileno())
    except OSError as error:
        raise Unavailable("image_unreadable", f"The image cannot be read: {error.strerror}.") from error
    size = os.fstat(fd).st_size
    if size <= image.TRAILER.size:
        os.close(fd)
        raise InvalidInput("bad_image", "The file is too short for an enclave image.")
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as view:
        digest = hashlib.sha384(view).digest()
        layout = image.layout_of(view[-image.TRAILER.size :], size)
        manifest = view[layout.squashfs : layout.squashfs + layout.manifest]
    return SealedImage(fd, layout, manifest, digest)


def build_image(dest: Path, engines: Collection[str] = tuple(ENGINES)) -> ImageInfo:
    """Build (or find) this installation's image with `engines` under `dest` and measure it."""
    path = image.build(dest, engines=engines)
    return inspect(path, detect())


def inspect(path: Path, confinement: Confinement) -> ImageInfo:
    """Measure an image file under `confinement`. Errors as `seal`."""
    sealed = seal(path)
    try:
        found = sealed.measure(confinement)
    finally:
        sealed.close()
    registers = (found.image.hex(), found.pcr0.hex(), found.pcr1.hex(), found.pcr2.hex())
    return ImageInfo(str(path), path.stat().st_size, *registers, confinement)


def attach_loop(sealed: SealedImage) -> tuple[int, str]:
    """Attach the sealed copy, read-only, to a free loop device: (open descriptor, device path).

    The device lives until the descriptor is closed and nothing is mounted from it. Raises Unavailable
    `loop_unavailable`.
    """
    info = struct.pack("<5Q4I64s64s32s2Q", 0, 0, 0, 0, sealed.layout.squashfs, 0, 0, 0,
                       LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR, b"hallmark", b"", b"", 0, 0)  # fmt: skip
    request = struct.pack("<II", sealed.fd, 0) + info + bytes(64)
    problem = "busy"
    for _ in range(_ATTEMPTS):
        try:
            with open("/dev/loop-control", "rb") as control:
                number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = f"/dev/loop{number}"
            fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            problem = error.strerror or "unknown"
            continue
        try:
            fcntl.ioctl(fd, LOOP_CONFIGURE, request)
        except OSError as error:  # another process took the device meanwhile
            problem = error.strerror or "unknown"
            os.close(fd)
            continue
        return fd, device
    raise Unavailable("loop_unavailable", f"No loop device can be set up: {problem}.")


def keep_mounted(device: str) -> int | None:
    """Mount the device nowhere, and hold that: enclaves that mount it afterwards share its page cache.

    The descriptor is the mount; closing it ends it. None where the kernel cannot (before Linux 5.2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    context = libc.syscall(SYS_FSOPEN, b"squashfs", FSOPEN_CLOEXEC)
    if context < 0:
        return None
    try:
        steps = (
            (SYS_FSCONFIG, context, FSCONFIG_SET_STRING, b"source", device.encode(), 0),
            (SYS_FSCONFIG, context, FSCONFIG_SET_FLAG, b"ro", None, 0),
            (SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, None, None, 0),
        )
        if any(libc.syscall(*step) < 0 for step in steps):
            return None
        mounted = int(libc.syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY))
        return mounted if mounted >= 0 else None
    finally:
        os.close(context)


def extract(sealed: SealedImage, cache: Path) -> Path:
    """The image as a directory under `cache`, every file compared with the sealed manifest.

    For machines without loop devices. Raises Unavailable `image_tool_missing`, VerificationFailed
    `image_directory_altered`.
    """
    root = cache / f"root-{sealed.digest.hex()[:32]}"
    if not root.exists():
        _unsquash(sealed, root)
    if image.manifest_of(root) != sealed.manifest:
        raise VerificationFailed(
            "image_directory_altered",
            "The extracted image differs from its manifest.",
            f"Remove {root} and start again.",
        )
    return root


def _unsquash(sealed: SealedImage, root: Path) -> None:
    tool = shutil.which("unsquashfs")
    if tool is None:
        raise Unavailable("image_tool_missing", "unsquashfs is missing.", "apt-get install squashfs-tools")
    draft = root.with_name(f"{root.name}.{os.getpid()}")
    command = [tool, "-no-xattrs", "-no-progress", "-dest", str(draft), f"/proc/self/fd/{sealed.fd}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=(sealed.fd,))
    if done.returncode:
        raise Unavailable("image_unreadable", f"unsquashfs failed: {done.stderr.strip()[-200:]}")
    os.replace(draft, root)


def _sealed_copy(source: int) -> int:
    fd = os.memfd_create("hallmark-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    size, done = os.fstat(source).st_size, 0
    while done < size and (sent := os.sendfile(fd, source, done, size - done)):
        done += sent
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd
