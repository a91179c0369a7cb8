"""Bench: the integer-exact engine beside onnxruntime-genai on pydoc, what its trace costs, and replaying.

    python bench/replay.py [--json FILE] [--rounds 3]

One thread each (OPENBLAS_NUM_THREADS=1 is set here before numpy is imported). Processor seconds of this
process; the rounds take turns, and the median of the rounds is printed. The float engine makes one sequence
at a time; the integer engine is measured alone and with 8 and 24 sequences in one step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "models"))

import exact  # noqa: E402

from hallmark.core.hashing import sha256  # noqa: E402
from hallmark.engines import load  # noqa: E402
from hallmark.engines.genai import GenAIEngine  # noqa: E402
from hallmark.engines.integer.language import ExactLanguageEngine  # noqa: E402
from hallmark.engines.integer.replay import Told, compare, rerun  # noqa: E402
from hallmark.engines.integer.trace import Tracer  # noqa: E402
from hallmark.engines.protocol import ChatRequest, CompletionRequest, Delta, Message, Sampling, Trace  # noqa: E402
from hallmark.hub.artifact import pack_artifact, pack_files  # noqa: E402

ANSWERS, LENGTH = 24, 100
LONG = Sampling(max_tokens=LENGTH, temperature=700_000)
Steps = Iterator[Delta]


class NoTrace(Tracer):
    """A tracer that keeps nothing: what is left of generation without it."""

    def add(self, *_: object) -> None:
        """Nothing."""

    def trace(self) -> Trace:
        """Of nothing."""
        return Trace((), 0)


def questions() -> list[ChatRequest]:
    """Questions that pydoc knows."""
    facts = json.loads((ROOT / "models" / "pydoc" / "facts.json").read_text())["facts"]
    return [
        ChatRequest((Message("user", f"What does {f['name']} do?"),)) for f in facts[:: len(facts) // ANSWERS]
    ]


def spent(work: Callable[[], int]) -> float:
    """Processor seconds for each of what `work` counts."""
    before = time.process_time()
    count = work()
    return (time.process_time() - before) / count


def answered(steps: Callable[[ChatRequest], Steps]) -> int:
    """Tokens of the answers to all questions, one after the other."""
    return sum([list(steps(request))[-1].tokens_out for request in questions()])


def together(engine: ExactLanguageEngine, count: int) -> int:
    """Tokens of `count` answers at a time: their turns come round, as in the stepper."""
    total, waiting = 0, questions() * (1 + count // ANSWERS)
    for at in range(0, len(waiting) - count + 1, count):
        running = [engine.steps(one, Sampling(max_tokens=160), 1) for one in waiting[at : at + count]]
        while running:
            for one in list(running):
                delta = next(one, None)
                if delta is None:
                    running.remove(one)
                else:
                    total += 1
    return total


def untraced(engine: ExactLanguageEngine, request: ChatRequest) -> Steps:
    """An answer without a trace."""
    prompt, tracer = engine.tokenizer.encode(request), NoTrace(engine.model.shape.layers)
    tokens = engine.tokens(prompt, 160, Sampling(), 1, tracer=tracer)
    return engine.told(tokens, len(prompt), 160, (), tracer)


def verified(engine: ExactLanguageEngine) -> tuple[float, float]:
    """Processor seconds for generating answers of `LENGTH` tokens, and for running them again."""
    generating = replaying = 0.0
    for seed in range(6):
        prompt = engine.tokenizer.encode(CompletionRequest("os.path"))
        before = time.process_time()
        deltas = list(engine.steps(CompletionRequest("os.path"), LONG, seed))
        generating += time.process_time() - before
        last = deltas[-1]
        assert last.trace is not None
        text = "".join(delta.text for delta in deltas)
        given = Told(text, last.finish, last.tokens_in, last.tokens_out, last.trace)
        before = time.process_time()
        again = rerun(engine, prompt, LONG, seed, given)
        replaying += time.process_time() - before
        assert compare(again, given) is None
    return generating, replaying


def main() -> None:
    """Measure in turns, print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    integer_data = pack_files(exact.convert("pydoc"))
    float_data = pack_artifact(ROOT / "models" / "pydoc" / "artifact")
    integer, floating = load(integer_data, sha256(integer_data)), load(float_data, sha256(float_data))
    assert isinstance(integer, ExactLanguageEngine)
    assert isinstance(floating, GenAIEngine)
    greedy = Sampling(max_tokens=160)
    works: dict[str, Callable[[], int]] = {
        "onnxruntime-genai, alone": lambda: answered(lambda r: floating.steps(r, greedy, 1)),
        "integer-exact, alone": lambda: answered(lambda r: integer.steps(r, greedy, 1)),
        "integer-exact, alone, no trace": lambda: answered(lambda r: untraced(integer, r)),
        "integer-exact, 8 in a step": lambda: together(integer, 8),
        "integer-exact, 24 in a step": lambda: together(integer, 24),
    }
    rounds: dict[str, list[float]] = {name: [] for name in works}
    ratios = []
    for _ in range(args.rounds):
        for name, work in works.items():
            rounds[name].append(1 / spent(work))
        generating, replaying = verified(integer)
        ratios.append(replaying / generating)
    speed = {name: statistics.median(found) for name, found in rounds.items()}
    peer = speed["onnxruntime-genai, alone"]
    overheads = [
        plain / traced - 1
        for plain, traced in zip(
            rounds["integer-exact, alone, no trace"], rounds["integer-exact, alone"], strict=True
        )
    ]
    print(f"{'':32} tokens/processor s   of the float engine")
    for name, value in speed.items():
        print(f"{name:32} {value:12.0f} {value / peer:18.2f}")
    figures = {
        "tokens_per_processor_second": {name: round(value) for name, value in speed.items()},
        "of_the_float_engine": {name: round(value / peer, 3) for name, value in speed.items()},
        "trace_overhead": round(statistics.median(overheads), 4),
        "replaying_to_generating": round(statistics.median(ratios), 3),
    }
    print(f"trace {figures['trace_overhead']:.1%} of generation; replaying answers of {LENGTH} tokens costs "
          f"{figures['replaying_to_generating']:.2f} of generating them")  # fmt: skip
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
