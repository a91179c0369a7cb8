"""`python -m hallmark.compose --home DIR`: the supervisor process of a prepared network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hallmark.compose.home import Home
from hallmark.compose.running import run_supervisor


def main() -> None:
    """Run the network of a home until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.compose")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--held", type=int, help="an inherited file that holds the home")
    arguments = parser.parse_args()
    sys.exit(run_supervisor(Home(arguments.home), arguments.held))


if __name__ == "__main__":
    main()
