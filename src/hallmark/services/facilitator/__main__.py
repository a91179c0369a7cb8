"""`python -m hallmark.services.facilitator --config FILE`: verifies and settles x402 payments for servers."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.http.serve import run
from hallmark.services.facilitator.service import serve_facilitator
from hallmark.services.facilitator.settings import Settings
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.services.facilitator")
    parser.add_argument("--config", type=Path, required=True)
    try:
        settings = msgspec.json.decode(parser.parse_args().config.read_bytes(), type=Settings)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            "bad_settings", "The settings cannot be read.", "See docs/facilitator.md."
        ) from error
    configure("facilitator")
    run(serve_facilitator(settings))


if __name__ == "__main__":
    main()
