"""What a request's `model` names: labels, pins, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x
from hallmark.core.model_names import ModelName, PinNotMet, pinned, read_model_name, require_pin

ID = bytes(range(32))
TEXT, HEX = blob_text(ID), hex0x(ID)


@pytest.mark.parametrize("pin", [TEXT, HEX])
@pytest.mark.parametrize("label", ["digits", "me/credit-risk", "claude-3@20240229"])
def test_a_label_is_pinned_by_either_form_of_a_blob_id(label: str, pin: str) -> None:
    """Both forms mean the same artifact, behind the last @."""
    assert read_model_name(f"{label}@{pin}") == ModelName(label, HEX)


@pytest.mark.parametrize(
    "text",
    [
        "digits",
        "claude-3@20240229",
        f"@{TEXT}",
        "digits@",
        f"digits@{TEXT[:-1]}",
        f"digits@{HEX.upper()}",
        "",
    ],
)
def test_anything_else_is_a_label(text: str) -> None:
    """Providers write @ in names, and a pin with a slip of the pen is no pin that could be met."""
    assert read_model_name(text) == ModelName(text)


@given(st.text(min_size=1), st.binary(min_size=32, max_size=32))
def test_what_is_pinned_is_read_again(label: str, identifier: bytes) -> None:
    """Any label, any artifact."""
    name = read_model_name(pinned(label, hex0x(identifier)))
    assert name == ModelName(label, hex0x(identifier))
    assert read_model_name(str(name)) == name


@given(st.text())
def test_no_text_is_refused(text: str) -> None:
    """Reading never raises: whether there is such a label is another's to say."""
    assert read_model_name(text).label in text


def test_a_pin_is_met_by_its_artifact_alone() -> None:
    """The pinned artifact passes, another one and a provider's nothing do not; no pin asks for nothing."""
    name = ModelName("digits", HEX)
    require_pin(name, HEX)
    require_pin(ModelName("digits"), None)
    with pytest.raises(PinNotMet) as moved:
        require_pin(name, hex0x(bytes(32)))
    with pytest.raises(PinNotMet) as provider:
        require_pin(name, None)
    assert (moved.value.reason, provider.value.reason) == ("model_moved", "model_not_pinnable")
    assert blob_text(bytes(32)) in moved.value.hint
    assert moved.value.retry is False
