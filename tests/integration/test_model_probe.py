"""Models of others, opened in the sandbox before they are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.core.errors import InvalidInput
from hallmark.hub.artifact import pack_artifact, pack_files
from hallmark.services.node.probe import probe
from hallmark.testing.enclaves import usual_image
from hallmark.testing.weights import onnx

pytestmark = pytest.mark.integration

MODELS = Path(__file__).parents[2] / "models"
DIGITS = MODELS / "digits" / "artifact"


def test_what_a_model_takes_and_gives() -> None:
    """The enclave's own sandbox and engine say it; one that cannot be run has a reason."""
    built = usual_image()
    said = probe(built, pack_artifact(DIGITS), "onnx")
    assert [(one.name, one.dtype, one.shape) for one in said.inputs] == [("image", "float32", (None, 64))]
    assert [one.name for one in said.outputs] == ["probabilities", "label"]
    assert said.tasks == ("tensor",)
    assert said.engine.startswith("onnxruntime/")
    about = b'{"format":"onnx","file":"a.onnx"}'
    with pytest.raises(InvalidInput) as refused:
        probe(built, pack_files({"model.json": about, "a.onnx": onnx()}), "onnx")
    assert refused.value.reason == "bad_artifact"
    with pytest.raises(InvalidInput) as refused:
        probe(built, pack_files({"model.json": b"{}", "a.onnx": onnx()}), "onnx")
    assert refused.value.reason == "bad_artifact"


def test_a_model_that_draws_is_opened_too() -> None:
    """It says that it draws; other weights under its name are refused with the engine's reason."""
    built = usual_image()
    said = probe(built, pack_artifact(MODELS / "shapes" / "artifact"), "shapes")
    assert (said.reason, said.format, said.tasks) == ("", "shapes", ("image",))
    assert said.engine.startswith("shapes/1 ")
    files = {"model.json": b'{"format":"shapes","file":"a"}', "a": b"nothing"}
    with pytest.raises(InvalidInput) as refused:
        probe(built, pack_files(files), "shapes")
    assert refused.value.reason == "bad_artifact"
