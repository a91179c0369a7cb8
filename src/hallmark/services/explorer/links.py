"""Where things stand among the explorer's pages. The only place that knows the addresses."""

from __future__ import annotations

from urllib.parse import quote

from hallmark.core.document import hex0x


def receipt(receipt_id: bytes) -> str:
    """A receipt's page."""
    return f"/explore/receipts/{hex0x(receipt_id)}"


def node(key: bytes) -> str:
    """A party's page, whatever its role."""
    return f"/explore/nodes/{hex0x(key)}"


def model(label: str) -> str:
    """A label's page."""
    return f"/models/{quote(label)}"


def artifact(artifact_id: str) -> str:
    """The receipts of an artifact (0x-hex)."""
    return f"/explore/receipts?artifact={artifact_id}"


def entry(index: int) -> str:
    """A log entry's page."""
    return f"/explore/entries/{index}"


def checkpoint(size: int) -> str:
    """A checkpoint's page."""
    return f"/explore/checkpoints/{size}"


def measurement(digest: str) -> str:
    """A measurement in the list of all (0x-hex)."""
    return f"/explore/measurements#{digest}"


def policy(name: str) -> str:
    """A clearing policy's page."""
    return f"/policies/{quote(name)}"


def account(address: str) -> str:
    """The page of an address that pays or is paid (0x-hex)."""
    return f"/explore/accounts/{address}"


def offer(digest: str) -> str:
    """An offer's page (0x-hex)."""
    return f"/explore/offers/{digest}"


def settlement(transaction: str) -> str:
    """The settlements of a transaction (0x-hex)."""
    return f"/explore/settlements/{transaction}"


def settled_by(enclave: str, sequence: int) -> str:
    """A settlement by its enclave's key (0x-hex) and number."""
    return f"/explore/settlements/{enclave}/{sequence}"
