"""What the host and a probe say to each other: one message each way (msgpack)."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True):
    """To the probe, with the artifact in sealed memory: its SHA-256 and format, the most memory (bytes; 0:
    a control group holds it) and tasks that it may have, and seconds of a processor.
    """

    sha256: bytes
    format: str
    memory: int
    tasks: int
    seconds: int


class Tensor(msgspec.Struct, frozen=True):
    """A tensor: name, type, and shape, in which None is any length."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Said(msgspec.Struct, frozen=True):
    """From the probe: what a model is, and which engine opened it. `facts` are what a GGUF file
    says of itself. With a `reason` it could not be opened.
    """

    format: str
    tasks: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    engine: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    message: str = ""
