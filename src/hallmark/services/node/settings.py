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


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node. Paths are absolute; times are milliseconds.

    `listen` is where clients connect (TLS ends in the enclave), `health` where /healthz and /metrics are.
    `endpoint` is the URL that goes into the key bundle. `owner_key_file` holds the owner's secp256k1 secret
    as hex; `payment` defaults to the owner's address. `database` is a store URL. `image_cache` is where the
    image is built; `image` names one that is there already. `development_root` is the PEM of the root that
    the emulated security module signs under. `mode` is "tee", or "vanilla": no sandbox, no evidence, and
    every receipt says so; nothing ever falls back to it. `limits` go into the measured configuration.
    `sealer` is the program that seals the upstreams' API keys (services/node/sealing.py); empty: they have
    none.
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
    dial_ms: int = 5_000
