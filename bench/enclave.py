"""How long an enclave takes from nothing to serving, and what each part costs. Prints a table and JSON.

    .venv/bin/python bench/enclave.py [--runs 20] [--product [--engines onnx,genai]] [--json FILE]

`warm` is what a node does when it replaces an enclave: the sealed, measured image is in memory. `cold` adds
copying, hashing and attaching the image, as at a host's start with the file in the page cache. `warm_cpu` is
the processor time of the enclave's process alone, `resident_mb` its peak memory. No model is loaded: the
application is the tests' small one, or with `--product` the product's own, in the image with the named
engines ("none": one that only passes on). `sandbox` is the same chain of programs around an interpreter that
does nothing, `imported` around one that imports what an enclave imports: what a warm start is made of.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import mmap
import os
import platform
import select
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from hallmark.core.beacon import evidence_nonce
from hallmark.services.enclave import control
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.node import image, machine, measure
from hallmark.services.node.enclave_start import Running, Starter
from hallmark.services.node.launch import Launcher
from hallmark.testing import enclaves

ECHO = Path(__file__).parents[1] / "tests/integration/probes/echo_app.py"
BEACON = Beacon(1, bytes(32))
NOTHING = "pass"
IMPORTS = """
import gc, sys
gc.disable()
sys.path.append("/app/lib")
import hallmark.services.enclave.boot, hallmark.services.enclave.app
hallmark.services.enclave.boot._server(None, None, {})
import os
os._exit(0)
"""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) * 1000, result


def measured(path: Path, runs: int) -> dict[str, list[float]]:
    """Milliseconds of each step before an enclave is launched."""
    found: dict[str, list[float]] = {"seal_and_hash": [], "hash": [], "attach": [], "registers": []}
    for _ in range(runs):
        spent, sealed = timed(lambda: measure.seal(path))
        found["seal_and_hash"].append(spent)
        with mmap.mmap(sealed.fd, os.fstat(sealed.fd).st_size, prot=mmap.PROT_READ) as view:
            found["hash"].append(timed(lambda view=view: hashlib.sha384(view).digest())[0])
        spent, _ = timed(lambda sealed=sealed: sealed.attach())
        found["attach"].append(spent)
        found["registers"].append(timed(lambda sealed=sealed: sealed.measure(machine.detect()))[0])
        sealed.close()
    return found


def part(launcher: Launcher, program: str) -> float:
    """Milliseconds until the sandbox has run `program` instead of the enclave's and has ended."""
    real = launcher.confinement
    launcher.confinement = msgspec.structs.replace(real, arguments=(*real.arguments[:-1], "-c", program))
    start = time.perf_counter()
    spawned = launcher.launch()
    select.select([spawned.pidfd], [], [])
    spent = (time.perf_counter() - start) * 1000
    complaint = spawned.complaint()
    spawned.reap()
    launcher.confinement = real
    if complaint:
        raise SystemExit(complaint)
    return spent


async def one_start(starter: Starter) -> tuple[Running, float]:
    start = time.perf_counter()
    running = await starter.start(
        enclaves.cargo(), epoch=1, beacon=BEACON, on_message=lambda _: None, on_ended=lambda: None
    )
    return running, (time.perf_counter() - start) * 1000


async def starts(path: Path, runs: int) -> dict[str, list[float]]:
    """Milliseconds from launch to `Ready`, and to the first answered request."""
    names = (
        "cold_ready",
        "sandbox",
        "imported",
        "warm_ready",
        "warm_first_answer",
        "warm_cpu",
        "resident_mb",
    )
    found: dict[str, list[float]] = {name: [] for name in names}
    root = enclaves.root()
    for _ in range(max(3, runs // 4)):
        begin = time.perf_counter()
        launcher = Launcher(measure.seal(path), machine.detect(), enclaves.cache())
        running, _ = await one_start(Starter(launcher, root))
        found["cold_ready"].append((time.perf_counter() - begin) * 1000)
        await running.link.close()
        launcher.close()
    launcher = Launcher(measure.seal(path), machine.detect(), enclaves.cache())
    for _ in range(runs):
        found["sandbox"].append(part(launcher, NOTHING))
        found["imported"].append(part(launcher, IMPORTS))
        begin = time.perf_counter()
        running, ready = await one_start(Starter(launcher, root))
        found["warm_ready"].append(ready)
        await enclaves.ask(running, "/v1/models")
        found["warm_first_answer"].append((time.perf_counter() - begin) * 1000)
        cpu, resident = cost(running)
        found["warm_cpu"].append(cpu)
        found["resident_mb"].append(resident)
        await running.link.close()
    found["attest"] = await attestations(launcher, runs)
    launcher.close()
    return found


def cost(running: Running) -> tuple[float, float]:
    """Processor milliseconds and peak resident megabytes of the enclave's own process so far."""
    outer = running.link._spawned.pid
    inner = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
    tasks = Path(f"/proc/{inner}/task").iterdir()
    spent = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6
    status = Path(f"/proc/{inner}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return spent, peak / 1024


async def attestations(launcher: Launcher, runs: int) -> list[float]:
    """Milliseconds from asking the enclave for evidence to having it: control channel, NSM, signatures."""
    arrived: asyncio.Queue[control.FromEnclave] = asyncio.Queue()
    running = await Starter(launcher, enclaves.root()).start(
        enclaves.cargo(), epoch=1, beacon=BEACON, on_message=arrived.put_nowait, on_ended=lambda: None
    )
    found = []
    for number in range(runs):
        begin = time.perf_counter()
        running.link.send(control.Attest(number, evidence_nonce(number, bytes(32))))
        await arrived.get()
        found.append((time.perf_counter() - begin) * 1000)
    await running.link.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--product", action="store_true")
    parser.add_argument("--engines", default="onnx,genai")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    engines = () if options.engines == "none" else options.engines.split(",")
    product = image.build(enclaves.cache(), engines=engines) if options.product else None
    path = product or enclaves.image_with(ECHO)
    found = measured(path, options.runs) | uvloop.run(starts(path, options.runs))
    load = os.getloadavg()[0]
    size = path.stat().st_size / 1e6
    print(f"image {size:.1f} MB, {options.runs} runs, {os.cpu_count()} cores, load {load:.1f}")
    print(f"{'ms':22}{'min':>8}{'median':>8}{'max':>8}")
    for name, values in found.items():
        print(f"{name:22}{min(values):8.1f}{statistics.median(values):8.1f}{max(values):8.1f}")
    print("budget: warm_ready 150 ms; on a loaded machine read warm_cpu, which waits for nobody")
    if options.json:
        values = {name: {"min": min(v), "median": statistics.median(v)} for name, v in found.items()}
        report = {"image_bytes": path.stat().st_size, "runs": options.runs, "load": load, "ms": values}
        options.json.write_text(json.dumps(report | {"machine": platform.machine()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
