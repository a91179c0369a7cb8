"""The blob IDs that come with the shipped models."""

from __future__ import annotations

from hallmark.compose.models import models_root
from hallmark.core.hashing import sha256
from hallmark.hub.cache import read_blob_ids
from hallmark.hub.card import read_card, summary
from hallmark.hub.walrus import blob_id
from hallmark.testing.model_blob_ids import shipped_files


def test_every_file_of_the_shipped_models_has_its_id() -> None:
    """`models/blob-ids.json` knows each; one of them is computed again here."""
    known = read_blob_ids(models_root() / "blob-ids.json")
    files = {sha256(path.read_bytes()): path for path in shipped_files()}
    told = "Run python -m hallmark.testing.model_blob_ids: a file of a shipped model changed."
    assert files.keys() <= known.keys(), told
    digest, smallest = min(files.items(), key=lambda pair: pair[1].stat().st_size)
    assert known[digest] == blob_id(smallest.read_bytes())


def test_every_card_of_the_shipped_models_names_its_licence() -> None:
    """So that the hub and the search show it: pydoc's is two, as its weights hold text of CPython's."""
    cards = [path for path in shipped_files() if path.name == "README.md"]
    named = {path.parent.name: read_card(path.read_bytes()) for path in cards}
    assert {name: card["license"] for name, card in named.items()} == {
        "breast-cancer": "apache-2.0",
        "digits": "apache-2.0",
        "pydoc": "other",
        "shapes": "apache-2.0",
    }
    assert named["pydoc"]["license_name"] == "Apache-2.0 AND PSF-2.0"
    assert all(f"license:{card['license']}" in summary(card)["tags"] for card in named.values())
