"""Circuits of small models: reading ONNX, rounding, the numbers of the circuit's own witness, refusals."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.hashing import sha256
from hallmark.testing.protobuf import message, number
from hallmark.zkml import poseidon
from hallmark.zkml.circom import generate
from hallmark.zkml.graph import Attribute, Graph, Node, read
from hallmark.zkml.integers import (
    IntegerModel,
    commit_inputs,
    commit_outputs,
    evaluate,
    pack,
    quantise,
)
from hallmark.zkml.quantising import columns_between, read_stages
from hallmark.zkml.recipes import RECIPES, integer_model

ROOT = Path(__file__).parents[3]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "zkml.json").read_text())
LABELS = sorted(RECIPES)
MODELS: dict[str, IntegerModel] = {}


def _bytes(label: str) -> bytes:
    return (ROOT / "models" / label / "artifact" / "model.onnx").read_bytes()


def _model(label: str) -> IntegerModel:
    if label not in MODELS:
        MODELS[label] = integer_model(label, _bytes(label))
    return MODELS[label]


def _held_out(label: str) -> tuple[list[list[float]], list[int]]:
    data = json.loads((ROOT / "models" / label / "held_out.json").read_text())
    return data["images" if label == "digits" else "features"], data["labels"]


def _label(outputs: tuple[int, ...]) -> int:
    return int(np.argmax(outputs)) if len(outputs) > 1 else int(outputs[0] >= 0)


@pytest.mark.parametrize("case", VECTORS["poseidon"])
def test_poseidon_vectors(case: dict[str, str]) -> None:
    """Our Poseidon, made from the paper's generator, gives what circomlibjs gives."""
    assert poseidon.hash2(int(case["first"]), int(case["second"])) == int(case["hash"])


@pytest.mark.parametrize("label", LABELS)
def test_the_circuit_s_own_witness_holds_the_same_commitments(label: str) -> None:
    """The two public signals are those that the compiled circuit calculated for the same source."""
    vector, model = VECTORS["witnesses"][label], _model(label)
    assert sha256(generate(model).encode()).hex() == vector["circuit"]
    inputs = quantise(model, _held_out(label)[0][0])
    outputs = evaluate(model, inputs)
    assert list(outputs) == vector["outputs"]
    assert commit_inputs(model, inputs, 5) == int(vector["c_in"])
    assert commit_outputs(model, outputs, 6) == int(vector["c_out"])


@pytest.mark.parametrize(("label", "right"), [("digits", 448), ("breast-cancer", 141)])
def test_accuracy_is_that_of_the_float_model(label: str, right: int) -> None:
    """On the held-out rows the integers are right as often as the floats, as the documentation says."""
    rows, labels = _held_out(label)
    model = _model(label)
    found = [_label(evaluate(model, quantise(model, row))) for row in rows]
    assert sum(a == b for a, b in zip(found, labels, strict=True)) == right


@pytest.mark.parametrize("label", LABELS)
def test_every_held_out_row_is_in_the_domain(label: str) -> None:
    """The domain, which no held-out row took part in, refuses none of them."""
    for row in _held_out(label)[0]:
        quantise(_model(label), row)


@pytest.mark.parametrize("value", [-1.0, 17.0, 1e300, float("nan"), float("inf"), float("-inf")])
def test_outside_the_domain_is_refused(value: float) -> None:
    """A pixel that is none is refused before anything runs, infinities and NaN with it."""
    row = list(_held_out("digits")[0][0])
    row[7] = value
    with pytest.raises(InvalidInput) as refused:
        quantise(_model("digits"), row)
    assert refused.value.reason == "zk_outside_domain"
    with pytest.raises(InvalidInput) as refused:
        quantise(_model("digits"), row[:-1])
    assert refused.value.reason == "zk_wrong_shape"


@pytest.mark.parametrize("label", LABELS)
def test_no_input_of_the_box_leaves_the_bounds(label: str) -> None:
    """At corners of the input's box the outputs stay inside what interval arithmetic allowed."""
    model, rng = _model(label), random.Random(7)
    for turn in range(20):
        inputs = [
            column.low + (rng.choice((0, 2**column.bits - 1)) if turn else 2**column.bits - 1)
            for column in model.columns
        ]
        outputs = evaluate(model, inputs)
        last = model.layers[-1]
        assert all(
            low <= value <= high for low, value, high in zip(last.lows, outputs, last.highs, strict=True)
        )
        assert all(0 <= value + model.output_offset < 2**model.output_bits for value in outputs)


