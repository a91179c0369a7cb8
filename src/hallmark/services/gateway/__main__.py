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
    sealing = _sealing(Path(settings.sealing_file)) if settings.sealing_file else b""
    run(_serve(Gateway(settings, trust, key, database, world, sealing=sealing), settings))
    database.close()


def _sealing(path: Path) -> bytes:
    """The secret of the gateway's sealing key; made at the first start, for its owner only."""
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_bytes(32).hex())
            file.flush()
            os.fsync(file.fileno())
    return bytes.fromhex(path.read_text().strip())


async def _serve(gateway: Gateway, settings: Settings) -> None:
    try:
        await serve(gateway.service, settings.listen, tasks=gateway.tasks)
    finally:
        await gateway.aclose()


if __name__ == "__main__":
    main()
