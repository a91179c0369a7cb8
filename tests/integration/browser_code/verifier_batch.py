"""Judges one batch twice, in Python and by the browser's verifier in one node process, as canonical texts."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hallmark.attestation import verify as verify_evidence
from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.documents import AttestationPolicy, ClearingPolicy, Measurement
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import Evidence, Expectation, Verdict
from hallmark.core.hashing import sha256
from hallmark.core.marks import Finding, Mark, Question
from hallmark.core.policy import evaluate, waive
from hallmark.services.chain.toolchain import find_node, prepare, repository_root
from hallmark.services.sdk.receipts import grown, open_answer
from hallmark.testing.dossiers import proof_verifier
from hallmark.verification.dossier import Dossier
from hallmark.verification.examination import VerifyProof
from hallmark.verification.offline import verify_dossier
from hallmark.verification.trust import Trust

SCRIPT = Path(__file__).parents[3] / "web" / "test" / "batch.ts"


def canonical(value: object) -> str:
    """JSON with sorted members and no white space."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class Batch:
    """Cases with what Python says of each, by name; `browser` asks the other verifier about all of them."""

    def __init__(self) -> None:
        self._trusts: list[str] = []
        self._proofs: dict[str, VerifyProof] = {}
        self._asked: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("dossiers", "unchecked", "decisions", "evidence", "answers", "drafts")
        }
        self.names: dict[str, list[str]] = {kind: [] for kind in self._asked}
        self.python: dict[str, list[str]] = {kind: [] for kind in self._asked}

    def dossier(self, name: str, data: bytes, trust: Trust, now: int, status: Iterable[Finding] = ()) -> None:
        """A saved receipt's bytes under a trust file at a time."""
        asked, verify_proof = self._saved(data, trust, now, tuple(status))
        self._add("dossiers", name, asked, lambda: _marks(data, trust, now, verify_proof, tuple(status)))

    def unchecked(self, name: str, data: bytes, trust: Trust, now: int) -> None:
        """A saved receipt whose evidence only Python can judge."""
        asked, _ = self._saved(data, trust, now, ())
        self._add("unchecked", name, asked, str)

    def _saved(
        self, data: bytes, trust: Trust, now: int, status: tuple[Finding, ...]
    ) -> tuple[dict[str, Any], VerifyProof]:
        text = msgspec.json.encode(trust).decode()
        if text not in self._proofs:
            self._proofs[text] = proof_verifier(trust)
            self._trusts.append(text)
        told = [
            {"question": f.question, "state": f.state, "by": f.by, "at": f.at, "reason": f.reason}
            | {"detail": dict(f.detail)}
            for f in status
        ]
        asked = {"data": _text(data), "trust": self._trusts.index(text), "now": now, "status": told}
        return asked, self._proofs[text]

    def decision(self, name: str, policy: ClearingPolicy, marks: Mapping[Question, Mark], now: int) -> None:
        """A policy, marks and a time."""
        listed = [mark.to_json() for mark in marks.values()]
        asked = {"policy": msgspec.json.encode(policy).decode(), "marks": listed, "now": now}
        self._add("decisions", name, asked, lambda: _decision(policy, marks, now))

    def evidence(
        self,
        name: str,
        evidence: Evidence,
        policy: AttestationPolicy,
        at: int,
        *,
        measurements: tuple[Measurement, ...],
        expect: Expectation,
    ) -> None:
        """Evidence under a policy at a time; the report data is always expected."""
        assert expect.report_data is not None
        asked = {
            "data": _text(evidence.encode()),
            "policy": msgspec.json.encode(policy).decode(),
            "measurements": [msgspec.json.encode(each).decode() for each in measurements],
            "at": at,
            "bound": "0x" + expect.report_data.hex(),
            "nonce": None if expect.nonce is None else "0x" + expect.nonce.hex(),
        }
        verdict = verify_evidence(evidence, policy, at, measurements=measurements, expect=expect)
        self._add("evidence", name, asked, lambda: _verdict(verdict))

    def answer(self, name: str, body: bytes, *, stream: bool) -> None:
        """An answer's bytes, to be split into what is covered and its receipt."""
        asked = {"body": _text(body), "stream": stream}
        split = split_hallmark_stream if stream else split_hallmark
        self._add("answers", name, asked, lambda: " ".join(sha256(part).hex() for part in split(body)))

    def draft(self, name: str, body: bytes, request: bytes, theirs: Dossier | None, *, stream: bool) -> None:
        """An answer that begins a dossier, and what the network has of it."""
        path = "/v1/chat/completions"
        asked = {"body": _text(body), "stream": stream, "path": path, "request": _text(request)}
        asked["theirs"] = None if theirs is None else _text(theirs.encode())

        def made() -> str:
            _, mine = open_answer(path, request, body, stream=stream)
            return _text((mine if theirs is None else grown(mine, theirs)).encode())

        self._add("drafts", name, asked, made)

    def browser(self, folder: Path) -> dict[str, list[str]]:
        """What the browser's verifier says of the same cases, in one node process."""
        prepare(repository_root())
        file = folder / "batch.json"
        file.write_bytes(msgspec.json.encode({"trusts": self._trusts, **self._asked}))
        argv = [str(find_node().node), str(SCRIPT), str(file)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, list[str]] = json.loads(done.stdout)
        return found

    def _add(self, kind: str, name: str, asked: dict[str, Any], judge: Callable[[], str]) -> None:
        self.names[kind].append(name)
        self._asked[kind].append(asked)
        try:
            self.python[kind].append(judge())
        except HallmarkError as error:
            self.python[kind].append(f"refused {error.reason}")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _marks(
    data: bytes, trust: Trust, now: int, verify_proof: VerifyProof, status: tuple[Finding, ...]
) -> str:
    dossier = Dossier.parse(data)
    verified = verify_dossier(
        dossier, trust, now, verify_evidence=verify_evidence, verify_proof=verify_proof, status=status
    )
    return canonical([verified.marks[question].to_json() for question in Question])


def _decision(policy: ClearingPolicy, marks: Mapping[Question, Mark], now: int) -> str:
    decision, shown = evaluate(policy, marks, now), waive(policy, marks)
    told = {
        "outcome": decision.outcome,
        "policy": decision.policy,
        "at": decision.at,
        "missing": [msgspec.structs.asdict(s) for s in decision.missing],
        "failed": [msgspec.structs.asdict(s) for s in decision.failed],
        "sentence": decision.sentence(),
        "marks": [decision.marks[question].to_json() for question in Question],
    }
    return canonical([told, [shown[question].to_json() for question in Question]])


def _verdict(verdict: Verdict) -> str:
    if not verdict.ok:
        return f"refused {verdict.reason}"
    return canonical(
        {
            "kind": verdict.kind,
            "assurance": verdict.assurance,
            "measurement": verdict.measurement,
            "digest": "0x" + verdict.digest.hex(),
            "registers": dict(verdict.registers),
            "madeAt": verdict.made_at,
        }
    )