def test_commitments_bind_and_hide() -> None:
    """Another input, output, salt or place gives another commitment."""
    model = _model("digits")
    inputs = quantise(model, _held_out("digits")[0][0])
    outputs = evaluate(model, inputs)
    other = (inputs[0] + 1, *inputs[1:])
    found = {
        commit_inputs(model, inputs, 5),
        commit_inputs(model, inputs, 6),
        commit_inputs(model, other, 5),
        commit_outputs(model, outputs, 5),
        commit_outputs(model, (outputs[1], outputs[0], *outputs[2:]), 5),
    }
    assert len(found) == 5
    assert pack([1, 2, 3], [124, 124, 8]) == (1 | 2 << 124, 3)


def test_other_weights_make_another_circuit() -> None:
    """A weight changed by a hundredth changes the source, and so the key that verifies its proofs."""
    data = _bytes("breast-cancer")
    first = read(data).constants["weight"].astype("<f4").reshape(-1)[:1]
    changed = data.replace(first.tobytes(), (first * np.float32(1.01)).tobytes())
    assert changed != data
    assert generate(integer_model("breast-cancer", changed)) != generate(_model("breast-cancer"))


def test_weights_stand_in_the_circuit_as_constants() -> None:
    """The circuit has no input but the values and two salts: there is no private weight to choose."""
    for label in LABELS:
        signals = generate(_model(label)).split("template Main()")[1]
        named = [
            line.split()[2].split("[")[0].rstrip(";")
            for line in signals.splitlines()
            if "signal input" in line
        ]
        assert named == ["u", "salt_in", "salt_out"]


def test_columns_take_the_finest_scale() -> None:
    """Whole numbers stay whole; other ranges get the finest power of two whose box holds them."""
    whole, fine = columns_between(np.array([0.0, -0.5]), np.array([16.0, 0.25]), 5)
    assert (whole.shift, whole.low, whole.last, whole.bits) == (0, 0, 16, 5)
    assert (fine.shift, fine.low, fine.last, fine.bits) == (5, -16, 8, 5)


@pytest.mark.parametrize("label", LABELS)
def test_damaged_files_are_refused_with_our_reasons(label: str) -> None:
    """Cut or flipped files end in a reason of ours or in a model, never in somebody else's exception."""
    good, rng = _bytes(label), random.Random(3)
    for turn in range(150):
        data = bytearray(good[: rng.randrange(len(good))] if turn % 3 == 0 else good)
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(min(len(data), 900))] = rng.randrange(256)
        with contextlib.suppress(HallmarkError):
            integer_model(label, bytes(data))


def _onnx(dims: list[int], values: int) -> bytes:
    """A file whose graph is one constant of floats."""
    tensor = b"".join(number(1, size) for size in dims) + number(2, 1) + message(9, bytes(4 * values))
    return message(7, message(5, tensor))


@pytest.mark.parametrize(
    ("dims", "values"), [([1] * 65, 1), ([1] * 9, 1), ([0, 2**62, 2**62], 0), ([0, *[10**6] * 7], 0)]
)
def test_a_shape_that_numpy_does_not_take_is_refused(dims: list[int], values: int) -> None:
    """Too many dimensions, and a product that only a zero makes small, have our reason."""
    with pytest.raises(InvalidInput) as refused:
        read(_onnx(dims, values))
    assert refused.value.reason == "bad_onnx"
    assert read(_onnx([1] * 8, 1)).constants[""].shape == (1,) * 8


def test_whole_numbers_that_no_float_holds_are_outside_the_domain() -> None:
    """A number of 400 digits is refused like an infinity."""
    with pytest.raises(InvalidInput) as refused:
        quantise(_model("digits"), [10**400, *_held_out("digits")[0][0][1:]])
    assert refused.value.reason == "zk_outside_domain"


