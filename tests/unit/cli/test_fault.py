"""`hallmark fault`: the table, evidence of two saved receipts, and its check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import sign_statement
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import CHAIN_ID, LittleNetwork

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "faults.json").read_text())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a trust file and two saved receipts of one node for one sequence number."""
    net = LittleNetwork()
    notary, node = Notary(net), net.nodes[0]
    first = notary.dossier(net.answer(node), None)
    other: Receipt = msgspec.structs.replace(first.opened(), tokens_out=77)
    signature = "0x" + sign_statement(other, CHAIN_ID, node.key).hex()
    second = msgspec.structs.replace(
        first, receipt=other.to_json(), signature=signature, id="0x" + other.digest().hex()
    )
    (tmp_path / "trust.toml").write_text(notary.trust().to_toml())
    (tmp_path / "first.json").write_bytes(first.encode())
    (tmp_path / "second.json").write_bytes(second.encode())
    return tmp_path


def test_two_saved_receipts_make_evidence_that_holds(home: Path) -> None:
    """Evidence is made of the files, and its check names F1 and the node."""
    made = _run(home, "make", str(home / "first.json"), str(home / "second.json"), "-o", str(home / "f"))
    assert "1273 bytes" in made
    said = json.loads(_run(home, "check", str(home / "f"), "--json"))
    assert said["fault"] == "F1"
    assert said["id"] in made
    assert said["culprit"] in _run(home, "check", str(home / "f"))
    (home / "hex").write_text("0x" + (home / "f").read_bytes().hex() + "\n")
    assert json.loads(_run(home, "check", str(home / "hex"), "--json")) == said
    (home / "hex").write_bytes(b"0x\xff")
    with pytest.raises(InvalidInput):
        _run(home, "check", str(home / "hex"))


def test_no_evidence_is_written_of_one_receipt(home: Path) -> None:
    """The same receipt twice shows nothing: the reason is said, and no file made."""
    one = str(home / "first.json")
    with pytest.raises(VerificationFailed) as failed:
        _run(home, "make", one, one, "-o", str(home / "f"))
    assert failed.value.reason == "fault_same_statement"
    assert not (home / "f").exists()


def test_a_file_that_is_no_evidence_is_refused(home: Path) -> None:
    """A saved receipt is no evidence."""
    with pytest.raises(InvalidInput) as failed:
        _run(home, "check", str(home / "first.json"))
    assert failed.value.reason == "bad_fault_evidence"


@pytest.mark.parametrize("form", ["two_receipts", "two_checkpoints", "receipt_and_bundle"])
def test_what_evidence_says_is_shown_unchecked(home: Path, form: str) -> None:
    """The statements of every form, field by field, without a trust file; nothing is called a fault."""
    for case in VECTORS["forms"][form]:
        (home / "f").write_text(case["evidence"])
        if case.get("reason") == "bad_document":
            continue
        said = json.loads(_run(home / "nowhere", "show", str(home / "f")))
        assert (said["form"], said["checked"], len(said["parts"])) == (form, False, 2)
        assert all(part["fields"]["network"] for part in said["parts"])
        assert "culprit" not in said


def test_the_list_says_that_nothing_is_taken(home: Path) -> None:
    """Nine rows, the statistical ones without a share, and the sentence that no stake is held."""
    text = _run(home, "list")
    assert "nothing is taken" in text.splitlines()[0]
    rows = json.loads(_run(home, "list", "--json"))
    assert [row["fault"] for row in rows] == [f"F{number}" for number in range(1, 10)]
    assert all(row["share_ppm"] == 0 for row in rows if row["statistical"])


def _run(home: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["--home", str(home), "fault", *words])
    if done.exception is not None:
        raise done.exception
    return done.output
