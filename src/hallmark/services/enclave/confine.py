"""What the enclave takes away from itself: Landlock and process limits first, the serving filter last.

bwrap has already taken namespaces, capabilities and most system calls. These steps hold even if the host's
launcher were to forget one of its own.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from typing import Final

from hallmark.core.errors import Unavailable

PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_FILTER_FLAG_TSYNC: Final = 1
SYS_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
SYS_LANDLOCK: Final = 444  # create_ruleset; add_rule and restrict_self follow; the same on all architectures
LANDLOCK_CREATE_RULESET_VERSION: Final = 1
LANDLOCK_RULE_PATH_BENEATH: Final = 1

READ: Final = 1 << 2 | 1 << 3  # READ_FILE, READ_DIR
WRITE_FILE: Final = 1 << 1
TMP: Final = READ | WRITE_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 14  # remove, make, truncate
FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
ALL_FILE_RIGHTS: Final = 16
DEVICES: Final = READ | WRITE_FILE | 1 << 15  # ioctl on devices: /dev/nsm; the filters allow no other request
PATHS: Final = {"/usr": READ, "/lib64": READ, "/app": READ, "/dev": DEVICES, "/tmp": TMP}  # noqa: S108

_libc = ctypes.CDLL(None, use_errno=True)


def limit_process(memory: int = 0, tasks: int = 0) -> None:
    """No core dumps, not traceable, no new privileges; rlimits where no control group holds (0: leave)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if tasks:
        resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 without Landlock."""
    return max(0, int(_libc.syscall(SYS_LANDLOCK, None, 0, LANDLOCK_CREATE_RULESET_VERSION)))


def restrict_paths() -> int:
    """Landlock: read the image, write only /tmp, execute nothing, no TCP, no signals or abstract sockets out.

    Must come before the first thread: it holds for the calling thread and its descendants. Returns the ABI,
    0 when the kernel has no Landlock. Raises Unavailable `landlock_failed`.
    """
    version = landlock_version()
    if version == 0:
        return 0
    handled = (1 << FILE_RIGHTS.get(version, ALL_FILE_RIGHTS)) - 1
    attributes = struct.pack("<QQQ", handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call("landlock_failed", SYS_LANDLOCK, attributes, size, 0)
    for path, rights in PATHS.items():
        if os.path.isdir(path):
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("<Qi", rights & handled, parent)
            _call("landlock_failed", SYS_LANDLOCK + 1, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
            os.close(parent)
    _call("landlock_failed", SYS_LANDLOCK + 2, ruleset, 0)
    os.close(ruleset)
    return version


def install_filter(program: bytes) -> None:
    """Install a seccomp filter for every thread of the process, for good. Raises Unavailable
    `seccomp_failed`.
    """
    number = SYS_SECCOMP.get(platform.machine())
    if number is None:
        raise Unavailable("seccomp_failed", f"Nothing is known about {platform.machine()} processors.")
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _call("seccomp_failed", number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, header)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise Unavailable("confinement_failed", f"prctl {option}: {os.strerror(ctypes.get_errno())}.")


def _call(reason: str, number: int, *arguments: int | bytes) -> int:
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *values))
    if result < 0:
        raise Unavailable(reason, f"System call {number}: {os.strerror(ctypes.get_errno())}.")
    if result > 0 and number == SYS_SECCOMP.get(platform.machine()):
        raise Unavailable(reason, "A thread could not take the filter.")
    return result
