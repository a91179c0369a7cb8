"""Pick the fastest Python of this machine that Hallmark runs on: path on stdout, why in one line on stderr.

    python3 deploy/pick_python.py

An interpreter that was built without `--enable-optimizations` needs about a third more processor time for
everything, and often stands first in PATH. Each candidate runs the same small loop, in turn with
the others; the least time counts, so a busy machine changes little. Standard library alone; a second or two.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LOWEST, HIGHEST = (3, 11), (3, 13)
WHEELS = (3, 12)  # the highest for which all of requirements/*.txt has wheels: reed-solomon-leopard ends here
ROUNDS = 2
EQUAL = 1.03  # of two that are this close, the one that is found first

LOOP = """
import sys, time
class Pair:
    __slots__ = ("a", "b")
    def __init__(self, a, b):
        self.a, self.b = a, b
    def sum(self):
        return self.a + self.b
def once():
    began, known, total = time.process_time_ns(), {}, 0
    for n in range(6000):
        key = f"{n % 97}:{n}".encode()
        known[key] = n
        total += Pair(n, len(key)).sum()
        if n % 3 == 0:
            known.pop(key)
    return time.process_time_ns() - began
def has_venv():
    try:
        import ensurepip, venv
    except ImportError:
        return False
    return True
print(*sys.version_info[:3], int(has_venv()), min(once() for _ in range(5)), sys.executable, sep="\\t")
"""


class Candidate(NamedTuple):
    """One interpreter: its version, whether it can make environments, nanoseconds of the loop, its path."""

    version: tuple[int, int, int]
    has_venv: bool
    took: int
    path: str

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))} ({self.path})"


def paths() -> Iterator[str]:
    """What may be an interpreter: PATH in its order, then where distributions and pyenv keep theirs."""
    names = ["python3", *(f"python3.{minor}" for minor in range(HIGHEST[1], LOWEST[1] - 1, -1))]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    folders = [*map(Path, os.get_exec_path()), Path("/usr/local/bin"), Path("/usr/bin")]
    for folder in [*folders, *sorted(pyenv.glob("3.1[1-3].*/bin"))]:
        for name in names:
            if _is_program(folder / name):
                yield str(folder / name)


def _is_program(path: Path) -> bool:
    """A program itself, not a script that looks for one: those of pyenv take a second each."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF" and os.access(path, os.X_OK)
    except OSError:
        return False


def measured(path: str) -> Candidate | None:
    """One run of the loop; None when it does not start or is no Python that fits."""
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", LOOP], capture_output=True, text=True, timeout=20, check=True
        )
        major, minor, micro, venv, took, executable = done.stdout.strip().split("\t")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    version = int(major), int(minor), int(micro)
    fits = LOWEST <= version[:2] <= HIGHEST
    return Candidate(version, venv == "1", int(took), executable) if fits else None


def candidates() -> list[Candidate]:
    """Each interpreter once, in the order found, with the least of its times."""
    found: dict[str, Candidate] = {}
    seen: set[str] = set()
    for path in paths():
        real = os.path.realpath(path)
        if real not in seen and (candidate := measured(path)):
            found.setdefault(os.path.realpath(candidate.path), candidate)
        seen.add(real)
    for _ in range(ROUNDS - 1) if len(found) > 1 else ():
        for key, known in found.items():
            again = measured(known.path)
            found[key] = known._replace(took=min(known.took, again.took if again else known.took))
    return list(found.values())


def pick(found: list[Candidate], *, can_install: bool) -> Candidate | None:
    """The fastest one that has wheels of everything, else the fastest. One that cannot make environments
    counts only where its package can be installed.
    """
    usable = [c for c in found if c.has_venv] or found
    usable = found if can_install else usable
    usable = [c for c in usable if c.version[:2] <= WHEELS] or usable
    best = min((c.took for c in usable), default=0)
    return next((c for c in usable if c.took <= best * EQUAL), None)


def main() -> None:
    """Print the choice; exit 1 without a word where nothing fits."""
    found = candidates()
    chosen = pick(found, can_install=os.geteuid() == 0 and os.access("/usr/bin/apt-get", os.X_OK))
    if chosen is None:
        raise SystemExit(1)
    print(chosen.path)
    slowest = max(found, key=lambda c: c.took)
    more = round((slowest.took / chosen.took - 1) * 100)
    over = f", the fastest of {len(found)}: {slowest} needs {more} % more time" if len(found) > 1 else ""
    print(f"hallmark: {chosen}{over}", file=sys.stderr)


if __name__ == "__main__":
    main()
