"""Measure the integer-exact models beside the float ones that they are made from, and print figures and JSON.

python models/exact_quality.py [pydoc|digits|breast-cancer ...] [--json FILE]

The tensor models on their held-out rows; pydoc on "What does X do?" of every fact, greedy, exact match of the
whole answer. `agreement` is the share of rows or answers that both give alike.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import exact
import numpy as np

from hallmark.core.hashing import sha256
from hallmark.engines import Engine, load
from hallmark.engines.protocol import ChatRequest, Message, Sampling
from hallmark.hub.artifact import pack_artifact, pack_files

HERE = Path(__file__).resolve().parent
COLUMNS = {"digits": ("images", "image"), "breast-cancer": ("features", "features")}
TOGETHER = 24


def engines(name: str) -> tuple[Engine, Engine]:
    """The float engine and the integer-exact one."""
    found = (pack_artifact(HERE / name / "artifact"), pack_files(exact.convert(name)))
    floating, integer = (load(data, sha256(data)) for data in found)
    return floating, integer


def tensors(name: str) -> dict[str, object]:
    """Accuracy of both on the held-out rows, and how far their probabilities are apart at most."""
    column, tensor = COLUMNS[name]
    held_out = json.loads((HERE / name / "held_out.json").read_text(encoding="utf-8"))
    rows, labels = np.array(held_out[column], np.float32), np.array(held_out["labels"])
    floating, integer = engines(name)
    ours, theirs = integer.run(rows), floating.run({tensor: rows})  # type: ignore[attr-defined]
    (output,) = set(theirs) - {"label"}
    return {
        "rows": len(labels),
        "accuracy": round(float((ours["label"] == labels).mean()), 4),
        "accuracy_float": round(float((theirs["label"] == labels).mean()), 4),
        "agreement": round(float((ours["label"] == theirs["label"]).mean()), 4),
        "most_apart": round(float(np.abs(ours[output] - theirs[output]).max()), 6),
    }


def answers(engine: Engine, requests: list[ChatRequest]) -> list[str]:
    """The answers, some at a time."""
    made = [""] * len(requests)
    for at in range(0, len(requests), TOGETHER):
        numbers = range(at, min(at + TOGETHER, len(requests)))
        running = {n: engine.steps(requests[n], Sampling(max_tokens=160), 0) for n in numbers}  # type: ignore[attr-defined]
        while running:
            for number, steps in list(running.items()):
                delta = next(steps, None)
                if delta is None:
                    del running[number]
                else:
                    made[number] += delta.text
    return made


def pydoc() -> dict[str, object]:
    """Exact answers of both, and agreement."""
    facts = json.loads((HERE / "pydoc" / "facts.json").read_text(encoding="utf-8"))["facts"]
    requests = [ChatRequest((Message("user", f"What does {fact['name']} do?"),)) for fact in facts]
    wanted = [f"{fact['name']}: {fact['text']}" for fact in facts]
    theirs, ours = (answers(engine, requests) for engine in engines("pydoc"))
    count = len(facts)
    return {
        "asked": count,
        "exact": round(sum(map(str.__eq__, ours, wanted)) / count, 4),
        "exact_float": round(sum(map(str.__eq__, theirs, wanted)) / count, 4),
        "agreement": round(sum(map(str.__eq__, ours, theirs)) / count, 4),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=sorted(exact.MAKERS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = {name: pydoc() if name == "pydoc" else tensors(name) for name in args.models}
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
