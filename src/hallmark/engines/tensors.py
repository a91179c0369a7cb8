"""Nested lists from JSON, or tensors of a safetensors file, into arrays, strictly: nothing is rounded,
padded, broadcast or guessed.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge
from hallmark.core.safetensors import StoredTensor
from hallmark.engines.protocol import Array, TensorSpec

MAX_ELEMENTS = 4_000_000
MAX_DEPTH = 8
TYPES: Final = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "uint32": "U32", "int32": "I32", "uint64": "U64", "int64": "I64", "float32": "F32", "float64": "F64",
}  # fmt: skip
"""Element types of numpy, and of safetensors."""


def to_array(spec: TensorSpec, value: object) -> Array:
    """An array as `spec` says. Errors as `Engine.infer` raises them; messages name the tensor, never a
    value.
    """
    if isinstance(value, StoredTensor):
        return _of_bytes(spec, value)
    shape = _shape_of(spec, value)
    _check_shape(spec, shape)
    flat = _flatten(spec, value, shape)
    if len(flat) > MAX_ELEMENTS:
        raise _too_many()
    return _convert(spec, flat).reshape(shape)


def to_tensor(array: Array) -> StoredTensor:
    """An array as a safetensors file holds it. Raises HallmarkError `output_not_storable`."""
    dtype = TYPES.get(array.dtype.name)
    if dtype is None:
        raise HallmarkError(
            "output_not_storable",
            "The model's output has a type that the format lacks.",
            "Ask with `inputs`: lists can hold it.",
        )
    return StoredTensor(dtype, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes())


def _of_bytes(spec: TensorSpec, value: StoredTensor) -> Array:
    if value.dtype != TYPES[spec.dtype]:
        raise InvalidInput("wrong_type", f"The input '{spec.name}' must hold {spec.dtype} values only.")
    _check_shape(spec, value.shape)
    if math.prod(value.shape) > MAX_ELEMENTS:
        raise _too_many()
    kind = np.dtype(spec.dtype)
    if kind.kind == "b" and any(byte > 1 for byte in value.data):
        raise InvalidInput("wrong_type", f"The input '{spec.name}' must hold {spec.dtype} values only.")
    stored = np.frombuffer(value.data, dtype=kind.newbyteorder("<"))
    return _checked(spec, stored.astype(kind).reshape(value.shape))


def _check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    if len(shape) != len(spec.shape) or any(
        size == 0 or wanted not in (None, size) for size, wanted in zip(shape, spec.shape, strict=False)
    ):
        wanted_text = (
            "x".join("any" if size is None else str(size) for size in spec.shape) or "a single value"
        )
        raise InvalidInput("wrong_shape", f"The input '{spec.name}' must have the shape {wanted_text}.")


def _too_many() -> TooLarge:
    return TooLarge("too_many_elements", f"A tensor has at most {MAX_ELEMENTS} elements.")


def _shape_of(spec: TensorSpec, value: object) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_DEPTH:
            raise InvalidInput("wrong_shape", f"The input '{spec.name}' is nested too deeply.")
        value = value[0] if value else None
    return tuple(shape)


def _flatten(spec: TensorSpec, value: object, shape: tuple[int, ...]) -> list[object]:
    level: list[object] = [value]
    for size in shape:
        if any(not isinstance(item, list) or len(item) != size for item in level):
            raise InvalidInput("wrong_shape", f"The rows of the input '{spec.name}' differ in length.")
        level = [child for item in level if isinstance(item, list) for child in item]
    if any(isinstance(item, list) for item in level):
        raise InvalidInput("wrong_shape", f"The rows of the input '{spec.name}' differ in depth.")
    return level


def _convert(spec: TensorSpec, flat: list[object]) -> Array:
    kind = np.dtype(spec.dtype)
    if kind.kind == "b":
        allowed = all(isinstance(item, bool) for item in flat)
    elif kind.kind in "iu":
        allowed = all(isinstance(item, int) and not isinstance(item, bool) for item in flat)
    else:
        allowed = all(isinstance(item, int | float) and not isinstance(item, bool) for item in flat)
    if not allowed:
        raise InvalidInput("wrong_type", f"The input '{spec.name}' must hold {spec.dtype} values only.")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype=kind)
    except (OverflowError, ValueError):
        raise InvalidInput(
            "wrong_type", f"A value of the input '{spec.name}' does not fit {spec.dtype}."
        ) from None
    return _checked(spec, array)


def _checked(spec: TensorSpec, array: npt.NDArray[Any]) -> Array:
    """The array, when its values are what the model was made for."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidInput(
            "not_finite", f"The input '{spec.name}' holds NaN, infinity or a value that overflows."
        )
    low, high = spec.minimum, spec.maximum
    if (low is not None and (array < low).any()) or (high is not None and (array > high).any()):
        raise InvalidInput("out_of_range", f"The input '{spec.name}' must hold values from {low} to {high}.")
    return array
