"""What the circuits of small models keep of the float models' accuracy; writes their sources on request.

    python bench/zkml.py [--json FILE] [--write FOLDER]

Floats run in onnxruntime, integers in `hallmark.zkml`, over the same held-out rows in the same run.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from hallmark.zkml.circom import generate
from hallmark.zkml.integers import IntegerModel, commit_inputs, commit_outputs, evaluate, quantise
from hallmark.zkml.recipes import RECIPES, integer_model

MODELS = Path(__file__).resolve().parents[1] / "models"
SALTS = (5, 6)  # fixed, so that anyone gets the same commitments; a real salt is 31 random bytes


def measure(label: str, model: IntegerModel) -> dict[str, object]:
    data = json.loads((MODELS / label / "held_out.json").read_text())
    rows, labels = data.get("images") or data["features"], np.array(data["labels"])
    session = ort.InferenceSession(str(MODELS / label / "artifact" / "model.onnx"))
    probability, floats = session.run(None, {session.get_inputs()[0].name: np.array(rows, np.float32)})
    started = time.process_time()
    outputs = np.array([evaluate(model, quantise(model, row)) for row in rows], np.float64)
    seconds = time.process_time() - started
    logits = outputs / 2.0**model.scale
    if logits.shape[1] == 1:
        found, ours = (logits[:, 0] >= 0).astype(int), 1 / (1 + np.exp(-logits[:, 0]))
    else:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found, ours = logits.argmax(axis=1), powers / powers.sum(axis=1, keepdims=True)
    return {
        "rows": len(labels),
        "right_integers": int((found == labels).sum()),
        "right_floats": int((floats == labels).sum()),
        "same_label": int((found == floats).sum()),
        "largest_probability_difference": round(float(np.abs(ours - probability).max()), 6),
        "microseconds_a_row": round(seconds / len(rows) * 1e6),
    }


def write(folder: Path, label: str, model: IntegerModel) -> None:
    data = json.loads((MODELS / label / "held_out.json").read_text())
    inputs = quantise(model, (data.get("images") or data["features"])[0])
    offsets = [str(q - column.low) for column, q in zip(model.columns, inputs, strict=True)]
    (folder / f"{label}.circom").write_text(generate(model))
    signals = {"u": offsets, "salt_in": str(SALTS[0]), "salt_out": str(SALTS[1])}
    (folder / f"{label}.input.json").write_text(json.dumps(signals))
    print(f"{label}: c_in {commit_inputs(model, inputs, SALTS[0])}")
    print(f"{label}: c_out {commit_outputs(model, evaluate(model, inputs), SALTS[1])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    figures = {}
    for label in RECIPES:
        model = integer_model(label, (MODELS / label / "artifact" / "model.onnx").read_bytes())
        figures[label] = measure(label, model)
        if args.write:
            args.write.mkdir(parents=True, exist_ok=True)
            write(args.write, label, model)
    for name in next(iter(figures.values())):
        print(f"{name:32}", *(f"{figures[label][name]!s:>14}" for label in figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
