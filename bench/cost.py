"""What an answer costs in processor time, by service, and what a network costs that nobody asks.

    python bench/cost.py                            this build's network, in a home of its own
    python bench/cost.py --against OTHER_CHECKOUT   this build and another one, loads in turn in one run
    python bench/cost.py --home DIR                 a network that runs already
    python bench/cost.py --upstream fixed ...       the networks' own cost, without that of a model

Every process of a network is counted: the supervisor's whole tree, found by parents in /proc, so pages,
anchoring and the development chain are in it (`--processes` lists them). After each load the bench waits
until the network is quiet again, so what an answer causes later (proofs, judging, pages) is in its cost.
`ms` is all that was used; `net` is that less what the same network used at rest in the same time. A checkout
needs an environment of its own (`./hallmark setup`). Both networks run while loads are measured, one of them
at rest; memory and the cost of rest are measured of each while the other does not run.

The question goes to the language model that ships, whose own work, the same in every build, is in the
enclave's row. With `--upstream fixed` it goes to the model of a fixed upstream (`fixed_upstream.py`, 20
tokens), which is no part of any network and not counted: what is left is what was built.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import time
from pathlib import Path

from builds import FIXED, HERE, Running, fixed_upstream, homes, offer_of, settle
from load_client import Client, Load, Timing, run_load
from proc_tree import Tree, by_kind

MODEL = "pydoc"
QUESTION = "What does os.mkfifo do?"
LOADS = {
    "paced": Load("paced", 100, pause_s=0.05),
    "1": Load("1 stream", 80),
    "8": Load("8 streams", 160, 8),
    "16": Load("16 streams", 192, 16),
    "32": Load("32 streams", 256, 32),
    "rate": Load("10/s streamed", 80, rate=10),
    "whole": Load("whole, one at a time", 80, stream=False),
    "whole16": Load("whole, 16 at once", 192, 16, stream=False),
}
IN_TURN = "1,8,16,32,rate,whole,whole16"


def at_rest(tree: Tree, seconds: float) -> dict[str, object]:
    """What a network uses while nobody asks, by service: share of a core, wakes a second, memory."""
    settle(tree, at_least_s=5)
    before, began = tree.count(), time.monotonic()
    time.sleep(seconds)
    used, took = tree.count().since(before), time.monotonic() - began
    return {
        "seconds": round(took, 1),
        "core_share": by_kind({n: v / 1000 / took for n, v in used.spent_ms.items()}),
        "wakes_per_s": by_kind({n: v / took for n, v in used.wakes.items()}),
        "memory_mb": by_kind(tree.memory_mb()),
    }


def under(tree: Tree, client: Client, load: Load) -> dict[str, object]:
    """One load on one network: what each service used until it was quiet again, and the answers' times."""
    asyncio.run(_warm(client, load))
    settle(tree)
    before, began = tree.count(), time.monotonic()
    answers = asyncio.run(answers_of(client, load))
    settle(tree)
    used, took = tree.count().since(before), time.monotonic() - began
    return {**answers, "seconds": took, "ms": by_kind(used.spent_ms), "wakes": by_kind(used.wakes)}


async def answers_of(client: Client, load: Load) -> dict[str, object]:
    """One load on anything that answers: how many answers, and the medians of their times."""
    timings = await _asked(client, load)
    first, total = (statistics.median(times) * 1000 for times in zip(*timings, strict=True))
    nothing: dict[str, float] = {}
    return {
        "answers": load.answers,
        "seconds": 0.0,
        "ms": nothing,
        "wakes": nothing,
        "first_ms": first,
        "total_ms": total,
    }


async def _warm(client: Client, load: Load) -> None:
    await _asked(client, load._replace(answers=min(4, load.streams), rate=0.0, pause_s=0.0))


async def _asked(client: Client, load: Load) -> list[Timing]:
    try:
        return await run_load(client.ask, load)
    finally:
        client.close()


def per_answer(rounds: list[dict], rest: dict) -> dict[str, object]:
    """The rounds of one load together, per answer, with and without what rest costs."""
    answers = sum(r["answers"] for r in rounds)
    seconds = sum(r["seconds"] for r in rounds)
    names = sorted({name for r in rounds for name in r["ms"]})
    ms = {n: sum(r["ms"].get(n, 0.0) for r in rounds) / answers for n in names}
    idle = {n: rest["core_share"].get(n, 0.0) * 1000 * seconds / answers for n in names}
    totals = sorted(sum(r["ms"].values()) / r["answers"] for r in rounds)
    return {
        "answers": answers,
        "ms": ms,
        "net": {n: ms[n] - idle[n] for n in names},
        "all_ms": sum(ms.values()),
        "all_net": sum(ms.values()) - sum(idle.values()),
        "spread_ms": [totals[0], totals[-1]],
        "wakes": sum(sum(r["wakes"].values()) for r in rounds) / answers,
        "first_ms": statistics.median(r["first_ms"] for r in rounds),
        "total_ms": statistics.median(r["total_ms"] for r in rounds),
    }


def measure(builds: list[Running], asked: argparse.Namespace, rest: dict[str, dict]) -> dict[str, dict]:
    """Every load on every network in turn (A, B, A, B ...), as often as asked."""
    loads = [LOADS[name] for name in asked.loads.split(",")]
    if asked.answers:
        loads = [load._replace(answers=asked.answers) for load in loads]
    found: dict[str, dict[str, list]] = {b.name: {load.name: [] for load in loads} for b in builds}
    for turn in range(asked.rounds):
        for load in loads:
            for build in builds if turn % 2 == 0 else builds[::-1]:
                client = Client(build.base_url, asked.upstream or MODEL, QUESTION)
                found[build.name][load.name].append(under(build.tree(), client, load))
    return {b: {n: per_answer(r, rest[b]) for n, r in by.items()} for b, by in found.items()}


