"""Faults from bytes: what shows one, what does not, and what each costs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from hallmark.core.document import unhex
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.crypto.secp256k1 import HALF_ORDER, Key, sign_statement
from hallmark.faults.checks import CHECKS, Terms, check, verify_fault
from hallmark.faults.evidence import Evidence, Form, decode, signed
from hallmark.faults.sanctions import SANCTIONS, Number
from hallmark.testing.log_entries import CHAIN_ID, receipt

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "faults.json").read_text())
TERMS = Terms(unhex(VECTORS["terms"]["network"]), VECTORS["terms"]["chain_id"])
CASES = [(form, case) for form, cases in VECTORS["forms"].items() for case in cases]
NODE = Key(bytes([1]) * 32)


def _make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_fault_vectors", FOLDER / "faults.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _part(salt: int, sequence: int = 3) -> bytes:
    made = receipt(TERMS.network, NODE.address, sequence, bytes(32), salt)
    return signed(made, sign_statement(made, CHAIN_ID, NODE))


def _pair(first: int, second: int) -> bytes:
    return Evidence(Form.TWO_RECEIPTS, _part(first), _part(second)).encode()


def test_vectors_are_what_the_script_writes() -> None:
    """The file is the script's, with a valid and three invalid vectors at least for each form."""
    assert (FOLDER / "faults.json").read_text() == _make().text()
    assert set(VECTORS["forms"]) == {form.name.lower() for form in Form}
    for cases in VECTORS["forms"].values():
        assert "fault" in cases[0]
        assert sum("reason" in case for case in cases) >= 3


@pytest.mark.parametrize(("form", "case"), CASES, ids=lambda value: str(value)[:40])
def test_evidence_says_what_its_vector_says(form: str, case: dict[str, str]) -> None:
    """A fault with its culprit and id, or the reason why there is none."""
    data = unhex(case["evidence"])
    assert decode(data).form.name.lower() == form
    if "fault" in case:
        found = verify_fault(data, TERMS)
        assert found == check(data, TERMS)
        said = (f"F{found.number.value}", "0x" + found.culprit.hex(), "0x" + found.id.hex())
        assert said == (case["fault"], case["culprit"], case["id"])
        return
    with pytest.raises((InvalidInput, VerificationFailed)) as failed:
        verify_fault(data, TERMS)
    assert failed.value.reason == case["reason"]
    if isinstance(failed.value, VerificationFailed):
        assert check(data, TERMS) is None


def test_no_fault_counts_for_another_network_or_chain() -> None:
    """Evidence of one deployment shows nothing in another."""
    for _, case in CASES:
        if "fault" in case:
            data = unhex(case["evidence"])
            assert check(data, Terms(bytes(32), TERMS.chain_id)) is None
            if "checkpoint" not in decode(data).form.name.lower():
                assert check(data, Terms(TERMS.network, TERMS.chain_id + 1)) is None


def test_checkpoints_signed_for_another_chain_name_no_key_that_signed() -> None:
    """With another domain the signatures recover to two strangers, not to one culprit."""
    data = unhex(VECTORS["forms"]["two_checkpoints"][0]["evidence"])
    with pytest.raises(VerificationFailed) as failed:
        verify_fault(data, Terms(TERMS.network, TERMS.chain_id + 1))
    assert failed.value.reason == "fault_signers_differ"


def test_one_place_is_one_fault() -> None:
    """Three receipts for one place make three pairs in two orders each, and one id; another place another."""
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    assert len({verify_fault(_pair(a, b), TERMS).id for a, b in pairs}) == 1
    other = Evidence(Form.TWO_RECEIPTS, _part(0, 4), _part(1, 4)).encode()
    assert verify_fault(other, TERMS).id != verify_fault(_pair(0, 1), TERMS).id


def test_a_signature_in_the_upper_half_is_refused() -> None:
    """The other signature that a key's signature gives (EIP-2) makes no second evidence."""
    order = 2 * HALF_ORDER + 1
    part = _part(1)
    s = order - int.from_bytes(part[-33:-1], "big")
    malleable = part[:-33] + s.to_bytes(32, "big") + bytes((55 - part[-1],))
    with pytest.raises(VerificationFailed) as failed:
        verify_fault(Evidence(Form.TWO_RECEIPTS, _part(0), malleable).encode(), TERMS)
    assert failed.value.reason == "bad_signature"


def test_what_is_no_evidence_is_refused_and_never_breaks() -> None:
    """Every shortened, lengthened and changed byte string gives a reason of the error tree or no fault."""
    data = unhex(VECTORS["forms"]["receipt_and_bundle"][0]["evidence"])
    honest = verify_fault(data, TERMS).id
    broken = [data[:size] for size in range(len(data))] + [data + b"\0", b"\0" * 65_528]
    for bad in broken:
        with pytest.raises(InvalidInput):
            verify_fault(bad, TERMS)
    for at in range(0, len(data), 3):
        changed = data[:at] + bytes((data[at] ^ 0x41,)) + data[at + 1 :]
        try:
            found = check(changed, TERMS)
        except HallmarkError as error:
            assert isinstance(error, InvalidInput)  # noqa: PT017 - either outcome is right
            continue
        assert found is None or found.id != honest


def test_sanctions_name_every_fault_and_statistics_cost_nothing() -> None:
    """F1 to F9 stand once each; F5 and F9 have no share; shares are within what they are taken of."""
    assert [row.number for row in SANCTIONS.values()] == list(Number)
    assert {row.number for row in SANCTIONS.values() if row.statistical} == {
        Number.WRONG_MODEL,
        Number.DOWNTIME,
    }
    for row in SANCTIONS.values():
        assert row.share == 0 or not row.statistical
        assert row.share <= (1_000_000 if row.basis.value == "exposure" else 3_000_000)


def test_the_table_says_provable_of_what_a_check_shows_and_of_nothing_else() -> None:
    """`provable` is what the vectors show, every form has a check, and the page says the same."""
    shown = {case["fault"] for _, case in CASES if "fault" in case}
    assert {f"F{row.number.value}" for row in SANCTIONS.values() if row.provable} == shown
    assert set(CHECKS) == set(Form)
    page = (ROOT / "docs" / "faults.md").read_text()
    for row in SANCTIONS.values():
        (line,) = [x for x in page.splitlines() if x.startswith(f"| F{row.number.value} |")]
        assert row.what in line
        assert line.endswith("| yes |") == row.provable


def test_evidence_cannot_be_changed() -> None:
    """What was read is frozen, as all data are."""
    evidence = decode(_pair(0, 1))
    with pytest.raises(AttributeError):
        evidence.first = b""  # type: ignore[misc]  # that is what is tried
    assert msgspec.structs.asdict(evidence)["form"] is Form.TWO_RECEIPTS
