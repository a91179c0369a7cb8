"""A request to /v1/hallmark/infer, as an enclave reads it and as a run again has to."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.safetensors import NotSafetensors, read_tensors


class Inference(msgspec.Struct, frozen=True):
    """A request to /v1/hallmark/infer."""

    model: str
    inputs: dict[str, Any] | None = None
    safetensors: str | None = None

    def tensors(self) -> Mapping[str, Any]:
        """What the model is to run on. Raises InvalidInput `missing_parameter`, `unsupported_parameter`,
        `bad_safetensors`.
        """
        if (self.inputs is None) == (self.safetensors is None):
            raise InvalidInput(
                "missing_parameter" if self.inputs is None else "unsupported_parameter",
                "Tensors come as 'inputs', named lists of numbers, or as 'safetensors', a file in base64.",
                "Send one of the two.",
            )
        if self.safetensors is None:
            return self.inputs or {}
        try:
            return read_tensors(base64.b64decode(self.safetensors, validate=True))
        except ValueError as error:
            why = str(error) if isinstance(error, NotSafetensors) else "It is not base64."
            hint = "Write it with the safetensors library, and encode it in base64."
            raise InvalidInput(
                "bad_safetensors", f"'safetensors' is no file of that format: {why}", hint
            ) from None
