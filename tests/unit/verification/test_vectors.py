"""Our own vectors: complete over the registered types, valid ones hold, invalid ones are refused as they
say.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from hallmark.core.document import digest_of
from hallmark.core.entries import Kind, decode
from hallmark.core.errors import HallmarkError
from hallmark.core.policy import Outcome
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.fold import Replica
from hallmark.verification.genesis import Genesis
from hallmark.verification.offline import verify_dossier
from hallmark.verification.trust import read_trust

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors"


def _make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = _make()


def _load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def test_every_registered_type_has_vectors() -> None:
    """Each statement, document and entry kind has one valid vector and at least three invalid ones."""
    for name, registered in (
        ("typed.json", {cls.__name__ for cls in MAKE.TYPED}),
        ("documents.json", {cls.__name__ for cls in MAKE.DOCUMENTS}),
        ("entries.json", {kind.name for kind in Kind}),
    ):
        vectors = _load(name)
        assert set(vectors) == registered
        assert all(vector["valid"] and len(vector["invalid"]) >= 3 for vector in vectors.values())


def test_committed_vectors_and_schemas_are_what_the_script_makes() -> None:
    """Running the script again would change nothing."""
    for path, data in MAKE.files():
        assert path.read_bytes() == data, path.name


@pytest.mark.parametrize("cls", MAKE.TYPED, ids=lambda cls: cls.__name__)
def test_statement_vectors(cls: Any) -> None:
    """Packed bytes, JSON form and EIP-712 hashes agree; wrong lengths are refused by their reason."""
    vector = _load("typed.json")[cls.__name__]
    valid = vector["valid"]
    statement = cls.unpack(bytes.fromhex(valid["packed"]))
    assert cls.from_json(valid["json"]) == statement
    assert statement.pack().hex() == valid["packed"]
    assert statement.struct_hash().hex() == valid["struct_hash"]
    assert statement.signing_digest(valid["chain_id"]).hex() == valid["signing_digest"]
    for invalid in vector["invalid"]:
        with pytest.raises(HallmarkError) as caught:
            cls.unpack(bytes.fromhex(invalid["packed"]))
        assert caught.value.reason == invalid["reason"]


@pytest.mark.parametrize("cls", MAKE.DOCUMENTS, ids=lambda cls: cls.__name__)
def test_document_vectors(cls: Any) -> None:
    """Exact bytes have the stated digest and read back; every other spelling is refused."""
    vector = _load("documents.json")[cls.__name__]
    data = vector["valid"]["bytes"].encode()
    assert cls.decode(data).encode() == data
    assert digest_of(cls, data).hex() == vector["valid"]["digest"]
    for invalid in vector["invalid"]:
        with pytest.raises(HallmarkError) as caught:
            cls.decode(invalid["bytes"].encode())
        assert caught.value.reason == invalid["reason"]


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_entry_vectors(kind: Kind) -> None:
    """Entry bytes read back; broken ones are refused before anything is judged."""
    vector = _load("entries.json")[kind.name]
    data = bytes.fromhex(vector["valid"]["bytes"])
    entry = decode(data)
    assert (entry.kind, entry.encode()) == (kind, data)
    for invalid in vector["invalid"]:
        with pytest.raises(HallmarkError) as caught:
            decode(bytes.fromhex(invalid["bytes"]))
        assert caught.value.reason == invalid["reason"]


def _genesis(network: dict[str, Any]) -> Genesis:
    authority = tuple(bytes.fromhex(address) for address in network["authority"])
    return Genesis.of(network["origin"], network["chain_id"], authority, network["threshold"])


@pytest.mark.parametrize("number", range(6))
def test_judged_logs(number: int) -> None:
    """A replica that is fed the vector's leaves finds what the vector says, and the same root."""
    vector = _load("judged.json")[number]
    replica = Replica(_genesis(_load("network.json")), verify_stub_evidence)
    for index, leaf in enumerate(vector["leaves"]):
        replica.feed(index, bytes.fromhex(leaf))
    assert list(replica.failures(vector["index"])) == vector["receipt"]
    assert (vector["reason"] in vector["receipt"]) == bool(vector["reason"])
    assert replica.root().hex() == vector["root"]


