"""Counts of whole process trees, from /proc (proc(5)): processor time, wakes, memory, by service.

A tree is a process and everything that descends from it, so nothing that a program starts is left out. What
an ended child used stands in its parent's `cutime` and `cstime` from the moment it is reaped, so the sum
over the living loses nothing either. Standard library alone: another build's network is counted the same way.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


class Process(NamedTuple):
    """One process: its numbers, its command line, processor milliseconds of it and its reaped children."""

    pid: int
    parent: int
    command: str
    spent_ms: float


class Count(NamedTuple):
    """What one tree has used so far, by service: milliseconds of processor time, and wakes.

    A wake is a time that a thread had gone to sleep by itself: its voluntary context switches count them.
    """

    spent_ms: Counter[str]
    wakes: Counter[str]

    def since(self, before: Count) -> Count:
        """What was used between two counts."""
        return Count(_less(self.spent_ms, before.spent_ms), _less(self.wakes, before.wakes))


def read_process(pid: int) -> Process | None:
    """One process; None when it has ended."""
    try:
        command = (PROC / str(pid) / "cmdline").read_text(errors="replace").replace("\0", " ")
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Process(pid, int(fields[1]), command, sum(map(int, fields[11:15])) * TICK_MS)


def processes() -> dict[int, Process]:
    """Every process of the machine."""
    numbers = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return {pid: found for pid in numbers if (found := read_process(pid)) is not None}


def tree(root: int) -> Iterator[Process]:
    """The process `root` and all that descend from it, parents before children."""
    known = processes()
    children: dict[int, list[int]] = {}
    for process in known.values():
        children.setdefault(process.parent, []).append(process.pid)
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in known:
            yield known[pid]
            waiting += children.get(pid, ())


class Tree:
    """One program's processes, each under the name of the service that it belongs to.

    `names` gives the service of some processes (by number, asked again at each count, because services are
    started again); every other one belongs where its parent does. What runs inside bubblewrap is the enclave.
    """

    def __init__(self, root: int, names: Callable[[], dict[int, str]], *, top: str = "supervisor") -> None:
        self._root, self._names, self._top = root, names, top

    def services(self) -> Iterator[tuple[str, Process]]:
        """Every process with its service."""
        names, found = self._names(), {}
        for process in tree(self._root):
            above = found.get(process.parent, self._top)
            name = names.get(process.pid, above)
            if "/app/enclave.py" in process.command or process.command.split(" ")[0].endswith("bwrap"):
                name = "enclave"
            found[process.pid] = name
            yield name, process

    def count(self) -> Count:
        """What each service has used so far."""
        spent, wakes = Counter[str](), Counter[str]()
        for name, process in self.services():
            spent[name] += process.spent_ms
            wakes[name] += _switches(process.pid)
        return Count(spent, wakes)

    def memory_mb(self) -> dict[str, float]:
        """Proportional resident memory by service, in units of 10^6 bytes."""
        held = Counter[str]()
        for name, process in self.services():
            held[name] += _proportional(process.pid) / 1e6
        return dict(held)

    def listing(self) -> list[dict[str, object]]:
        """Every process that is counted, with its service and its proportional resident memory."""
        return [
            {
                "service": n,
                "pid": p.pid,
                "pss_mb": round(_proportional(p.pid) / 1e6, 1),
                "command": p.command[:200],
            }
            for n, p in self.services()
        ]


def by_kind(values: dict[str, float]) -> dict[str, float]:
    """The same by kind of service: `fullnode-3` counts to `full nodes`, `node-1` to `host`."""
    kinds = {"fullnode": "full nodes", "node": "host", "chain": "development chain", "anchor": "anchoring"}
    total = Counter[str]()
    for name, value in values.items():
        plain = name.rstrip("0123456789").rstrip("-")
        total[kinds.get(plain, plain)] += value
    return dict(total)


def _switches(pid: int) -> int:
    """Voluntary context switches of all living threads of a process."""
    return sum(_switches_of(path) for path in _listed(PROC / str(pid) / "task"))


def _switches_of(thread: Path) -> int:
    try:
        lines = (thread / "status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def _proportional(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _listed(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return ()


def _less(after: Counter[str], before: Counter[str]) -> Counter[str]:
    return Counter({name: value - before[name] for name, value in after.items()})
