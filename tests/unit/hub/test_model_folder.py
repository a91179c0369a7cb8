"""Folders with models: what may be published, and the reason for which others may not."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import msgspec
import pytest

from hallmark.core.errors import InvalidInput
from hallmark.hub.card import read_card, write_card
from hallmark.hub.model_folder import completed, read_folder
from hallmark.testing.weights import gguf, onnx, safetensors

DIGITS = Path(__file__).parents[3] / "models" / "digits" / "artifact" / "model.onnx"
TENSORS = safetensors({"a": ("F32", (2,))})


def folder(place: Path, **files: bytes) -> Path:
    """A folder with these files; `_dot_` stands for a dot."""
    for name, data in files.items():
        (place / name.replace("_dot_", ".")).write_bytes(data)
    return place


def bomb() -> bytes:
    """An archive that unpacks to much more than it is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", b"\0" * (50 << 20))
    return out.getvalue()


def test_a_model_is_completed(tmp_path: Path) -> None:
    """A graph gets a model.json that names it; one that is there stays; dot files are left out."""
    place = folder(tmp_path, net_dot_onnx=DIGITS.read_bytes(), labels_dot_txt=b"a\nb\n", _dot_git=b"x")
    found = read_folder(place)
    assert (found.main, sorted(found.files)) == ("net.onnx", ["labels.txt", "net.onnx"])
    about = msgspec.json.decode(completed(found, "classification")["model.json"])
    assert about == {"format": "onnx", "task": "classification", "file": "net.onnx"}
    own = b'{"format":"onnx","file":"net.onnx"}'
    (place / "model.json").write_bytes(own)
    assert completed(read_folder(place), "")["model.json"] == own


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a_dot_onnx": pickle.dumps([print])}, "pickle_refused"),
        ({"a_dot_txt": pickle.dumps([print])}, "pickle_refused"),
        ({"a_dot_onnx": bomb()}, "zip_bomb"),
        ({"a_dot_onnx": b""}, "empty_weights"),
        ({"a_dot_onnx": DIGITS.read_bytes()[:-9]}, "weights_truncated"),
        ({"a_dot_safetensors": TENSORS[:-1]}, "weights_truncated"),
        ({"a_dot_gguf": gguf({}, {"t": (0, (8,))})[:-1]}, "weights_truncated"),
        ({"a_dot_onnx": onnx("../secret")}, "external_data_outside"),
        ({"a_dot_onnx": onnx("beside.bin")}, "external_data_not_served"),
        ({"a_dot_onnx": DIGITS.read_bytes(), "b": DIGITS.read_bytes()}, "several_models"),
        ({"a_dot_onnx": DIGITS.read_bytes(), "b": TENSORS}, "several_models"),
        ({"a_dot_onnx": DIGITS.read_bytes(), "b": bytes(9)}, "not_weights_nor_text"),
        ({"a_dot_txt": b"words"}, "no_weights"),
        ({"a": TENSORS, "README_dot_md": b"---\nx: [\n---\n"}, "bad_card"),
    ],
)
def test_what_is_refused(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    """Each has a reason, a sentence and what to do."""
    with pytest.raises(InvalidInput) as refused:
        read_folder(folder(tmp_path, **files))
    assert refused.value.reason == reason
    assert refused.value.message
    assert refused.value.hint


def test_links_are_refused(tmp_path: Path) -> None:
    """To a file, to a folder, and a folder that is one itself."""
    real = tmp_path / "real"
    real.mkdir()
    folder(real, a=TENSORS)
    (real / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="link"):
        read_folder(real)
    (real / "link").unlink()
    (real / "there").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(InvalidInput, match="link"):
        read_folder(real)
    (tmp_path / "other").symlink_to(real, target_is_directory=True)
    with pytest.raises(InvalidInput, match="no folder"):
        read_folder(tmp_path / "other")


def test_a_written_card_is_read_again() -> None:
    """Its YAML is a card's; what a model calls its tensors cannot break its table."""
    rows = [("image|`\n", "float32", "any x 64")]
    readme = write_card(
        "me/x", {"license": "mit", "library_name": "onnx", "tags": []}, "Words.", {"Inputs": rows}
    )
    assert read_card(readme) == {"license": "mit", "library_name": "onnx"}
    assert "| `image???` | `float32` | `any x 64` |" in readme.decode()
