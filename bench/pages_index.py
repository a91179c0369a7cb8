"""What the process of the pages costs per receipt, without sockets: processor time, transactions, statements,
judgements, bytes on disk by table.

    python bench/pages.py --receipts 2000 [--batch 16] [--policy reviewed|witnessed|none] [--profile FILE]
    python bench/pages.py --receipts 1000 --against FOLDER_OF_OTHER_BUILD

A follower, an explorer and a desk share one database on disk, as in the real process, and read a little
network's log in checkpoints of `batch` receipts, 100 ms of the network's time apart. Making receipts and
cosignatures is not measured; verifying, folding, indexing, judging and writing is. `later_ms` is what ten
minutes without a receipt cost, a look each minute, for each receipt that is there.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from hallmark.ledger.policy import Policy
from hallmark.services.explorer.explorer import Explorer
from hallmark.store import Database, database, sqlite_url
from hallmark.testing.followed_log import GATEWAY
from hallmark.testing.review_desk import ReviewDesk, policy, reviewed_policy

STEP_MS = 100
POLICIES = {"reviewed": (reviewed_policy(),), "witnessed": (policy(),), "none": ()}


class Beneath:
    """A transaction beneath SQLAlchemy that counts its statements."""

    def __init__(self, transaction: Any, found: Counter[str]) -> None:
        self._transaction, self._found = transaction, found

    def __getattr__(self, name: str) -> Any:
        """Each call is a statement, as one for many rows counts elsewhere."""
        self._found["statements"] += 1
        return getattr(self._transaction, name)


class Counts:
    """Statements, transactions and judgements since `start`."""

    def __init__(self, office: ReviewDesk) -> None:
        self.found: Counter[str] = Counter()
        for engine in {office.database._write_engine, office.database._read_engine}:
            event.listen(engine, "before_cursor_execute", self._statement)
        event.listen(office.database._write_engine, "commit", lambda _: self.found.update(["transactions"]))
        beneath = getattr(database, "inside_sqlite", None)
        if beneath is not None:  # builds before it asked SQLAlchemy for everything
            database.inside_sqlite = lambda connection: Beneath(beneath(connection), self.found)  # type: ignore[attr-defined]
        judged, judge = self.found, office.desk.office.evaluator.judge

        def counted(*args: Any, **kwargs: Any) -> Any:
            judged.update(["judgements"])
            return judge(*args, **kwargs)

        office.desk.office.evaluator.judge = counted  # type: ignore[method-assign]

    def _statement(self, _c: Any, _cursor: Any, _statement: str, _p: Any, _context: Any, _many: bool) -> None:
        self.found["statements"] += 1


async def measured(
    directory: Path, *, receipts: int, batch: int, policies: str, profile: Path | None
) -> dict[str, Any]:
    """Feed receipts and measure; figures are per receipt."""
    store = Database(sqlite_url(directory / "pages.db"))
    office = ReviewDesk(database=store, policies=POLICIES[policies])
    net, watching = office.net, office.watching
    explorer = Explorer(
        watching.watch,
        store,
        policy=Policy.parse(watching.notary.policy_text),
        pool=watching.pool,  # type: ignore[arg-type]  # in memory, as far as it is used
        gateway_url=f"http://{GATEWAY}",
    )
    await office.start()
    await answered(office, explorer, 1)
    counts = Counts(office)
    before = sizes(directory)
    spent, profiler = 0.0, cProfile.Profile()
    for start in range(0, receipts, batch):
        for number in range(start, min(start + batch, receipts)):
            net.add(net.receipt_entry(net.nodes[number % len(net.nodes)]))
        net.tick(STEP_MS)
        note = watching.notary.cosigned(net.tree.size)
        watching.log.note = note.encode()  # type: ignore[attr-defined]
        began = time.process_time()
        if profile:
            profiler.enable()
        await once(office, explorer)
        if profile:
            profiler.disable()
        spent += time.process_time() - began
    began = time.process_time()
    for _ in range(10):
        net.tick(60_000)
        await once(office, explorer)
    later = time.process_time() - began
    if profile:
        profiler.dump_stats(profile)
    await office.stop()
    found = {name: round(count / receipts, 2) for name, count in counts.found.items()}
    pages = by_table(store)
    store.close()
    return {
        "batch": batch,
        "policy": policies,
        "ms": round(spent / receipts * 1000, 3),
        "later_ms": round(later / receipts * 1000, 3),
        **found,
        "disk_bytes": round((sizes(directory) - before) / receipts),
        "tables": {name: round(size / receipts) for name, size in pages},
    }


async def answered(office: ReviewDesk, explorer: Explorer, count: int) -> None:
    """Some receipts that are not measured."""
    for _ in range(count):
        office.net.add(office.net.receipt_entry(office.net.nodes[0]))
    await office.witness()
    await office.watching.flush()
    await explorer.flush()
    log, notary = office.watching.log, office.watching.notary
    log.note = notary.cosigned(office.net.tree.size).encode()  # type: ignore[attr-defined]

    async def checkpoint() -> bytes:
        return log.note  # type: ignore[attr-defined,no-any-return]

    log.checkpoint = checkpoint  # type: ignore[method-assign]


async def once(office: ReviewDesk, explorer: Explorer) -> None:
    """What the real process does when a checkpoint comes."""
    office.watching.log.witnessed = office.net.tree.size
    await office.watching.follow()
    await office.settle()
    await asyncio.gather(office.watching.flush(), explorer.flush())


def sizes(directory: Path) -> int:
    """Bytes of all files of the store."""
    return sum(path.stat().st_size for path in directory.iterdir())


def by_table(store: Database) -> list[tuple[str, int]]:
    """Bytes by table and index, the largest first."""
    query = sa.text("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC")
    return [(str(name), int(size)) for name, size in store.read(lambda c: list(c.execute(query)))]


def main(options: Any) -> None:
    """Measure and print; with `against` the other build as well, in turns."""
    if options.against:
        compare(options)
        return
    found = run(options)
    if options.json:
        options.json.write_text(json.dumps(found))
    show(found)


def run(options: Any) -> dict[str, Any]:
    """Measure once, in a folder of its own."""
    directory = Path(tempfile.mkdtemp(prefix="hallmark-pages-"))
    try:
        return asyncio.run(
            measured(
                directory,
                receipts=options.receipts,
                batch=options.batch,
                policies=options.policy,
                profile=options.profile,
            )
        )
    finally:
        shutil.rmtree(directory)


def show(found: dict[str, Any]) -> None:
    """Print figures, then bytes by table."""
    tables = found.pop("tables")
    for name, value in found.items():
        print(f"{name:16} {value}")
    print(f"{'in tables':16} {sum(tables.values())}")
    for name, size in tables.items():
        if size >= 1:
            print(f"  {name:40} {size:7}")


def compare(options: Any) -> None:
    """Another build and this one, three times in turns, each in a process of its own; medians."""
    pythons = {"that": options.against / ".venv" / "bin" / "python", "this": Path(sys.executable)}
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in pythons}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "found.json")
        for _ in range(3):
            for name, python in pythons.items():
                asked = ["--receipts", str(options.receipts), "--batch", str(options.batch)]
                asked += ["--policy", options.policy, "--json", str(file)]
                subprocess.run([python, __file__, *asked], check=True, stdout=subprocess.DEVNULL)
                rounds[name].append(json.loads(file.read_text()))
    found = {name: middle(runs) for name, runs in rounds.items()}
    print(f"{'of each receipt':18}{'that build':>12}{'this build':>12}{'ratio':>8}")
    for name in found["this"]:
        that, this = found["that"][name], found["this"][name]
        print(f"{name:18}{that:12.3f}{this:12.3f}{this / that if that else 0:8.3f}")
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, **found}, indent=2) + "\n")


def middle(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of what is a number and depends on the build."""
    names = ("ms", "later_ms", "statements", "transactions", "judgements", "disk_bytes")
    return {name: statistics.median(run[name] for run in runs) for name in names}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--receipts", type=int, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--policy", choices=tuple(POLICIES), default="reviewed")
    parser.add_argument("--json", type=Path)
    parser.set_defaults(profile=None, against=None)
    main(parser.parse_args())
