"""Measure the digits artifact on the held-out rows, through onnxruntime, and print figures and JSON.

python models/digits/evaluate.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).resolve().parent


def load(model: Path, *, threads: int) -> ort.InferenceSession:
    """Open the graph with a fixed thread count."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def measure(model: Path, images: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    """Accuracy, mean confidence, confusions, and whether batch and thread settings change any bit."""
    session = load(model, threads=1)
    probabilities, found = session.run(["probabilities", "label"], {"image": images})
    right = found == labels
    alone = np.concatenate([session.run(["probabilities"], {"image": row[None]})[0] for row in images])
    twice = load(model, threads=2).run(["probabilities"], {"image": images})[0]
    confusions = [
        {"digit": int(a), "taken_for": int(b)} for a, b in zip(labels[~right], found[~right], strict=True)
    ]
    return {
        "rows": len(labels),
        "accuracy": round(float(right.mean()), 4),
        "wrong": int((~right).sum()),
        "log_loss": round(float(-np.log(probabilities[np.arange(len(labels)), labels]).mean()), 4),
        "confusions": confusions,
        "lowest_recall": round(min(float(right[labels == digit].mean()) for digit in range(10)), 4),
        "bit_identical_alone_and_in_a_batch": bool((alone == probabilities).all()),
        "bit_identical_with_1_and_2_threads": bool((twice == probabilities).all()),
        "bytes": model.stat().st_size,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    held_out = json.loads((HERE / "held_out.json").read_text(encoding="utf-8"))
    images, labels = np.array(held_out["images"], np.float32), np.array(held_out["labels"], np.int64)
    figures = measure(HERE / "artifact" / "model.onnx", images, labels)
    print(
        f"held-out accuracy {figures['accuracy']:.2%} on {figures['rows']} images, {figures['wrong']} wrong"
    )
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
