"""The commands of docs/log.md, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hallmark.core.entries import leaf
from hallmark.ledger.note import Note
from hallmark.testing.lying_log import LyingLog, witness_key

DOC = Path(__file__).resolve().parents[2] / "docs" / "log.md"
NOW = 1_700_000_000_000
ADMITTED = 1_699_999_999_123
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def script() -> str:
    """The one bash block of the document."""
    for tool in ("bash", "openssl", "sha256sum"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    (block,) = re.findall(r"```bash\n(.*?)```", DOC.read_text(), re.DOTALL)
    return str(block)


def write(folder: Path, count: int, index: int) -> None:
    """A proof of one entry, cosigned by three, as files."""
    entries = [f"entry {n}".encode() for n in range(count)]
    log = LyingLog([leaf(ADMITTED, entry) for entry in entries])
    note = log.checkpoint()
    lines = [witness_key(name).cosign(note.text, NOW) for name in ("w0", "w1", "w2")]
    (folder / "proof.txt").write_bytes(log.proof(index, Note(note.text, (*note.signatures, *lines))))
    (folder / "entry.bin").write_bytes(entries[index])


def run(
    script: str, folder: Path, witness: str = "w1", admitted: int = ADMITTED
) -> subprocess.CompletedProcess[str]:
    """Run the commands in a folder."""
    environment = {"PATH": "/usr/bin:/bin", "admitted": str(admitted), "vkey": witness_key(witness).vkey}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    ("count", "index"), [(1, 0), (2, 1), (7, 6), (7, 3), (300, 256), (300, 299), (513, 0)]
)
def test_a_proof_is_verified_by_hand(script: str, tmp_path: Path, count: int, index: int) -> None:
    """The commands accept a valid proof and say who saw it when."""
    write(tmp_path, count, index)
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"the entry is number {index} of {count}" in done.stdout
    assert "w1 saw it by 2023-11-14T22:13:20Z" in done.stdout


def test_a_changed_entry_fails_by_hand(script: str, tmp_path: Path) -> None:
    """One changed byte of the entry, its time, or the checkpoint, or another witness's key, and they fail."""
    write(tmp_path, 300, 77)
    assert run(script, tmp_path, admitted=ADMITTED + 1).returncode != 0
    assert run(script, tmp_path, witness="w3").returncode != 0
    proof = (tmp_path / "proof.txt").read_bytes()
    (tmp_path / "entry.bin").write_bytes(b"entry 78")
    assert run(script, tmp_path).returncode != 0
    write(tmp_path, 300, 77)
    (tmp_path / "proof.txt").write_bytes(proof.replace(b"\n300\n", b"\n301\n"))
    assert run(script, tmp_path).returncode != 0
    (tmp_path / "proof.txt").write_bytes(proof)
    assert run(script, tmp_path).returncode == 0
