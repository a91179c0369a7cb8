"""Train the digits model and write its ONNX artifact.

    python models/digits/train.py

A small convolutional network on scikit-learn's bundled 8x8 digits. The split and the seed are fixed; the
held-out rows (`held_out.json`) are committed, so that `models/evaluate.py` measures on exactly the rows that
training never saw.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HERE = Path(__file__).resolve().parent
TEST_SHARE, BATCH = 0.25, 64


class Network(nn.Module):
    """Two convolutions over the 8x8 image and a linear layer; values 0..16 are scaled inside."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.last = nn.Linear(32 * 4 * 4, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map images [N, 64] to logits [N, 10]."""
        grid = (image / 16.0).reshape(-1, 1, 8, 8)
        grid = torch.relu(self.second(torch.relu(self.first(grid))))
        pooled = nn.functional.max_pool2d(grid, 2).flatten(1)
        return self.last(nn.functional.dropout(pooled, 0.3, self.training))


def fit(images: torch.Tensor, labels: torch.Tensor, *, epochs: int) -> Network:
    """Train with Adam, a one-cycle rate, and images shifted by up to one pixel."""
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    steps = -(-len(images) // BATCH) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH):
            grid = nn.functional.pad(images[rows].reshape(-1, 8, 8), (1, 1, 1, 1))
            down, right = (int(v) for v in torch.randint(0, 3, (2,)))
            shifted = grid[:, down : down + 8, right : right + 8].reshape(-1, 64)
            loss = nn.functional.cross_entropy(network(shifted), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def to_onnx(network: Network) -> onnx.ModelProto:
    """Write the network down as an fp32 ONNX graph that gives probabilities and the label."""
    weights = {name.replace(".", "_"): value.detach().numpy() for name, value in network.named_parameters()}
    weights["last_weight"] = np.ascontiguousarray(weights["last_weight"].T)
    constants = {"sixteen": np.float32(16.0), "grid": np.array([-1, 1, 8, 8], np.int64)}
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in (weights | constants).items()]
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Div", ["image", "sixteen"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "grid"], ["grid0"]),
        helper.make_node("Conv", ["grid0", "first_weight", "first_bias"], ["conv1"], **conv),
        helper.make_node("Relu", ["conv1"], ["relu1"]),
        helper.make_node("Conv", ["relu1", "second_weight", "second_bias"], ["conv2"], **conv),
        helper.make_node("Relu", ["conv2"], ["relu2"]),
        helper.make_node("MaxPool", ["relu2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "last_weight", "last_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 64])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        ],
        initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="hallmark"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def describe() -> dict[str, object]:
    """The artifact's model.json."""
    return {
        "format": "onnx",
        "task": "classification",
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["N", 64], "minimum": 0, "maximum": 16}],
        "outputs": [
            {"name": "probabilities", "dtype": "float32", "shape": ["N", 10]},
            {"name": "label", "dtype": "int64", "shape": ["N"]},
        ],
        "labels": [str(digit) for digit in range(10)],
    }


def main() -> None:
    """Train, write artifact/, held-out rows and the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    bunch = load_digits()
    images, labels = bunch.data.astype(np.float32), bunch.target.astype(np.int64)
    train_rows, test_rows = train_test_split(
        np.arange(len(labels)), test_size=TEST_SHARE, random_state=args.seed, stratify=labels
    )
    network = fit(
        torch.from_numpy(images[train_rows]), torch.from_numpy(labels[train_rows]), epochs=args.epochs
    )
    (HERE / "artifact").mkdir(exist_ok=True)
    onnx.save(to_onnx(network), str(HERE / "artifact" / "model.onnx"))
    (HERE / "artifact" / "model.json").write_text(json.dumps(describe(), indent=2) + "\n", encoding="utf-8")
    held_out = {"images": images[test_rows].astype(int).tolist(), "labels": labels[test_rows].tolist()}
    (HERE / "held_out.json").write_text(json.dumps(held_out, separators=(",", ":")) + "\n", encoding="utf-8")
    example = {"image": [held_out["images"][0]]}
    (HERE / "example.json").write_text(json.dumps(example) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
