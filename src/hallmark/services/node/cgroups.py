"""Memory and task caps of one enclave by control groups: version 2 where it has the controllers, else
version 1.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.services.node.confinement import Limits

CGROUPS: Final = Path("/sys/fs/cgroup")
PREFIX: Final = "hallmark-enclave-"
YOUNG_S: Final = 60


def enforcer(top: Path = CGROUPS) -> str:
    """What can cap memory and tasks here: "cgroup2", "cgroup1" or "rlimit"."""
    if _controllers(top) >= {"memory", "pids"} and _writable(top):
        return "cgroup2"
    if all((top / name / "cgroup.procs").exists() and _writable(top / name) for name in ("memory", "pids")):
        return "cgroup1"
    return "rlimit"


def create(kind: str, limits: Limits, top: Path = CGROUPS) -> tuple[Path, ...]:
    """Make the groups for one enclave; a process enters by writing its id to `cgroup.procs` in each.

    `kind` is what `enforcer` said; "rlimit" makes none. Raises Unavailable `cgroup_failed`.
    """
    name = f"{PREFIX}{os.getpid()}-{time.monotonic_ns():x}"
    try:
        if kind == "cgroup2":
            return (_create2(top / name, limits),)
        if kind == "cgroup1":
            return (
                _create_memory1(top / "memory" / name, limits),
                _create_pids1(top / "pids" / name, limits),
            )
    except OSError as error:
        raise Unavailable("cgroup_failed", f"A control group cannot be made: {error.strerror}.") from error
    return ()


def remove(groups: tuple[Path, ...]) -> None:
    """Remove groups whose processes are gone; one that is still busy stays for `sweep`."""
    for group in groups:
        with contextlib.suppress(OSError):
            group.rmdir()


def sweep(top: Path = CGROUPS) -> None:
    """Remove empty groups that earlier hosts left behind when they were killed."""
    for place in (top, top / "memory", top / "pids"):
        if place.is_dir():
            for group in place.glob(f"{PREFIX}*"):
                owner = group.name[len(PREFIX) :].split("-", 1)[0]
                # Whoever made it may remove it at this moment: another host's enclave has just ended.
                with contextlib.suppress(OSError):
                    # An owner in another PID name space cannot be seen; its young groups may still be empty.
                    old = time.time() - group.stat().st_mtime > YOUNG_S
                    if old and not Path(f"/proc/{owner}").exists():
                        remove((group,))


def _create2(group: Path, limits: Limits) -> Path:
    group.mkdir()
    (group / "memory.max").write_text(str(limits.memory_bytes))
    _optional(group / "memory.swap.max", "0")
    _optional(group / "memory.oom.group", "1")
    (group / "pids.max").write_text(str(limits.tasks))
    return group


def _create_memory1(group: Path, limits: Limits) -> Path:
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
    _optional(group / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
    return group


def _create_pids1(group: Path, limits: Limits) -> Path:
    group.mkdir()
    (group / "pids.max").write_text(str(limits.tasks))
    return group


def _optional(place: Path, value: str) -> None:
    """Write a setting that kernels without swap accounting lack."""
    try:
        place.write_text(value)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP):
            raise


def _controllers(top: Path) -> set[str]:
    """Controllers that children of the version 2 root get."""
    with contextlib.suppress(OSError):
        return set((top / "cgroup.subtree_control").read_text().split())
    return set()


def _writable(place: Path) -> bool:
    return os.access(place, os.W_OK) and not _read_only(place)


def _read_only(place: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    return True
