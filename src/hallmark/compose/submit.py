"""`python -m hallmark.compose.submit --home DIR`: what founds a network is said in its log.

A process of its own, so that the supervisor, which stays, loads none of what this needs. Why it failed is
left in run/ended.json.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from hallmark.compose.ended import Ended
from hallmark.compose.founding import Founding
from hallmark.compose.home import Home
from hallmark.compose.plan import load_plan
from hallmark.compose.start import submit_founding
from hallmark.core.errors import HallmarkError


def main() -> None:
    """Submit the founding entries of a home; exit code 1 when the log does not take them."""
    parser = argparse.ArgumentParser(prog="hallmark.compose.submit")
    parser.add_argument("--home", type=Path, required=True)
    home = Home(parser.parse_args().home)
    try:
        asyncio.run(submit_founding(load_plan(home), Founding(home)))
    except HallmarkError as error:
        ended = Ended(error.reason, error.message, error.hint)
        home.write(msgspec.json.encode(ended), "run", "ended.json")
        sys.exit(1)


if __name__ == "__main__":
    main()
