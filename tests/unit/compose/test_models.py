"""Models of a home: their label's card stays what it was published as."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hallmark.compose.home import Home
from hallmark.compose.models import models_root, prepare_model
from hallmark.hub.walrus import blob_id


def test_a_changed_readme_leaves_the_published_card_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version names the card that claimed the label, or the full nodes would reject it."""
    # Of ten shards in place of a thousand, which take seconds.
    monkeypatch.setattr("hallmark.hub.cache.blob_id", lambda data: blob_id(data, 10))
    shutil.copytree(models_root() / "digits", tmp_path / "digits")
    home, owner = Home(tmp_path / "home"), bytes(20)
    first = prepare_model(home, tmp_path / "digits", "digits", owner)
    (tmp_path / "digits" / "README.md").write_text("# digits\n\nSomething else altogether.\n")
    with (tmp_path / "digits" / "artifact" / "model.json").open("a") as file:
        file.write("\n")
    second = prepare_model(home, tmp_path / "digits", "digits", owner, first.manifest, published=first.card)
    assert second.manifest.sha256 != first.manifest.sha256
    assert second.manifest.version == "2"
    assert second.manifest.card == first.manifest.card
    assert (
        prepare_model(home, tmp_path / "digits", "digits", owner, first.manifest).manifest.card
        != first.manifest.card
    )
