"""Settings of a node's host process."""

from __future__ import annotations

import msgspec

from hallmark.core.document import Hex20
from hallmark.http.serve import Listen

TEE = "tee"
VANILLA = "vanilla"


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model to bring: its label, the file with the manifest's exact bytes, the file with the artifact."""

    label: str
    manifest: str
    artifact: str


class Payments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a node is paid. `offer` is the file with the exact log entry of the owner's newest PriceOffer.

    `rpc_url` is the chain of the offer's asset and vault; empty: nobody can pay there, and only what the
    offer calls free is served. `key_file` pays for gas and defaults to the owner's. Every `settle_seconds`
    what was charged is settled, and collected once it is `collect_from` (atomic units) or more; a
    transaction counts when `confirmations` blocks hold it; while one is under way the chain is asked every
    `poll_ms`. A lease is for `lease_seconds`. `journal`
    is the file that keeps the enclave's accounts; it stands beside the database where that is a SQLite file.
    The payer of an x402 channel waits `withdraw_seconds` for its money, and channels are claimed every
    `settle_seconds`, so that one must be several times the other. `issuer` is the address of the issuer whose
    tokens are taken; empty: none are.
    """

    offer: str
    journal: str = ""
    rpc_url: str = ""
    key_file: str = ""
    settle_seconds: int = 3_600
    lease_seconds: int = 21_600
    collect_from: int = 1
    confirmations: int = 2
    poll_ms: int = 1_000
    withdraw_seconds: int = 86_400
    issuer: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node. Paths are absolute; times are milliseconds.

    `listen` is where clients connect (TLS ends in the enclave), `health` where /healthz and /metrics are.
    `endpoint` is the URL that goes into the key bundle. `owner_key_file` holds the owner's secp256k1 secret
    as hex; `payment` defaults to the owner's address. `database` is a store URL. `image_cache` is where the
    image is built; `image` names one that is there already. `development_root` is the PEM of the root that
    the emulated security module signs under. `mode` is "tee", or "vanilla": no sandbox, no evidence, and
    every receipt says so; nothing ever falls back to it. `limits` go into the measured configuration.
    `sealer` is the program that seals the upstreams' API keys (services/node/sealing.py); empty: they have
    none. Without `payments` nothing is offered, and receipts carry no payment record.
    """

    listen: Listen
    health: Listen
    endpoint: str
    log_url: str
    origin: str
    chain_id: int
    owner_key_file: str
    database: str
    models: tuple[ModelFile, ...] = ()
    upstreams: dict[str, str] = {}
    sealer: tuple[str, ...] = ()
    mode: str = TEE
    image_cache: str = ""
    image: str = ""
    development_root: str = ""
    payment: Hex20 | None = None
    capacity: int = 16
    connections: int = 512
    limits: dict[str, int] = {}
    insecure: tuple[str, ...] = ()
    beacon_ms: int = 2_000
    refresh_ms: int = 3_600_000
    start_ms: int = 120_000
    drain_ms: int = 5_000
    payments: Payments | None = None
    dial_ms: int = 5_000
