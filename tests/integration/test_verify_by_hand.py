"""A stranger's program checks a saved receipt, importing nothing of ours."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fpdf import FPDF

from hallmark.attestation import verify
from hallmark.core.answer import DONE, hallmark_event, join_hallmark
from hallmark.core.document import hex0x
from hallmark.core.policy import Outcome
from hallmark.core.receipt import Mode, request_digest, response_digest
from hallmark.services.gateway.paths import ANSWERS, EDITS
from hallmark.testing.answers import Answer
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.payments import free_answer, offer, paid_answer
from hallmark.verification.dossier import Dossier, Salts
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
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_the_example_is_short_and_imports_nothing_of_ours() -> None:
    """275 lines at most, and no import of Hallmark."""
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) <= 275
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not any(str(name).startswith("hallmark") for name in imported)


def test_it_tries_every_path_whose_body_is_text() -> None:
    """So that an answer as it came is found, wherever it was asked for."""
    assert set(example().PATHS) == ANSWERS - {EDITS}


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


@pytest.mark.parametrize("answered", [paid_answer, free_answer])
def test_a_payment_record_belongs_to_its_receipt(answered: Callable[..., Answer], tmp_path: Path) -> None:
    """Paid or served for nothing: record and authorization are the logged ones, byte for byte."""
    net = DevelopmentNetwork()
    answer = answered(net, offer(net))
    notary, index = Notary(net), net.add(answer.entry)
    dossier, trust = notary.dossier(answer, index), net.trust(notary).to_toml()
    done = _run(tmp_path, dossier.encode(), trust)
    assert done.returncode == 0, done.stdout + done.stderr
    record = msgspec.structs.replace(dossier.documents, payment=(dossier.documents.payment or "") + " ")
    for changed in (
        msgspec.structs.replace(dossier, documents=record),
        msgspec.structs.replace(dossier, documents=msgspec.structs.replace(record, payment=None)),
        msgspec.structs.replace(dossier, payment_authorization="bW9yZQ=="),
    ):
        assert _run(tmp_path, changed.encode(), trust).returncode != 0


@pytest.mark.parametrize(
    ("form", "applied", "said"),
    [
        ("integer-exact", {"trace_root": "0x" + "07" * 32, "trace_leaves": 7}, ""),
        ("integer-exact", {}, "the parameters name a trace"),
        ("onnx", {"trace_root": "0x" + "07" * 32, "trace_leaves": 7}, "the manifest allows the mode"),
    ],
)
def test_a_replay_receipt_passes_where_its_documents_allow_the_mode(
    form: str, applied: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """On a node in an enclave, whose bundle has the mode tee; anything else is named."""
    net = DevelopmentNetwork(found=False)
    net.manifest = msgspec.structs.replace(net.manifest, format=form)
    net.found()
    answer = net.answer(net.nodes[0], mode=Mode.REPLAY, applied=applied)
    notary, index = Notary(net), net.add(answer.entry)
    done = _run(tmp_path, notary.dossier(answer, index).encode(), net.trust(notary).to_toml())
    assert (done.returncode == 0) is (not said), done.stdout + done.stderr
    assert said in done.stderr


def test_a_mode_that_is_not_the_nodes_does_not_pass(tmp_path: Path) -> None:
    """A node in an enclave signs nothing as vanilla or zkml."""
    net = DevelopmentNetwork()
    for mode in (Mode.VANILLA, Mode.ZKML):
        answer = net.answer(net.nodes[0], mode=mode)
        notary, index = Notary(net), net.add(answer.entry)
        done = _run(tmp_path, notary.dossier(answer, index).encode(), net.trust(notary).to_toml())
        assert done.returncode == 1
        assert "what confines the node allows" in done.stderr


def test_a_member_that_is_named_twice_does_not_pass(
    saved: tuple[Dossier, Trust, int], tmp_path: Path
) -> None:
    """A file that readers may take in two ways is no receipt, whichever of the two would hold."""
    dossier, trust, _ = saved
    data = msgspec.json.encode(dossier)
    for name in (b'"id":', b'"tokensIn":', b'"bundle":', b'"proof":'):
        done = _run(tmp_path, data.replace(name, name + b"null," + name, 1), trust.to_toml())
        assert "every member stands once" in done.stderr


def example() -> Any:
    """The example as a module, for tests that run it often."""
    spec = importlib.util.spec_from_file_location("verify_receipt", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, **files: bytes | str) -> list[str]:
    """Files by name, and their paths."""
    for name, data in files.items():
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return [str(folder / name) for name in files]


def public(dossier: Dossier) -> Dossier:
    """What a lookup and the explorer have of a receipt."""
    owners = msgspec.structs.replace(dossier.documents, parameters=None, inputs=())
    return msgspec.structs.replace(dossier, salts=Salts(), request=None, response=None, documents=owners)


def pdf_of(dossier: bytes) -> bytes:
    """A PDF with the receipt attached, as the explorer's is made."""
    filed = FPDF()
    filed.add_page()
    filed.embed_file(bytes=dossier, basename="r.hallmark.json", mime_type="application/json")
    return bytes(filed.output())


