"""`python -m hallmark.services.anchor --config FILE`: anchors the log's checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import Service, run, serve
from hallmark.services.anchor.app import create_app
from hallmark.services.anchor.outbox import Outbox
from hallmark.services.anchor.service import AnchorService
from hallmark.services.anchor.settings import Settings
from hallmark.services.chain.contract import read_contract
from hallmark.store import Database
from hallmark.telemetry.logs import configure
from hallmark.telemetry.metrics import Metrics


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.services.anchor")
    parser.add_argument("--config", type=Path, required=True)
    settings = msgspec.json.decode(parser.parse_args().config.read_bytes(), type=Settings)
    configure("anchor")
    key = Key(bytes.fromhex(Path(settings.key_file).read_text().strip()))
    database = Database(settings.database)
    run(_serve(settings, database, key))
    database.close()


async def _serve(settings: Settings, database: Database, key: Key) -> None:
    service = AnchorService(settings, Outbox(database), key, read_contract(Path(settings.contract_file)))
    metrics = Metrics()
    metrics.gauge("anchor_block", "Newest block seen.", lambda: service.head)
    metrics.gauge("anchor_size", "Size of the newest anchored checkpoint.", lambda: service.anchored_size)
    metrics.gauge("anchor_deployments", "Times the contract was deployed.", lambda: service.deployments)
    metrics.gauge("anchor_bugs", "Errors that nobody foresaw.", lambda: service.bugs)
    app = Service(
        create_app(service, settings.confirmations), health=lambda: service.health, registry=metrics.registry
    )
    await serve(app, settings.listen, tasks=(service.run(),))


if __name__ == "__main__":
    main()
