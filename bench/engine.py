"""Tokens per second and first-token time of an engine called directly: the baseline for the whole path.

    python bench/engine.py [--artifact models/pydoc/artifact] [--streams 1,16,64] [--rounds 100] [--json]

`engine` is the language model behind `Engine.generate`; `app` is the enclave's application around the same
engine, in the same process, without a socket, with receipts signed in memory. The difference is what parsing,
server-sent events, digests and signing cost. Rounds of the two alternate, so that both meet the same load;
`cpu ms` is processor time of the whole process for each answer, which a busy machine changes least.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from hallmark.engines import load
from hallmark.engines.protocol import ChatRequest, Engine, Message, Sampling
from hallmark.engines.stepper import Stepper
from hallmark.hub.artifact import pack_artifact
from hallmark.services.enclave.app import App
from hallmark.testing import tiny_models
from hallmark.testing.runtime import MemoryRuntime, model_of

ROOT = Path(__file__).resolve().parents[1]
QUESTION = "What does os.mkfifo do?"
BODY = json.dumps(
    {"model": "bench", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
).encode()


class Timing:
    """Times of one answer in seconds, and its tokens."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.first = 0.0
        self.total = 0.0
        self.tokens = 0

    def token(self, count: int) -> None:
        if not self.first:
            self.first = time.perf_counter() - self.begun
        self.tokens = count

    def end(self) -> None:
        self.total = time.perf_counter() - self.begun


async def by_engine(engine: Engine) -> Timing:
    timing = Timing()
    async for delta in engine.generate(ChatRequest((Message("user", QUESTION),)), Sampling(), 0):
        timing.token(delta.tokens_out)
    timing.end()
    return timing


async def by_app(app: App, runtime: MemoryRuntime) -> Timing:
    timing = Timing()
    read = False

    async def receive() -> dict[str, object]:
        nonlocal read
        if read:
            await asyncio.Event().wait()
        read = True
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            timing.token(0)

    await app(
        {"type": "http", "path": "/v1/chat/completions", "method": "POST", "headers": []}, receive, send
    )
    timing.end()
    timing.tokens = runtime.drafts[-1].tokens_out
    return timing


class Series:
    """All answers of one path at one number of streams."""

    def __init__(self, name: str, one: Callable[[], Awaitable[Timing]]) -> None:
        self.name = name
        self.one = one
        self.timings: list[Timing] = []
        self.wall = 0.0
        self.cpu = 0.0

    async def round(self, streams: int) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.timings += await asyncio.gather(*(self.one() for _ in range(streams)))
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    def row(self, streams: int) -> dict[str, float | str]:
        first = sorted(t.first * 1000 for t in self.timings)
        return {
            "path": self.name,
            "streams": streams,
            "answers": len(first),
            "first_ms_p50": statistics.median(first),
            "first_ms_p99": first[min(len(first) - 1, int(len(first) * 0.99))],
            "total_ms_p50": statistics.median(t.total * 1000 for t in self.timings),
            "tokens_per_s": sum(t.tokens for t in self.timings) / self.wall,
            "cpu_ms": self.cpu * 1000 / len(first),
        }


async def run(args: argparse.Namespace) -> list[dict[str, float | str]]:
    folder = Path(args.artifact)
    data = pack_artifact(folder) if folder.is_dir() else tiny_models.language_artifact()
    digest = hashlib.sha256(data).digest()
    engine = load(data, digest, stepper=Stepper(args.threads))
    runtime = MemoryRuntime({"bench": model_of("bench", data, "onnxruntime-genai")}, capacity=1024)
    app = App(runtime, {"bench": engine}, {})
    rows: list[dict[str, float | str]] = []
    for streams in [int(n) for n in args.streams.split(",")]:
        rounds = max(3, args.rounds // streams)
        series = (
            Series("engine", lambda: by_engine(engine)),
            Series("app", lambda: by_app(app, runtime)),
        )
        for one in series:
            await one.one()
        for _ in range(rounds):
            for one in series:
                await one.round(streams)
        rows += [one.row(streams) for one in series]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artifact", default=str(ROOT / "models" / "pydoc" / "artifact"))
    parser.add_argument("--streams", default="1,16,64")
    parser.add_argument("--rounds", type=int, default=100, help="answers at one stream; fewer rounds at more")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = asyncio.run(run(args))
    if args.json:
        print(json.dumps(rows))
        return
    columns = ("first_ms_p50", "first_ms_p99", "total_ms_p50", "tokens_per_s", "cpu_ms")
    print(f"{'path':8}{'streams':>8}" + "".join(f"{name:>14}" for name in columns))
    for row in rows:
        print(f"{row['path']:8}{row['streams']:>8}" + "".join(f"{row[name]:>14.2f}" for name in columns))


if __name__ == "__main__":
    main()
