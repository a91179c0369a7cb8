"""Settings of an issuer."""

from __future__ import annotations

import msgspec

from hallmark.core.money import Asset
from hallmark.http.serve import Listen
from hallmark.services.log.settings import Quota

DAY_MS = 86_400_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One issuer of one network on one chain.

    `key_file` holds its secret as hex: the registered key, which signs key sets, takes what tokens are bought
    with, pays payees and pays for gas. Nothing else should send from it. Keys in the database are sealed with
    it, so neither is worth anything alone.

    Tokens are bought with `asset`, which has EIP-3009; the smallest is worth `unit` of its units. A key
    set is sold from for `epoch_ms`, and its tokens can be spent for as long again: the log takes no more than
    two that are in force at once. The next set is made and logged `ahead_ms` before it is needed. A payee is
    paid once it has `pay_from` (atomic units), or `pay_after_ms` after it earned the first of it. Quotas are
    by the asking address.
    """

    listen: Listen
    database: str
    log_url: str
    origin: str
    rpc_url: str
    chain_id: int
    key_file: str
    asset: Asset
    unit: int = 100
    epoch_ms: int = 30 * DAY_MS
    ahead_ms: int = DAY_MS
    pay_from: int = 10_000_000
    pay_after_ms: int = DAY_MS // 4
    per_address: Quota = Quota(rate=200.0, burst=2_000)
    most_gas: int = 400_000
    most_fee: int = 10**12
    wait_ms: int = 20_000
    poll_ms: int = 250
    resend_ms: int = 15_000
    confirmations: int = 1
