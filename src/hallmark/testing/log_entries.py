"""Well-formed entries for tests and benchmarks of the log. No full node would believe what they say."""

from __future__ import annotations

from hallmark.core.entries import Entry
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Verdict, code
from hallmark.crypto.secp256k1 import Key, sign_statement


def plain_entry(network: bytes, number: int, padding: int = 0) -> bytes:
    """A distinct entry that the log takes without checking its signature, with bytes of padding."""
    statement = Verdict(network, bytes(20), number, bytes(32), code("test"), 0)
    return Entry(statement, (bytes(65),), (bytes(padding),) if padding else ()).encode()


def receipt(network: bytes, node: bytes, sequence: int, previous: bytes, salt: int = 0) -> Receipt:
    """A receipt whose other fields are zero; `salt` makes two for one sequence differ."""
    values: dict[str, bytes | int] = {
        field.name: bytes(field.size) if field.kind.startswith("bytes") else 0 for field in Receipt.fields()
    }
    changed = {"version": 1, "network": network, "node": node, "sequence": sequence, "previous": previous}
    return Receipt(**{**values, **changed, "tokens_out": salt})  # type: ignore[arg-type]  # by field name


def receipt_chain(network: bytes, chain_id: int, key: Key, count: int, salt: int = 0) -> list[bytes]:
    """Entries of a node's first `count` receipts, properly signed and chained."""
    entries, previous = [], bytes(32)
    for sequence in range(count):
        made = receipt(network, key.address, sequence, previous, salt)
        previous = made.digest()
        entries.append(Entry(made, (sign_statement(made, chain_id, key),), (b"r" * 60, b"", b"")).encode())
    return entries
