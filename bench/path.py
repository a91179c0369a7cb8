"""What the whole path adds: client -> gateway -> host's pipe -> TLS in the enclave -> application -> engine.

    python bench/path.py --home ~/.hallmark [--model pydoc] [--streams 1,16,64] [--rate 100] [--json FILE]
    python bench/path.py --gateway URL --trust trust.toml
    python bench/path.py --local            no network needed: made-up engine, gateway, nodes in one process

Three ways to the same engine, asked in turn so that all meet the same load:

    bare     the engine behind a bare ASGI app over plain HTTP: what nobody adds anything to
    node     the enclave asked directly, TLS pinned to its key, without the gateway
    path     the whole path

`bare` runs in a process of its own with the same number of threads as a node's enclave. First byte means the
first event with text; times count from when a request was due, so a late start is not hidden. `proof` is the
time from an answer's last byte to a proof of the quorum's checkpoint, verified here under the trust file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import uvloop

from hallmark.core.document import unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.entries import leaf
from hallmark.http.asgi import Receive, Scope, Send, read_body
from hallmark.http.client import Pool, Timeouts
from hallmark.http.serve import Listen, Service, bind, run, serving
from hallmark.services.sdk.network import find
from hallmark.services.sdk.receipts import open_answer
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.ports import free_port
from hallmark.verification.dossier import Dossier

ROOT = Path(__file__).resolve().parents[1]
CHAT = "/v1/chat/completions"
QUESTION = "What does os.mkfifo do?"
PATIENT = Timeouts(head=300, idle=300, pool=300)
JSON = [(b"content-type", b"application/json")]


class Timing(msgspec.Struct):
    """Seconds from when a request was due: to the first event with text, and to the last byte."""

    first: float
    total: float
    body: bytes


class Way:
    """One way to the engine: where, under which TLS key."""

    def __init__(self, name: str, url: str, pin: bytes | None = None) -> None:
        self.name, self.url, self.pin = name, url, pin
        self.pool = Pool(per_origin=512, timeouts=PATIENT)

    async def ask(self, body: bytes, due: float) -> Timing:
        """One streamed answer; asks again while a node asked directly has no free place, as a gateway would.

        Raises RuntimeError when it is not a whole one.
        """
        while (timing := await self._once(body, due)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return timing

    async def _once(self, body: bytes, due: float) -> Timing | None:
        first, parts = 0.0, []
        async with self.pool.request("POST", self.url + CHAT, JSON, body, pin=self.pin) as response:
            async for chunk in response:
                if not first and b'"content"' in chunk:
                    first = time.perf_counter() - due
                parts.append(chunk)
        whole = b"".join(parts)
        if response.status == 503 and b'"node_busy"' in whole:
            return None
        if response.status != 200 or not whole.endswith(b"data: [DONE]\n\n"):
            raise RuntimeError(f"{self.name} answered {response.status}: {whole[-200:]!r}")
        return Timing(first or time.perf_counter() - due, time.perf_counter() - due, whole)


async def at_once(way: Way, body: bytes, streams: int) -> list[Timing]:
    """`streams` requests at the same time."""
    due = time.perf_counter()
    return list(await asyncio.gather(*(way.ask(body, due) for _ in range(streams))))


async def at_rate(way: Way, body: bytes, rate: float, count: int) -> list[Timing]:
    """`count` requests, each due at its own time, whether or not earlier ones have ended."""
    start = time.perf_counter() + 0.05

    async def one(number: int) -> Timing:
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        return await way.ask(body, due)

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def quantile(values: list[float], q: float) -> float:
    """The q-quantile in milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1000


def row(load: str, name: str, timings: list[Timing]) -> dict[str, object]:
    """One line of the table."""
    first, total = [t.first for t in timings], [t.total for t in timings]
    return {
        "load": load,
        "way": name,
        "answers": len(timings),
        "first_p50": statistics.median(first) * 1000,
        "first_p99": quantile(first, 0.99),
        "total_p50": statistics.median(total) * 1000,
        "total_p99": quantile(total, 0.99),
    }


