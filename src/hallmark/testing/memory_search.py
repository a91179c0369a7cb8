"""Looking for words where they must not be: in processes' memory, in files, on the loopback interface.

Linux, and for the memory of others' processes and for packets root, or the capabilities for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

STEP = 16 << 20
REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+\s*(.*)")
EVERY_PROTOCOL = 0x0003


def in_memory(pid: int, words: Iterable[bytes]) -> set[bytes]:
    """Those of the words that a process has in its memory. Raises OSError where it may not be read."""
    found, left = set[bytes](), set(words)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            region = REGION.match(line)
            if region is None or region[3] in ("[vvar]", "[vvar_vclock]", "[vsyscall]"):
                continue
            start, end = int(region[1], 16), int(region[2], 16)
            for data in _pieces(memory, start, end, max(map(len, left), default=1)):
                here = {word for word in left if word in data}
                found, left = found | here, left - here
    return found


def _pieces(memory: object, start: int, end: int, overlap: int) -> Iterator[bytes]:
    handle = memory.fileno()  # type: ignore[attr-defined]
    at = start
    while at < end:
        with contextlib.suppress(OSError):  # a page may have gone since, or not be there at all
            yield os.pread(handle, min(STEP + overlap, end - at), at)
        at += STEP


def in_files(folder: Path, words: Iterable[bytes]) -> dict[str, set[bytes]]:
    """Files below a folder with any of the words, by name."""
    found: dict[str, set[bytes]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                here = {word for word in words if word in data}
                if here:
                    found[str(path.relative_to(folder))] = here
    return found


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += descendants(child)
    return found


def runs(pid: int, mark: bytes) -> bool:
    """Whether a process was started with `mark` among its arguments."""
    with contextlib.suppress(OSError):
        return mark in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def written_files(pid: int) -> list[str]:
    """Regular files that a process has open for writing."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            flags = int(re.search(r"flags:\s*(\d+)", _info(pid, link.name))[1], 8)  # type: ignore[index]
            target = os.readlink(link)
            regular = target.startswith("/") and not target.startswith(("/dev/", "/memfd:"))
            if regular and flags & os.O_ACCMODE != os.O_RDONLY:
                found.append(target)
    return found


def _info(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/fdinfo/{name}").read_text()


class Wire:
    """Every packet on the loopback interface, inside the block. `had` says which of the words were in one."""

    def __init__(self, words: Iterable[bytes]) -> None:
        self._words = tuple(words)
        self.had: set[bytes] = set()
        self.packets = 0

    def __enter__(self) -> Wire:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        self._socket.bind(("lo", 0))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._socket.recv(1 << 18)
                self.packets += 1
                self.had |= {word for word in self._words if word in packet}
