"""Settings are one frozen struct, read once, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.core.errors import InvalidInput
from hallmark.http.serve import Listen
from hallmark.settings import from_arguments, load


def test_a_file_is_read_strictly(tmp_path: Path) -> None:
    """Right members are read; unknown ones, wrong types and missing files say what is wrong."""
    path = tmp_path / "settings.json"
    path.write_text('{"port": 5}')
    assert load(path, Listen) == from_arguments(Listen, ["--config", str(path)]) == Listen(5)
    for text in ('{"port": "5"}', '{"port": 5, "prot": 6}', "{", "\xff"):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(InvalidInput) as caught:
            load(path, Listen)
        assert caught.value.reason == "bad_settings"
    with pytest.raises(InvalidInput):
        load(tmp_path / "none.json", Listen)
