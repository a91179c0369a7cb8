"""What a checkpoint costs one full node: processor time and write transactions, no network around it.

    python bench/fullnode.py [--checkpoints 600] [--json FILE]

Checkpoints of 1, 4 and 16 receipts are pushed to a full node over a file store, as a log does it: the log's
signature, consistency, leaves, every check of every receipt, the fold, one transaction, the cosignature. HTTP
is not in it. All receipts share one route ticket, as those of ten seconds do. Each row gives the best and the
median of batches of 20 checkpoints, which a busy machine disturbs less than their sum.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

from hallmark.ledger.tiles import encode_bundle
from hallmark.testing.fullnodes import MemoryLog, full_node
from hallmark.testing.network import LittleNetwork
from hallmark.testing.wire import MemoryPool

BATCH = 20
EVERY = 256
"""Leaves after which the fold is kept, as in the service."""


def checkpoints(log: MemoryLog, receipts: int, count: int) -> list[tuple[bytes, bytes]]:
    """Requests to cosign, each with the leaves that it adds."""
    network, found = log.network, []
    for _ in range(count):
        old = network.tree.size
        for number in range(receipts):
            network.add(network.receipt_entry(network.nodes[number % 2]))
        found.append((log.request(old), encode_bundle(network.leaves[old:])))
    return found


def one_ticket(network: LittleNetwork) -> None:
    """All answers come by one ticket."""
    answers, node = network.answers, network.nodes[0]
    candidates = answers.candidates(node)
    ticket = answers.ticket(candidates)
    answers.candidates = lambda _node: candidates  # type: ignore[method-assign]
    answers.ticket = lambda *_args, **_changes: ticket  # type: ignore[method-assign]


async def measure(receipts: int, count: int, folder: Path) -> dict[str, float]:
    """Microseconds of processor time a checkpoint, and transactions a checkpoint."""
    network = LittleNetwork()
    log = MemoryLog(network, MemoryPool())
    one_ticket(network)
    store = f"sqlite:///{folder}/{receipts}.db"
    node = full_node(log, network.full_nodes[0], database=store, every=EVERY)
    await node.start()
    await node.add_checkpoint(log.request(0))
    asked = checkpoints(log, receipts, count)
    database = node.database  # type: ignore[attr-defined]
    committed, times = database.commits, []
    for at in range(0, count, BATCH):
        batch = asked[at : at + BATCH]
        began = time.process_time()
        for request, bundle in batch:
            await node.add_checkpoint(request, bundle)
        times.append((time.process_time() - began) / len(batch) * 1e6)
    transactions = (database.commits - committed) / count
    database.close()
    steady = times[1:] or times
    return {
        "receipts": receipts,
        "best_us": min(steady),
        "median_us": statistics.median(steady),
        "best_us_a_receipt": min(steady) / receipts,
        "transactions": transactions,
    }


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", type=int, default=600)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{'receipts':>8} {'best us':>9} {'median us':>10} {'a receipt':>10} {'transactions':>13}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for receipts in (1, 4, 16):
            count = max(options.checkpoints // receipts, 6 * BATCH)
            row = asyncio.run(measure(receipts, count, Path(folder)))
            rows.append(row)
            best, median, each = row["best_us"], row["median_us"], row["best_us_a_receipt"]
            print(f"{receipts:8} {best:9.0f} {median:10.0f} {each:10.0f} {row['transactions']:13.2f}")
    if options.json:
        found = {"python": platform.python_version(), "checkpoints": rows}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
