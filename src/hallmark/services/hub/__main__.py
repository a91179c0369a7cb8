"""`python -m hallmark.services.hub --config FILE`: stores blobs and serves them."""

from __future__ import annotations

from hallmark.http.serve import run
from hallmark.services.hub.service import serve_hub
from hallmark.services.hub.settings import Settings
from hallmark.settings import from_arguments
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    settings = from_arguments(Settings)
    configure("hub")
    run(serve_hub(settings))


if __name__ == "__main__":
    main()
