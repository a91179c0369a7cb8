"""What one answer costs on the data path: gateway, node host and enclave, each in a process of its own.

    python bench/data_path.py [--answers 200] [--loads 1s,16s,1w,16w] [--json FILE] [--profile gateway]
    PYTHONPATH=OTHER/src OTHER/.venv/bin/python bench/data_path.py ...      the same of another build

The processes are the real ones, without the sandbox (`vanilla`); in front of the enclave's engine stands a
fixed server that streams 20 tokens, and the log is a little one that takes everything and cosigns at once, so
that nothing else of a network runs. `1s` is one stream at a time, `16w` are whole answers, sixteen at once.
Processor time is that of each process from /proc; counts are what went over the wire: requests at the log,
connections at the upstream, transactions on the disks (SQLite's own change counter).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop

from hallmark.core.errors import Conflict
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond_json
from hallmark.http.client import Pool, Timeouts
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.testing.dossiers import Notary
from hallmark.testing.local_log import LocalLog
from hallmark.testing.network import LittleNetwork, key
from hallmark.testing.ports import free_port

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LABEL = "fixed"
PATIENT = Timeouts(head=120, idle=120, pool=120)
JSON = [(b"content-type", b"application/json")]
TOKENS = 20
HEAD = {"id": "chatcmpl-fixed", "created": 1_700_000_000, "model": LABEL}


class FixedServer(asyncio.Protocol):
    """An upstream that answers every request alike: 20 tokens, a millisecond apart, or one object."""

    connections = 0

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        """Count it."""
        FixedServer.connections += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
        if len(rest) < length:
            return
        self._received = rest[length:]
        self._close = b"connection: close" in head.lower()
        if json.loads(rest[:length]).get("stream"):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            self._token(0)
            return
        self._whole()

    def _token(self, number: int) -> None:
        if self._transport.is_closing():
            return
        delta: dict[str, Any] = {"content": f"token {number} "} if number < TOKENS else {}
        choice = {"index": 0, "delta": delta, "finish_reason": None if number < TOKENS else "stop"}
        self._event({**HEAD, "object": "chat.completion.chunk", "choices": [choice]})
        if number < TOKENS:
            asyncio.get_running_loop().call_later(0.001, self._token, number + 1)
            return
        usage = {"prompt_tokens": 9, "completion_tokens": TOKENS, "total_tokens": 9 + TOKENS}
        self._event({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._transport.write(b"0\r\n\r\n")
        self._done()

    def _whole(self) -> None:
        text = "".join(f"token {number} " for number in range(TOKENS))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        usage = {"prompt_tokens": 9, "completion_tokens": TOKENS, "total_tokens": 9 + TOKENS}
        body = json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        self._done()

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _done(self) -> None:
        if self._close:
            self._transport.close()


class Log(LocalLog):
    """The little log, as a node host and a gateway submit to it; counts requests by path."""

    requests: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.net.now = time.time_ns() // 1_000_000
        path = scope["path"]
        self.requests["/" + path.split("/")[1]] += 1
        if path == "/add-many":
            data, at, results = await read_body(receive, 1 << 24), 0, []
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                results.append(await self._in_order(data[at + 4 : at + 4 + size]))
                at += 4 + size
            await respond_json(send, {"results": results})
            return
        await super().__call__(scope, receive, send)

    async def _in_order(self, entry: bytes) -> dict[str, int]:
        """As the real log: a receipt that overtakes its predecessor waits for it, a moment."""
        for _ in range(200):
            with contextlib.suppress(Conflict):
                return self.add(entry)
            await asyncio.sleep(0.005)
        return self.add(entry)


class Processes:
    """What was started, in a folder; reads processor time from /proc."""

    def __init__(self, folder: Path, profiled: str) -> None:
        self.folder, self.profiled = folder, profiled
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, settings: dict[str, Any]) -> None:
        """Start a service with these settings."""
        config = self.folder / f"{name}.json"
        config.write_text(json.dumps(settings))
        module = [f"hallmark.services.{name}"]
        if self.profiled == name:
            module = ["cProfile", "-o", str(self.folder / f"{name}.prof"), "-m", *module]
        log = (self.folder / f"{name}.log").open("wb")
        self.started[name] = subprocess.Popen(
            [sys.executable, "-m", *module, "--config", str(config)], stdout=log, stderr=log
        )

    def spent(self) -> dict[str, float]:
        """Processor seconds of each process so far; the node's child is the enclave."""
        pids = {name: process.pid for name, process in self.started.items()}
        children = Path(f"/proc/{pids['node']}/task/{pids['node']}/children").read_text().split()
        pids["enclave"] = int(children[0])
        found = {}
        for name, pid in pids.items():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            found[name] = (int(fields[11]) + int(fields[12])) * TICK_S
        return found

    def wakes(self) -> int:
        """Voluntary context switches of all of them so far: how often they slept and woke."""
        pids = [process.pid for process in self.started.values()]
        pids += [int(c) for p in pids for c in Path(f"/proc/{p}/task/{p}/children").read_text().split()]
        total = 0
        for pid in pids:
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                lines = status.read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
        return total

    def commits(self) -> dict[str, int]:
        """Frames in each store's write-ahead log are a bound of its transactions: its size in pages."""
        return {p.stem: p.stat().st_size // 4096 for p in self.folder.glob("*.db-wal")}

    def stop(self) -> None:
        """End them, the gateway first."""
        for name in ("gateway", "node"):
            if name in self.started:
                self.started[name].terminate()
                self.started[name].wait(20)


@contextlib.asynccontextmanager
async def network(processes: Processes) -> AsyncIterator[tuple[str, Log]]:
    """Everything started and ready; gives the gateway's URL and the log."""
    net = LittleNetwork(nodes=0)
    net.now = time.time_ns() // 1_000_000
    notary = Notary(net)
    folder = processes.folder
    loop = asyncio.get_running_loop()
    upstream = await loop.create_server(FixedServer, sock=bind(Listen(free_port())))
    port = upstream.sockets[0].getsockname()[1]
    log = Log(net, notary)
    (folder / "trust.toml").write_text(notary.trust().to_toml())
    (folder / "gateway.key").write_text(_secret("gateway"))
    (folder / "owner.key").write_text(_secret("node owner"))
    gateway, node, health = (free_port() for _ in range(3))
    async with serving(Service(log), bind(Listen(free_port())), grace_s=1) as log_url:
        processes.start(
            "node",
            {
                "listen": {"port": node},
                "health": {"port": health},
                "endpoint": f"https://127.0.0.1:{node}",
                "log_url": log_url,
                "origin": net.genesis.origin,
                "chain_id": net.genesis.chain_id,
                "owner_key_file": str(folder / "owner.key"),
                "database": f"sqlite:///{folder}/node.db",
                "upstreams": {LABEL: f"http://127.0.0.1:{port}/v1"},
                "mode": "vanilla",
                "capacity": 64,
            },
        )
        processes.start(
            "gateway",
            {
                "listen": {"port": gateway},
                "log_url": log_url,
                "trust_file": str(folder / "trust.toml"),
                "key_file": str(folder / "gateway.key"),
                "database": f"sqlite:///{folder}/gateway.db",
            },
        )
        url = f"http://127.0.0.1:{gateway}"
        try:
            await _ready(url)
            yield url, log
        finally:
            await asyncio.to_thread(processes.stop)
            upstream.close()


def _secret(name: str) -> str:
    """The secret of a little network's key, as its file holds it."""
    from hallmark.core.hashing import sha256

    secret = sha256(b"hallmark/testing/key\0", name.encode())
    assert key(name).address
    return secret.hex()


async def _ready(url: str) -> None:
    pool = Pool()
    for _ in range(400):
        with contextlib.suppress(Exception):
            async with pool.request("GET", f"{url}/v1/models") as response:
                if LABEL.encode() in await response.read():
                    break
        await asyncio.sleep(0.05)
    else:
        raise SystemExit("The network did not become ready.")
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            await ask(pool, url, stream=False)
            break
        await asyncio.sleep(0.1)
    await pool.aclose()


async def ask(pool: Pool, url: str, *, stream: bool) -> tuple[float, float]:
    """One answer; seconds to the first byte and to the last. Raises RuntimeError when it is not whole."""
    question = {"model": LABEL, "stream": stream, "messages": [{"role": "user", "content": "What?"}]}
    body, began, first, parts = json.dumps(question).encode(), time.perf_counter(), 0.0, []
    async with pool.request("POST", f"{url}/v1/chat/completions", JSON, body, timeouts=PATIENT) as response:
        async for part in response:
            first = first or time.perf_counter() - began
            parts.append(part)
    whole = b"".join(parts)
    if response.status != 200 or (stream and not whole.endswith(b"data: [DONE]\n\n")):
        raise RuntimeError(f"{response.status}: {whole[-300:]!r}")
    if b'"state":"failed"' in whole:
        raise RuntimeError("the answer does not hold")
    return first, time.perf_counter() - began


async def load(url: str, *, streams: int, stream: bool, answers: int) -> list[tuple[float, float]]:
    """`answers` answers, `streams` at a time."""
    pool, left, timings = Pool(per_origin=streams, timeouts=PATIENT), iter(range(answers)), []

    async def one() -> None:
        for _ in left:
            timings.append(await ask(pool, url, stream=stream))

    await asyncio.gather(*(one() for _ in range(streams)))
    await pool.aclose()
    return timings


async def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every load, one after the other, and an idle while."""
    processes = Processes(folder, args.profile)
    rows: dict[str, Any] = {}
    async with network(processes) as (url, log):
        for name in args.loads.split(","):
            streams, stream = int(name[:-1]), name.endswith("s")
            await load(url, streams=streams, stream=stream, answers=20)
            await asyncio.sleep(0.3)
            before, requests, opened = processes.spent(), log.requests.copy(), FixedServer.connections
            wal = processes.commits()
            timings = await load(url, streams=streams, stream=stream, answers=args.answers)
            await asyncio.sleep(0.5)
            spent = {n: (v - before[n]) * 1000 / args.answers for n, v in processes.spent().items()}
            rows[name] = {
                **spent,
                "all": sum(spent.values()),
                "first_ms": sorted(t[0] for t in timings)[len(timings) // 2] * 1000,
                "total_ms": sorted(t[1] for t in timings)[len(timings) // 2] * 1000,
                "log": {k: v / args.answers for k, v in (log.requests - requests).items()},
                "upstream_connections": (FixedServer.connections - opened) / args.answers,
                "wal": {k: v - wal.get(k, 0) for k, v in processes.commits().items()},
            }
        if args.idle:
            await asyncio.sleep(1)
            before, wakes = processes.spent(), processes.wakes()
            await asyncio.sleep(args.idle)
            spent = {n: (v - before[n]) * 100 / args.idle for n, v in processes.spent().items()}
            rows["idle"] = {"percent": spent, "wakes": (processes.wakes() - wakes) / args.idle}
    return rows


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--loads", default="1s,16s,1w,16w", help="streams at a time; s: streamed, w: whole")
    parser.add_argument("--idle", type=float, default=0.0, help="seconds of nothing at the end")
    parser.add_argument("--profile", default="", help="run this service under cProfile")
    parser.add_argument("--folder", help="keep stores, logs and profiles here")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(args.folder or scratch)
        folder.mkdir(exist_ok=True, parents=True)
        rows = uvloop.run(measure(args, folder))
    for name, row in rows.items():
        if name == "idle":
            print("idle", {k: round(v, 2) for k, v in row["percent"].items()}, f"{row['wakes']:.1f} wakes/s")
            continue
        cells = "  ".join(f"{k} {row[k]:6.2f}" for k in ("gateway", "node", "enclave", "all"))
        print(f"{name:>4}  {cells} ms   first {row['first_ms']:.1f} total {row['total_ms']:.1f} ms")
        print(
            "      ", {k: round(v, 2) for k, v in row["log"].items()}, row["upstream_connections"], row["wal"]
        )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