def compare(asked: argparse.Namespace) -> dict[str, object]:
    """Start what is to be measured, and measure it."""
    if asked.home:
        builds, rest = [Running("this", HERE, Path(asked.home).expanduser().absolute())], {}
        rest["this"] = at_rest(builds[0].tree(), asked.rest)
        return report(builds, asked, rest)
    names = {"old": Path(asked.against)} if asked.against else {}
    with contextlib.ExitStack() as stack:
        builds = stack.enter_context(homes({**names, "new" if names else "this": HERE}))
        offer = offer_of(stack.enter_context(fixed_upstream(asked.port + 299))) if asked.upstream else ()
        rest = {}
        for number, build in enumerate(builds):
            build.up(asked.port + 200 * number, *offer)
            rest[build.name] = at_rest(build.tree(), asked.rest)
            if build is not builds[-1]:
                build.down()
        for build in builds[:-1]:
            build.up(asked.port, *offer)
        return report(builds, asked, rest)


def report(builds: list[Running], asked: argparse.Namespace, rest: dict[str, dict]) -> dict[str, object]:
    """Measure networks that run, and compare the last one with the first."""
    listed = {build.name: build.tree().listing() for build in builds}
    loads = measure(builds, asked, rest)
    found: dict[str, object] = {
        "python": {build.name: build.python() for build in builds},
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "model": asked.upstream or MODEL,
        "rest": rest,
        "loads": loads,
        "processes": listed,
    }
    if len(builds) == 2:
        old, new = loads["old"], loads["new"]
        found["ratios"] = {n: ratios(old[n], new[n]) for n in old}
    return found


def ratios(old: dict, new: dict) -> dict[str, object]:
    """New over old, for each service that both have and for all."""
    both = [n for n in old["ms"] if n in new["ms"] and old["ms"][n] > 0.05]
    return {
        "ms": {n: new["ms"][n] / old["ms"][n] for n in both},
        "all_ms": new["all_ms"] / old["all_ms"],
        "all_net": new["all_net"] / old["all_net"],
    }


def show(found: dict) -> None:
    """The tables."""
    for build, python in found["python"].items():
        print(f"{build} runs in Python {python}")
    for build, rest in found["rest"].items():
        core, wakes, memory = (rest[key] for key in ("core_share", "wakes_per_s", "memory_mb"))
        print(f"{build} at rest, {rest['seconds']} s{'':12}core %   wakes/s   PSS MB")
        for name in sorted(memory, key=lambda n: -memory[n]):
            print(f"  {name:<28}{core.get(name, 0) * 100:9.2f}{wakes.get(name, 0):10.1f}{memory[name]:9.1f}")
        sums = [sum(column.values()) for column in (core, wakes, memory)]
        print(f"  {'all':<28}{sums[0] * 100:9.2f}{sums[1]:10.1f}{sums[2]:9.1f}\n")
    for load in next(iter(found["loads"].values())):
        rows = {build: loads[load] for build, loads in found["loads"].items()}
        last = rows[list(rows)[-1]]
        print(
            f"{load}, ms an answer{'':12}"
            + "".join(f"{build:>9}" for build in rows)
            + "     new/old" * (len(rows) > 1)
        )
        for name in sorted(last["ms"], key=lambda n: -max(r["ms"].get(n, 0) for r in rows.values())):
            _row(name, [r["ms"].get(name, 0.0) for r in rows.values()])
        _row("all", [r["all_ms"] for r in rows.values()])
        _row("all, less rest", [r["all_net"] for r in rows.values()])
        _row("first byte", [r["first_ms"] for r in rows.values()])
        _row("whole answer", [r["total_ms"] for r in rows.values()])
        _row("wakes", [r["wakes"] for r in rows.values()])
        print()


def _row(name: str, values: list[float]) -> None:
    ratio = f"{values[-1] / values[0]:12.2f}" if len(values) > 1 and values[0] > 0.05 else ""
    print(f"  {name:<28}" + "".join(f"{value:9.2f}" for value in values) + ratio)


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--home", help="a home whose network runs")
    where.add_argument("--against", metavar="CHECKOUT", help="another build to measure in turn with this one")
    parser.add_argument(
        "--loads", default="", help=f"of {','.join(LOADS)}; default {IN_TURN}, with --home: paced"
    )
    parser.add_argument("--upstream", choices=[FIXED], help="ask a fixed upstream, not the model that ships")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--answers", type=int, default=0, help="answers per load and round")
    parser.add_argument("--rest", type=float, default=20.0, help="seconds over which rest is measured")
    parser.add_argument("--port", type=int, default=27_000, help="first of 300 ports below 32768")
    parser.add_argument("--processes", action="store_true", help="list every process that is counted")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.home and asked.upstream:
        parser.error("--upstream is for networks that this bench starts itself.")
    asked.loads = asked.loads or ("paced" if asked.home else IN_TURN)
    found = compare(asked)
    show(found)
    for build, listed in found["processes"].items() if asked.processes else ():
        for line in listed:
            name, pid, memory, command = (line[key] for key in ("service", "pid", "pss_mb", "command"))
            print(f"{build:<5}{name:<14}{pid:>8}{memory:>8} MB  {command[:90]}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
