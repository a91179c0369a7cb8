"""Kill processes of a whole network at seeded random moments, while it is used, and count what came of it.

    python bench/chaos.py --runs 200 [--first 0] [--home DIR] [--port 24000] [--paid]

Without --home a network is started in a temporary directory and stopped at the end. With --paid everything
has its price, every request is paid for, and the accounts are compared with the chain. Exit code 1 when
anything that the network promises did not hold; the table names it with its seed.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
import tempfile
import time
from pathlib import Path

from hallmark.testing.chaos_runs import campaign
from hallmark.testing.real_network import Network, hallmark, logs


def main() -> int:
    """Run the campaign that the arguments name."""
    parser = argparse.ArgumentParser(description="Seeded kill runs on a whole network.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--home", type=Path, help="a home whose network may be killed; started if need be")
    parser.add_argument("--port", type=int, default=24_000)
    parser.add_argument("--paid", action="store_true", help="price everything, pay for every request")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hallmark-chaos-") as temporary:
        home = options.home or Path(temporary, "home")
        priced = ("--paid",) if options.paid else ()
        started = hallmark(home, "up", "--detach", "--no-ask", "--port", str(options.port), *priced)
        if started.returncode != 0 and "already_running" not in started.stderr:
            sys.stderr.write(started.stdout + started.stderr + logs(home))
            return 2
        began = time.monotonic()
        try:
            seeds = range(options.first, options.first + options.runs)
            say = functools.partial(print, flush=True)
            report = asyncio.run(campaign(Network(home), seeds, say, pays=options.paid))
        finally:
            hallmark(home, "down")
        print(f"\n{report.table()}\n{time.monotonic() - began:.0f} s")
        return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
