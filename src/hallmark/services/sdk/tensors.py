"""Requests to tensor models and what their answers hold: named nested lists, or a safetensors file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from hallmark.core.safetensors import read_tensors

Tensors: TypeAlias = Mapping[str, Any] | bytes
"""Named nested lists of numbers, or the bytes of a safetensors file."""


def encode_infer(model: str, inputs: Tensors) -> bytes:
    """The exact bytes of a request to a tensor model."""
    if isinstance(inputs, bytes):
        return msgspec.json.encode({"model": model, "safetensors": base64.b64encode(inputs).decode()})
    return msgspec.json.encode({"model": model, "inputs": inputs})


def outputs_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """An answer's tensors as named nested lists, in whichever form they came; empty when it has none, or a
    file that cannot be read: the answer keeps its receipt, and `body` what the node sent.
    """
    if "safetensors" not in body:
        return body.get("outputs") or {}
    try:
        found = read_tensors(base64.b64decode(str(body["safetensors"]), validate=True))
        return {name: tensor.lists() for name, tensor in found.items()}
    except ValueError:
        return {}
