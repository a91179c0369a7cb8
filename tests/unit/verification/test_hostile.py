"""Whatever a saved receipt or a trust file says, verifying it ends in marks or in one of our own errors."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from hallmark.core.document import Document, digest_of, hex0x
from hallmark.core.documents import EnclaveConfiguration, KeyBundle, Manifest, Parameters, RouteRecord
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import sign_statement
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Anchor, Dossier
from hallmark.verification.trust import AnchorContract, Trust, read_trust

Path = tuple[str | int, ...]
TRIES = 400
HOSTILE: tuple[Any, ...] = (
    0, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), 10**400, 1.5, True, None, "", "\n",
    "\0", "caf\u00e9", "\U0001f600", "x" * 70_000, "0x", "0x00", "0x" + "00" * 20, "0x" + "00" * 32,
    "0x" + "f" * 65, "0x" + "00" * 32 + "\n", "=", "AAA=", "\u00e9===", "[", "{}", "null", "index 0",
    "{what}", "%s", [], {}, [[]], [None], ["x"], {"a": 1}, {"": ""}, "absent", "9" * 30,
)  # fmt: skip
VALUE = re.compile(r'(?<=["\n ])[^"\n ]+(?=["\n ])')
COMMITTED: dict[str, type[Document]] = {
    "bundle": KeyBundle, "route": RouteRecord, "parameters": Parameters, "manifest": Manifest,
    "configuration": EnclaveConfiguration,
}  # fmt: skip


class Target:
    """A network with a logged and reviewed answer, its saved receipt as plain values, and its trust file."""

    def __init__(self) -> None:
        self.net = net = LittleNetwork()
        for reviewer in net.reviewers:
            net.register(reviewer)
        answer = net.answer(net.nodes[0])
        index = net.add(answer.entry)
        review = net.add(net.review(net.reviewers[0], index))
        notary = Notary(net)
        contract, zero = "0x" + "0a" * 20, "0x" + "00" * 32
        anchor = Anchor(31337, contract, zero, 7, net.tree.size, hex0x(net.tree.root()), 2)
        saved = msgspec.structs.replace(notary.dossier(answer, index, reviews=[review]), anchor=anchor)
        self.trust: Trust = msgspec.structs.replace(notary.trust(), anchor=AnchorContract(contract, 31337))
        self.saved: dict[str, Any] = json.loads(saved.encode())

    def judge(self, data: bytes, verifier: Verifier) -> str:
        """How verifying these bytes ends. Raises what is not ours."""
        try:
            verified = verifier.verify(Dossier.parse(data), self.net.now)
            msgspec.json.encode([mark.to_json() for mark in verified.marks.values()])
            for policy in verifier.trust.policy:
                verified.judge(policy).sentence()
        except HallmarkError as error:
            return error.reason
        return "judged"

    def resigned(self, value: dict[str, Any]) -> dict[str, Any]:
        """The same as its own node would sign it: documents committed to, signature, id."""
        for name, cls in COMMITTED.items():
            text = value["documents"].get(name)
            if isinstance(text, str) and name != "configuration":
                value["receipt"][name] = hex0x(digest_of(cls, text.encode()))
        receipt = Receipt.from_json(value["receipt"])
        signature = sign_statement(receipt, self.net.genesis.chain_id, self.net.nodes[0].key)
        return value | {"signature": hex0x(signature), "id": hex0x(receipt.digest())}


@pytest.fixture(scope="module")
def target() -> Target:
    """One target for all tries; none changes it."""
    return Target()


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    listed = enumerate(value) if isinstance(value, list | tuple) else ()
    pairs: Any = value.items() if isinstance(value, dict) else listed
    for name, inner in pairs:
        yield (*path, name)
        yield from _paths(inner, (*path, name))


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with a member replaced by something hostile, or with a text in it cut, doubled or spoilt."""
    value = copy.deepcopy(value)
    *above, last = chance.choice(list(_paths(value)))
    inner = value
    for name in above:
        inner = inner[name]
    found = inner[last]
    if isinstance(found, str) and found and chance.random() < 0.5:
        at = chance.randrange(len(found))
        sign = chance.choice('0aZ/+=\n -\u2014{}[],":9')
        inner[last] = chance.choice((found[:at], found * 2, found[:at] + sign + found[at + 1 :]))
    else:
        inner[last] = copy.deepcopy(chance.choice(HOSTILE))
    return value


def test_any_saved_receipt_is_judged_or_refused(target: Target) -> None:
    """Hundreds of broken files: marks, or `bad_dossier`, and nothing else ever."""
    chance, verifier = random.Random(1), Verifier(target.trust, verify_stub_evidence)
    found = [
        target.judge(json.dumps(_changed(target.saved, chance)).encode(), verifier) for _ in range(TRIES)
    ]
    assert set(found) == {"judged", "bad_dossier"}
    assert min(found.count("judged"), found.count("bad_dossier")) > TRIES // 20


def test_any_receipt_that_a_node_signs_is_judged(target: Target) -> None:
    """A lying node commits to documents of any content; they are judged, before and after logging."""
    chance, verifier = random.Random(2), Verifier(target.trust, verify_stub_evidence)
    found = []
    for number in range(TRIES):
        value = copy.deepcopy(target.saved)
        name = chance.choice(tuple(COMMITTED))
        document = _changed(json.loads(value["documents"][name]), chance)
        value["documents"][name] = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        value["request"]["path"] = chance.choice(("/v1", "x" * 65_536))
        if number % 2:
            value |= dict.fromkeys(("entry", "registration", "version")) | {"reviews": []}
        found.append(target.judge(json.dumps(target.resigned(value)).encode(), verifier))
    assert set(found) == {"judged"}


def test_any_trust_file_judges_or_is_refused(target: Target) -> None:
    """Trust files with anything in them: marks, or one of the codes for what nobody can mean."""
    chance, data = random.Random(3), json.dumps(target.saved).encode()
    text, found = target.trust.to_toml(), []
    values = [
        match.span() for match in re.finditer(r'(?<= )\d+$|(?<=["\n ])[^"\n ]+(?=["\n ])', text, re.MULTILINE)
    ]
    for _ in range(TRIES):
        start, end = chance.choice(values)
        hostile = json.dumps(chance.choice(HOSTILE))
        try:
            trust = read_trust(text[:start] + chance.choice((hostile, hostile.strip('"'))) + text[end:])
            found.append(target.judge(data, Verifier(trust, verify_stub_evidence)))
        except InvalidInput as error:
            found.append(error.reason)
    assert set(found) == {"judged", "bad_policy", "bad_trust_file"}
    assert min(found.count("judged"), found.count("bad_trust_file")) > TRIES // 20
