"""The tensor engine: equal bits, and nothing runs on inputs that are not what the model takes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import numpy as np
import pytest

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.engines import load
from hallmark.engines.onnx import ONNXEngine
from hallmark.engines.protocol import ChatRequest, Sampling, Task, TensorSpec
from hallmark.engines.tensors import to_array
from hallmark.testing import tiny_models

ROW = [0.5, -1.25, 3.0, 7.75]


async def test_scores_are_those_of_the_weights(scores: ONNXEngine) -> None:
    """The engine computes what its weights say, and reports element types and names."""
    outputs = await scores.infer({"x": [ROW, ROW]})
    generator = np.random.default_rng(11)
    w, b = generator.normal(size=(4, 3)).astype("f4"), generator.normal(size=3).astype("f4")
    np.testing.assert_allclose(outputs["scores"], np.array([ROW, ROW], dtype="f4") @ w + b, rtol=1e-5)
    assert list(outputs) == ["scores"]
    assert outputs["scores"].dtype == np.float32
    assert scores.labels == ("a", "b", "c")


async def test_bits_do_not_depend_on_who_else_asks(scores: ONNXEngine) -> None:
    """A hundred runs at once on several threads give the bits of one run alone."""
    alone = (await scores.infer({"x": [ROW]}))["scores"].tobytes()
    others = await asyncio.gather(*(scores.infer({"x": [ROW]}) for _ in range(100)))
    assert {output["scores"].tobytes() for output in others} == {alone}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "missing_input"),
        ({"x": [ROW], "y": [1]}, "unknown_input"),
        ({"x": ROW}, "wrong_shape"),
        ({"x": [[1.0, 2.0, 3.0]]}, "wrong_shape"),
        ({"x": []}, "wrong_shape"),
        ({"x": [[]]}, "wrong_shape"),
        ({"x": [[ROW]]}, "wrong_shape"),
        ({"x": [ROW, [1.0]]}, "wrong_shape"),
        ({"x": [ROW, 1.0]}, "wrong_shape"),
        ({"x": [[1.0, 2.0, 3.0, [4.0]]]}, "wrong_shape"),
        ({"x": 5}, "wrong_shape"),
        ({"x": None}, "wrong_shape"),
        ({"x": {"0": ROW}}, "wrong_shape"),
        ({"x": [[[[[[[[[[1]]]]]]]]]]}, "wrong_shape"),
        ({"x": [["1", 2, 3, 4]]}, "wrong_type"),
        ({"x": [[True, 2, 3, 4]]}, "wrong_type"),
        ({"x": [[None, 2, 3, 4]]}, "wrong_type"),
        ({"x": [[float("nan"), 2, 3, 4]]}, "not_finite"),
        ({"x": [[float("inf"), 2, 3, 4]]}, "not_finite"),
        ({"x": [[1e39, 2, 3, 4]]}, "not_finite"),
        ({"x": [[10**400, 2, 3, 4]]}, "wrong_type"),
        ({"x": [[101, 2, 3, 4]]}, "out_of_range"),
        ({"x": [[-100.5, 2, 3, 4]]}, "out_of_range"),
    ],
)
async def test_bad_inputs_have_reasons(scores: ONNXEngine, inputs: dict[str, Any], reason: str) -> None:
    """Each way of being wrong has its own reason code, and the message quotes no value."""
    with pytest.raises(InvalidInput) as caught:
        await scores.infer(inputs)
    assert caught.value.reason == reason
    assert "101" not in caught.value.message


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("int64", [1, -2], [1.5, 2]),
        ("int64", [0, 2**63 - 1], [0, 2**63]),
        ("uint8", [0, 255], [0, 256]),
        ("uint8", [0, 1], [-1, 1]),
        ("bool", [True, False], [0, 1]),
        ("float64", [1, 2.5], ["1", 2]),
    ],
)
def test_element_types_are_strict(dtype: str, good: list[Any], bad: list[Any]) -> None:
    """Values are neither rounded nor wrapped nor coerced into another type."""
    spec = TensorSpec("t", dtype, (None,))
    assert to_array(spec, good).tolist() == good
    with pytest.raises(InvalidInput) as caught:
        to_array(spec, bad)
    assert caught.value.reason == "wrong_type"


def test_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor over the limit is refused before it becomes an array."""
    monkeypatch.setattr("hallmark.engines.tensors.MAX_ELEMENTS", 3)
    with pytest.raises(InvalidInput) as caught:
        to_array(TensorSpec("t", "float32", (None,)), [1.0] * 4)
    assert caught.value.reason == "too_many_elements"


async def test_a_model_that_answers_with_infinity_is_caught() -> None:
    """An infinite output is an error of the model, not a number in an answer."""
    data = tiny_models.tensor_artifact(outputs=[{"name": "ratio"}])
    engine = load(data, hashlib.sha256(data).digest())
    assert (await engine.infer({"x": [[1, 2, 4, 8]]}))["ratio"].tolist() == [[1, 0.5, 0.25, 0.125]]
    with pytest.raises(HallmarkError) as caught:
        await engine.infer({"x": [[0, 1, 1, 1]]})
    assert caught.value.reason == "output_not_finite"


async def test_a_tensor_model_does_not_chat(scores: ONNXEngine) -> None:
    """Tasks that an engine does not offer are refused by name."""
    assert scores.tasks == {Task.TENSOR}
    with pytest.raises(InvalidInput) as caught:
        await anext(scores.generate(ChatRequest(()), Sampling(), 0))
    assert caught.value.reason == "unsupported_task"
    with pytest.raises(InvalidInput):
        await scores.embed(("x",))


def test_outputs_survive_json(scores: ONNXEngine) -> None:
    """A float32 written as JSON reads back to the same bits."""
    value = scores.run({"x": np.array([ROW], dtype=np.float32)})["scores"]
    assert np.array(json.loads(json.dumps(value.tolist())), dtype=np.float32).tobytes() == value.tobytes()