def test_saved_receipt_vector() -> None:
    """The saved receipt of the vectors meets its policy under the trust file beside it."""
    network = _load("network.json")
    trust = read_trust(network["trust"])
    verified = verify_dossier(
        Dossier.parse(json.dumps(network["dossier"]).encode()),
        trust,
        network["now"],
        verify_evidence=verify_stub_evidence,
        verify_proof=proof_verifier(trust),
    )
    assert verified.decide("witnessed").outcome is Outcome.CLEAR


# A validator for as much of JSON Schema as the published schemas use; anything else is an error here.
KNOWN = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
    "additionalProperties", "pattern", "minimum", "maximum", "items", "anyOf", "const", "default",
}  # fmt: skip
TYPES = {"object": dict, "string": str, "integer": int, "array": list, "null": type(None)}


class Schemas:
    """The published schemas, validating."""

    def __init__(self) -> None:
        self.files = {p.name: json.loads(p.read_text()) for p in (ROOT / "docs" / "schema").glob("*.json")}

    def errors(self, value: object, schema: dict[str, Any], root: dict[str, Any], at: str = "$") -> list[str]:
        """What is wrong with `value`, by place."""
        assert set(schema) <= KNOWN, set(schema) - KNOWN
        if "$ref" in schema:
            name = schema["$ref"]
            if name in self.files:
                return self.errors(value, self.files[name], self.files[name], at)
            return self.errors(value, root["$defs"][name.removeprefix("#/$defs/")], root, at)
        if "anyOf" in schema:
            tried = [self.errors(value, option, root, at) for option in schema["anyOf"]]
            return [] if any(not errors for errors in tried) else [f"{at}: no alternative fits"]
        found = [f"{at}: not {schema['const']}"] if schema.get("const", value) != value else []
        kind = schema.get("type")
        if kind and (not isinstance(value, TYPES[kind]) or isinstance(value, bool)):
            return [f"{at}: not a {kind}"]
        if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
            found.append(f"{at}: pattern")
        if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get(
            "maximum", value
        ):
            found.append(f"{at}: range")
        if isinstance(value, dict):
            known = schema.get("properties", {})
            found += [f"{at}.{name}: missing" for name in schema.get("required", ()) if name not in value]
            if schema.get("additionalProperties") is False:
                found += [f"{at}.{name}: unknown" for name in value if name not in known]
            for name, inner in value.items():
                if name in known:
                    found += self.errors(inner, known[name], root, f"{at}.{name}")
        if isinstance(value, list) and "items" in schema:
            for index, inner in enumerate(value):
                found += self.errors(inner, schema["items"], root, f"{at}[{index}]")
        return found

    def check(self, value: object, name: str) -> list[str]:
        """What is wrong with `value` by the schema of this file."""
        return self.errors(value, self.files[name], self.files[name])


def test_published_schemas_describe_real_objects() -> None:
    """Real receipts and dossiers fit the published schemas, with and without their optional parts."""
    schemas, dossier = Schemas(), _load("network.json")["dossier"]
    assert schemas.check(dossier, "dossier.schema.json") == []
    assert schemas.check(dossier["receipt"], "receipt.schema.json") == []
    bare = {**dossier, "entry": None, "request": None, "response": None, "salts": {}}
    assert schemas.check(bare, "dossier.schema.json") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "hallmark.dossier/2"),
        ("id", "0xAB"),
        ("chain_id", "31337"),
        ("chain_id", -1),
        ("chain_id", 1 << 63),
        ("id", "0x" + "00" * 32 + "\n"),
        ("evidence", "AAAA\n"),
        ("unknown", 1),
        ("receipt", {}),
        ("documents", {"bundle": "{}"}),
        ("evidence", "not base64!"),
        ("entry", {"index": 1}),
    ],
)
def test_published_schemas_refuse_what_we_refuse(name: str, value: object) -> None:
    """What the schema refuses is what reading refuses too."""
    dossier = {**_load("network.json")["dossier"], name: value}
    assert Schemas().check(dossier, "dossier.schema.json")
    with pytest.raises(HallmarkError):
        Dossier.parse(msgspec.json.encode(dossier))


def test_receipt_schema_bounds_every_field() -> None:
    """A receipt with a field missing, too large or of the wrong length does not fit."""
    schemas = Schemas()
    good = _load("network.json")["dossier"]["receipt"]
    for name, value in good.items():
        wrong: object = value + "00" if isinstance(value, str) else 1 << 200
        assert schemas.check({**good, name: wrong}, "receipt.schema.json")
        assert schemas.check({k: v for k, v in good.items() if k != name}, "receipt.schema.json")
