"""How the pages do as their store grows: bytes on disk for each receipt, and what a page costs.

    python bench/pages.py --sizes 1000,10000,100000,1000000 [--json FILE]

1. A little network's log of some hundred receipts is followed, indexed and judged as always.
2. The store is filled up with further receipts through the same code that fills it else: leaves, index rows,
   items with their events, screens and counts. Their ids, requests, responses and signatures are random;
   nodes, reasons, values and times vary; what the marks say is copied from the real ones, which is what
   spares the time to make and verify a million receipts. One in sixteen is let go, by the gate.
3. Every page is asked of the application in process, as a signed-out visitor asks, some rounds; a line of a
   receipt that was filled up is judged as a real one's is. Milliseconds are processor time of the whole
   process, database threads included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from pages_index import by_table, sizes
from starlette.applications import Starlette

from hallmark.apps.web.app import create_app
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.document import hex0x
from hallmark.core.entries import Kind
from hallmark.core.policy import Outcome
from hallmark.ledger.policy import Policy
from hallmark.review.events import Born, Evaluated
from hallmark.review.items import born
from hallmark.services.explorer.explorer import Explorer
from hallmark.services.explorer.figures import counted
from hallmark.services.explorer.index import LEAF, RECEIPT, Row
from hallmark.services.review.item_changes import ItemChange, LoadedItem, SeenScreen, fresh
from hallmark.services.review.item_writer import Noted
from hallmark.services.review.receipt_source import ReceiptSnapshot
from hallmark.services.review.rows import Change
from hallmark.store import Database, sqlite_url
from hallmark.testing.followed_log import GATEWAY
from hallmark.testing.review_desk import ReviewDesk, policy, reviewed_policy

REAL, BATCH, ROUNDS = 256, 500, 15
BUILT = Path(__file__).parents[1] / ".build" / "web"
BUDGET_MS, BUDGET_BYTES = 50, 2_048


class Filled:
    """A store with as many receipts as asked, and the application over it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = Database(sqlite_url(directory / "pages.db"))
        self.office = ReviewDesk(database=self.database, policies=(policy(), reviewed_policy()))
        self.watch = self.office.watching.watch
        self.explorer = Explorer(
            self.watch,
            self.database,
            policy=Policy.parse(self.office.watching.notary.policy_text),
            pool=self.office.watching.pool,  # type: ignore[arg-type]  # in memory, as far as it is used
            gateway_url=f"http://{GATEWAY}",
        )
        self.random = random.Random(7)
        self.count = 0
        self.real: list[int] = []
        self.app = create_app(self._surfaces())

    async def begin(self) -> None:
        """Follow and judge the real receipts, and let lines of others be judged as these are."""
        office, net = self.office, self.office.net
        await office.start()
        for number in range(REAL):
            net.add(net.receipt_entry(net.nodes[number % len(net.nodes)]))
        await office.witness()
        await self.flush()
        replica, judge, leaves = self.watch.replica, self.watch.judge, self.watch.leaves
        self.real = [at for at in range(replica.size) if leaves.entry(at)[1].kind is Kind.RECEIPT][:REAL]
        self.count, self.end = REAL, replica.size
        logged = judge.logged
        judge.logged = lambda at: logged(self._as(at))  # type: ignore[method-assign]
        hashed = replica.leaf_hash
        replica.leaf_hash = lambda at: hashed(self._as(at))  # type: ignore[method-assign]
        self.explorer._folded = lambda at: 0 <= at < self.end  # type: ignore[method-assign]
        self._looks = [
            office.desk.office.evaluator.source.look(judge.logged(at).id, net.now) for at in self.real
        ]

    async def fill(self, count: int) -> None:
        """More receipts, up to `count` in all."""
        while self.count < count:
            batch = range(self.count, min(count, self.count + BATCH))
            changes = [self._receipt() for _ in batch]
            self.count += len(changes)
            noted = Noted((), (("read", self.end - 1),))
            await asyncio.gather(self.office.desk.office.store.commit_all(changes, noted), self.flush())

    async def flush(self) -> None:
        """Write what waits."""
        await asyncio.gather(self.office.watching.flush(), self.explorer.flush())

    async def cost(self, address: str) -> tuple[float, int]:
        """Median processor time of a page, ms, and its size."""
        spent = []
        for _ in range(ROUNDS + 3):
            began = time.process_time()
            size = await answered(self.app, address)
            spent.append((time.process_time() - began) * 1000)
        return statistics.median(spent[3:]), size

    def addresses(self) -> dict[str, str]:
        """Pages by what they are."""
        real = self.watch.judge.logged(self.real[-1])
        item, node = hex0x(real.id), hex0x(real.receipt.node)
        held = "reason=reviewed%3Astate_too_low"
        return {
            "explorer, start": "/explore",
            "receipts": "/explore/receipts",
            "receipts, in the middle": f"/explore/receipts?cursor={self.end - self.count // 2}",
            "receipts of a node": f"/explore/receipts?node={node}",
            "receipt": f"/explore/receipts/{item}",
            "search, whole id": f"/explore/search?q={item}",
            "search, six digits": f"/explore/search?q={item[2:8]}",
            "node": f"/explore/nodes/{node}",
            "model": "/explore/models/digits",
            "figures of the log": "/explore/figures",
            "network": "/network",
            "queue": "/review",
            "queue, held": "/review?state=HOLD",
            "queue, by value": "/review?order=value",
            "queue, a reason": f"/review?state=HOLD&{held}",
            "queue, a node": f"/review?node={node}&order=newest",
            "queue, a model": "/review?model=digits&order=due",
            "item": f"/review/{item}",
            "figures of the desk": "/review/figures",
            "policies": "/policies",
        }

    def _as(self, position: int) -> int:
        """The real receipt that a filled-up one is judged as."""
        return position if position <= self.real[-1] else self.real[position % len(self.real)]

    def _receipt(self) -> Change:
        at, self.end = self.end, self.end + 1
        look = self._looks[self._as(at) % len(self._looks)]
        receipt, random_ = look.told.receipt, self.random.randbytes
        names = [random_(32) for _ in range(4)]
        leaf = self.watch.leaves.leaf(look.told.index)
        for old in (receipt.request, receipt.response, look.told.entry.signatures[0][:64]):
            leaf = leaf.replace(old, random_(len(old)))
        self.watch.leaves._writer.put({"position": at, "leaf": leaf})
        columns = {"node": receipt.node, "artifact": receipt.artifact, "label": b"digits"}
        keys = ((LEAF, names[3]), *((RECEIPT, name) for name in names[:3]))
        counts = counted(Kind.RECEIPT, receipt.finished + self.random.randrange(5, 60), receipt, "digits")
        self.explorer._index.put(Row(at, Kind.RECEIPT, names[3], columns, keys, counts))
        return self._item(at, names[0], look)

    def _item(self, at: int, item: bytes, look: ReceiptSnapshot) -> Change:
        """An item as it is born, judged by the gate or held with the words of a real one's screen."""
        desk, receipt = self.office.desk.office, look.told.receipt
        now = self.office.net.now + at * 100
        value = self.random.randrange(10 ** self.random.randrange(1, 12))
        event = Born(now, hex0x(item), at, "", value, node=hex0x(receipt.node), model="digits")
        event = msgspec.structs.replace(event, artifact=hex0x(receipt.artifact))
        loaded = fresh(event, position=at, finished=receipt.finished, now=now)
        entry = ItemChange(loaded, desk.network)
        if at % 16 == 0:
            desk.evaluator.source.look = lambda _item, _now: look  # type: ignore[method-assign]
            try:
                return desk.evaluator.settle(entry, now)
            finally:
                del desk.evaluator.source.look
        return self._held(entry, loaded, now)

    def _held(self, entry: ItemChange, loaded: LoadedItem, now: int) -> Change:
        screen = self._screen()
        screen = msgspec.structs.replace(
            screen,
            item=loaded.item.id,
            at=now,
            marks=tuple(msgspec.structs.replace(mark, since=now - 9) for mark in screen.marks),
        )
        lacks = tuple(dict.fromkeys(f"{lack.question}:{lack.reason}" for lack in screen.lacks))
        decision = hex0x(self.random.randbytes(32))
        names, digests = screen.policies, screen.digests
        event = Evaluated(
            now, Outcome.HOLD, 1, lacks, names, digests, decision, screen.id, due=now + 3_600_000
        )
        entry.then(event, SeenScreen(screen, screen.marks))
        return entry.change(
            now, screen.marks, screen.sentence, wake=event.due, position=loaded.record.position
        )

    def _screen(self) -> Any:
        if not hasattr(self, "_screens"):
            evaluator, desk = self.office.desk.office.evaluator, self.office.desk.office
            self._screens = []
            for look in self._looks[:8]:
                event = Born(self.office.net.now, hex0x(look.told.id), look.told.index, "payment")
                judged = evaluator.judge(born(event), desk.clock())
                self._screens += [judged.screen] if judged is not None and judged.lacks else []
        return self._screens[self.random.randrange(len(self._screens))]

    def _surfaces(self) -> Surfaces:
        office = self.office
        return Surfaces(
            desk=office.desk,
            actions=office.desk,
            explorer=self.explorer,
            sessions=office.desk.sessions,
            clock=lambda: office.net.now,
            assets=BUILT,
            network=hex0x(office.desk.office.network),
            chain_id=1,
        )


