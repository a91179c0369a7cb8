"""`python -m hallmark.services.relay --config FILE`: passes sealed capsules on."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.http.serve import run
from hallmark.services.relay.service import serve_relay
from hallmark.services.relay.settings import Settings
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.services.relay")
    parser.add_argument("--config", type=Path, required=True)
    try:
        settings = msgspec.json.decode(parser.parse_args().config.read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput("bad_settings", "The settings cannot be read.", "See docs/relay.md.") from error
    configure("relay")
    run(serve_relay(settings))


if __name__ == "__main__":
    main()
