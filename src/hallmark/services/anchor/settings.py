"""Settings of the anchoring service."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex20
from hallmark.http.serve import Listen


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One anchoring service for one log and one contract.

    `contract` is the address from the trust file; it must be the one that `contract_file`, the origin,
    `signers`
    and `threshold` give. `key_file` holds the submitting account's secret as hex; it pays gas and is
    trusted with nothing else. `tlog_policy` (C2SP text) decides which checkpoints are worth anchoring.
    `behind_ms` is how long a checkpoint that a quorum cosigned may wait for the chain before health says so.
    `deploy` lets the service deploy the contract when the chain lacks it.
    """

    listen: Listen
    database: str
    origin: str
    tlog_policy: str
    log_url: str
    full_nodes: tuple[str, ...]
    signers: tuple[Hex20, ...]
    threshold: int
    rpc_url: str
    chain_id: int
    contract: Hex20
    contract_file: str
    key_file: str
    seconds: int = 10
    confirmations: int = 2
    poll_ms: int = 500
    resend_ms: int = 30_000
    behind_ms: int = 60_000
    deploy: bool = True
