"""Tiny real models, loaded once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.engines.artifact import read_artifact
from hallmark.engines.genai import GenAIEngine
from hallmark.engines.onnx import ONNXEngine
from hallmark.engines.stepper import Stepper
from hallmark.testing import tiny_models


@pytest.fixture(scope="session")
def stepper() -> Iterator[Stepper]:
    """Two threads for every engine."""
    made = Stepper(2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def language(stepper: Stepper, tmp_path_factory: pytest.TempPathFactory) -> GenAIEngine:
    """The tiny language model."""
    data = tiny_models.language_artifact()
    artifact = read_artifact(data, hashlib.sha256(data).digest())
    scratch: Path = tmp_path_factory.mktemp("scratch")
    engine = GenAIEngine(artifact, stepper, scratch)
    assert list(scratch.iterdir()) == []
    return engine


@pytest.fixture(scope="session")
def scores(stepper: Stepper) -> ONNXEngine:
    """The tiny tensor model."""
    data = tiny_models.tensor_artifact()
    return ONNXEngine(read_artifact(data, hashlib.sha256(data).digest()), stepper)
