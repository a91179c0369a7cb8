"""Vectors of what is signed for the vault: `python tests/vectors/vault.py` writes vault.json.

Everything is hashed by hand here, from EIP-712's text and with the Keccak of another library: nothing of
`hallmark.core` is used, so that the file is no copy of what it checks.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from Crypto.Hash import keccak

HERE = Path(__file__).parent
CHAIN_ID = 31_337
VAULT = bytes.fromhex("00112233445566778899aabbccddeeff01234567")
TOKEN = bytes.fromhex("89abcdef0123456789abcdef0123456789abcdef")
ROWS = (("0x" + "01" * 20, 1_000_000), ("0x" + "02" * 20, 2**96 - 1), ("0x" + "ff" * 20, 0))
TYPES = {
    "SpendingCeiling": (
        "address payer,address payee,address session,uint128 maxClaimable,uint32 nonce,uint32 validUntil"
    ),
    "Lease": "address enclave,uint64 sequence,uint64 until,bytes32 rows",
    "Settlement": "address enclave,uint64 sequence,bytes32 rows,bytes32 receiptsRoot,uint8 closing",
    "EnclaveRegistration": (
        "address enclave,address payee,bytes32 bundle,bytes32 measurement,uint64 validUntil"
    ),
    "EnclaveRevocation": "address enclave,bytes32 reason",
    "DepositPause": "uint8 paused,uint64 nonce",
    "WithdrawalRequest": "address payer,uint128 amount,uint64 nonce,uint64 deadline",
}
EIP3009 = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def hashed(data: bytes) -> bytes:
    """Keccak-256."""
    return keccak.new(digest_bits=256, data=data).digest()


def sample(kind: str, name: str) -> int | str:
    """A value for a field, the same for each name and type: JSON form."""
    seed = hashlib.sha256(f"{kind} {name}".encode()).digest()
    if kind.startswith("uint"):
        bits = min(int(kind[4:]), 96)
        return 1 if bits == 8 else int.from_bytes(seed[: bits // 8], "big") >> 1
    return "0x" + seed[: 20 if kind == "address" else 32].hex()


def word(value: int | str) -> bytes:
    """One 32-byte word of the ABI encoding."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes.fromhex(value[2:]).rjust(32, b"\0")


def packed(kind: str, value: int | str) -> bytes:
    """One field of the packed form: as long as its type, nothing padded."""
    full = word(value)
    return (
        full[32 - int(kind[4:]) // 8 :] if kind.startswith("uint") else full[12 if kind == "address" else 0 :]
    )


def statement(name: str, fields: str, separator: bytes) -> dict[str, Any]:
    """A typed message with its packed form, and packed bytes that are refused."""
    found = vector(name, fields, separator)
    kinds = [field.split()[0] for field in fields.split(",")]
    form = b"".join(map(packed, kinds, found["message"].values()))
    invalid = {"empty": b"", "one byte short": form[:-1], "one byte long": form + b"\0"}
    found["packed"] = form.hex()
    found["invalid"] = [
        {"why": why, "packed": bad.hex(), "reason": "statement_length"} for why, bad in invalid.items()
    ]
    return found


def domain(name: str, version: str, contract: bytes) -> bytes:
    """An EIP-712 domain separator."""
    parts = (DOMAIN.encode(), name.encode(), version.encode())
    return hashed(b"".join(map(hashed, parts)) + CHAIN_ID.to_bytes(32, "big") + bytes(12) + contract)


def vector(name: str, fields: str, separator: bytes) -> dict[str, Any]:
    """One typed message and its hashes."""
    type_string = f"{name}({fields})"
    message = {field: sample(kind, field) for kind, field in map(str.split, fields.split(","))}
    struct_hash = hashed(hashed(type_string.encode()) + b"".join(map(word, message.values())))
    return {
        "type": type_string,
        "message": message,
        "struct_hash": struct_hash.hex(),
        "digest": hashed(b"\x19\x01" + separator + struct_hash).hex(),
    }


def vectors() -> dict[str, Any]:
    """The whole file."""
    vault, token = domain("Hallmark Vault", "1", VAULT), domain("Hallmark Development Money", "1", TOKEN)
    rows = b"".join(bytes.fromhex(payer[2:]) + amount.to_bytes(12, "big") for payer, amount in ROWS)
    kinds = ("TransferWithAuthorization", "ReceiveWithAuthorization")
    return {
        "chain_id": CHAIN_ID,
        "vault": {"contract": "0x" + VAULT.hex(), "domain": vault.hex()},
        "token": {"contract": "0x" + TOKEN.hex(), "domain": token.hex()},
        "statements": {name: statement(name, fields, vault) for name, fields in TYPES.items()},
        "authorizations": {kind: vector(kind, EIP3009, token) for kind in kinds},
        "rows": {
            "valid": {"rows": ROWS, "packed": rows.hex(), "digest": hashed(rows).hex()},
            "invalid": [
                {"why": "empty", "packed": ""},
                {"why": "one byte short", "packed": rows[:-1].hex()},
                {"why": "one byte long", "packed": (rows + b"\0").hex()},
            ],
        },
    }


def text() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "vault.json").write_text(text())
