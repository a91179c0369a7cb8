"""Settings of the log."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex20
from hallmark.http.serve import Listen


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one process takes on at a time: entries and bytes waiting, entries and bytes in one batch, the
    milliseconds that a receipt waits for its predecessor, that a slow round may hold up a newer one, and that
    entries may wait for a quorum before health says `quorum_missing`. Under load batches begin `batch_ms`
    apart, and checkpoints `spacing_ms` for each entry of the last one, `spacing_most_ms` at most: what comes
    meanwhile shares the next. On an idle log both begin at once.

    Receipts come first. Of a batch, members' other entries get up to `batch_members`, strangers' up to
    `batch_strangers`; of those at most `pending_strangers` wait. Of one node's receipts at most
    `early_entries` wait for a predecessor. At most `followers` are told what comes, of one address
    `address_followers` (`Quotas.shared_addresses` excepted).
    """

    pending_entries: int = 20_000
    pending_bytes: int = 64 * 1024 * 1024
    batch_entries: int = 2_000
    batch_bytes: int = 8 * 1024 * 1024
    batch_members: int = 256
    batch_strangers: int = 8
    pending_strangers: int = 64
    early_entries: int = 2_048
    order_wait_ms: int = 2_000
    batch_ms: int = 20
    spacing_ms: int = 50
    spacing_most_ms: int = 200
    round_ms: int = 250
    quorum_wait_ms: int = 5_000
    followers: int = 256
    address_followers: int = 16


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rate` entries a second, and `burst` at once after a rest."""

    rate: float
    burst: int


class Quotas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of what the log takes from whom. What authority keys signed is not bounded.

    By key: `receipts` of a node; of one to whose entries f+1 full nodes objected in the last `slowed_s`
    seconds (`slowed`); receipts for a sequence that is taken (`repeats`); `objections` of a full node;
    `reviews` of a reviewer; everything else of a member or owner (`members`). A node whose owner the operator
    does not vouch for is `new` until its registration is witnessed and `new_s` seconds old, and all such
    nodes together have `all_new`.

    For authors that nobody vouches for: `strangers` of one address, `all_strangers` together, and a proof of
    work of `work_bits`. `refusals` bounds how much that must be refused an address may send
    before nothing at all is taken from it; it is not applied to `shared_addresses`, behind which others
    stand. Of one body no more is looked at after `refusals_in_body` entries of it had to be refused.
    """

    receipts: Quota = Quota(2_000, 10_000)
    slowed: Quota = Quota(5, 5)
    slowed_s: int = 60
    new: Quota = Quota(5, 16)
    all_new: Quota = Quota(50, 200)
    new_s: int = 10
    repeats: Quota = Quota(1, 16)
    objections: Quota = Quota(20, 400)
    reviews: Quota = Quota(20, 400)
    members: Quota = Quota(1, 64)
    strangers: Quota = Quota(0.2, 8)
    all_strangers: Quota = Quota(2, 16)
    work_bits: int = 16
    refusals: Quota = Quota(20, 400)
    refusals_in_body: int = 16
    shared_addresses: tuple[str, ...] = ("127.0.0.1", "::1")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key_file` holds the Ed25519 seed (64 hex digits); `database` is a store URL (docs/log.md); `policy` is
    the network's C2SP tlog-policy with this log's vkey and a URL for each witness.

    `authority` are the network's authority addresses (0x-hex), `threshold` how many of them must sign
    together: what they signed is admitted always. `owners` are addresses that the operator vouches for: their
    nodes and labels need no proof of work.

    `holder` names this process among those that share the database: the one that holds the lease
    (`lease_ms`) is the log, the others stand by.
    """

    listen: Listen
    origin: str
    chain_id: int
    key_file: str
    database: str
    policy: str
    authority: tuple[Hex20, ...]
    threshold: int
    owners: tuple[Hex20, ...] = ()
    holder: str = "log-1"
    lease_ms: int = 10_000
    limits: Limits = Limits()
    quotas: Quotas = Quotas()
