"""Measure the log: throughput in batches, accepted-to-quorum latency, and what a light client pays.

    python bench/log.py [--witnesses 4] [--seconds 5] [--json FILE]

Every process is real and every commit is an fsync: one log, N plain witnesses, each with its own SQLite.
The figures include this client, which shares the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.entries import leaf
from hallmark.core.hashing import sha256
from hallmark.core.merkle import leaf_hash, verify_inclusion
from hallmark.core.statements import Role
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.ledger.note import COSIGNATURE, ED25519, SigningKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import Proof, verify_proof
from hallmark.services.log.admission import join_many
from hallmark.services.log.membership import Member
from hallmark.store import sqlite_url
from hallmark.testing.log_admission import Gate
from hallmark.testing.log_entries import AUTHORITY, receipt_chain, vouched

ORIGIN = "bench.hallmark/log"
CHAIN_ID = 31_337
NETWORK = network_id(ORIGIN)
FIRST_PORT = 23_100
NODE = Key(sha256(b"node"))


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Network:
    """A log and its witnesses as processes under one folder."""

    def __init__(self, folder: Path, witnesses: int, database: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{FIRST_PORT}"
        self.processes: list[subprocess.Popen[bytes]] = []
        log = SigningKey(ORIGIN, ED25519, sha256(b"log"))
        (folder / "log.key").write_text(sha256(b"log").hex())
        names = [f"w{n}" for n in range(witnesses)]
        keys = {
            name: SigningKey(f"bench.hallmark/{name}", COSIGNATURE, sha256(name.encode())) for name in names
        }
        quorum = (2 * witnesses) // 3 + 1
        lines = [f"log {log.vkey} {self.url}"]
        for number, (name, key) in enumerate(keys.items()):
            lines.append(f"witness {name} {key.vkey} http://127.0.0.1:{FIRST_PORT + 1 + number}")
            config = {
                "listen": {"port": FIRST_PORT + 1 + number},
                "name": key.verifier.name,
                "seed": sha256(name.encode()).hex(),
                "log": log.vkey,
                "database": sqlite_url(folder / f"{name}.db"),
            }
            self.start("hallmark.testing.witness_service", name, config)
        self.policy_text = "\n".join((*lines, f"group all {quorum} {' '.join(names)}", "quorum all", ""))
        self.policy = Policy.parse(self.policy_text)
        config = {
            "listen": {"port": FIRST_PORT},
            "origin": ORIGIN,
            "chain_id": CHAIN_ID,
            "key_file": str(folder / "log.key"),
            "database": database or sqlite_url(folder / "log.db"),
            "policy": self.policy_text,
            "authority": [hex0x(AUTHORITY.address)],
            "threshold": 1,
            "owners": [hex0x(AUTHORITY.address)],
            "quotas": {"receipts": {"rate": 1e6, "burst": 1_000_000}},
        }
        self.start("hallmark.services.log", "log", config)

    def start(self, module: str, name: str, config: object) -> None:
        """Start one service."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(config))
        with (self.folder / f"{name}.log").open("wb") as output:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, "--config", path], stdout=output, stderr=output
                )
            )

    def cpu_seconds(self) -> list[float]:
        """Processor time that each process has used so far, the log last (proc(5), fields 14 and 15)."""
        fields = [
            Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            for process in self.processes
        ]
        return [(int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK") for values in fields]

    def stop(self) -> None:
        """Stop every process that was started."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(20)


@contextlib.contextmanager
def network(witnesses: int, database: str) -> Iterator[Network]:
    """A running network in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hallmark-bench-") as folder:
        running = Network(Path(folder), witnesses, database)
        try:
            yield running
        finally:
            running.stop()


class Client:
    """A client of the log."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool = Pool(per_origin=64)

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one request."""
        async with self.pool.request(method, self.url + path, (), body) as response:
            return response.status, await response.read()

    async def json(self, method: str, path: str, body: bytes = b"") -> dict:
        """A JSON answer; raises when the status is not 200."""
        status, data = await self.call(method, path, body)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {data[:200]!r}")
        return json.loads(data)

    async def ready(self) -> None:
        """Wait until the log takes entries."""
        for _ in range(200):
            with contextlib.suppress(Exception):
                if (await self.json("GET", "/healthz"))["state"] == "ready":
                    return
            await asyncio.sleep(0.05)
        raise RuntimeError("the log did not become ready")


async def throughput(client: Client, batches: list[bytes], per_batch: int, inflight: int) -> dict[str, float]:
    """Entries per second until all are cosigned by the quorum, and the time of a batch's answer."""
    queue, times = list(reversed(batches)), []

    async def work() -> None:
        while queue:
            body, started = queue.pop(), time.perf_counter()
            results = (await client.json("POST", "/add-many", body))["results"]
            if len(results) != per_batch or any("error" in result for result in results):
                raise RuntimeError("an entry was refused")
            times.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(inflight)))
    accepted = time.perf_counter() - started
    size = (await client.json("GET", "/head"))["size"]
    await client.json("GET", f"/wait?size={size}&timeout=20000")
    witnessed = time.perf_counter() - started
    count = len(batches) * per_batch
    return {
        "entries": count,
        "accepted_per_s": count / accepted,
        "witnessed_per_s": count / witnessed,
        "batch_ms_p50": 1000 * statistics.median(times),
    }


