"""`hallmark storage-node`: keys and committees."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hallmark.apps.cli.main import cli
from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError
from hallmark.crypto import bls
from hallmark.hub.committee import read_committee


def run(*arguments: str) -> Result:
    """The command's result."""
    return CliRunner().invoke(cli, ["storage-node", *arguments])


def described(folder: Path, name: str) -> Path:
    """A node's description, as `key` printed it."""
    made = run("key", str(folder / f"{name}.key"), "--name", name, "--url", f"http://127.0.0.1/{name}")
    assert made.exit_code == 0
    path = folder / f"{name}.json"
    path.write_text(made.output)
    return path


def test_keys_make_a_committee(tmp_path: Path) -> None:
    """Three keys, their descriptions, one committee that every node can read; secrets are nobody else's."""
    files = [described(tmp_path, name) for name in ("a", "b", "c")]
    target = tmp_path / "committee.json"
    made = run("committee", *map(str, files), "--epoch", "4", "-o", str(target))
    assert made.exit_code == 0
    assert "quorum 667" in made.output
    committee = read_committee(target.read_bytes())
    assert (committee.epoch, [node.weight for node in committee.nodes]) == (4, [333, 333, 334])
    secret = tmp_path / "a.key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert bls.public_key(unhex(secret.read_text().strip())) == committee.nodes[0].key_bytes
    assert unhex(secret.read_text().strip()).hex() not in target.read_text()


def test_bad_input_has_reasons(tmp_path: Path) -> None:
    """A key that is there, a file that describes nothing, one node twice, no settings."""
    file = described(tmp_path, "a")
    before = (tmp_path / "a.key").read_text()
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    for arguments, reason in (
        (("key", str(tmp_path / "a.key"), "--name", "a", "--url", "http://x"), "key_file_exists"),
        (("committee", str(wrong), "-o", str(tmp_path / "c")), "bad_node_description"),
        (("committee", str(file), str(file), "-o", str(tmp_path / "c")), "bad_committee"),
        ((), "bad_settings"),
        (("--config", str(tmp_path / "missing")), "bad_settings"),
    ):
        error = run(*arguments).exception
        assert isinstance(error, HallmarkError)
        assert error.reason == reason
    assert (tmp_path / "a.key").read_text() == before
    assert not (tmp_path / "c").exists()
    with pytest.raises(HallmarkError):
        read_committee(wrong.read_bytes())
