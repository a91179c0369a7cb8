"""What the kernel is told about a process of ours (prctl(2), proc(5)). Linux alone."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
ARG_START: Final = 47  # fields 48 and 49 of /proc/self/stat, counted from 0
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Get SIGTERM when the thread that made this process ends; end at once where `parent` has gone."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # A parent that died before that line sends no signal any more.
    if os.getppid() != parent:
        os._exit(1)


def name_process(name: str, command: str) -> None:
    """Show `name` and `command` for this process in ps and top, as far as its first command line was long."""
    _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # The fields behind the name start with number 3.
    start, end = (int(fields[place - 2]) for place in (ARG_START, ARG_START + 1))
    if 0 < start < end:
        shown = command.encode().replace(b" ", b"\0")[: end - start - 1]
        ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)
