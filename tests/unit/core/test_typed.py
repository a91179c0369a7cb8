"""EIP-712 structs: packing, hashing, JSON, and agreement with another implementation."""

from __future__ import annotations

import hashlib

import pytest
from eth_account.messages import encode_typed_data

from hallmark.core import entries
from hallmark.core.errors import InvalidInput, TooLarge, VerificationFailed
from hallmark.core.hashing import keccak256
from hallmark.core.receipt import Receipt, request_digest, response_digest
from hallmark.core.statements import AnchoredCheckpoint, SignIn, Ticket, code, text_of
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import HALF_ORDER, Key, recover_statement, sign_statement

STRUCTS: list[type[TypedStruct]] = [*entries.STATEMENTS.values(), Ticket, AnchoredCheckpoint, SignIn]


def sample(cls: type[TypedStruct], salt: int = 0) -> TypedStruct:
    """An instance with a distinct value in every field."""
    values: list[bytes | int] = []
    for number, field in enumerate(cls.fields()):
        seed = hashlib.sha256(f"{cls.__name__}{field.name}{salt}{number}".encode()).digest()
        part = seed[: field.size]
        values.append(int.from_bytes(part, "big") if field.kind.startswith("uint") else part)
    return cls(*values)


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda c: c.__name__)
def test_digest_agrees_with_eth_account(cls: type[TypedStruct]) -> None:
    """The signing digest is the one that an independent EIP-712 implementation computes."""
    value = sample(cls)
    typed = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
            ],
            cls.NAME: [{"name": field.wire, "type": field.kind} for field in cls.fields()],
        },
        "primaryType": cls.NAME,
        "domain": {"name": "Hallmark", "version": "1", "chainId": 31337},
        "message": value.to_json(),
    }
    message = encode_typed_data(full_message=typed)
    theirs = keccak256(b"\x19" + message.version + message.header + message.body)
    assert value.signing_digest(31337) == theirs


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda c: c.__name__)
def test_forms_round_trip(cls: type[TypedStruct]) -> None:
    """Packed and JSON forms read back to the same struct, and every packed byte matters."""
    value = sample(cls)
    packed = value.pack()
    assert len(packed) == cls.packed_size()
    assert cls.unpack(packed) == value
    assert cls.from_json(value.to_json()) == value
    for at in range(0, len(packed), 7):
        changed = bytearray(packed)
        changed[at] ^= 1
        assert cls.unpack(bytes(changed)).signing_digest(1) != value.signing_digest(1)


@pytest.mark.parametrize("change", ["missing", "unknown", "short", "negative", "float", "bool", "text"])
def test_ill_formed_json_is_refused(change: str) -> None:
    """Missing, unknown and ill-typed fields each raise InvalidInput."""
    value: dict[str, object] = dict(sample(Receipt).to_json())
    edits: dict[str, dict[str, object]] = {
        "unknown": {"extra": 1},
        "short": {"node": "0x00"},
        "negative": {"sequence": -1},
        "float": {"sequence": 1.0},
        "bool": {"sequence": True},
        "text": {"sequence": "1"},
    }
    value.update(edits.get(change, {}))
    if change == "missing":
        del value["bundle"]
    with pytest.raises(InvalidInput):
        Receipt.from_json(value)


def test_signature_binds_struct_chain_and_key() -> None:
    """A signature recovers to its key only over the same struct and chain id; high s is refused (EIP-2)."""
    key, value = Key(b"\x01" * 32), sample(Receipt)
    signature = sign_statement(value, 31337, key)
    assert recover_statement(value, 31337, signature) == key.address
    assert recover_statement(value, 1, signature) != key.address
    assert recover_statement(sample(Receipt, salt=1), 31337, signature) != key.address
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    s = int.from_bytes(signature[32:64], "big")
    assert s <= HALF_ORDER
    twin = signature[:32] + (order - s).to_bytes(32, "big") + bytes((55 - signature[64],))
    for bad in (twin, signature[:64], signature[:64] + b"\x00", bytes(65)):
        with pytest.raises(VerificationFailed) as caught:
            recover_statement(value, 31337, bad)
        assert caught.value.reason == "bad_signature"


@pytest.mark.parametrize("kind", list(entries.STATEMENTS), ids=lambda k: k.name)
def test_entries_round_trip_and_refuse_damage(kind: entries.Kind) -> None:
    """An entry reads back; truncated, extended, wrong version and unknown kind are refused."""
    entry = entries.Entry(sample(entries.STATEMENTS[kind]), (bytes(65), b"\x01" * 65), (b"", b"document"))
    data = entry.encode()
    assert entries.decode(data) == entry
    assert entry.kind is kind
    for bad in (data[:-1], data + b"\0", b"\x02" + data[1:], bytes((1, 250)) + data[2:], b"", data[:40]):
        with pytest.raises(InvalidInput):
            entries.decode(bad)


def test_an_entry_has_a_largest_size() -> None:
    """An entry over the tile limit is refused when made and when read."""
    entry = entries.Entry(sample(Receipt), (), (bytes(entries.MAX_ENTRY),))
    with pytest.raises(TooLarge):
        entry.encode()
    with pytest.raises(TooLarge):
        entries.decode(bytes(entries.MAX_ENTRY + 1))


def test_leaf_holds_admission_time_and_entry() -> None:
    """A leaf splits into what it was made from."""
    assert entries.split_leaf(entries.leaf(1_700_000_000_000, b"entry")) == (1_700_000_000_000, b"entry")
    with pytest.raises(InvalidInput):
        entries.split_leaf(b"short")


def test_codes_are_short_ascii() -> None:
    """Text codes survive padding; empty, long and non-ASCII ones are refused."""
    assert text_of(code("bad_signature")) == "bad_signature"
    for bad in ("", "x" * 33, "naïve"):
        with pytest.raises(InvalidInput):
            code(bad)


def test_content_digests_are_separated() -> None:
    """Salt, path, body and direction each change the digest; path and body cannot trade bytes."""
    salt = b"\x07" * 32
    digests = {
        request_digest(salt, "/a", b"b"),
        request_digest(salt, "/ab", b""),
        request_digest(salt, "/a", b"c"),
        request_digest(bytes(32), "/a", b"b"),
        response_digest(salt, b"b"),
    }
    assert len(digests) == 5


@pytest.mark.parametrize("cls", [Receipt, Ticket, AnchoredCheckpoint, SignIn])
def test_statements_are_written_in_one_step_as_field_by_field(cls: type[TypedStruct]) -> None:
    """Both forms; a value that does not fit is named in either case."""
    values = [
        3 if field.kind.startswith("uint") else bytes([at]) * field.size
        for at, field in enumerate(cls.fields())
    ]
    built = cls(*values)
    assert built.pack() == b"".join(built._values(padded=False))
    padded = b"".join(built._values(padded=True))
    assert built.struct_hash() == keccak256(keccak256(cls.type_string().encode()) + padded)
    for at, field in enumerate(cls.fields()):
        for wrong in (None, "text", 1.5, -1, 1 << 130, b"", bytes(33)):
            broken = cls(*values[:at], wrong, *values[at + 1 :])
            with pytest.raises(InvalidInput, match=field.wire):
                broken.pack()
            with pytest.raises(InvalidInput, match=field.wire):
                broken.struct_hash()
