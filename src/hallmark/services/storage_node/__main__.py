"""`python -m hallmark.services.storage_node --config FILE`: keeps slivers and proves that it has them."""

from __future__ import annotations

from hallmark.http.serve import run
from hallmark.services.storage_node.service import serve_storage_node
from hallmark.services.storage_node.settings import Settings
from hallmark.settings import from_arguments
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    settings = from_arguments(Settings)
    configure("storage-node")
    run(serve_storage_node(settings))


if __name__ == "__main__":
    main()
