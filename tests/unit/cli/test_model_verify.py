"""`hallmark model verify` on a folder alone: what it says, and what it does not let anybody believe."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.hub.openssf import PUBLIC_KEY, SIGNATURE, sign_files, signing_key

WARNING = "anybody may have made both"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of one file, signed by a key that lies beside it."""
    key, found = signing_key(b"\5" * 32), tmp_path / "model"
    found.mkdir()
    files = {"weights.txt": b"1 2 3", PUBLIC_KEY: key.public_pem}
    signature = sign_files(key, "model", {name: sha256(data) for name, data in files.items()})
    for name, data in {**files, SIGNATURE: signature}.items():
        (found / name).write_bytes(data)
    return found


def test_a_key_beside_its_files_vouches_for_nobody(folder: Path, tmp_path: Path) -> None:
    """That is said, unless the key came from elsewhere; nothing is said of a label that nobody named."""
    done = CliRunner().invoke(cli, ["model", "verify", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "signed: 2 files, by key" in done.output
    assert WARNING in " ".join(done.output.split())
    assert "in the log" not in done.output
    own = tmp_path / "known.pem"
    own.write_bytes((folder / PUBLIC_KEY).read_bytes())
    told = CliRunner().invoke(cli, ["model", "verify", str(folder), "--public-key", str(own)])
    assert WARNING not in " ".join(told.output.split())


def test_another_key_is_not_the_signer(folder: Path, tmp_path: Path) -> None:
    """However well the one beside the files fits."""
    other = tmp_path / "other.pem"
    other.write_bytes(signing_key(b"\6" * 32).public_pem)
    done = CliRunner().invoke(cli, ["model", "verify", str(folder), "--public-key", str(other)])
    assert isinstance(done.exception, VerificationFailed)
    assert done.exception.reason == "model_signature_invalid"
