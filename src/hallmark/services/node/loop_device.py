"""Loop devices over sealed memory: how the kernel mounts an image of which no file is left (loop(4))."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from typing import Final, NamedTuple

from hallmark.core.errors import Unavailable

LOOP_CTL_GET_FREE: Final = 0x4C82
LOOP_CONFIGURE: Final = 0x4C0A
LOOP_GET_STATUS64: Final = 0x4C05
LO_FLAGS_READ_ONLY: Final = 1
LO_FLAGS_AUTOCLEAR: Final = 4
INFO: Final = struct.Struct("<5Q4I64s64s32s2Q")
"""struct loop_info64: device, inode, rdevice, offset, size limit, number, two of encryption, flags, names."""
SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 430, 431, 432  # the same on all architectures
FSOPEN_CLOEXEC = FSMOUNT_CLOEXEC = MOUNT_ATTR_RDONLY = 1
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6
_ATTEMPTS: Final = 16


class Loop(NamedTuple):
    """A loop device: a descriptor of it, and its path. It lives until nobody has it open or mounted."""

    fd: int
    path: str


def attach(memory: int, size: int) -> Loop:
    """Attach the first `size` bytes of sealed memory, read-only, to a free loop device.

    Raises Unavailable `loop_unavailable`.
    """
    info = INFO.pack(0, 0, 0, 0, size, 0, 0, 0, LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
                     b"hallmark", b"", b"", 0, 0)  # fmt: skip
    request = struct.pack("<II", memory, 0) + info + bytes(64)
    problem = "busy"
    for _ in range(_ATTEMPTS):
        try:
            with open("/dev/loop-control", "rb") as control:
                number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            problem = error.strerror or "unknown"
            continue
        try:
            fcntl.ioctl(fd, LOOP_CONFIGURE, request)
        except OSError as error:  # another process took the device meanwhile
            problem = error.strerror or "unknown"
            os.close(fd)
            continue
        return Loop(fd, path)
    raise Unavailable("loop_unavailable", f"No loop device can be set up: {problem}.")


def holding(fd: int, memory: int, size: int) -> Loop | None:
    """The device behind `fd` if it holds the first `size` bytes of `memory` and nothing else, read-only;
    else None. The kernel says which file a device holds; nothing here believes whoever handed it over.
    """
    try:
        said = INFO.unpack(fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(INFO.size)))
        path = f"/dev/loop{said[5]}"
        of, there, wanted = os.fstat(fd), os.stat(path), os.fstat(memory)
    except OSError:
        return None
    same = (said[0], said[1]) == (wanted.st_dev, wanted.st_ino) and of.st_rdev == there.st_rdev
    whole = (said[3], said[4]) == (0, size) and said[8] & LO_FLAGS_READ_ONLY
    return Loop(fd, path) if same and whole else None


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
