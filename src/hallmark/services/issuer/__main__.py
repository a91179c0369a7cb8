"""`python -m hallmark.services.issuer --config FILE`: sells and takes tokens, and pays who earned them."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.http.serve import run
from hallmark.services.issuer.service import serve_issuer
from hallmark.services.issuer.settings import Settings
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.services.issuer")
    parser.add_argument("--config", type=Path, required=True)
    try:
        settings = msgspec.json.decode(parser.parse_args().config.read_bytes(), type=Settings)
    except msgspec.DecodeError as error:
        raise InvalidInput("bad_settings", "The settings cannot be read.", "See docs/payments.md.") from error
    configure("issuer")
    run(serve_issuer(settings))


if __name__ == "__main__":
    main()
