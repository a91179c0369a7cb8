"""A stranger's program checks a saved receipt, importing nothing of ours."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.attestation import verify
from hallmark.core.policy import Outcome
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier
from hallmark.verification.trust import Trust

pytestmark = pytest.mark.integration
EXAMPLE = Path(__file__).parents[2] / "examples" / "verify_receipt.py"


@pytest.fixture(scope="module")
def saved() -> tuple[Dossier, Trust, int]:
    """A saved receipt with evidence of the emulated module, its trust file, and the time."""
    net = DevelopmentNetwork()
    for number in range(5):
        answer = net.answer(net.nodes[number % 2])
        index = net.add(answer.entry)
    notary = Notary(net)
    return notary.dossier(answer, index), net.trust(notary), net.now


def _run(folder: Path, dossier: bytes, trust: str) -> subprocess.CompletedProcess[str]:
    (folder / "r.json").write_bytes(dossier)
    (folder / "trust.toml").write_text(trust)
    command = [sys.executable, "-I", str(EXAMPLE), str(folder / "r.json"), str(folder / "trust.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_example_is_short_and_imports_nothing_of_ours() -> None:
    """150 lines at most, and no import of Hallmark."""
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) <= 150
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not any(str(name).startswith("hallmark") for name in imported)


def test_a_valid_receipt_passes(saved: tuple[Dossier, Trust, int], tmp_path: Path) -> None:
    """The example and our own verifier agree that it holds, and the example says SIMULATED."""
    dossier, trust, now = saved
    verified = verify_dossier(dossier, trust, now, verify_evidence=verify, verify_proof=proof_verifier(trust))
    assert verified.decide("witnessed").outcome is Outcome.CLEAR
    done = _run(tmp_path, dossier.encode(), trust.to_toml())
    assert done.returncode == 0, done.stderr
    assert "SIMULATED" in done.stdout
    assert "4 full nodes" in done.stdout


def _flip(text: str, at: int) -> str:
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def _at(data: dict[str, Any], path: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    *parents, last = path.split(".")
    inner = data
    for name in parents:
        inner = inner[name]
    inner[last] = change(inner[last])
    return data


CHANGES: dict[str, Callable[[Any], Any]] = {
    "receipt.sequence": lambda v: v + 1,
    "receipt.artifact": lambda v: _flip(v, 9),
    "signature": lambda v: _flip(v, 30),
    "id": lambda v: _flip(v, 30),
    "chain_id": lambda v: v + 1,
    "network": lambda v: _flip(v, 30),
    "request.body": lambda v: v + " ",
    "response.body": lambda v: v.replace("Seven", "Eight"),
    "salts.request": lambda v: _flip(v, 30),
    "documents.bundle": lambda v: v.replace("127.0.0.1", "127.0.0.2"),
    "documents.configuration": lambda v: v.replace("127.0.0.1", "127.0.0.2"),
    "documents.manifest": lambda v: v.replace('"version":"1"', '"version":"2"'),
    "documents.route": lambda v: v.replace("plain", "sealed"),
    "documents.candidates": lambda v: v.replace("at_capacity", "at_capacitz"),
    "ticket": lambda v: _flip(v, 300),
    "evidence": lambda v: v[:500] + ("A" if v[500] != "A" else "B") + v[501:],
    "entry.index": lambda v: v + 1,
    "entry.admitted": lambda v: v + 1,
    "entry.proof": lambda v: v.replace("index ", "index 1"),
    "registration.admitted": lambda v: v + 1,
    "insecure": lambda v: ["seccomp"],
}


@pytest.mark.parametrize("path", CHANGES)
def test_a_changed_receipt_does_not_pass(
    path: str, saved: tuple[Dossier, Trust, int], tmp_path: Path
) -> None:
    """Whatever is changed in the file, the example stops at it."""
    dossier, trust, _ = saved
    data = msgspec.json.decode(dossier.encode())
    changed = msgspec.json.encode(_at(data, path, CHANGES[path]))
    assert changed != msgspec.json.encode(msgspec.json.decode(dossier.encode()))
    assert _run(tmp_path, changed, trust.to_toml()).returncode != 0


def test_a_member_that_is_named_twice_does_not_pass(
    saved: tuple[Dossier, Trust, int], tmp_path: Path
) -> None:
    """A file that readers may take in two ways is no receipt, whichever of the two would hold."""
    dossier, trust, _ = saved
    data = msgspec.json.encode(dossier)
    for name in (b'"id":', b'"tokensIn":', b'"bundle":', b'"proof":'):
        done = _run(tmp_path, data.replace(name, name + b"null," + name, 1), trust.to_toml())
        assert "every member stands once" in done.stderr


TRUSTS: dict[str, Callable[[str], str]] = {
    "another root": lambda t: t.replace('"nitro-dev" = ["0x', '"nitro-dev" = ["0x00', 1),
    "another image": lambda t: t.replace('PCR0 = "0x', 'PCR0 = "0x00', 1),
    "another log": lambda t: t.replace('origin = "hallmark.test/log"', 'origin = "other.test/log"', 1),
    "a larger quorum": lambda t: t.replace("group full-nodes 3", "group full-nodes 5", 1),
    "older evidence refused": lambda t: t.replace("max_age = 7200000", "max_age = -1", 1),
}


@pytest.mark.parametrize("name", TRUSTS)
def test_another_trust_file_does_not_pass(
    name: str, saved: tuple[Dossier, Trust, int], tmp_path: Path
) -> None:
    """A stranger who trusts another root, image, log or quorum does not get a pass."""
    dossier, trust, _ = saved
    text = trust.to_toml().replace("nitro-dev = [", '"nitro-dev" = [')
    changed = TRUSTS[name](text)
    assert changed != text
    assert _run(tmp_path, dossier.encode(), changed).returncode != 0


def test_no_character_of_a_saved_receipt_is_inert() -> None:
    """Changing any single character of a saved receipt, wherever it stands, makes the policy unmet."""
    import functools

    from hallmark.core.errors import HallmarkError
    from hallmark.testing.network import LittleNetwork
    from hallmark.testing.stub_evidence import verify_stub_evidence

    net = LittleNetwork()
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    notary = Notary(net)
    trust = notary.trust()
    data = msgspec.json.encode(notary.dossier(answer, index))
    verify_proof = functools.cache(proof_verifier(trust))

    def meets(changed: bytes) -> bool:
        try:
            dossier = Dossier.parse(changed)
        except HallmarkError:
            return False
        verified = verify_dossier(
            dossier, trust, net.now, verify_evidence=verify_stub_evidence, verify_proof=verify_proof
        )
        return verified.decide("witnessed").outcome is Outcome.CLEAR

    assert meets(data)
    inert = []
    for at in range(len(data)):
        other = data[at : at + 1].swapcase() if at % 2 else bytes((data[at] ^ 1,))
        if other == data[at : at + 1]:
            other = bytes((data[at] ^ 1,))
        if meets(data[:at] + other + data[at + 1 :]):
            inert.append((at, data[max(0, at - 40) : at + 10]))
    assert inert == []