async def latency(client: Client, network_: Network, rate: int, entries: list[bytes]) -> dict[str, float]:
    """One receipt at a time, at a steady rate: submitted to accepted, accepted to proof in hand, and both."""
    to_accepted, to_proof, total, sizes, lag = [], [], [], [], []
    loop = asyncio.get_running_loop()

    async def one(entry: bytes, due: float) -> None:
        await asyncio.sleep(max(0, due - loop.time()))
        lag.append(loop.time() - due)
        started = time.perf_counter()
        place = await client.json("POST", "/add", entry)
        accepted = time.perf_counter()
        status, text = await client.call("GET", f"/proof/{place['index']}?wait=5000")
        ended = time.perf_counter()
        if status != 200:
            raise RuntimeError(f"proof: {status}")
        to_accepted.append(accepted - started)
        to_proof.append(ended - accepted)
        total.append(ended - started)
        sizes.append(len(text))
        verify_proof(network_.policy, leaf(place["admitted"], entry), text)

    begin, used = loop.time() + 0.2, network_.cpu_seconds()
    await asyncio.gather(*(one(entry, begin + n / rate) for n, entry in enumerate(entries)))
    *others, log = (
        1000 * (after - before) for before, after in zip(used, network_.cpu_seconds(), strict=True)
    )
    result = {"entries": len(entries), "rate": rate, "proof_bytes": statistics.median(sizes)}
    # Processor time does not depend on who else uses the machine.
    result |= {"log_cpu_ms": log / len(entries), "witness_cpu_ms": statistics.mean(others) / len(entries)}
    named = {"accepted": to_accepted, "accepted_to_proof": to_proof, "total": total, "client_lag": lag}
    for name, values in named.items():
        result |= {
            f"{name}_ms_p50": 1000 * percentile(values, 0.5),
            f"{name}_ms_p99": 1000 * percentile(values, 0.99),
        }
    return result


async def light_client(client: Client, network_: Network, entry: bytes) -> dict[str, float]:
    """What it costs to verify a proof, and its parts."""
    place = await client.json("POST", "/add", entry)
    _, text = await client.call("GET", f"/proof/{place['index']}?wait=5000")
    data = leaf(place["admitted"], entry)
    proof, digest = Proof.parse(text), leaf_hash(data)
    checkpoint = verify_proof(network_.policy, data, text).checkpoint

    def timed(work: object, repeat: int = 300) -> float:
        values = []
        for _ in range(repeat):
            started = time.perf_counter()
            work()  # type: ignore[operator]
            values.append(time.perf_counter() - started)
        return 1e6 * statistics.median(values)

    return {
        "proof_bytes": len(text),
        "tree_size": checkpoint.size,
        "verify_us": timed(lambda: verify_proof(network_.policy, data, text)),
        "inclusion_us": timed(
            lambda: verify_inclusion(digest, proof.index, checkpoint.size, proof.path, checkpoint.root)
        ),
    }


def admission(made: list[bytes]) -> dict[str, float]:
    """Receipts per second through the admission checks alone, signature included, on one core."""
    gate = Gate(NETWORK, [Member(NODE.address, Role.NODE, AUTHORITY.address)], chain_id=CHAIN_ID)
    started = time.perf_counter()
    for entry in made:
        gate.judge(entry)
    return {"receipts_per_s": len(made) / (time.perf_counter() - started)}


def baseline(folder: Path) -> dict[str, float]:
    """What one fsync of 4 KiB costs here now: no durable log answers faster."""
    times = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(200):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - started))
    return {"fsync_ms_p50": percentile(times, 0.5), "fsync_ms_p99": percentile(times, 0.99)}


async def measure(options: argparse.Namespace, network_: Network) -> dict[str, dict[str, float]]:
    """All figures, or those whose name begins with `--only`."""
    client = Client(network_.url)
    await client.ready()
    figures: dict[str, dict[str, float]] = {}
    count = int(options.rate * options.seconds)
    made = receipt_chain(NETWORK, CHAIN_ID, NODE, count + options.batches * 1_900 + 1)
    left = iter(made)
    await client.json("POST", "/add", vouched(NETWORK, NODE))

    def wanted(name: str) -> bool:
        return name.startswith(options.only)

    if wanted(name := "baseline, fsync"):
        figures[name] = baseline(network_.folder)
    if wanted(name := "latency, idle log"):
        taken = list(itertools.islice(left, count))
        figures[name] = await latency(client, network_, options.rate, taken)
    for per_batch, batches in ((100, options.batches * 4), (500, options.batches), (1_000, options.batches)):
        if wanted(name := f"receipts, {per_batch} an add-many, signatures checked"):
            bodies = [join_many(list(itertools.islice(left, per_batch))) for _ in range(batches)]
            figures[name] = await throughput(client, bodies, per_batch, 2)
    if wanted(name := "receipts, admission alone, one core"):
        figures[name] = admission(made[:2000])
    if wanted(name := "light client"):
        figures[name] = await light_client(client, network_, next(left))
    await client.pool.aclose()
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--witnesses", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument(
        "--database", default="", help="store URL of the log; SQLite in a temporary folder if empty"
    )
    parser.add_argument("--only", default="", help="only figures whose name begins so")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with network(options.witnesses, options.database) as running:
        figures = asyncio.run(measure(options, running))
    for name, values in figures.items():
        print(name)
        for key, value in values.items():
            print(f"    {key:<28} {value:>12,.2f}")
    machine = {"cpus": os.cpu_count(), "python": sys.version.split()[0], "load": os.getloadavg()[0]}
    if options.json:
        options.json.write_text(
            json.dumps({"machine": machine, "witnesses": options.witnesses, **figures}, indent=2)
        )
    print("machine", machine)


if __name__ == "__main__":
    main()
