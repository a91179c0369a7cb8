"""The models that ship: packed into artifacts, identified, and bound to labels."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hallmark.compose.home import Home
from hallmark.core.document import hex0x
from hallmark.core.documents import Manifest, ModelCard
from hallmark.core.errors import InvalidInput
from hallmark.hub.artifact import pack_artifact
from hallmark.hub.cache import BlobIdCache
from hallmark.hub.manifest import make_manifest

FIRST_VERSION = "1"


class Shipped(msgspec.Struct, frozen=True):
    """A model ready to be loaded: its manifest, and the file that holds its artifact. Its card, where this
    home publishes it.
    """

    card: ModelCard | None
    manifest: Manifest
    path: Path


class _ModelFile(msgspec.Struct, frozen=True):
    """The part of an artifact's model.json that card and manifest need."""

    task: str
    format: str


def models_root() -> Path:
    """The folder of shipped models in this checkout. Raises InvalidInput `no_models`."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "models" / "digits" / "artifact").is_dir():
            return folder / "models"
    raise InvalidInput(
        "no_models", "The shipped models are not beside this installation.", "Run from a checkout."
    )


def prepare_model(
    home: Home,
    folder: Path,
    label: str,
    owner: bytes,
    replaces: Manifest | None = None,
    *,
    published: ModelCard | None = None,
) -> Shipped:
    """Pack and identify the model in `folder`, which holds README.md and artifact/ with its model.json.

    Blob IDs are cached by SHA-256, because computing one takes seconds.
    `replaces` is the manifest that the label points to now; the same content keeps that manifest.
    `published` is the card that claimed the label: a label has one, whatever the README says later.
    """
    if not (folder / "artifact" / "model.json").is_file() or not (folder / "README.md").is_file():
        raise InvalidInput(
            "bad_model_folder",
            f"{folder} holds no model.",
            "A model's folder has a README.md and artifact/model.json beside its files.",
        )
    data = pack_artifact(folder / "artifact")
    path = home.file("artifacts", f"{label}.tar")
    if not path.exists() or path.read_bytes() != data:
        home.write(data, "artifacts", f"{label}.tar")
    identity = BlobIdCache(home.file("artifacts", "blob-ids.json")).identify(data)
    about = msgspec.json.decode((folder / "artifact" / "model.json").read_bytes(), type=_ModelFile)
    card = published or ModelCard(
        label, hex0x(owner), about.task, first_sentence((folder / "README.md").read_text())
    )
    if replaces is not None and replaces.sha256 == hex0x(identity.sha256):
        return Shipped(card, replaces, path)
    version = FIRST_VERSION if replaces is None else str(int(replaces.version) + 1)
    manifest = make_manifest(card, version, identity, replaces=replaces, format=about.format)
    return Shipped(card, manifest, path)


def kept_model(home: Home, stem: str) -> Shipped:
    """A model that was published, as this home fetched it. Raises InvalidInput `model_not_kept`."""
    try:
        manifest = Manifest.decode(home.file("artifacts", f"{stem}.manifest").read_bytes())
    except OSError as error:
        raise InvalidInput(
            "model_not_kept",
            f"The files of {stem} are not in artifacts/.",
            "Fetch it: hallmark node serve LABEL",
        ) from error
    return Shipped(None, manifest, home.file("artifacts", f"{stem}.tar"))


def first_sentence(readme: str) -> str:
    """What a model is, in a sentence: the first of its README's text, behind the card's YAML."""
    if readme.startswith("---\n"):
        readme = readme[4:].partition("\n---")[2]
    paragraphs = [part.strip() for part in readme.split("\n\n")]
    text = next((p for p in paragraphs if p and not p.startswith(("#", "|", "```", "---"))), "")
    return " ".join(text.split()).split(". ")[0].rstrip(".") + "."
