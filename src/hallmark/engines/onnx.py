"""Tensor models through onnxruntime: one request is one run, with everything that changes bits held still.

Held still: one thread, sequential execution, the extended graph optimisation level (the full level also
picks memory layouts by processor), the CPU provider alone, no batching of strangers' requests (with dynamic
int8 a batch shares its scale, so that one request would change another's answer).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.engines.artifact import Artifact, TensorEntry
from hallmark.engines.processor import processor_class
from hallmark.engines.protocol import (
    Array,
    Description,
    Task,
    TensorSpec,
    Unoffered,
)
from hallmark.engines.stepper import Stepper
from hallmark.engines.tensors import to_array

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
FLAGS = ("threads=1", "sequential", "optimization=extended", "batching=none")


def describe() -> Description:
    """What the bits of any model in this engine depend on."""
    return Description("onnxruntime", ort.__version__, FLAGS, processor_class())


def session_options() -> ort.SessionOptions:
    """The options of every session; see the module docstring."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # fatal only: onnxruntime's messages can quote values
    return options


class ONNXEngine(Unoffered):
    """A tensor model. `inputs` and `outputs` describe its tensors, `labels` names its classes (may be
    empty).
    """

    tasks = frozenset({Task.TENSOR})

    def __init__(self, artifact: Artifact, stepper: Stepper) -> None:
        """Load the graph. Raises InvalidInput `bad_artifact` when it cannot be run as described."""
        ort.disable_telemetry_events()
        self._stepper = stepper
        self._session = _open(artifact)
        self.labels = artifact.model.labels
        declared = {entry.name: entry for entry in artifact.model.inputs}
        self.inputs = tuple(_spec(item, declared.get(item.name)) for item in self._session.get_inputs())
        available = {item.name: _spec(item) for item in self._session.get_outputs()}
        wanted = [entry.name for entry in artifact.model.outputs] or list(available)
        names = {spec.name for spec in self.inputs}
        if not set(wanted) <= set(available) or (declared and set(declared) != names):
            raise InvalidInput("bad_artifact", "model.json names tensors that the model does not have.")
        self.outputs = tuple(available[name] for name in wanted)

    def describe(self) -> Description:
        """See `Engine.describe`."""
        return describe()

    async def infer(self, inputs: Mapping[str, object]) -> dict[str, Array]:
        """See `Engine.infer`."""
        return await self._stepper.call(lambda: self.run(self.prepare(inputs)))

    def prepare(self, inputs: Mapping[str, object]) -> dict[str, Array]:
        """Check and convert every input before anything runs; errors as `Engine.infer` raises them."""
        names = {spec.name for spec in self.inputs}
        if len(set(inputs) - names):
            raise InvalidInput("unknown_input", f"This model's inputs are: {', '.join(sorted(names))}.")
        for spec in self.inputs:
            if spec.name not in inputs:
                raise InvalidInput("missing_input", f"The input '{spec.name}' is missing.")
        return {spec.name: to_array(spec, inputs[spec.name]) for spec in self.inputs}

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """One run on checked arrays. Raises InvalidInput `model_refused`, HallmarkError
        `output_not_finite`.
        """
        try:
            values = self._session.run([spec.name for spec in self.outputs], dict(arrays))
        except Exception as error:  # onnxruntime's own classes; their text may quote values
            raise InvalidInput("model_refused", "The model cannot run on inputs of this shape.") from error
        for value in values:
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise HallmarkError("output_not_finite", "The model's output holds NaN or infinity.")
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def close(self) -> None:
        """Nothing to stop: the threads belong to whoever made the stepper."""


def _open(artifact: Artifact) -> ort.InferenceSession:
    name = artifact.model.file or next((n for n in sorted(artifact.files) if n.endswith(".onnx")), "")
    if name not in artifact.files:
        raise InvalidInput("bad_artifact", "The artifact has no ONNX graph.")
    try:
        session = ort.InferenceSession(
            artifact.files[name], session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises its own classes
        raise InvalidInput("bad_artifact", "The artifact's ONNX graph cannot be loaded.") from error
    session.disable_fallback()
    return session


def _spec(item: ort.NodeArg, declared: TensorEntry | None = None) -> TensorSpec:
    if item.type not in DTYPES:
        raise InvalidInput(
            "bad_artifact", f"A tensor of this model is a {item.type}, which is not supported."
        )
    shape = tuple(size if isinstance(size, int) else None for size in item.shape)
    if declared is None:
        return TensorSpec(item.name, DTYPES[item.type], shape)
    return TensorSpec(item.name, DTYPES[item.type], shape, declared.minimum, declared.maximum)
