"""What a chain is read to hold, for tests that need no chain."""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord
from hallmark.services.chain import check


def anchored(size: int, root: bytes, time: int = 4_000) -> tuple[AnchorRecord, check.ConfirmedAnchor]:
    """A record, and what the chain itself says: block 7 at `time` (unix ms), three blocks deep."""
    contract = bytes(20)
    record = AnchorRecord(1, hex0x(contract), hex0x(bytes(32)), 7, size, hex0x(root), 3)
    return record, check.ConfirmedAnchor(1, contract, size, root, 7, time, 3, check._SEAL)
