"""`python -m hallmark.apps.web --config FILE`: the pages, the desk behind them, the explorer."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path

from hallmark.apps.web.process import WebProcess
from hallmark.attestation import verify
from hallmark.core.document import unhex
from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import run, serve
from hallmark.services.review.service import World
from hallmark.services.review.settings import Settings
from hallmark.settings import from_arguments
from hallmark.store import Database
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import configure
from hallmark.verification.trust import read_trust


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    settings = from_arguments(Settings)
    configure("web")
    key = Key(bytes.fromhex(Path(settings.key_file).read_text().strip()))
    trust = read_trust(Path(settings.trust_file).read_text())
    database, folded = Database(settings.database), RawDatabase(settings.database)
    # Never more roots than the trust file names, whatever policy the log holds.
    roots = {kind: [unhex(root) for root in found] for kind, found in trust.attestation.roots.items()}
    judge = functools.partial(verify, roots=roots)
    world = World(lambda: time.time_ns() // 1_000_000, os.urandom)
    web = WebProcess(settings, trust, key, database, world, folded=folded, verify_evidence=judge)
    run(_serve(web, settings))
    folded.close()
    database.close()


async def _serve(process: WebProcess, settings: Settings) -> None:
    try:
        await serve(process.service, settings.listen, tasks=process.tasks)
    finally:
        await process.aclose()


if __name__ == "__main__":
    main()
