"""Settings of a full node."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex20, unhex
from hallmark.http.serve import Listen
from hallmark.verification.genesis import Genesis


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries judged before other requests get a turn; seconds to wait for a source; milliseconds between
    attempts to submit what is owed. Seconds after which a log that asks for nothing is asked how large it is,
    when somebody wants to know how this node stands; milliseconds for which cosigning may fail, or a log that
    grew may not ask, before health says so.
    """

    chunk: int = 32
    source_s: float = 10.0
    retry_ms: int = 1_000
    look_s: float = 10.0
    quiet_ms: int = 5_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`log_vkey` is the log's C2SP verifier key and `log_url` where it listens. `witness_name` and
    `seed_file` (Ed25519 seed, 64 hex digits) cosign; `key_file` (secp256k1 secret, 64 hex digits) signs
    verdicts, faults and anchors. `database` is a store URL of this node's own. `copy_from` is another full
    node (or the log) to copy from when starting empty. `artifacts` are packed artifacts held here (files,
    or directories of `*.tar` files), with whose content published manifests are compared; `artifact_cache`
    is a file of this node's own for their blob IDs.
    """

    listen: Listen
    origin: str
    chain_id: int
    authority: tuple[Hex20, ...]
    threshold: int
    log_vkey: str
    log_url: str
    witness_name: str
    seed_file: str
    key_file: str
    database: str
    copy_from: str = ""
    artifacts: tuple[str, ...] = ()
    artifact_cache: str = ""
    limits: Limits = Limits()

    def genesis(self) -> Genesis:
        """What the replica starts from."""
        return Genesis.of(self.origin, self.chain_id, tuple(unhex(a) for a in self.authority), self.threshold)
