"""`python -m hallmark.compose --home DIR`: the supervisor process of a prepared network."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from hallmark.compose.home import Home
from hallmark.compose.running import supervise


def main() -> None:
    """Run the network of a home until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.compose")
    parser.add_argument("--home", type=Path, required=True)
    asyncio.run(supervise(Home(parser.parse_args().home)))


if __name__ == "__main__":
    main()
