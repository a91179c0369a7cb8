"""Hugging Face's own tools against the hub: down and up, unmodified, but for the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hallmark.testing.blob_stores import blob_store
from hallmark.testing.stock_huggingface import huggingface

pytestmark = pytest.mark.integration


def check(found: dict[str, Any]) -> None:
    """What the script must have found."""
    assert found["listed"] == ["me/tiny"]
    assert found["license"] == "mit"
    assert {"README.md", "config.json", "tokenizer.json", "docs/notes.txt"} <= set(found["files"])
    assert found["files"]["weights/model.safetensors"] == 5 << 20
    assert "docs/notes.txt" not in found["now"]
    assert found["commits"][-2:] == ["All of it", "initial commit"]
    assert (found["hidden_size"], found["tokens"], found["range"]) == (48, [1, 2, 0], True)
    for name, code in (("file", "repository_file_not_found"), ("revision", "revision_not_found"),
                       ("pickle", "pickle_refused"), ("card", "bad_card"),
                       ("namespace", "not_your_namespace")):  # fmt: skip
        assert code in found["refused"][name]


async def test_down_and_up_with_large_files_over_lfs(tmp_path: Path) -> None:
    """`huggingface_hub`, `hf`, `HfFileSystem` and `transformers` with `HF_HUB_DISABLE_XET`."""
    async with blob_store(tmp_path / "store") as store:
        check(await huggingface("client.py", store.url, tmp_path, "me", HF_HUB_DISABLE_XET="1"))
