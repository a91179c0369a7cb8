"""Measure a tensor artifact on its held-out rows, through onnxruntime, and print figures and JSON.

python models/evaluate.py digits|breast-cancer [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).resolve().parent
MALIGNANT, BENIGN = 0, 1
Figures = dict[str, object]


class Model(NamedTuple):
    """Names of a graph's input and of its probability output, and the figures that only this kind has.

    `figures(probabilities, found, labels)` gets what the graph says of all rows and the truth.
    """

    rows: str
    probability: str
    figures: Callable[[np.ndarray, np.ndarray, np.ndarray], Figures]


def load(model: Path, *, threads: int) -> ort.InferenceSession:
    """Open the graph with a fixed thread count."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def measure(path: Path, model: Model, rows: np.ndarray, labels: np.ndarray) -> Figures:
    """Accuracy, the model's own figures, and whether batch and thread settings change any bit."""
    session = load(path, threads=1)
    probabilities, found = session.run([model.probability, "label"], {model.rows: rows})
    alone = np.concatenate([session.run([model.probability], {model.rows: row[None]})[0] for row in rows])
    twice = load(path, threads=2).run([model.probability], {model.rows: rows})[0]
    return {
        "rows": len(labels),
        "accuracy": round(float((found == labels).mean()), 4),
        "wrong": int((found != labels).sum()),
        **model.figures(probabilities, found, labels),
        "bit_identical_alone_and_in_a_batch": bool((alone == probabilities).all()),
        "bit_identical_with_1_and_2_threads": bool((twice == probabilities).all()),
        "bytes": path.stat().st_size,
    }


def digits(probabilities: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Figures:
    """Mean confidence, confusions, the worst digit."""
    right = found == labels
    pairs = zip(labels[~right], found[~right], strict=True)
    return {
        "log_loss": round(float(-np.log(probabilities[np.arange(len(labels)), labels]).mean()), 4),
        "confusions": [{"digit": int(a), "taken_for": int(b)} for a, b in pairs],
        "lowest_recall": round(min(float(right[labels == digit].mean()) for digit in range(10)), 4),
    }


def breast_cancer(probability: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Figures:
    """Sensitivity, specificity, AUC, log loss."""
    of_truth = np.where(labels == BENIGN, probability, 1 - probability)
    return {
        "sensitivity_malignant": round(float((found == MALIGNANT)[labels == MALIGNANT].mean()), 4),
        "specificity_benign": round(float((found == BENIGN)[labels == BENIGN].mean()), 4),
        "area_under_curve": round(area_under_curve(probability, labels), 4),
        "log_loss": round(float(-np.log(np.clip(of_truth, 1e-12, 1)).mean()), 4),
    }


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a benign row scores above a malignant one; ties count half."""
    benign, malignant = scores[labels == BENIGN][:, None], scores[labels == MALIGNANT][None, :]
    return float((benign > malignant).mean() + 0.5 * (benign == malignant).mean())


MODELS = {
    "digits": ("images", Model("image", "probabilities", digits)),
    "breast-cancer": ("features", Model("features", "probability", breast_cancer)),
}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    column, model = MODELS[args.model]
    held_out = json.loads((HERE / args.model / "held_out.json").read_text(encoding="utf-8"))
    rows, labels = np.array(held_out[column], np.float32), np.array(held_out["labels"], np.int64)
    figures = measure(HERE / args.model / "artifact" / "model.onnx", model, rows, labels)
    print(f"held-out accuracy {figures['accuracy']:.2%} on {figures['rows']} rows, {figures['wrong']} wrong")
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