async def answered(app: Starlette, address: str) -> int:
    """Ask the application for a page; how long it is."""
    path, _, query = address.partition("?")
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": ""}
    scope |= {"query_string": query.encode(), "headers": [(b"host", b"127.0.0.1")], "scheme": "http"}
    scope |= {"http_version": "1.1", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}
    size, status = 0, 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal size, status
        status = message.get("status", status)
        size += len(message.get("body", b""))

    await app(scope, receive, send)
    if not 200 <= status < 400:  # a search that finds one thing leads there
        raise SystemExit(f"{address}: {status}")
    return size


async def measured(directory: Path, counts: list[int]) -> list[dict[str, Any]]:
    """Fill the store up to each of these, and measure there."""
    filled, rows = Filled(directory), list[dict[str, Any]]()
    before = sizes(directory)
    await filled.begin()
    for count in counts:
        began, start = time.process_time(), filled.count
        await filled.fill(count)
        spent = (time.process_time() - began) / max(filled.count - start, 1)
        wal = (directory / "pages.db-wal").stat().st_size
        costs = {name: await filled.cost(address) for name, address in filled.addresses().items()}
        tables = [(name, size) for name, size in by_table(filled.database)]
        rows.append(
            {
                "receipts": filled.count,
                "bytes": round((sum(size for _, size in tables) - before) / filled.count),
                "wal": wal,
                "fill_us": round(spent * 1e6),
                "pages": {name: {"ms": round(ms, 2), "bytes": size} for name, (ms, size) in costs.items()},
                "tables": {name: round(size / filled.count, 1) for name, size in tables},
            }
        )
        report(rows[-1])
    await filled.office.stop()
    filled.database.close()
    return rows


