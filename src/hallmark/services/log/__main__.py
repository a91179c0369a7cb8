"""`python -m hallmark.services.log --config FILE`."""

from hallmark.http.serve import run
from hallmark.services.log.service import main as serve_log
from hallmark.services.log.settings import Settings
from hallmark.settings import from_arguments
from hallmark.telemetry.logs import configure


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    configure("log")
    run(serve_log(from_arguments(Settings)))


if __name__ == "__main__":
    main()
