"""A whole network whose log is long, started again: until every service is ready and a question is proved.

    python bench/growth_restart.py prepare HOME             HOME as `bench/growth_home.py` made it
    python bench/growth_restart.py measure HOME [HOME ...] [--rounds 3] [--json FILE]

`prepare` lets the services of a home get where its log is, each by its own code from its own port, so that
`measure` starts what had been running: full node 1, gateway and the process of the pages, desk included. The
other full nodes take a copy of the first one's store: it holds what is the same for all of them. The log's
last checkpoint is cosigned with the full nodes' keys before any of them judged it, for the gateway and the
pages to follow while full node 1 is at it.

`measure` starts each home in turns with `hallmark up --detach --no-ask`, asks a question whose receipt has to
be proved (`hallmark ask --save`, `hallmark verify --json`), takes the memory and the processor time of each
process a moment later, and stops it by killing every process, as a machine does that loses its power.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from hallmark.compose.home import Home
from hallmark.compose.keys import load_keys
from hallmark.compose.plan import known_plan
from hallmark.compose.trustfile import full_node_name
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import COSIGNATURE, ED25519, Note, SigningKey
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.store import sqlite_url
from hallmark.store.raw import RawDatabase

POLL_S = 0.5
SETTLED_S = 8.0
"""After which a service gives free pages back, and the anchors are read."""
QUESTION = "What does os.mkfifo do?"
SHOWN = ("ready_s", "proved_s", "verified_s", "mb_all", "cpu_all")
FOLLOWERS = {"gateway": "hallmark.services.gateway", "web": "hallmark.apps.web"}


class Prepared:
    """A home whose services are brought where its log is."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = Home(home), home / "services"
        plan = known_plan(self.home)
        assert plan is not None
        self.plan, self.keys = plan, load_keys(self.home, plan)
        self.size = 0
        self._moved()

    def _moved(self) -> None:
        """Settings name paths of the home that they were written for."""
        for path in self.folder.glob("*/settings.json"):
            text = path.read_text()
            marked = text.index("sqlite:///") if "sqlite:///" in text else -1
            if marked >= 0:
                old = text[marked + len("sqlite:///") : text.index("/services/", marked)]
                path.write_text(text.replace(old, str(self.home.path)))

    async def cover(self) -> None:
        """The log's last checkpoint, cosigned by all."""
        database = RawDatabase(sqlite_url(self.folder / "log" / "store.db"))
        store = SQLLogStore(database)
        key = SigningKey(self.plan.origin, ED25519, self.keys.log_seed)
        note = sign(Checkpoint(self.plan.origin, store.size, store.tree.root()), key)
        names = [full_node_name(n + 1) for n in range(len(self.keys.full_node_seeds))]
        witnesses = [
            SigningKey(name, COSIGNATURE, seed)
            for name, seed in zip(names, self.keys.full_node_seeds, strict=True)
        ]
        lines = [w.cosign(note.text, time.time_ns() // 1_000_000) for w in witnesses]
        await store.keep_cosigned(store.size, Note(note.text, (*note.signatures, *lines)))
        self.size = store.size
        database.close()

    def reach(self) -> None:
        """All who follow, beside each other."""
        plan, began = self.plan, time.monotonic()
        log = self._run("hallmark.services.log", "log")
        copy = f"http://127.0.0.1:{plan.log_port}"
        followers = {
            "fullnode-1": self._run("hallmark.services.fullnode", "fullnode-1", "--copy-from", copy),
            **{name: self._run(module, name) for name, module in FOLLOWERS.items()},
        }
        gauges = {
            "fullnode-1": (plan.full_nodes[0], "fullnode_size"),
            "gateway": (plan.gateway_port, "gateway_log_size"),
            "web": (plan.web_port, "review_log_read"),
        }
        told = time.monotonic()
        while followers:
            for name in list(followers):
                reached = gauge(*gauges[name])
                if time.monotonic() - told > 20:
                    print(f"  {name}: {reached:,.0f} of {self.size:,}", flush=True)
                if reached >= self.size:
                    process = followers.pop(name)
                    time.sleep(3 * POLL_S)
                    cpu = spent(process.pid)
                    ended(process)
                    took = time.monotonic() - began
                    print(f"{name} reached {self.size:,} in {took:.0f} s, {cpu:.0f} s of processor time")
            told = time.monotonic() if time.monotonic() - told > 20 else told
            time.sleep(POLL_S)
        ended(log)
        for number in range(2, len(plan.full_nodes) + 1):
            for part in ("store.db", "store.db-wal", "store.db-shm"):
                other = self.folder / f"fullnode-{number}" / part
                other.unlink(missing_ok=True)
                if (found := self.folder / "fullnode-1" / part).exists():
                    shutil.copy2(found, other)

    def _run(self, module: str, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        settings = str(self.folder / name / "settings.json")
        with (self.folder / name / "log.jsonl").open("ab") as out:
            command = [sys.executable, "-m", module, "--config", settings, *arguments]
            return subprocess.Popen(command, stdout=out, stderr=out)


def gauge(port: int, name: str) -> float:
    """A gauge of a service; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
            text = response.read().decode()
    except OSError:
        return 0.0
    line = next((line for line in text.splitlines() if line.startswith(f"hallmark_{name} ")), f"{name} 0")
    return float(line.split()[1])


def ended(process: subprocess.Popen[bytes]) -> None:
    """Stop a process that was started here, and wait for its end."""
    process.terminate()
    process.wait()


def spent(pid: int) -> float:
    """Processor time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Proportional resident memory, MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def cli(home: Path, *arguments: str) -> str:
    """`hallmark --home HOME ...`; what it prints."""
    command = [sys.executable, "-m", "hallmark.apps.cli.main", "--home", str(home), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}")
    return done.stdout


def processes(home: Path) -> dict[str, list[int]]:
    """Processes of a running network by service: each with its session, enclaves included."""
    status = json.loads(cli(home, "status", "--json"))
    found = {name: [int(one["pid"])] for name, one in status.items() if one.get("pid")}
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    services = {pid for pids in found.values() for pid in pids}
    for pids in found.values():
        for pid in pids:
            pids += [child for child in parents.get(pid, []) if child not in services]
    return found


def restarted(home: Path) -> dict[str, Any]:
    """Start a home, ask, prove, look, kill."""
    size = log_size(home)
    began = time.monotonic()
    told = cli(home, "up", "--detach", "--no-ask")
    up = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        saved = str(Path(folder, "r.json"))
        answer = cli(home, "ask", QUESTION, "--save", saved)
        proved = time.monotonic() - began
        if "witnessed" not in answer:
            raise SystemExit(answer)
        cli(home, "verify", saved, "--trust", str(home / "trust.toml"))
        verified = time.monotonic() - began
    time.sleep(SETTLED_S)
    found = processes(home)
    memory = {name: round(sum(map(resident, pids)), 1) for name, pids in found.items()}
    cpu = {name: round(sum(map(spent, pids)), 2) for name, pids in found.items()}
    plan = known_plan(Home(home))
    assert plan is not None
    waiting = size - gauge(plan.web_port, "review_log_read")
    killed(home, found)
    lines = [line.split() for line in told.splitlines() if line.strip().startswith("ready ")]
    ready = {line[1]: float(line[3]) for line in lines}
    return {
        "size": size,
        "ready_s": round(up, 2),
        "proved_s": round(proved, 2),
        "verified_s": round(verified, 2),
        "by_service_s": ready,
        "mb": memory,
        "cpu_s": cpu,
        "mb_all": round(sum(memory.values()), 1),
        "cpu_all": round(sum(cpu.values()), 2),
        "desk_behind": max(waiting, 0),
    }


def killed(home: Path, found: dict[str, list[int]]) -> None:
    """Every process of the network at once; then what is left of it is taken down."""
    for pids in found.values():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    cli(home, "down")


def log_size(home: Path) -> int:
    """Entries in the log of a home that is stopped."""
    database = RawDatabase(sqlite_url(home / "services" / "log" / "store.db"))
    size = SQLLogStore(database).size
    database.close()
    return size


def main() -> None:
    """Prepare or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("prepare", "measure"))
    parser.add_argument("homes", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    homes = [home.resolve() for home in options.homes]
    if options.what == "prepare":
        for home in homes:
            prepared = Prepared(home)
            asyncio.run(prepared.cover())
            prepared.reach()
        return
    rows = []
    for number in range(options.rounds):
        for home in homes:
            rows.append({"round": number, "home": home.name, **restarted(home)})
            print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1))
    for home in homes:
        own = [row for row in rows if row["home"] == home.name]
        middle = {name: statistics.median(row[name] for row in own) for name in SHOWN}
        print(home.name, own[-1]["size"], middle)


if __name__ == "__main__":
    main()
