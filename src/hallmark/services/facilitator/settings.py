"""Settings of the facilitator."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex20, Hex32
from hallmark.http.serve import Listen
from hallmark.services.log.settings import Quota


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token that payments may be in, with name and version of its EIP-712 domain."""

    address: Hex20
    name: str
    version: str


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who may ask: `sha256` of the secret that comes as `Authorization: Bearer SECRET`. For channels
    of `receivers` the facilitator signs claims and refunds in its own name when this key asks; for nobody
    else, because who holds a voucher could otherwise have its money back after it was spent. `idempotent`
    says that this server serves one payment identifier once: then the same settlement is told again to it,
    where everybody else is told of a success once.
    """

    name: str
    sha256: Hex32
    receivers: tuple[Hex20, ...] = ()
    idempotent: bool = False


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One facilitator on one chain.

    `key_file` holds the secret of the account that pays the gas (and that `upto` payers name), as hex;
    `authorizer_file` the one that claims and refunds are signed with, empty for none. Payments in other
    tokens than `tokens` are refused. Without `keys` nobody is served unless `anonymous` is set; all who come
    without a key share one quota. Quotas: `per_key` requests, and `per_payer` payments of one payer.

    `most_gas` bounds the gas of one payment, `most_gas_claims` that of claims, `most_fee` the wei for each
    gas: what would cost more is refused before it is sent. An answer to /settle waits up to `wait_ms`
    for `confirmations`; transactions that wait longer than `resend_ms` get higher fees, up to `most_fee`.
    `kept_days` is how long receipts stay; an authorization that could be presented again is kept longer.
    """

    listen: Listen
    database: str
    rpc_url: str
    chain_id: int
    key_file: str
    tokens: tuple[Token, ...]
    authorizer_file: str = ""
    keys: tuple[Key, ...] = ()
    anonymous: bool = False
    per_key: Quota = Quota(rate=50.0, burst=200)
    per_payer: Quota = Quota(rate=5.0, burst=50)
    most_gas: int = 400_000
    most_gas_claims: int = 6_000_000
    most_fee: int = 10**12
    wait_ms: int = 20_000
    poll_ms: int = 250
    resend_ms: int = 15_000
    confirmations: int = 1
    kept_days: int = 90
