"""Tokens per second of processor time: the same weights in llama.cpp (GGUF) and in onnxruntime-genai.

    python bench/gguf_engine.py [--rounds 30] [--json]

Both engines are called directly, one thread, float32, the same question, in alternating rounds. `answer`
is a chat of 21 tokens, greedy (onnxruntime-genai picks the token itself there); `drawn` is a text that
we draw from the logits, token by token, in both engines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path

from hallmark.engines import load
from hallmark.engines.protocol import ChatRequest, CompletionRequest, Message, Sampling
from hallmark.engines.stepper import Stepper
from hallmark.hub.artifact import pack_artifact, pack_files
from hallmark.testing.gguf_files import write_pydoc

ROOT = Path(__file__).resolve().parents[1]
WORK = {
    "answer": (ChatRequest((Message("user", "What does os.mkfifo do?"),)), Sampling()),
    "drawn": (CompletionRequest("os"), Sampling(max_tokens=200, temperature=1_500_000)),
}
ABOUT = {"format": "gguf", "task": "chat", "file": "m.gguf"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_pydoc(Path(folder) / "m.gguf")
        weights = (Path(folder) / "m.gguf").read_bytes()
    artifacts = {
        "llama.cpp": pack_files({"model.json": json.dumps(ABOUT).encode(), "m.gguf": weights}),
        "onnxruntime-genai": pack_artifact(ROOT / "models" / "pydoc" / "artifact"),
    }
    engines, rows = {}, []
    for name, data in artifacts.items():
        begun = time.process_time()
        engines[name] = load(data, hashlib.sha256(data).digest(), stepper=Stepper(1))
        rows.append({"work": "load", "engine": name, "cpu_ms": (time.process_time() - begun) * 1000})
    for work, (request, sampling) in WORK.items():
        spent, tokens = dict.fromkeys(engines, 0.0), dict.fromkeys(engines, 0)
        for number in range(args.rounds):
            for name, engine in engines.items():
                begun = time.process_time()
                last = list(engine.steps(request, sampling, number))[-1]
                if number:  # the first round warms up
                    spent[name] += time.process_time() - begun
                    tokens[name] += last.tokens_out
        rows += [
            {
                "work": work,
                "engine": name,
                "tokens": tokens[name],
                "tokens_per_cpu_s": tokens[name] / spent[name],
            }
            for name in engines
        ]
    print(json.dumps(rows) if args.json else "\n".join(table(rows)))


def table(rows: list[dict[str, object]]) -> list[str]:
    lines = [f"{'work':8}{'engine':20}{'tokens':>8}{'tokens/cpu s':>14}{'cpu ms':>10}"]
    for row in rows:
        rate = row.get("tokens_per_cpu_s")
        cells = f"{row.get('tokens', ''):>8}" + (f"{rate:>14.0f}" if rate else " " * 14)
        lines.append(
            f"{row['work']:8}{row['engine']:20}{cells}"
            + (f"{row['cpu_ms']:>10.0f}" if "cpu_ms" in row else "")
        )
    return lines


if __name__ == "__main__":
    main()
