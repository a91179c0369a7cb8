"""`python -m hallmark.services.chain --config FILE`: the development chain."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from hallmark.core.errors import NotFound
from hallmark.http.asgi import Receive, Scope, Send
from hallmark.http.serve import Service, run, serve
from hallmark.services.chain.devchain import DevelopmentChain
from hallmark.services.chain.settings import Settings
from hallmark.telemetry.logs import configure
from hallmark.telemetry.metrics import Metrics


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound(
        "no_such_page", "The chain's JSON-RPC is on another port.", "Ask for /healthz or /metrics."
    )


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.services.chain")
    parser.add_argument("--config", type=Path, required=True)
    settings = msgspec.json.decode(parser.parse_args().config.read_bytes(), type=Settings)
    configure("chain")
    chain = DevelopmentChain(settings)
    metrics = Metrics()
    metrics.gauge("chain_block", "Newest block of the development chain.", lambda: chain.head)
    metrics.gauge("chain_restarts", "Times that anvil was started again.", lambda: chain.restarts)
    metrics.gauge("chain_losses", "Starts that found a damaged state.", lambda: chain.losses)
    service = Service(_nothing, health=lambda: chain.health, registry=metrics.registry)
    run(serve(service, settings.listen, tasks=(chain.run(),)))


if __name__ == "__main__":
    main()
