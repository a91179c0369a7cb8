"""`python -m hallmark.services.gateway --config FILE`: the gateway."""

from __future__ import annotations

import functools
import os
import secrets
import time
from pathlib import Path

from hallmark.attestation import verify
from hallmark.core.document import unhex
from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import run, serve
from hallmark.services.gateway.app import Gateway, World
from hallmark.services.gateway.settings import Settings
from hallmark.settings import from_arguments
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import configure
from hallmark.verification.trust import read_trust


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    settings = from_arguments(Settings)
    configure("gateway")
    key = Key(bytes.fromhex(Path(settings.key_file).read_text().strip()))
    trust = read_trust(Path(settings.trust_file).read_text())
    database = RawDatabase(settings.database)
    # Never more roots than the trust file names, whatever policy the log holds.
    roots = {kind: [unhex(root) for root in found] for kind, found in trust.attestation.roots.items()}
    judge = functools.partial(verify, roots=roots)
    world = World(lambda: time.time_ns() // 1_000_000, os.urandom, secrets.randbelow, judge)
    run(_serve(Gateway(settings, trust, key, database, world), settings))
    database.close()


async def _serve(gateway: Gateway, settings: Settings) -> None:
    try:
        await serve(gateway.service, settings.listen, tasks=gateway.tasks)
    finally:
        await gateway.aclose()


if __name__ == "__main__":
    main()