def _chain(*steps: tuple[str, dict[str, Attribute]], shape: tuple[int, ...] = (1, 1, 4, 4)) -> Graph:
    """A graph of these operators, one after the other."""
    weights = {"Conv": "kernel", "Gemm": "matrix", "Reshape": "shape", "Sub": "one"}
    nodes = tuple(
        Node(op, (str(at), *([weights[op]] if op in weights else [])), (str(at + 1),), attributes)
        for at, (op, attributes) in enumerate(steps)
    )
    constants = {
        "kernel": np.ones((1, 1, 1, 1)),
        "matrix": np.ones((4, 4)),
        "shape": np.array(shape, np.float64),
        "one": np.ones(1),
    }
    return Graph(nodes, constants, ("0",), (str(len(nodes)),))


GRID, CONV, RELU, GEMM = ("Reshape", {}), ("Conv", {}), ("Relu", {}), ("Gemm", {})
POOL: tuple[str, dict[str, Attribute]] = ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]})


def test_what_the_attributes_assume_may_be_said() -> None:
    """An attribute that says what holds anyway is no reason to refuse."""
    pool = ("MaxPool", {**POOL[1], "auto_pad": "NOTSET", "ceil_mode": 0, "pads": [0, 0, 0, 0]})
    conv = ("Conv", {"auto_pad": "NOTSET", "kernel_shape": [1, 1], "group": 1})
    _, _, stages = read_stages(_chain(GRID, conv, RELU, pool, ("Flatten", {"axis": 1}), GEMM))
    assert [(stage.relu, stage.pool) for stage in stages] == [(True, True), (False, False)]


@pytest.mark.parametrize(
    "steps",
    [
        (GEMM, GEMM),
        (GRID, CONV, CONV, RELU, GEMM),
        (GRID, CONV, RELU, POOL, POOL, GEMM),
        (GRID, ("Conv", {"auto_pad": "SAME_UPPER"}), RELU, GEMM),
        (GRID, ("Conv", {"kernel_shape": [3, 3]}), RELU, GEMM),
        (GRID, ("Conv", {"pads": [9, 9, 9, 9]}), RELU, GEMM),
        (GRID, CONV, RELU, ("MaxPool", {**POOL[1], "ceil_mode": 1}), GEMM),
        (GRID, CONV, RELU, ("MaxPool", {**POOL[1], "pads": [1, 1, 1, 1]}), GEMM),
        (("Reshape", {"allowzero": 1}), CONV, RELU, GEMM),
        (GRID, CONV, RELU, ("Flatten", {"axis": 2}), GEMM),
        (("Gemm", {"unheard_of": 1}),),
        (("Sub", {"axis": 0}), GEMM),
    ],
)
def test_a_graph_whose_meaning_is_not_kept_is_refused(
    steps: tuple[tuple[str, dict[str, Attribute]], ...],
) -> None:
    """A linear layer without ReLU before the next, a second pool, an attribute that nobody looks at."""
    with pytest.raises(InvalidInput) as refused:
        read_stages(_chain(*steps))
    assert refused.value.reason == "zk_unsupported_operator"


@pytest.mark.parametrize("shape", [(1, 1, 2**40, 2**40), (1, 1, 0, 4), (1, 1, 4000, 4000)])
def test_a_grid_is_bounded(shape: tuple[int, ...]) -> None:
    """What a reshape says is no size that anything is made of before it is looked at."""
    with pytest.raises(InvalidInput) as refused:
        read_stages(_chain(GRID, CONV, RELU, GEMM, shape=shape))
    assert refused.value.reason == "zk_unsupported_operator"


def test_what_no_circuit_is_made_for() -> None:
    """An unknown label, an operator out of place and a file that is too large have their reasons."""
    with pytest.raises(InvalidInput) as refused:
        integer_model("pydoc", b"")
    assert refused.value.reason == "zk_no_circuit"
    with pytest.raises(InvalidInput) as refused:
        read(bytes(4_000_001))
    assert refused.value.reason == "zk_model_too_large"
    with pytest.raises(InvalidInput) as refused:
        read_stages(read(_bytes("digits").replace(b"MaxPool", b"MinPool")))
    assert refused.value.reason == "zk_unsupported_operator"
