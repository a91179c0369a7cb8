"""`python -m hallmark.services.node --config FILE`: one node's host process."""

from __future__ import annotations

import sys

from hallmark.core.errors import HallmarkError
from hallmark.http.serve import run
from hallmark.services.node.service import run_node
from hallmark.services.node.settings import Settings
from hallmark.settings import from_arguments
from hallmark.store.raw import RawDatabase
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    settings = from_arguments(Settings)
    configure("node")
    database = RawDatabase(settings.database)
    try:
        run(run_node(settings, database))
    except HallmarkError as error:
        sys.exit(f"hallmark node: {error}")
    finally:
        database.close()


if __name__ == "__main__":
    main()
