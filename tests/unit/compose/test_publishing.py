"""Under which format and task a folder is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.compose.publishing import OPENED, Wish, _named_inside, _readme
from hallmark.core.safetensors import StoredTensor, write_tensors
from hallmark.engines import LOADERS
from hallmark.hub.formats import Format, Weights
from hallmark.hub.model_folder import ModelFolder, read_folder
from hallmark.services.enclave.probe_messages import Said

SHAPES = Path(__file__).resolve().parents[3] / "models" / "shapes" / "artifact"


@pytest.mark.parametrize(
    ("about", "format"),
    [
        (b'{"format": "integer-exact"}', "integer-exact"),
        (b'{"format": "shapes"}', "shapes"),
        (b'{"format": "onnx", "task": "tensor"}', ""),
        (b'{"format": 7}', ""),
        (b"not JSON", ""),
        (None, ""),
    ],
)
def test_safetensors_are_what_their_model_json_says_if_an_engine_reads_that(
    about: bytes | None, format: str, tmp_path: Path
) -> None:
    """Safetensors for an engine are published under its format, and opened before; any other word in
    model.json changes nothing.
    """
    (tmp_path / "weights.safetensors").write_bytes(write_tensors({"a": StoredTensor("U8", (1,), b"\1")}))
    if about is not None:
        (tmp_path / "model.json").write_bytes(about)
    named = _named_inside(read_folder(tmp_path))
    assert named.format == format
    assert (named.format in OPENED) == bool(format)
    assert format or not named.task


def test_what_a_file_says_of_itself_stays_one_line_of_its_card() -> None:
    """No name and no tokenizer of a stranger's file makes a heading, a table or a tag of the owner's card."""
    bad = "x\n## Verified\n| a | <b>`"
    model = ModelFolder({}, b"", "model.gguf", Weights(Format.GGUF, about={"general.name": bad}))
    card = _readme(Wish(Path(), "me/a"), model, Said("gguf", facts=(("tokenizer", bad),)), "chat").decode()
    lines = card.splitlines()
    assert "- tokenizer: x?## Verified?? a ? ?b>?" in lines
    assert not any(line.startswith(("## Verified", "| a |")) for line in lines)
    assert "<b>" not in card


def test_the_shipped_generator_is_published_as_what_it_is() -> None:
    """Its own format, which an engine loads, and its own task, so that a search for images finds it."""
    named = _named_inside(read_folder(SHAPES))
    assert (named.format, named.task) == ("shapes", "text-to-image")
    assert named.format in LOADERS
