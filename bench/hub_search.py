"""What searching so many models costs the web process and the hub.

    python bench/hub_search.py [--models 100000] [--searches 2000] [--json FILE]

The web process: the pages' own application over an explorer whose registry holds so many labels, as the fold
would have put them there; a third of them have a record. Every search is one request, from the ASGI call to
the last byte of its body, JSON and HTML; beside it the same requests with 100 labels, so that what the page
itself costs is told from what the search does. The hub: its own search over so many repositories, as rows in
its database. No sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from hallmark.apps.web.app import create_app
from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest
from hallmark.core.hashing import sha256
from hallmark.core.registry import Label
from hallmark.discovery.attribution import Scope
from hallmark.services.explorer.outcome_reader import RECORD, count_of
from hallmark.services.hub.huggingface.rows import Rows
from hallmark.store.raw import RawDatabase
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.scene import Scene
from hallmark.testing.surfaces import surfaces

TASKS: Final = ("chat", "text-classification", "image-classification", "speech-recognition", "regression")
WORDS: Final = ("digits", "letters", "credit", "risk", "weather", "summary", "router", "coder")
LICENCES: Final = ("mit", "apache-2.0", "gpl-3.0", "")


def labels(count: int, draw: random.Random, fixture: ExplorerFixture) -> None:
    """Put so many labels where the fold puts them, and a record of every third in the counts."""
    registry = fixture.watch.replica.registry
    template = next(iter(registry.labels.values()))
    counted = []
    for number in range(count):
        name = f"maker-{draw.randrange(count // 5 + 1)}/{draw.choice(WORDS)}-{draw.choice(WORDS)}-{number}"
        task, artifact = draw.choice(TASKS), sha256(name.encode())
        card = msgspec.structs.replace(template.card, label=name, task=task)
        size = draw.randrange(10**5, 10**10)
        manifest = Manifest(
            name, "1", hex0x(artifact), hex0x(artifact), size, "onnx", task, hex0x(card.digest())
        )
        owner = sha256(name.split("/")[0].encode())[:20]
        registry.labels[name] = Label(card, owner, 0, [(0, artifact, manifest)])
        fixture.explorer.showing.discovery.licences._known[name] = draw.choice(LICENCES)
        if number % 3 == 0:
            said = ((1, draw.randrange(40)), (2, draw.randrange(9)))
            counted += [
                (count_of(Scope.ARTIFACT, RECORD, k, "+"), artifact) for k, n in said for _ in range(n)
            ]
    fixture.explorer._index.tally.add(counted)


def query(draw: random.Random) -> dict[str, Any]:
    """What somebody asks for: mostly one thing, at times several, at times all of it."""
    chosen: dict[str, Any] = {}
    kind = draw.random()
    if kind < 0.5:
        chosen["q"] = draw.choice(
            (draw.choice(WORDS), draw.choice(WORDS)[:3], f"maker {draw.randrange(999)}")
        )
    if kind > 0.3:
        chosen[draw.choice(("task", "task", "modality"))] = draw.choice((*TASKS, "text", "image"))
    if draw.random() < 0.3:
        chosen["licence"] = draw.choice(LICENCES[:3])
    if draw.random() < 0.2:
        chosen["max_size"] = 10 ** draw.randrange(6, 10)
    if draw.random() < 0.1:
        chosen["mode"] = "any"
    if draw.random() < 0.05:
        chosen["cursor"] = draw.randrange(0, 400, 20)
    return {"limit": 20} | chosen


async def get(app: Any, path: str, asked: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds of one request, by the clock and of this thread's processor. It has to be answered."""
    status = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(asked).encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    began, worked = time.perf_counter(), time.thread_time()
    await app(scope, receive, send)
    took = (time.perf_counter() - began) * 1_000, (time.thread_time() - worked) * 1_000
    assert status == [200], (path, asked, status)
    return took


async def timed(one: Callable[[], Awaitable[tuple[float, float]]], times: int) -> dict[str, Any]:
    """Nearest-rank percentiles of so many, by the clock and by the processor."""
    both = [await one() for _ in range(times)]
    return {"clock_ms": percentiles([a for a, _ in both]), "processor_ms": percentiles([b for _, b in both])}


def percentiles(values: list[float]) -> dict[str, float]:
    """Of so many, by nearest rank."""
    found = sorted(values)
    at = {name: found[min(int(len(found) * p), len(found) - 1)] for name, p in (("p50", 0.5), ("p99", 0.99))}
    return {name: round(value, 1) for name, value in (at | {"most": found[-1]}).items()}


def resident_mib() -> int:
    """The most that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


async def pages(count: int, searches: int) -> dict[str, Any]:
    """The web process with so many labels."""
    fixture = ExplorerFixture()
    await fixture.witness()
    before = resident_mib()
    labels(count, random.Random(count), fixture)
    filled = resident_mib()
    app = create_app(msgspec.structs.replace(surfaces(Scene()), explorer=fixture.explorer))
    draw = random.Random(7)
    worked = time.process_time()
    first, _ = await get(app, "/models.json", {"limit": 20})
    worked = (time.process_time() - worked) * 1_000
    found: dict[str, Any] = {
        "models": count,
        "first": {"clock_ms": round(first, 1), "processor_ms": round(worked, 1)},
    }
    found["held_mib"] = {"labels": filled - before, "catalogue": resident_mib() - filled}
    for name, path in (("json", "/models.json"), ("html", "/models")):
        found[name] = await timed(lambda path=path: get(app, path, query(draw)), searches)
    fixture.database.close()
    return found


async def hub(count: int, searches: int, folder: Path) -> dict[str, Any]:
    """The hub's own search, over rows."""
    database = RawDatabase(f"sqlite:///{folder}/hub.db")
    rows, draw = Rows(database), random.Random(count)
    values = []
    for number in range(count):
        name = f"maker-{draw.randrange(count // 5 + 1)}/{draw.choice(WORDS)}-{number}"
        card = json.dumps({"_": {"tags": ["onnx", draw.choice(TASKS), f"license:{draw.choice(LICENCES)}"]}})
        at = number * 60_000  # one a minute: what changed in the last minute is read again by each search
        values.append((name, name, at, at, "0" * 40, card.replace(" ", "")))
    statement = (
        "INSERT INTO hub_repositories (key, id, created, updated, head, card) VALUES (?, ?, ?, ?, ?, ?)"
    )
    database.write(lambda transaction: transaction.executemany(statement, values))

    async def one() -> tuple[float, float]:
        began, worked = time.perf_counter(), time.process_time()
        tags = [draw.choice(TASKS)] if draw.random() < 0.5 else []
        text = draw.choice((*WORDS, f"maker-{draw.randrange(999)}", "no such thing"))
        await rows.search(text=text, author="", tags=tags, limit=101, offset=0)
        return (time.perf_counter() - began) * 1_000, (time.process_time() - worked) * 1_000

    found = await timed(one, searches)
    database.close()
    return {"models": count, "search": found}


def measured(models: int, searches: int) -> list[dict[str, Any]]:
    """Both, with few models and with many."""
    with tempfile.TemporaryDirectory() as folder:
        small = asyncio.run(pages(100, searches))
        large = asyncio.run(pages(models, searches))
        listed = asyncio.run(hub(models, searches, Path(folder)))
    return [{"of": "pages"} | small, {"of": "pages"} | large, {"of": "hub"} | listed]


def main() -> None:
    """Measure, print, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    found = measured(asked.models, asked.searches)
    for row in found:
        print(json.dumps(row))
    print(f"load average {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    if asked.json:
        asked.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
