"""What is signed for the vault: agreement with vectors made by hand and with another implementation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from eth_account.messages import encode_typed_data

from hallmark.core.eip3009 import RECEIVE, TRANSFER, Authorization, TokenDomain, authorization_digest
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256
from hallmark.core.money import MAX_AMOUNT
from hallmark.core.typed import TypedStruct
from hallmark.core.vault import STATEMENTS, Row, pack_rows, unpack_rows, vault_digest
from hallmark.crypto.secp256k1 import Key, recover

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "vault.json").read_text())
VAULT = bytes.fromhex(VECTORS["vault"]["contract"][2:])
TOKEN = bytes.fromhex(VECTORS["token"]["contract"][2:])
CHAIN_ID: int = VECTORS["chain_id"]
DOMAIN = ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")


def make() -> ModuleType:
    """The script that writes the vectors."""
    spec = importlib.util.spec_from_file_location("vault_vectors", FOLDER / "vault.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wallet_digest(vector: dict[str, Any], name: str, contract: bytes) -> str:
    """What a wallet signs for this typed message, by eth_account."""
    primary, fields = vector["type"][:-1].split("(")
    typed = {
        "types": {
            "EIP712Domain": [{"name": field, "type": kind} for field, kind in DOMAIN],
            primary: [{"name": f, "type": k} for k, f in map(str.split, fields.split(","))],
        },
        "primaryType": primary,
        "domain": {
            "name": name,
            "version": "1",
            "chainId": CHAIN_ID,
            "verifyingContract": "0x" + contract.hex(),
        },
        "message": vector["message"],
    }
    message = encode_typed_data(full_message=typed)
    return keccak256(b"\x19" + message.version + message.header + message.body).hex()


def test_vectors_are_what_the_script_writes() -> None:
    """The file is the script's, and holds every statement."""
    assert (FOLDER / "vault.json").read_text() == make().text()
    assert set(VECTORS["statements"]) == {cls.NAME for cls in STATEMENTS}


@pytest.mark.parametrize("cls", STATEMENTS, ids=lambda c: c.__name__)
def test_digests_agree_by_three_ways(cls: type[TypedStruct]) -> None:
    """By hand, by eth_account and by ours, the same bytes are signed."""
    vector = VECTORS["statements"][cls.NAME]
    statement = cls.from_json(vector["message"])
    assert cls.type_string() == vector["type"]
    assert statement.struct_hash().hex() == vector["struct_hash"]
    assert vault_digest(statement, CHAIN_ID, VAULT).hex() == vector["digest"]
    assert wallet_digest(vector, "Hallmark Vault", VAULT) == vector["digest"]
    assert statement.pack().hex() == vector["packed"]
    assert cls.unpack(bytes.fromhex(vector["packed"])) == statement


@pytest.mark.parametrize("cls", STATEMENTS, ids=lambda c: c.__name__)
def test_packed_bytes_of_another_length_are_refused(cls: type[TypedStruct]) -> None:
    """Nothing, a byte less and a byte more are no statement."""
    invalid = VECTORS["statements"][cls.NAME]["invalid"]
    assert len(invalid) == 3
    for vector in invalid:
        with pytest.raises(InvalidInput) as error:
            cls.unpack(bytes.fromhex(vector["packed"]))
        assert error.value.reason == vector["reason"]


@pytest.mark.parametrize(
    ("kind", "name"), [(TRANSFER, "TransferWithAuthorization"), (RECEIVE, "ReceiveWithAuthorization")]
)
def test_token_authorizations_agree_by_three_ways(kind: str, name: str) -> None:
    """EIP-3009's two messages, by hand, by eth_account and by ours."""
    vector = VECTORS["authorizations"][name]
    m = vector["message"]
    authorization = Authorization(
        bytes.fromhex(m["from"][2:]),
        bytes.fromhex(m["to"][2:]),
        m["value"],
        m["validAfter"],
        m["validBefore"],
        bytes.fromhex(m["nonce"][2:]),
    )
    domain = TokenDomain("Hallmark Development Money", "1", CHAIN_ID, TOKEN)
    assert kind == vector["type"]
    assert authorization_digest(kind, authorization, domain).hex() == vector["digest"]
    assert wallet_digest(vector, "Hallmark Development Money", TOKEN) == vector["digest"]


def test_a_digest_is_of_one_vault_on_one_chain() -> None:
    """Another contract, another chain and the network's own statements are other bytes."""
    cls = STATEMENTS[0]
    statement = cls.from_json(VECTORS["statements"][cls.NAME]["message"])
    digest = vault_digest(statement, CHAIN_ID, VAULT)
    others = {
        vault_digest(statement, CHAIN_ID, TOKEN),
        vault_digest(statement, 1, VAULT),
        statement.signing_digest(CHAIN_ID),
    }
    assert len(others) == 3
    assert digest not in others
    key = Key(b"\x07" * 32)
    assert recover(digest, key.sign(digest)) == key.address


def test_rows_round_trip() -> None:
    """Rows read back; other lengths and numbers that do not fit are refused."""
    valid = VECTORS["rows"]["valid"]
    rows = tuple(Row(bytes.fromhex(payer[2:]), amount) for payer, amount in valid["rows"])
    packed = pack_rows(rows)
    assert packed.hex() == valid["packed"]
    assert keccak256(packed).hex() == valid["digest"]
    assert unpack_rows(packed) == rows
    for invalid in VECTORS["rows"]["invalid"]:
        with pytest.raises(InvalidInput) as error:
            unpack_rows(bytes.fromhex(invalid["packed"]))
        assert error.value.reason == "vault_rows"
    for bad in (
        (),
        (Row(bytes(19), 0),),
        (Row(bytes(20), MAX_AMOUNT + 1),),
        (Row(bytes(20), -1),),
        (Row(bytes(21), 0),),
    ):
        with pytest.raises(InvalidInput) as error:
            pack_rows(bad)
        assert error.value.reason == "vault_rows"


@pytest.mark.parametrize(
    "bad",
    [
        Authorization(bytes(19), bytes(20), 1, 0, 1, bytes(32)),
        Authorization(bytes(20), bytes(20), 2**256, 0, 1, bytes(32)),
        Authorization(bytes(20), bytes(20), 1, -1, 1, bytes(32)),
        Authorization(bytes(20), bytes(20), 1, 0, 1, bytes(31)),
    ],
)
def test_authorizations_that_no_token_can_read_are_refused(bad: Authorization) -> None:
    """Wrong lengths and numbers beyond 256 bits have a reason code."""
    with pytest.raises(InvalidInput) as error:
        authorization_digest(RECEIVE, bad, TokenDomain("x", "1", 1, bytes(20)))
    assert error.value.reason == "authorization_fields"
