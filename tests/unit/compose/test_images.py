"""Which engines the image of a home's nodes holds."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hallmark.compose.images import engines_for
from hallmark.core.errors import Unavailable
from hallmark.engines import LOADERS, llama_library
from hallmark.services.node.image_contents import ENGINES, USUAL


def test_llama_is_in_an_image_only_where_a_gguf_model_is_served() -> None:
    """Everything else is the usual image, whose measurement stays what it was."""
    assert engines_for({"onnx", "onnxruntime-genai"}) == USUAL == engines_for(())
    assert engines_for({"onnx", "gguf"}) == (*USUAL, "gguf")
    assert set(engines_for(LOADERS)) <= set(ENGINES)


def test_without_the_extra_no_such_image_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says which extra is missing, before anything is fetched or built."""
    monkeypatch.setattr(llama_library, "PACKAGE", "no_such_package")
    assert engines_for({"onnx"}) == USUAL
    with pytest.raises(Unavailable) as error:
        engines_for({"gguf"})
    assert error.value.reason == "engine_not_installed"


def test_what_starts_or_publishes_loads_no_tensors() -> None:
    """`hallmark up` and `model publish` wait for numpy only where a GGUF model is among theirs."""
    script = "import hallmark.apps.cli.network, hallmark.compose.publishing, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "numpy" not in loaded.split()
