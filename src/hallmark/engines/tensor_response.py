"""The bytes of an answer of /v1/hallmark/infer, as an enclave writes them and as a run again has to."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import msgspec

from hallmark.core.safetensors import write_tensors
from hallmark.engines.protocol import Array


class Head(msgspec.Struct, frozen=True):
    """What of an answer does not follow from the run."""

    id: str
    created: int
    model: str


def whole(head: Head, outputs: Mapping[str, Array], labels: Sequence[str], *, stored: bool) -> bytes:
    """A complete answer: `outputs` as lists of numbers or, where `stored`, a safetensors file in base64."""
    content: dict[str, object] = {
        "id": head.id,
        "object": "hallmark.inference",
        "created": head.created,
        "model": head.model,
    }
    if stored:
        content["safetensors"] = _file(outputs)
    else:
        content["outputs"] = {name: array.tolist() for name, array in outputs.items()}
    if labels:
        content["labels"] = labels
    return msgspec.json.encode(content)


def _file(outputs: Mapping[str, Array]) -> str:
    """A safetensors file of these, in base64."""
    from hallmark.engines.tensors import to_tensor  # an enclave without an engine has no numpy

    return base64.b64encode(write_tensors({n: to_tensor(a) for n, a in outputs.items()})).decode()
