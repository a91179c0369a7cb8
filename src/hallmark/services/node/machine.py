"""What this machine and user allow: the strongest confinement to be had here, and what is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.services.enclave.confine import landlock_version
from hallmark.services.node import cgroups
from hallmark.services.node.confinement import (
    DIRECTORY,
    INVOKER,
    NOBODY,
    RLIMIT,
    SEALED,
    Confinement,
    Limits,
    confinement,
)

CAP_SYS_ADMIN: Final = 21
LOOP_CTL_GET_FREE: Final = 0x4C82


def detect(limits: Limits | None = None) -> Confinement:
    """The strongest confinement that this machine and user allow."""
    if os.geteuid() != 0 or not _has_capability(CAP_SYS_ADMIN):
        return confinement(DIRECTORY, RLIMIT, INVOKER, limits)
    return confinement(SEALED if _loop_devices() else DIRECTORY, cgroups.enforcer(), NOBODY, limits)


def insecure_facts(used: Confinement) -> tuple[str, ...]:
    """Reason codes of everything that is weaker here than the full confinement, for the configuration."""
    return used.facts() + (() if landlock_version() else ("no-landlock",))


def tool(name: str, package: str) -> str:
    """Path of a system tool. Raises Unavailable `sandbox_tool_missing`: nothing ever runs without it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        raise Unavailable(
            "sandbox_tool_missing",
            f"{name} is missing, and an enclave never runs without it.",
            f"apt-get install {package}",
        )
    return found


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _loop_devices() -> bool:
    try:
        with open("/dev/loop-control", "rb") as control:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        return Path(f"/dev/loop{number}").exists()
    except OSError:
        return False
