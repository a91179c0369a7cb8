"""What the `model` of a request names: a label, or a label pinned to one artifact.

    digits                   whatever the label points to when the request arrives
    digits@xPcK...Lw0        the same, and only while that is the artifact with this blob ID (43 characters)
    digits@0xc4f7...         the same ID as it stands in manifests and receipts (0x-hex of 32 bytes)

Anything else behind an `@` is part of the label: providers name models so (`claude-3-opus@20240229`).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hallmark.core.blob_ids import blob_text, parse_base64
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError

_HEX: Final = re.compile(r"0x[0-9a-f]{64}")


class ModelName(msgspec.Struct, frozen=True):
    """A label, and the artifact (0x-hex of its blob ID) that it is pinned to; empty when it is not."""

    label: str
    artifact: str = ""

    def __str__(self) -> str:
        return pinned(self.label, self.artifact) if self.artifact else self.label


class PinNotMet(HallmarkError):
    """The label does not point to the artifact that the request pins; nothing ran and nothing was charged.

    412, as for other conditions that a request states: asking again cannot help, and 409 makes clients try.
    """

    status = 412
    retry = False
    param = "model"


NOT_MET: Final = frozenset(("model_moved", "model_not_pinnable"))
"""The reasons of PinNotMet."""


def read_model_name(text: str) -> ModelName:
    """The label and the pin that `text` names."""
    label, at, pin = text.rpartition("@")
    if not at or not label:
        return ModelName(text)
    if _HEX.fullmatch(pin):
        return ModelName(label, pin)
    identifier = parse_base64(pin, 32)
    return ModelName(text) if identifier is None else ModelName(label, hex0x(identifier))


def pinned(label: str, artifact: str) -> str:
    """The name of a label pinned to an artifact (0x-hex of its blob ID). Raises InvalidInput `bad_hex`,
    `bad_blob_id`.
    """
    return f"{label}@{blob_text(unhex(artifact))}"


def require_pin(name: ModelName, artifact: str | None) -> None:
    """Raises PinNotMet unless `name` has no pin or the label's artifact is the pinned one: `model_moved`, and
    `model_not_pinnable` where None says that a provider answers for the label.
    """
    if not name.artifact or name.artifact == artifact:
        return
    if artifact is None:
        raise PinNotMet(
            "model_not_pinnable",
            "A provider answers for this model: there is no artifact that it could be pinned to.",
            "Ask without the pin; the receipt then says what the provider asserts.",
        )
    raise PinNotMet(
        "model_moved",
        "The label does not point to the artifact that the request pins.",
        f"It points to {blob_text(unhex(artifact))}; `hallmark model history` says when and by whom.",
    )
