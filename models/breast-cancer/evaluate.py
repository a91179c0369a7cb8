"""Measure the breast-cancer artifact on the held-out rows, through onnxruntime, and print figures and JSON.

python models/breast-cancer/evaluate.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).resolve().parent
MALIGNANT, BENIGN = 0, 1


def load(model: Path, *, threads: int) -> ort.InferenceSession:
    """Open the graph with a fixed thread count."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a benign row scores above a malignant one; ties count half."""
    benign, malignant = scores[labels == BENIGN][:, None], scores[labels == MALIGNANT][None, :]
    return float((benign > malignant).mean() + 0.5 * (benign == malignant).mean())


def measure(model: Path, features: np.ndarray, labels: np.ndarray) -> dict[str, object]:
    """Accuracy, sensitivity, specificity, AUC, log loss, and whether settings change any bit."""
    session = load(model, threads=1)
    probability, found = session.run(["probability", "label"], {"features": features})
    alone = np.concatenate([session.run(["probability"], {"features": row[None]})[0] for row in features])
    twice = load(model, threads=2).run(["probability"], {"features": features})[0]
    of_truth = np.where(labels == BENIGN, probability, 1 - probability)
    return {
        "rows": len(labels),
        "accuracy": round(float((found == labels).mean()), 4),
        "wrong": int((found != labels).sum()),
        "sensitivity_malignant": round(float((found == MALIGNANT)[labels == MALIGNANT].mean()), 4),
        "specificity_benign": round(float((found == BENIGN)[labels == BENIGN].mean()), 4),
        "area_under_curve": round(area_under_curve(probability, labels), 4),
        "log_loss": round(float(-np.log(np.clip(of_truth, 1e-12, 1)).mean()), 4),
        "bit_identical_alone_and_in_a_batch": bool((alone == probability).all()),
        "bit_identical_with_1_and_2_threads": bool((twice == probability).all()),
        "bytes": model.stat().st_size,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    held_out = json.loads((HERE / "held_out.json").read_text(encoding="utf-8"))
    features, labels = np.array(held_out["features"], np.float32), np.array(held_out["labels"], np.int64)
    figures = measure(HERE / "artifact" / "model.onnx", features, labels)
    print(f"held-out accuracy {figures['accuracy']:.2%} on {figures['rows']} rows, {figures['wrong']} wrong")
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