def report(row: dict[str, Any]) -> None:
    """Print what was measured at one size."""
    print(f"{row['receipts']:,} receipts: {row['bytes']} bytes each, WAL {row['wal']:,}", end=", ")
    print(f"filled in {row['fill_us']} us each")
    for name, page in row["pages"].items():
        print(f"  {name:26} {page['ms']:8.2f} ms {page['bytes']:9,} bytes")
    print("  " + ", ".join(f"{name} {size}" for name, size in list(row["tables"].items())[:12]), flush=True)


def main(options: argparse.Namespace) -> None:
    """Measure, print a table, write JSON where asked."""
    directory = Path(tempfile.mkdtemp(prefix="hallmark-pages-"))
    try:
        rows = asyncio.run(measured(directory, [int(size) for size in options.sizes.split(",")]))
    finally:
        shutil.rmtree(directory)
    names = list(rows[0]["pages"])
    print(f"\n| {'ms of processor time':26} | " + " | ".join(f"{r['receipts']:,}" for r in rows) + " |")
    for name in names:
        print(f"| {name:26} | " + " | ".join(f"{r['pages'][name]['ms']:.1f}" for r in rows) + " |")
    print(f"| {'bytes a receipt':26} | " + " | ".join(str(r["bytes"]) for r in rows) + " |")
    slowest = max(page["ms"] for page in rows[-1]["pages"].values())
    print(f"slowest {slowest:.1f} ms: {'met' if slowest < BUDGET_MS else 'missed'} ({BUDGET_MS})")
    size = rows[-1]["bytes"]
    print(f"bytes {size}: {'met' if size <= BUDGET_BYTES else 'missed'} ({BUDGET_BYTES})")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