async def measure(ways: list[Way], body: bytes, args: argparse.Namespace) -> list[dict[str, object]]:
    """Every load on every way, in turn."""
    rows = []
    for way in ways:
        await at_once(way, body, 4)
    for streams in [int(n) for n in args.streams.split(",")]:
        found: dict[str, list[Timing]] = {way.name: [] for way in ways}
        for _ in range(max(2, args.answers // streams)):
            for way in ways:
                found[way.name] += await at_once(way, body, streams)
        rows += [row(f"{streams} streams", name, timings) for name, timings in found.items()]
    if args.rate:
        for way in ways:
            timings = await at_rate(way, body, args.rate, args.answers)
            rows.append(row(f"{args.rate:g}/s", way.name, timings))
    return rows


async def proven(gateway: Way, body: bytes, due: float, verifier: Verifier) -> tuple[Timing, float]:
    """One answer, and seconds from its last byte to a verified proof. Raises RuntimeError when none comes."""
    timing = await gateway.ask(body, due)
    _, dossier = open_answer(CHAT, body, timing.body, stream=True)
    url = f"{gateway.url}/v1/hallmark/receipts/{dossier.id}?wait=witnessed&timeout=30000"
    async with gateway.pool.request("GET", url) as response:
        found = msgspec.json.decode(await response.read())
    names = set(Dossier.__struct_fields__)
    part = Dossier.parse(msgspec.json.encode({k: v for k, v in found.items() if k in names})).entry
    if part is None or part.proof is None:
        raise RuntimeError(f"no proof: {found.get('stage')} {found.get('error')}")
    verifier.place(leaf(part.admitted, part.leaf()[8:]), part.proof)
    return timing, time.perf_counter() - due - timing.total


async def measure_proof(
    gateway: Way, body: bytes, verifier: Verifier, args: argparse.Namespace
) -> dict[str, object]:
    """Last byte to a verified proof, at a steady rate."""
    times: list[float] = []

    async def one(due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        times.append((await proven(gateway, body, due, verifier))[1])

    start = time.perf_counter() + 0.05
    await asyncio.gather(*(one(start + n / args.proof_rate) for n in range(args.proofs)))
    return {
        "answers": len(times),
        "rate": args.proof_rate,
        "p50": statistics.median(times) * 1000,
        "p99": quantile(times, 0.99),
    }


async def nodes_of(gateway: str, model: str) -> list[Way]:
    """One node that serves the model, by the gateway's route ticket."""
    pool = Pool()
    body = json.dumps({"model": model}).encode()
    async with pool.request("POST", f"{gateway}/v1/hallmark/route", JSON, body) as response:
        route = msgspec.json.decode(await response.read())
    await pool.aclose()
    if "nodes" not in route:
        raise SystemExit(f"No node: {route}")
    bundle = KeyBundle.decode(route["nodes"][0]["bundle"].encode())
    return [Way("node", bundle.endpoint, unhex(bundle.tls_spki))]


# The engine without anything around it.


async def bare(model: str, threads: int) -> None:
    """Serve an engine behind a bare ASGI app until the standard input ends; prints the URL."""
    import hashlib

    from hallmark.engines import load
    from hallmark.engines.protocol import ChatRequest, Message, Sampling
    from hallmark.engines.stepper import Stepper
    from hallmark.hub.artifact import pack_artifact

    data = pack_artifact(ROOT / "models" / model / "artifact")
    engine = load(data, hashlib.sha256(data).digest(), stepper=Stepper(threads))

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        asked = json.loads(await read_body(receive, 1 << 20))
        messages = tuple(Message(m["role"], m["content"]) for m in asked["messages"])
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for delta in engine.generate(ChatRequest(messages), Sampling(), 0):
            if delta.text:
                event = b'data: {"content":%b}\n\n' % msgspec.json.encode(delta.text)
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    await serve_until_stdin_ends(Service(app))


async def made_up() -> None:
    """Serve a local network of made-up engines until the standard input ends; prints the gateway's URL."""
    from hallmark.telemetry.logs import configure
    from hallmark.testing.local_network import LocalNetwork

    configure("bench")
    async with LocalNetwork(queue_s=30) as local:
        for node in local.nodes:
            node.runtime.submit = local.log.add
        print(json.dumps({"url": local.url, "trust": local.trust.to_toml()}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def serve_until_stdin_ends(service: Service) -> None:
    """Serve on a free port, say where."""
    async with serving(service, bind(Listen(free_port())), grace_s=1) as url:
        print(json.dumps({"url": url}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[dict[str, str]]:
    """Run this program again, in a process of its own; gives what it says about itself."""
    command = (sys.executable, __file__, *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 20, env=dict(os.environ)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def whole(args: argparse.Namespace) -> dict[str, object]:
    """Everything, against a running network or a made-up one."""
    async with contextlib.AsyncExitStack() as stack:
        ways: list[Way] = []
        if args.local:
            said = await stack.enter_async_context(child("--serve-made-up"))
            gateway, model = said["url"], "digits"
            trust_file = Path(args.scratch or ".") / f"bench-trust-{os.getpid()}.toml"
            trust_file.write_text(said["trust"])
            stack.callback(trust_file.unlink)
        else:
            place = find(args.gateway, args.trust, args.home)
            gateway, model, trust_file = place.base_url, args.model, Path(place.trust or "")
            if (ROOT / "models" / model / "artifact").is_dir() and not args.no_bare:
                said = await stack.enter_async_context(
                    child("--serve-bare", model, "--threads", str(args.threads))
                )
                ways.append(Way("bare", said["url"]))
        ways += await nodes_of(gateway, model)
        path = Way("path", gateway)
        ways.append(path)
        question = {"model": model, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
        body = json.dumps(question).encode()
        rows = await measure(ways, body, args)
        proof = await measure_proof(path, body, Verifier.read(trust_file), args) if args.proofs else None
        for way in ways:
            await way.pool.aclose()
    return {"cores": os.cpu_count(), "made_up": args.local, "rows": rows, "proof": proof}


def show(result: dict[str, object]) -> None:
    """The table, with what each way adds to the one before it."""
    columns = ("first_p50", "first_p99", "total_p50", "total_p99")
    print(f"{'load':>12} {'way':>6} {'answers':>8}" + "".join(f"{c:>12}" for c in columns) + "   ms")
    rows: list[dict[str, float]] = result["rows"]  # type: ignore[assignment]
    base: dict[str, float] = {}
    for line in rows:
        if not base or base["load"] != line["load"]:
            base = line
        cells = "".join(f"{line[c]:>12.2f}" for c in columns)
        added = (
            "" if line is base else f"   first +{line['first_p50'] - base['first_p50']:.2f} on {base['way']}"
        )
        print(f"{line['load']:>12} {line['way']:>6} {line['answers']:>8}{cells}{added}")
    proof = result["proof"]
    if isinstance(proof, dict):
        print(
            f"last byte to verified proof, {proof['answers']} answers at {proof['rate']}/s: "
            f"p50 {proof['p50']:.2f} ms, p99 {proof['p99']:.2f} ms"
        )


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home")
    parser.add_argument("--gateway")
    parser.add_argument("--trust")
    parser.add_argument("--model", default="pydoc")
    parser.add_argument("--streams", default="1,16,64")
    parser.add_argument("--answers", type=int, default=200, help="answers per way and load, at least")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second; 0 leaves it out")
    parser.add_argument("--proofs", type=int, default=200, help="answers followed to their proof; 0: none")
    parser.add_argument("--proof-rate", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2, help="engine threads of the bare way")
    parser.add_argument("--no-bare", action="store_true")
    parser.add_argument("--local", action="store_true", help="a made-up network, in one process")
    parser.add_argument("--scratch", help="where --local may write a file")
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--serve-bare", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--serve-made-up", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_bare:
        run(bare(args.serve_bare, args.threads))
    elif args.serve_made_up:
        run(made_up())
    else:
        result = uvloop.run(whole(args))
        show(result)
        if args.json:
            args.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


if __name__ == "__main__":
    main()
