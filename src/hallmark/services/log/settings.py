"""Settings of the log."""

from __future__ import annotations

import msgspec

from hallmark.http.serve import Listen


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one process takes on at a time: entries and bytes waiting, entries and bytes in one batch, the
    milliseconds that a receipt waits for its predecessor, that a slow round may hold up a newer one, and that
    entries may wait for a quorum before health says `quorum_missing`.
    """

    pending_entries: int = 20_000
    pending_bytes: int = 64 * 1024 * 1024
    batch_entries: int = 2_000
    batch_bytes: int = 8 * 1024 * 1024
    order_wait_ms: int = 2_000
    round_ms: int = 250
    quorum_wait_ms: int = 5_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key_file` holds the Ed25519 seed (64 hex digits); `database` is a store URL (docs/log.md); `policy` is
    the network's C2SP tlog-policy with this log's vkey and a URL for each witness.

    `holder` names this process among those that share the database: the one that holds the lease
    (`lease_ms`) is the log, the others stand by.
    """

    listen: Listen
    origin: str
    chain_id: int
    key_file: str
    database: str
    policy: str
    holder: str = "log-1"
    lease_ms: int = 5_000
    limits: Limits = Limits()
