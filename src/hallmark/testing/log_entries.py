"""Well-formed entries for tests and benchmarks of the log. No full node would believe what they say."""

from __future__ import annotations

from typing import Final

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import AttestationPolicy, KeyBundle, Profile, RouteRecord
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Receipt
from hallmark.core.statements import PolicyStatement, Registration, Role, code
from hallmark.crypto.secp256k1 import Key, sign_statement

CHAIN_ID: Final = 31337
AUTHORITY: Final = Key(bytes([77]) * 32)
"""The one authority key of logs under test, and the owner that their operator vouches for."""
ROUTE: Final = RouteRecord(hex0x(ZERO32), "direct", (), hex0x(bytes(20))).encode()


def plain_entry(network: bytes, number: int, padding: int = 0) -> bytes:
    """A distinct entry of `AUTHORITY`, with bytes of padding in its document."""
    document = b"%d" % number + bytes(padding)
    statement = PolicyStatement(network, code("attestation"), digest_of(AttestationPolicy, document), number)
    return Entry(statement, (sign_statement(statement, CHAIN_ID, AUTHORITY),), (document,)).encode()


def vouched(network: bytes, key: Key, role: Role = Role.NODE, owner: Key | None = None) -> bytes:
    """A registration of `key` that the log takes: of a node by `owner` (by default `AUTHORITY`, whom the
    operator vouches for), of another party with the authority's signature.
    """
    owner = owner or AUTHORITY
    document = digest_of(KeyBundle if role is Role.NODE else Profile, b"d")
    statement = Registration(network, role, key.address, owner.address, document, ZERO32, 0, ZERO32, 0)
    signers = (key, owner) if role is Role.NODE else (key, owner, AUTHORITY)
    signatures = tuple(sign_statement(statement, CHAIN_ID, signer) for signer in signers)
    return Entry(statement, signatures, (b"d", b"")).encode()


def receipt(network: bytes, node: bytes, sequence: int, previous: bytes, salt: int = 0) -> Receipt:
    """A receipt whose other fields are zero; `salt` makes two for one sequence differ."""
    values: dict[str, bytes | int] = {
        field.name: bytes(field.size) if field.kind.startswith("bytes") else 0 for field in Receipt.fields()
    }
    changed = {"version": 1, "network": network, "node": node, "sequence": sequence, "previous": previous}
    changed["route"] = digest_of(RouteRecord, ROUTE)
    return Receipt(**{**values, **changed, "tokens_out": salt})  # type: ignore[arg-type]  # by field name


def receipt_chain(network: bytes, chain_id: int, key: Key, count: int, salt: int = 0) -> list[bytes]:
    """Entries of a node's first `count` receipts, properly signed and chained."""
    entries, previous = [], bytes(32)
    for sequence in range(count):
        made = receipt(network, key.address, sequence, previous, salt)
        previous = made.digest()
        entries.append(Entry(made, (sign_statement(made, chain_id, key),), (ROUTE, b"", b"")).encode())
    return entries
