"""Train the breast-cancer model and write its ONNX artifact.

    python models/breast-cancer/train.py

Logistic regression on scikit-learn's bundled Wisconsin diagnostic data; the standardisation is part of the
graph. The regularisation is chosen by cross-validation on the training rows alone. The split and the seed
are fixed; the held-out rows are committed, so that `models/evaluate.py` measures on exactly the rows that
training never saw.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
TEST_SHARE = 0.25
STRENGTHS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]


def to_onnx(mean: np.ndarray, scale: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """Write standardise, weigh, squash, compare down as an fp32 ONNX graph."""
    constants = {
        "mean": mean.astype(np.float32),
        "scale": scale.astype(np.float32),
        "weight": weight.reshape(30, 1).astype(np.float32),
        "bias": bias.reshape(1).astype(np.float32),
        "half": np.float32(0.5),
        "last_axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["standardised"]),
        helper.make_node("Gemm", ["standardised", "weight", "bias"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["column"]),
        helper.make_node("Squeeze", ["column", "last_axis"], ["probability"]),
        helper.make_node("GreaterOrEqual", ["probability", "half"], ["benign"]),
        helper.make_node("Cast", ["benign"], ["label"], to=TensorProto.INT64),
    ]
    graph = helper.make_graph(
        nodes,
        "breast-cancer",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 30])],
        [
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="hallmark"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def describe(feature_names: list[str]) -> dict[str, object]:
    """The artifact's model.json."""
    return {
        "format": "onnx",
        "task": "classification",
        "inputs": [{"name": "features", "dtype": "float32", "shape": ["N", 30], "columns": feature_names}],
        "outputs": [
            {"name": "probability", "dtype": "float32", "shape": ["N"], "of": "benign"},
            {"name": "label", "dtype": "int64", "shape": ["N"]},
        ],
        "labels": ["malignant", "benign"],
    }


def main() -> None:
    """Train, write artifact/, held-out rows and the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    bunch = load_breast_cancer()
    rows = np.arange(len(bunch.target))
    train_rows, test_rows = train_test_split(
        rows, test_size=TEST_SHARE, random_state=args.seed, stratify=bunch.target
    )
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"logisticregression__C": STRENGTHS},
        cv=StratifiedKFold(5, shuffle=True, random_state=args.seed),
        scoring="neg_log_loss",
    )
    search.fit(bunch.data[train_rows], bunch.target[train_rows])
    scaler, regression = search.best_estimator_[0], search.best_estimator_[1]
    print("chosen:", search.best_params_, "cross-validated log loss:", round(-search.best_score_, 4))
    (HERE / "artifact").mkdir(exist_ok=True)
    model = to_onnx(scaler.mean_, scaler.scale_, regression.coef_, regression.intercept_)
    onnx.save(model, str(HERE / "artifact" / "model.onnx"))
    described = json.dumps(describe([str(name) for name in bunch.feature_names]), indent=2)
    (HERE / "artifact" / "model.json").write_text(described + "\n", encoding="utf-8")
    held_out = {"features": bunch.data[test_rows].tolist(), "labels": bunch.target[test_rows].tolist()}
    (HERE / "held_out.json").write_text(json.dumps(held_out, separators=(",", ":")) + "\n", encoding="utf-8")
    example = {"features": [held_out["features"][0]]}
    (HERE / "example.json").write_text(json.dumps(example) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
