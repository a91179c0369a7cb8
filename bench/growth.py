"""What grows with the log, and what does not: restarts, memory, catching up, disk.

    python bench/growth.py [--sizes 1000 10000 100000] [--web-to 10000] [--answers-per-ticket 1]
                           [--folder DIR] [--json FILE]

Makes a log of each size and measures, each in a process of its own: a full node, what a gateway follows with
and what the explorer of the web process follows with, once catching up from nothing over HTTP and once
starting again. They are killed between, with nothing written on the way out.

The log is honest: receipts of the little network of `hallmark.testing`, each signed by its node, with a
ticket that its gateway signed, a route record and a beacon, in two chains without gaps, and every check of a
full node holds for each. Only evidence of the two enclaves is a stand-in. Processor time is what counts: the
machine may do other things. The web process's desk (items of review) is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hallmark.core.documents import Candidates
from hallmark.core.statements import Ticket
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.store import sqlite_url
from hallmark.store.raw import RawDatabase
from hallmark.testing.answers import Answers
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork

PORT = 23_300
BATCH = 2_048
EVERY_MS = 5
COLUMNS = ("size", "role", "way", "folded", "wall s", "cpu s", "entries/s of cpu", "MB", "peak MB", "disk MB")


class SharedTickets(Answers):
    """A gateway's ticket serves so many answers of a node, as it does under load."""

    def __init__(self, network: LittleNetwork, answers: int) -> None:
        super().__init__(network)
        self._answers, self._left = answers, 0
        self._shared: dict[bytes, tuple[Ticket, bytes]] = {}

    def ticket(self, candidates: Candidates, **changes: Any) -> tuple[Ticket, bytes]:
        """See `Answers`."""
        if not self._left:
            self._shared.clear()
            self._left = self._answers * len(self.network.nodes)
        self._left -= 1
        name = candidates.digest()
        if name not in self._shared:
            self._shared[name] = super().ticket(candidates, **changes)
        return self._shared[name]


class Maker:
    """Makes one log longer and longer; its leaves are on disk, not here."""

    def __init__(self, folder: Path, per_ticket: int) -> None:
        self.folder, self.net = folder, LittleNetwork()
        self.net.answers = SharedTickets(self.net, per_ticket)
        self.notary = Notary(self.net)
        self.store = SQLLogStore(RawDatabase(sqlite_url(folder / "log.db")))

    async def reach(self, size: int) -> float:
        """Log receipts until there are `size` entries, and have the checkpoint cosigned; processor time in us
        for each.
        """
        started, before = time.process_time(), self.net.tree.size
        while True:
            await self.store.append(self.net.leaves)
            self.net.leaves.clear()
            missing = size - self.net.tree.size
            if missing <= 0:
                break
            for _ in range(min(BATCH, missing)):
                self.net.tick(EVERY_MS)
                self.net.add(self.net.receipt_entry(self.net.nodes[self.net.tree.size % 2]))
        (self.folder / "checkpoint").write_bytes(self.notary.cosigned().encode())
        return (time.process_time() - started) * 1e6 / max(size - before, 1)


def role(name: str, folder: Path) -> dict[str, Any]:
    """Run a role to its end."""
    script = str(Path(__file__).with_name("growth_roles.py"))
    done = subprocess.run(
        [sys.executable, script, name, str(folder), str(PORT)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "problem" in found:
        raise SystemExit(f"{name}: {found['problem']}")
    return found


def listening(wait_s: float = 60.0) -> None:
    """Wait until the log is served."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"Nothing listens on port {PORT}.")


def measure(folder: Path, size: int, roles: list[str]) -> list[dict[str, Any]]:
    """Each role from nothing, then again; the log is served meanwhile."""
    script = str(Path(__file__).with_name("growth_roles.py"))
    serving = subprocess.Popen([sys.executable, script, "log", str(folder), str(PORT)])
    rows = []
    try:
        listening()
        for name in roles:
            for old in folder.glob(f"{name}.db*"):
                old.unlink()
            for way in ("catches up", "starts again"):
                rows.append({"log": size, "way": way, **role(name, folder)})
                print(line(rows[-1]), flush=True)
    finally:
        serving.terminate()
        serving.wait()
    return rows


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    assert row["size"] == row["log"], row
    rate = f"{row['folded'] / row['cpu_s']:,.0f}" if row["way"] == "catches up" else ""
    cells = (
        f"{row['log']:,}",
        row["role"],
        row["way"],
        f"{row['folded']:,}",
        row["wall_s"],
        row["cpu_s"],
        rate,
    )
    return "| " + " | ".join(map(str, (*cells, row["rss_mb"], row["peak_mb"], row["disk_mb"]))) + " |"


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--web-to", type=int, default=10_000, help="largest log that the web process reads")
    parser.add_argument("--answers-per-ticket", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the stores are made; kept")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="hallmark-growth-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    try:
        maker = Maker(folder, arguments.answers_per_ticket)
        print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
        for size in sorted(arguments.sizes):
            each = asyncio.run(maker.reach(size))
            disk = sum(f.stat().st_size for f in folder.glob("log.db*")) / size
            print(
                f"<!-- made {size:,} entries, {each:.0f} us each; the log has {disk:,.0f} bytes an entry -->"
            )
            roles = ["fullnode", "gateway", *(["web"] if size <= arguments.web_to else [])]
            rows += measure(folder, size, roles)
    finally:
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(rows, indent=1))
        if arguments.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