def test_every_file_that_is_handed_out_is_read(
    saved: tuple[Dossier, Trust, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A saved receipt, a public one, one without proofs, a gateway's reply, a PDF: what is there is checked,
    what is not is named, and only the complete one ends with 0.
    """
    dossier, trust, _ = saved
    main, known = example().main, trust.to_toml()
    bare = msgspec.structs.replace(dossier, entry=None, registration=None, version=None, evidence=None)
    told = msgspec.to_builtins(public(dossier)) | {"stage": "logged", "reason": "", "marks": {}, "status": []}
    owners = ("the request, to be compared", "the answer, to be compared", "the parameters document")
    unproved = ("the proof that the receipt stands in the log", "the node's registration in the log")
    cases: tuple[tuple[bytes, int, tuple[str, ...]], ...] = (
        (dossier.encode(), 0, ()),
        (msgspec.json.encode(dossier), 0, ()),
        (public(dossier).encode(), 3, owners),
        (msgspec.json.encode(told), 3, owners),
        (pdf_of(dossier.encode()), 0, ()),
        (pdf_of(public(dossier).encode()), 3, owners),
        (bare.encode(), 3, unproved),
    )
    for data, code, missing in cases:
        assert main(written(tmp_path, file=data, trust=known)) == code
        shown = capsys.readouterr()
        assert {line[17:] for line in shown.out.splitlines() if line.startswith("not in the file: ")} == {
            *missing
        }
        assert shown.err == ""
    assert ("NOT SHOWN" in shown.out, "checked by" in shown.out) == (True, False)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_checked_with_its_request_beside_it(
    saved: tuple[Dossier, Trust, int], tmp_path: Path, capsys: pytest.CaptureFixture[str], *, stream: bool
) -> None:
    """An answer as it came: signature, exact bytes, documents; the proof is said to be missing, and another
    request or a changed answer does not hold.
    """
    net = DevelopmentNetwork()
    body = '{"id":"chatcmpl-1","choices":[{"text":"Seven"}]}'
    content = f"data: {body}\n\n" if stream else body
    salt, request = bytes(31) + b"\2", b'{"model":"digits"}'
    changes = {
        "request": request_digest(salt, "/v1/completions", request),
        "response": response_digest(salt, content.encode()),
    }
    answer = net.answer(net.nodes[0], **changes)
    notary = Notary(net)
    dossier = notary.dossier(answer, net.add(answer.entry))
    hallmark = msgspec.to_builtins(dossier) | {"salts": {"request": hex0x(salt), "response": hex0x(salt)}}
    for name in ("format", "entry", "registration", "version", "request", "response", "reviews", "anchor"):
        hallmark.pop(name)
    raw = msgspec.json.encode(hallmark)
    came = (
        content.encode() + hallmark_event(b'{"id":"chatcmpl-1","choices":[]}', raw) + DONE
        if stream
        else join_hallmark(content.encode(), raw)
    )
    main, trust = example().main, net.trust(notary).to_toml()

    def ended(answered: bytes, *asked: bytes) -> int:
        files = {"answer": answered, "trust": trust, **({"request": asked[0]} if asked else {})}
        code: int = main(written(tmp_path, **files))
        return code

    assert ended(came, request) == 3
    shown = capsys.readouterr().out
    assert "the proof that the receipt stands in the log" in shown
    assert "to be compared" not in shown
    assert ended(came) == 3
    assert "not in the file: the request, to be compared" in capsys.readouterr().out
    assert ended(came, request + b" ") == 1
    assert "the request is the one that was signed" in capsys.readouterr().err
    assert ended(came.replace(b"Seven", b"Eight"), request) == 1
    assert "the answer is the one that was signed" in capsys.readouterr().err


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Changed files: bytes, cuts, members that lose their value, get another type, or go."""
    chance = random.Random(seed)
    values: tuple[Any, ...] = (None, 0, -1, 2**70, "", "0x", "x", [], {}, True, 1.5, [[]], "\ud800")
    for number in range(count):
        if number % 3 == 0:
            at = chance.randrange(len(data))
            yield data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif number % 30 == 1:
            yield data[: chance.randrange(len(data))]
        else:
            value = msgspec.json.decode(data)
            inner = value
            while True:
                keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
                key = chance.choice(keys)
                if isinstance(inner[key], dict | list) and inner[key] and chance.random() < 0.8:
                    inner = inner[key]
                    continue
                break
            if chance.random() < 0.2:
                del inner[key]
            elif isinstance(inner[key], str) and chance.random() < 0.4:
                inner[key] = inner[key][: chance.randrange(len(inner[key]) + 1)]
            else:
                inner[key] = chance.choice(values)
            yield json.dumps(value).encode()


def test_no_changed_file_ends_in_a_traceback(
    saved: tuple[Dossier, Trust, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is in the file, the program ends with a sentence. HALLMARK_MUTANTS says how many are tried; a
    receipt that lost nothing and was changed never ends with 0.
    """
    dossier, trust, _ = saved
    main, known = example().main, trust.to_toml()
    count = int(os.environ.get("HALLMARK_MUTANTS", "900"))
    kinds = (dossier.encode(), msgspec.json.encode(public(dossier)))
    codes: Counter[int] = Counter()
    for kind, data in enumerate(kinds):
        for mutant in mutants(data, count // len(kinds), kind):
            codes[main(written(tmp_path, file=mutant, trust=known))] += 1
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
    assert set(codes) <= {0, 1, 2, 3}
    assert codes[1] > count / 3
    for nothing in (b"", b"\0", b"[]", b"{}", b"%PDF-1.7", b"[" * 100_000, b'{"a":' * 5000):
        assert main(written(tmp_path, file=nothing, trust=known)) in (1, 2)
    assert main([]) == main(["/nowhere", "/nowhere"]) == 2


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
