"""`python -m hallmark.services.fullnode --config FILE [--copy-from URL]`: verifies and cosigns one log."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import msgspec

from hallmark.attestation import verify
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.http.health import unless
from hallmark.http.serve import Service, run, serve
from hallmark.ledger.note import COSIGNATURE, SigningKey
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.services.following.fold_store import FoldIndex, FoldKeeper
from hallmark.services.fullnode.app import create_app
from hallmark.services.fullnode.artifacts import HeldArtifacts
from hallmark.services.fullnode.checkpoint_store import CheckpointStore
from hallmark.services.fullnode.node import FullNode
from hallmark.services.fullnode.settings import Settings
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import configure
from hallmark.telemetry.metrics import Metrics
from hallmark.verification.fold import Replica


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.services.fullnode")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--copy-from", default="", help="URL of the log or another full node to copy from")
    arguments = parser.parse_args()
    settings = msgspec.json.decode(arguments.config.read_bytes(), type=Settings)
    if arguments.copy_from:
        settings = msgspec.structs.replace(settings, copy_from=arguments.copy_from)
    configure("fullnode")
    database = RawDatabase(settings.database)
    run(_serve(settings, database))
    database.close()


async def _serve(settings: Settings, database: RawDatabase) -> None:
    pool = Pool(per_origin=16)
    artifacts = HeldArtifacts(settings.artifacts, settings.artifact_cache)
    node = build(settings, database, pool, artifacts)
    metrics = Metrics()
    metrics.gauge("fullnode_size", "Entries in this node's copy.", lambda: node.store.size)
    metrics.gauge("fullnode_judged", "Entries judged since the start.", lambda: node.judged)
    metrics.gauge("fullnode_cosigned", "Checkpoints cosigned since the start.", lambda: node.cosigned)
    metrics.gauge("fullnode_refused", "Checkpoints refused since the start.", lambda: node.refused)
    metrics.gauge("fullnode_bugs", "Checks since the start that stopped in a bug.", lambda: node.replica.bugs)
    app = Service(
        create_app(node), health=lambda: unless(database.problem, node.health), registry=metrics.registry
    )

    async def start() -> None:
        await node.start()
        reader = threading.Thread(target=artifacts.read, name="artifacts", daemon=True)
        reader.start()

    try:
        await serve(
            app,
            settings.listen,
            tasks=(start(), node.pay_duties(), node.log_watch.run(), node.keeper.run()),
        )
    finally:
        await pool.aclose()


def build(settings: Settings, database: RawDatabase, pool: Pool, artifacts: HeldArtifacts) -> FullNode:
    """A full node over one database."""
    replica = Replica(settings.genesis(), verify, check_artifact=artifacts.check)
    store = SQLLogStore(database)
    return FullNode(
        settings,
        replica,
        store=store,
        memory=CheckpointStore(database, store),
        keeper=FoldKeeper(replica, FoldIndex(database)),
        signer=Key(_secret(settings.key_file)),
        witness_key=SigningKey(settings.witness_name, COSIGNATURE, _secret(settings.seed_file)),
        pool=pool,
        now=lambda: time.time_ns() // 1_000_000,
    )


def _secret(path: str) -> bytes:
    return bytes.fromhex(Path(path).read_text().strip())


if __name__ == "__main__":
    main()
