"""The committed tensor models load in the product runtime and keep the quality that their cards state."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

MODELS = Path(__file__).resolve().parents[3] / "models"
TENSOR = ("digits", "breast-cancer")
DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def read(name: str, file: str) -> dict:
    """Read one JSON file of a model."""
    return json.loads((MODELS / name / file).read_text(encoding="utf-8"))


def session(name: str) -> ort.InferenceSession:
    """Open a model as an engine does."""
    return ort.InferenceSession(
        str(MODELS / name / "artifact" / "model.onnx"), providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("name", TENSOR)
def test_model_json_says_what_the_graph_says(name: str) -> None:
    """Names, types and shapes in model.json are those of the graph."""
    described, opened = read(name, "artifact/model.json"), session(name)
    assert described["format"] == "onnx"
    assert described["task"] == "classification"
    for side, found in (("inputs", opened.get_inputs()), ("outputs", opened.get_outputs())):
        said = [(value["name"], value["dtype"], value["shape"]) for value in described[side]]
        assert said == [(value.name, DTYPES[value.type], value.shape) for value in found]


@pytest.mark.parametrize(("name", "right"), [("digits", "1"), ("breast-cancer", "benign")])
def test_the_example_is_classified_rightly(name: str, right: str) -> None:
    """The example input gets the label that its row has in the data set."""
    opened = session(name)
    example = {key: np.array(value, np.float32) for key, value in read(name, "example.json").items()}
    (label,) = opened.run(["label"], example)[0]
    assert read(name, "artifact/model.json")["labels"][label] == right
    assert label == read(name, "held_out.json")["labels"][0]


@pytest.mark.parametrize(
    ("name", "key", "least"), [("digits", "images", 0.99), ("breast-cancer", "features", 0.98)]
)
def test_held_out_accuracy(name: str, key: str, least: float) -> None:
    """Accuracy on all held-out rows is at least what the card states, rounded down."""
    opened, held_out = session(name), read(name, "held_out.json")
    given = {opened.get_inputs()[0].name: np.array(held_out[key], np.float32)}
    label = opened.run(["label"], given)[0]
    assert (label == np.array(held_out["labels"])).mean() >= least


def test_digits_probabilities_are_a_distribution() -> None:
    """Probabilities sum to one and their largest is the label, whatever the batch size."""
    opened, images = session("digits"), np.array(read("digits", "held_out.json")["images"], np.float32)
    for size in (1, 3, 64):
        probabilities, label = opened.run(["probabilities", "label"], {"image": images[:size]})
        assert probabilities.shape == (size, 10)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
        assert (probabilities.argmax(axis=1) == label).all()


def test_breast_cancer_label_follows_probability() -> None:
    """The label is 1 exactly where the probability of benign is at least one half."""
    opened = session("breast-cancer")
    rows = np.array(read("breast-cancer", "held_out.json")["features"], np.float32)
    probability, label = opened.run(["probability", "label"], {"features": rows})
    assert probability.shape == (len(rows),)
    assert ((probability >= 0.5) == (label == 1)).all()


def test_all_artifacts_together_stay_small() -> None:
    """The artifacts of all models that ship take less than 15 MB."""
    sizes = [path.stat().st_size for path in MODELS.glob("*/artifact/*")]
    assert len(sizes) >= 4
    assert sum(sizes) < 15_000_000
