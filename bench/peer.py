"""Hallmark beside LiteLLM, both in front of the same fixed upstream of 20-token streams, in one run.

    python bench/peer.py [--loads 1,rate,16,whole,whole16] [--rounds 2] [--json FILE]

LiteLLM (MIT licence, one worker, no database, no callbacks) is installed once into an environment of its own
under the user's cache folder. Loads come in turn: the upstream itself, LiteLLM, this build, and the other way
round in the next round; an answer that is not a whole one ends the run. Time added is the median beyond the
upstream's own. Processor time is that of the whole tree of processes (`proc_tree.py`) until it is quiet
again, the upstream and the client apart; "data path" is gateway, host and enclave. What proves, logs, judges
and shows an answer is in "all" and has no counterpart in LiteLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from builds import FIXED, HERE, Running, fixed_upstream, homes, offer_of, settle, started
from cost import LOADS, QUESTION, answers_of, at_rest, per_answer, under
from load_client import Client, Load
from proc_tree import Tree

VERSION = "1.108.7"
IN_TURN = "1,rate,16,whole,whole16"
DATA_PATH = ("gateway", "host", "enclave")
CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "{url}", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""
ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    # loopback, and ours asks for no key here either
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


def installed() -> Path:
    """The folder of LiteLLM's environment, made when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "hallmark" / "bench" / f"litellm-{VERSION}"
    if not (folder / "ready").exists():
        print(f"installing LiteLLM {VERSION} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, f"litellm[proxy]=={VERSION}"], check=True)
        (folder / "ready").touch()
    return folder


@contextlib.contextmanager
def litellm(folder: Path, port: int, upstream: str, scratch: Path) -> Iterator[Tree]:
    """LiteLLM in front of `upstream`; its tree of processes."""
    config = scratch / "litellm.yaml"
    config.write_text(CONFIG.format(model=FIXED, url=upstream))
    argv = [str(folder / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    argv += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    health = f"http://127.0.0.1:{port}/health/liveliness"
    with started(argv, health, **ENVIRONMENT) as process:
        yield Tree(process.pid, dict, top="litellm")


Places = dict[str, tuple[str, Tree | None]]


def measure(places: Places, loads: list[Load], rounds: int) -> dict[str, dict[str, list[dict]]]:
    """Every load on every place in turn, as often as asked."""
    found: dict[str, dict[str, list[dict]]] = {p: {load.name: [] for load in loads} for p in places}
    for turn in range(rounds):
        for load in loads:
            for name in list(places) if turn % 2 == 0 else list(places)[::-1]:
                url, tree = places[name]
                client = Client(url, FIXED, QUESTION)
                one = under(tree, client, load) if tree else asyncio.run(answers_of(client, load))
                found[name][load.name].append(one)
    return found


def compared(found: dict[str, dict[str, list[dict]]], rest: dict[str, dict]) -> dict[str, dict]:
    """By load: what each added and used, and this build's over LiteLLM's."""
    table = {}
    for load in found["upstream"]:
        direct, peer, this = (
            per_answer(found[name][load], rest.get(name, {"core_share": {}}))
            for name in ("upstream", "litellm", "this")
        )
        used = {
            "all": this["all_ms"],
            "without pages": this["all_ms"] - this["ms"].get("web", 0.0),
            "data path": sum(this["ms"].get(name, 0.0) for name in DATA_PATH),
        }
        added = {
            key: {
                "litellm": peer[key] - direct[key],
                "this": this[key] - direct[key],
                "upstream": direct[key],
            }
            for key in ("first_ms", "total_ms")
        }
        table[load] = {
            "litellm_ms": peer["all_ms"],
            "this_ms": used,
            "services_ms": this["ms"],
            "added": added,
            "ratios": {
                **{name: value / peer["all_ms"] for name, value in used.items()},
                **{key: both["this"] / both["litellm"] for key, both in added.items()},
            },
        }
    return table


def show(table: dict[str, dict], rest: dict[str, dict]) -> None:
    """The table."""
    print("ms an answer; ratios are this build over LiteLLM")
    names = ("all", "without pages", "data path")
    print(f"{'':24}{'added first byte':>26}{'added whole answer':>26}{'processor time':>42}")
    head = "".join(f"{'litellm':>10}{'this':>8}{'ratio':>8}" for _ in range(2))
    print(f"{'load':<24}{head}{'litellm':>10}" + "".join(f"{name:>15}" for name in names))
    for load, row in table.items():
        line = f"{load:<24}"
        for key in ("first_ms", "total_ms"):
            added = row["added"][key]
            line += f"{added['litellm']:>10.2f}{added['this']:>8.2f}{row['ratios'][key]:>8.2f}"
        line += f"{row['litellm_ms']:>10.2f}"
        line += "".join(f"{row['this_ms'][n]:>8.2f} ({row['ratios'][n]:4.2f})" for n in names)
        print(line)
    for name, of in rest.items():
        core, memory = (sum(of[key].values()) for key in ("core_share", "memory_mb"))
        print(f"{name} at rest: {core * 100:.2f} % of a core, {memory:.0f} MB")


def run(asked: argparse.Namespace) -> dict[str, object]:
    """Start all three, measure, compare."""
    loads = [LOADS[name] for name in asked.loads.split(",")]
    if asked.answers:
        loads = [load._replace(answers=asked.answers) for load in loads]
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(fixed_upstream(asked.port))
        build: Running = stack.enter_context(homes({"this": HERE}))[0]
        peer = stack.enter_context(litellm(installed(), asked.port + 1, upstream, build.home.parent))
        build.up(asked.port + 10, *offer_of(upstream))
        places: Places = {
            "upstream": (upstream, None),
            "litellm": (f"http://127.0.0.1:{asked.port + 1}/v1", peer),
            "this": (build.base_url, build.tree()),
        }
        settle(build.tree())
        rest = {"litellm": at_rest(peer, asked.rest), "this": at_rest(build.tree(), asked.rest)}
        table = compared(measure(places, loads, asked.rounds), rest)
    return {"litellm": VERSION, "cores": os.cpu_count(), "rest": rest, "loads": table}


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loads", default=IN_TURN, help=f"of {','.join(LOADS)}; default {IN_TURN}")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--answers", type=int, default=0, help="answers per load and round")
    parser.add_argument("--rest", type=float, default=10.0, help="seconds over which rest is measured")
    parser.add_argument("--port", type=int, default=27_500, help="first of 200 ports below 32768")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = run(asked)
    show(found["loads"], found["rest"])
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
