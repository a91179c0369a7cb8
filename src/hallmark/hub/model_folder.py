"""A folder with a model, as somebody wants to publish it: read, examined, and completed to an artifact.

It holds weights of one format, told by content (one ONNX graph, or any number of safetensors or GGUF files),
and texts beside them. Links, and whatever is neither, are refused; what begins with a dot is left out.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.hub.artifact import MAX_FILES
from hallmark.hub.card import read_card
from hallmark.hub.formats import Format, Weights
from hallmark.hub.openssf import PUBLIC_KEY, SIGNATURE
from hallmark.hub.revision import check_path
from hallmark.hub.weights import check_content, check_name

README: Final = "README.md"
MODEL: Final = "model.json"
FILES: Final = "files.json"
MOST_BYTES: Final = 2 << 30
MOST_TEXT: Final = 16 << 20


class ModelFolder(msgspec.Struct, frozen=True):
    """Every file by its path, but for the README; the format of the weights, the file that holds them (the
    first of several), and what their headers say.
    """

    files: dict[str, bytes]
    readme: bytes
    main: str
    weights: Weights


def read_folder(folder: Path) -> ModelFolder:
    """The model in a folder.

    Raises InvalidInput `not_a_folder`, `artifact_not_regular`, `no_weights`, `several_models`,
    `not_weights_nor_text`, `external_data_not_served`, TooLarge `model_too_large`, and what `check_name`,
    `check_content`, `check_path` and `read_card` raise.
    """
    files = read_files(folder)
    for made in (FILES, PUBLIC_KEY, SIGNATURE):  # by an earlier publication
        files.pop(made, None)
    readme = files.pop(README, b"")
    read_card(readme)
    found: dict[str, Weights] = {}
    for name, data in files.items():
        check_name(check_path(name), len(data))
        weights = check_content(io.BytesIO(data), len(data))
        if weights is not None:
            found[name] = weights
        elif not _is_text(data):
            raise InvalidInput(
                "not_weights_nor_text",
                f"{name} is neither ONNX, safetensors, GGUF nor text.",
                "Take it out of the folder, or save its content as one of these.",
            )
    return ModelFolder(files, readme, *_main(found))


def completed(model: ModelFolder, task: str) -> dict[str, bytes]:
    """The files with a model.json, which says what an engine needs; one that is there stays."""
    if MODEL in model.files:
        return dict(model.files)
    about = {"format": str(model.weights.format), "task": task, "file": model.main}
    return {**model.files, MODEL: msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n"}


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path, but for what begins with a dot.

    Raises InvalidInput `not_a_folder`, `artifact_not_regular`, TooLarge `model_too_large`.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise InvalidInput("not_a_folder", f"{folder} is no folder.", "Name the folder with the model.")
    files, left = dict[str, bytes](), MOST_BYTES
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InvalidInput(
                "artifact_not_regular",
                f"{name} is a link, or no regular file: what it points to would not be bound.",
                "Put the file itself there.",
            )
        if path.is_file():
            left -= path.stat().st_size
            if left < 0 or len(files) == MAX_FILES:
                raise TooLarge(
                    "model_too_large",
                    f"A model has at most {MAX_FILES} files and {MOST_BYTES >> 30} GiB here.",
                    "Upload it with hf, which sends files one by one.",
                )
            files[name.as_posix()] = path.read_bytes()
    return files


def _main(found: dict[str, Weights]) -> tuple[str, Weights]:
    if not found:
        raise InvalidInput(
            "no_weights", "The folder holds no ONNX, safetensors or GGUF file.", "Is it the right folder?"
        )
    formats = {weights.format for weights in found.values()}
    name, weights = next(iter(found.items()))
    if len(formats) > 1 or (weights.format is Format.ONNX and len(found) > 1):
        raise InvalidInput(
            "several_models",
            f"The folder holds several models: {', '.join(sorted(found))[:200]}.",
            "Publish each from a folder of its own.",
        )
    if weights.external:
        raise InvalidInput(
            "external_data_not_served",
            f"{name} keeps its values in {weights.external[0][:100]}; nodes load a graph from one file.",
            "Save it as one file: onnx.save_model(model, path, save_as_external_data=False).",
        )
    return name, weights


def _is_text(data: bytes) -> bool:
    if len(data) > MOST_TEXT or b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
