"""Measures an image: seals a copy in memory, hashes that copy; that copy is what is mounted.

PCR0-2 as AWS Nitro computes them: PCRn = SHA-384(48 zero bytes || SHA-384(content)), where the content is

    PCR0   the whole image file
    PCR1   the boot part: `Confinement.encode()`
    PCR2   the application layer: the image manifest's lines for /app
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, Unavailable, VerificationFailed
from hallmark.services.node import image, loop_device
from hallmark.services.node.confinement import Confinement
from hallmark.services.node.image_contents import USUAL
from hallmark.services.node.loop_device import Loop
from hallmark.services.node.machine import detect

SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


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
    """An image in a sealed memfd. Close it when no enclave will be started from it any more.

    `loop` is a loop device that holds exactly this memory, None until there is one.
    """

    def __init__(self, fd: int, layout: image.Layout, manifest: bytes, digest: bytes) -> None:
        self.fd = fd
        self.loop: Loop | None = None
        self.layout = layout
        self.manifest = manifest
        self.digest = digest

    def close(self) -> None:
        """Release memory and device (what is mounted keeps both)."""
        if self.loop is not None:
            os.close(self.loop.fd)
            self.loop = None
        os.close(self.fd)

    def attach(self) -> Loop:
        """The loop device, set up when there is none. Raises Unavailable `loop_unavailable`."""
        if self.loop is None:
            self.loop = loop_device.attach(self.fd, self.layout.squashfs)
        return self.loop

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
    try:
        return hashed(fd)
    except BaseException:
        os.close(fd)
        raise


def hashed(fd: int) -> SealedImage:
    """Hash an image in memory that nobody can change any more; the descriptor is the result's then.

    Raises InvalidInput `bad_image` for memory that is not sealed or holds no image.
    """
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise InvalidInput("bad_image", "The image is in memory that can still be changed.")
    size = os.fstat(fd).st_size
    if size <= image.TRAILER.size:
        raise InvalidInput("bad_image", "The file is too short for an enclave image.")
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as view:
        digest = hashlib.sha384(view).digest()
        layout = image.layout_of(view[-image.TRAILER.size :], size)
        manifest = view[layout.squashfs : layout.squashfs + layout.manifest]
    return SealedImage(fd, layout, manifest, digest)


def build_image(dest: Path, engines: Collection[str] = USUAL) -> ImageInfo:
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
