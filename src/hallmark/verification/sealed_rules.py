"""What holds of every sealed route, for full nodes and verifiers alike: over record, bundle and receipt.

Nobody but the client and the enclave saw the sealed bytes, so no rule says that the prompt was sealed: they
say that what the enclave signed about it can be true of the keys that were attested.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.documents import KeyBundle, RouteRecord
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Receipt
from hallmark.core.sealing import SUITE_NAMES, covers, is_relay
from hallmark.verification.outcome import OK

PATHS: Final = ("plain", "sealed", "direct")


def record_reason(record: RouteRecord, receipt: Receipt) -> str:
    """OK, or why the record does not fit itself and its receipt.

    1. The path is one that is known.
    2. How it was sealed is said when, and only when, it was.
    3. Suite, size and relay are such that there can be.
    4. The enclave saw the prompt, its upstream where there is one, and nobody else.
    """
    sealed = record.sealed
    if record.path not in PATHS:
        return "route_unreadable"
    if sealed is msgspec.UNSET:
        return "sealed_unsaid" if record.path == "sealed" else OK
    if record.path != "sealed":
        return "sealed_unexpected"
    if sealed.suite not in SUITE_NAMES:
        return "sealed_suite_unknown"
    if not sealed.size or not is_relay(sealed.relay):
        return "sealed_malformed"
    upstream = () if receipt.upstream == ZERO32 else ("upstream",)
    return OK if record.saw_prompt == ("enclave", *upstream) else "sealed_seen_by_other"


def sealed_reason(record: RouteRecord, bundle: KeyBundle, receipt: Receipt) -> str:
    """OK, or why the record does not fit itself, its receipt and the bundle, which has to name keys for the
    time at which the answer was started.
    """
    reason = record_reason(record, receipt)
    if reason or record.sealed is msgspec.UNSET:
        return reason
    if bundle.sealing is msgspec.UNSET:
        return "sealed_without_keys"
    return OK if covers(bundle.sealing, record.sealed.window, receipt.started) else "sealed_other_window"
