"""`hallmark gateway`, `log`, `fullnode`, `anchor`, `facilitator`, `issuer`, `hub`, `web`: one service each,
in the foreground.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hallmark.core.errors import InvalidInput


def take_over(module: str, config: Path) -> None:
    """Become a service, so that signals and exit codes are its own. Raises InvalidInput `bad_settings`."""
    if not config.is_file():
        raise InvalidInput("bad_settings", f"{config} cannot be read.", "See docs/operate.md.")
    os.execv(sys.executable, (sys.executable, "-m", module, "--config", str(config)))  # noqa: S606


def _service(name: str, sentence: str, module: str = "") -> click.Command:
    module = module or f"hallmark.services.{name}"

    @click.command(name, help=f"{sentence}\n\nFILE holds its settings; docs/operate.md names them.")
    @click.option("--config", type=click.Path(path_type=Path), required=True, metavar="FILE")
    def run(config: Path) -> None:
        take_over(module, config)

    command: click.Command = run
    return command


gateway = _service("gateway", "Run a gateway.")
log = _service("log", "Run a log, or a standby of one.")
fullnode = _service("fullnode", "Run a full node.")
anchor = _service("anchor", "Run the anchoring service.")
facilitator = _service("facilitator", "Run a facilitator: verifies and settles x402 payments for servers.")
issuer = _service("issuer", "Run an issuer of tokens: sells them, takes them, pays who earned them.")
hub = _service("hub", "Run a blob store: the publisher and aggregator of Walrus, on a directory.")
web = _service("web", "Run the pages, the review desk and the explorer.", "hallmark.apps.web")
