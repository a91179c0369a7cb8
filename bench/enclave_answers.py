"""What an answer costs the enclave alone, and the same of another build, in turn in one run.

    python bench/enclave_answers.py [--against OTHER/src] [--loads 1s,16s,1w,16w,1m,16m] [--rounds 9]

The enclave is a real one without the sandbox: keys, TLS, receipts, control channel. This process is all that
stands around it: host, client over TLS, and the receipts are stored as soon as they come. `1s` is one stream
at a time from the fixed upstream (`fixed_upstream.py`, a process of its own), `16w` are whole answers of it,
sixteen at once, `1m` is one stream at a time from the model that ships. Builds run at once, one of them
asked, and take turns by rounds. Processor time is that of the enclave's process, all threads, from
/proc/PID/task/*/schedstat (nanoseconds); the table has the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from builds import FIXED, HERE, fixed_upstream
from load_client import Client, Load, _Answer, run_load

from hallmark.hub.artifact import pack_artifact
from hallmark.services.enclave import control
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node import launch
from hallmark.services.node.enclave_start import EnclaveInputs, Running, Starter
from hallmark.services.node.pipe import Pipes
from hallmark.testing import enclaves
from hallmark.testing.runtime import model_of

MODEL = "pydoc"
QUESTION = "What does os.mkfifo do?"
CAPACITY = 64


class Host:
    """The least of a host: starts one build's enclave, stores its receipts at once, dials its upstream."""

    def __init__(self, source: Path, upstream: str) -> None:
        self._source, self._upstream = source, urlsplit(upstream)
        self._tasks: set[asyncio.Task[None]] = set()
        self._pipes = Pipes(lambda _: None, CAPACITY)
        self.receipts = 0

    async def start(self, upstream: str, threads: int) -> None:
        """Until the enclave serves."""
        data = pack_artifact(HERE / "models" / MODEL / "artifact")
        model = model_of(MODEL, data, "onnxruntime-genai")
        configuration = enclaves.configuration(
            mode=2,
            capacity=CAPACITY,
            models={MODEL: "0x" + model.manifest_digest.hex()},
            upstreams={FIXED: upstream},
            limits={"engine_threads": threads} if threads else {},
        )
        cargo = EnclaveInputs(configuration.encode(), (model.manifest_bytes,), {MODEL: data})
        starter = Starter(None, None)
        starter._spawn = lambda: (self._spawned(), None)
        self.running: Running = await starter.start(
            cargo, epoch=1, beacon=Beacon(1, bytes(32)), on_message=self._said, on_ended=lambda: None
        )

    def _spawned(self) -> launch.Spawned:
        chain = [sys.executable, "-B", "-m", "hallmark.services.enclave.boot", "--unconfined"]
        self.process = launch._spawn(
            chain, {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(self._source)}, (), {}
        )
        return self.process

    def _said(self, message: control.FromEnclave) -> None:
        if isinstance(message, control.Signed):
            self.receipts += 1
            self.running.link.send(control.Stored(message.sequence))
        elif isinstance(message, control.Dial):
            task = asyncio.ensure_future(self._dial(message.id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _dial(self, number: int) -> None:
        sock = await self._pipes.dial(self._upstream.hostname or "", self._upstream.port or 80, 5)
        self.running.link.send(control.Dialed(number), owned=sock)

    def spent(self) -> float:
        """Milliseconds of processor time of the enclave so far."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    def wakes(self) -> int:
        """How often its threads have slept and woken so far."""
        total = 0
        for status in Path(f"/proc/{self.process.pid}/task").glob("*/status"):
            line = next(x for x in status.read_text().splitlines() if x.startswith("voluntary"))
            total += int(line.split()[1])
        return total


class TLSClient(Client):
    """The cheap client, on sockets that are passed to an enclave."""

    def __init__(self, host: Host, model: str) -> None:
        super().__init__("https://enclave/v1", model, QUESTION)
        self._host_of = host
        self._context = enclaves.blind_context()

    async def _connection(self) -> _Answer:
        while self._free:
            kept = self._free.pop()
            if not kept.closed:
                return kept
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._host_of.running.link.send(control.Connection(), owned=theirs)
        loop = asyncio.get_running_loop()
        connected = await loop.create_connection(
            _Answer, sock=ours, ssl=self._context, server_hostname="enclave"
        )
        return connected[1]


@contextlib.asynccontextmanager
async def hosts(sources: dict[str, Path], upstream: str, threads: int) -> AsyncIterator[dict[str, Host]]:
    """An enclave for each build."""
    found: dict[str, Host] = {}
    try:
        for name, source in sources.items():
            found[name] = Host(source, upstream)
            await found[name].start(upstream, threads)
        yield found
    finally:
        for host in found.values():
            await host.running.link.close()


def load_of(name: str, answers: int) -> tuple[str, Load]:
    """`16s`: which model, and the load."""
    streams, kind = int(name[:-1]), name[-1]
    model = MODEL if kind == "m" else FIXED
    return model, Load(name, answers, streams, stream=kind != "w")


async def measure(found: dict[str, Host], asked: argparse.Namespace) -> dict[str, dict[str, dict]]:
    """Every load on every build in turn."""
    table: dict[str, dict[str, dict]] = {}
    for name in asked.loads.split(","):
        model, load = load_of(name, asked.answers)
        clients = {build: TLSClient(host, model) for build, host in found.items()}
        rounds: dict[str, list[tuple[float, ...]]] = {build: [] for build in found}
        for client in clients.values():
            await run_load(client.ask, load._replace(answers=min(20, asked.answers)))
        for turn in range(asked.rounds):
            for build in list(found) if turn % 2 == 0 else list(found)[::-1]:
                host = found[build]
                before, wakes = host.spent(), host.wakes()
                timings = await run_load(clients[build].ask, load)
                await asyncio.sleep(0.02)
                first, total = (statistics.median(t) * 1000 for t in zip(*timings, strict=True))
                rounds[build].append(
                    (
                        (host.spent() - before) / load.answers,
                        (host.wakes() - wakes) / load.answers,
                        first,
                        total,
                    )
                )
        for client in clients.values():
            client.close()
        names = ("cpu_ms", "wakes", "first_ms", "total_ms")
        table[name] = {
            build: dict(zip(names, map(statistics.median, zip(*of, strict=True)), strict=True))
            for build, of in rounds.items()
        }
    return table


def show(table: dict[str, dict[str, dict]]) -> None:
    """The table; ratios are the last build over the first."""
    builds = list(next(iter(table.values())))
    print(f"{'load':<6}" + "".join(f"{n:>30}" for n in ("cpu ms", "wakes", "first byte ms", "total ms")))
    for load, row in table.items():
        line = f"{load:<6}"
        for key in ("cpu_ms", "wakes", "first_ms", "total_ms"):
            values = [row[build][key] for build in builds]
            ratio = f" ({values[-1] / values[0]:.2f})" if len(values) > 1 else ""
            line += f"{'  '.join(f'{value:.2f}' for value in values) + ratio:>30}"
        print(line)


async def run(asked: argparse.Namespace) -> dict[str, dict[str, dict]]:
    """Start what is to be measured, and measure it."""
    sources = {"old": asked.against.resolve()} if asked.against else {}
    sources["new" if sources else "this"] = HERE / "src"
    with fixed_upstream(asked.port, asked.gap_ms) as upstream:
        async with hosts(sources, upstream, asked.threads) as found:
            if asked.pids:
                print({name: host.process.pid for name, host in found.items()}, file=sys.stderr, flush=True)
            return await measure(found, asked)


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, metavar="SRC", help="the `src` of another build")
    parser.add_argument("--loads", default="1s,16s,1w,16w,1m,16m", help="see above")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--answers", type=int, default=64, help="answers per load and round")
    parser.add_argument(
        "--gap-ms", type=float, default=2.0, help="from one token of the upstream to the next"
    )
    parser.add_argument("--threads", type=int, default=0, help="the engine's threads")
    parser.add_argument("--port", type=int, default=27_900, help="of the fixed upstream")
    parser.add_argument("--pids", action="store_true", help="say which processes are the enclaves")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    table = uvloop.run(run(asked))
    show(table)
    print(f"load average {os.getloadavg()[0]:.1f}")
    if asked.json:
        asked.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
