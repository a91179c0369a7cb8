"""An image holds what its engines need, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

import hallmark
from hallmark.services.node.image_contents import collect

ROOT = Path(hallmark.__file__).parent


@pytest.mark.parametrize(
    ("engines", "there", "absent"),
    [
        ((), {"msgspec", "hallmark"}, {"numpy", "onnxruntime", "onnxruntime_genai"}),
        (("onnx",), {"numpy", "onnxruntime"}, {"onnxruntime_genai"}),
        (("onnx", "genai"), {"numpy", "onnxruntime", "onnxruntime_genai"}, {"sqlalchemy", "jinja2"}),
    ],
)
def test_what_each_variant_holds(engines: tuple[str, ...], there: set[str], absent: set[str]) -> None:
    """Libraries of an engine that was not asked for are not in the image."""
    held = {inside.split("/")[2] for inside in collect(ROOT, engines) if inside.startswith("app/lib/")}
    assert there <= held
    assert absent.isdisjoint(held)
