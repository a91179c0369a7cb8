"""Engines: whatever computes answers, behind one protocol.

`load` reads an artifact and gives the engine that its model.json names; a new engine is one file and one
row of `LOADERS`. Engines are imported only when an artifact needs them.

onnxruntime makes a device id and a telemetry database as it is imported, unless its environment forbids it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.engines.artifact import Artifact, Source, read_artifact
from hallmark.engines.protocol import Description, Engine
from hallmark.engines.stepper import Stepper

__all__ = ["Engine", "describe_format", "load"]

os.putenv("ORT_DISABLE_TELEMETRY", "1")


def load(
    source: Source,
    expected_sha256: bytes,
    *,
    format_: str = "",
    stepper: Stepper | None = None,
    scratch: Path | None = None,
) -> Engine:
    """Load a model from its artifact (a tar), whose SHA-256 must be `expected_sha256` (32 bytes). `format_`
    is what its manifest says: a manifest that names another engine than the artifact promises what it cannot
    keep, such as a mode.

    `stepper` gives the threads (a new one with one thread when None); `scratch` is where a private
    folder may stand while loading (the system's temporary folder when None), best on a tmpfs. Raises
    VerificationFailed `artifact_digest_mismatch`, InvalidInput `bad_artifact`, `unknown_format`,
    `artifact_other_format`, Unavailable `engine_not_installed`.
    """
    artifact = read_artifact(source, expected_sha256)
    if format_ and format_ != artifact.model.format:
        raise InvalidInput(
            "artifact_other_format",
            "The manifest names another format than the artifact's model.json.",
            "Publish the model again: hallmark model publish writes both.",
        )
    loader = LOADERS.get(artifact.model.format)
    if loader is None:
        raise unknown_format()
    return loader[0](artifact, stepper or Stepper(), scratch or Path(tempfile.gettempdir()))


def describe_format(name: str) -> Description:
    """What an engine's bits depend on, by artifact format, without loading a model.

    Raises InvalidInput `unknown_format`, Unavailable `engine_not_installed`.
    """
    if name not in LOADERS:
        raise unknown_format()
    return LOADERS[name][1]()


def unknown_format() -> InvalidInput:
    """The error for an artifact that no engine reads."""
    return InvalidInput("unknown_format", f"The artifact's format is none of: {', '.join(sorted(LOADERS))}.")


def _load_onnx(artifact: Artifact, stepper: Stepper, _scratch: Path) -> Engine:
    from hallmark.engines.onnx import ONNXEngine

    return ONNXEngine(artifact, stepper)


def _load_genai(artifact: Artifact, stepper: Stepper, scratch: Path) -> Engine:
    from hallmark.engines.genai import GenAIEngine

    return GenAIEngine(artifact, stepper, scratch)


def _load_gguf(artifact: Artifact, stepper: Stepper, scratch: Path) -> Engine:
    _require_llama()
    from hallmark.engines.gguf import GGUFEngine

    return GGUFEngine(artifact, stepper, scratch)


def _load_integer(artifact: Artifact, stepper: Stepper, _scratch: Path) -> Engine:
    from hallmark.engines.integer.language import ExactLanguageEngine
    from hallmark.engines.integer.tensor import ExactTensorEngine

    return (ExactTensorEngine if artifact.model.inputs else ExactLanguageEngine)(artifact, stepper)


def _load_shapes(artifact: Artifact, stepper: Stepper, _scratch: Path) -> Engine:
    from hallmark.engines.shapes import ShapesEngine

    return ShapesEngine(artifact, stepper)


def _describe_onnx() -> Description:
    from hallmark.engines import onnx

    return onnx.describe()


def _describe_genai() -> Description:
    from hallmark.engines import genai

    return genai.describe()


def _describe_gguf() -> Description:
    _require_llama()
    from hallmark.engines import gguf

    return gguf.describe()


def _require_llama() -> None:
    from hallmark.engines import llama_library

    if not llama_library.installed():
        raise llama_library.missing()


def _describe_integer() -> Description:
    from hallmark.engines.integer import language

    return language.describe()


def _describe_shapes() -> Description:
    from hallmark.engines import shapes

    return shapes.describe()


Loader = Callable[[Artifact, Stepper, Path], Engine]
LOADERS: Final[dict[str, tuple[Loader, Callable[[], Description]]]] = {
    "gguf": (_load_gguf, _describe_gguf),
    "onnx": (_load_onnx, _describe_onnx),
    "integer-exact": (_load_integer, _describe_integer),
    "onnxruntime-genai": (_load_genai, _describe_genai),
    "shapes": (_load_shapes, _describe_shapes),
}
