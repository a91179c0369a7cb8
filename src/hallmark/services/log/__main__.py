"""`python -m hallmark.services.log --config FILE`."""

from hallmark.http.serve import run
from hallmark.services.log.service import main
from hallmark.services.log.settings import Settings
from hallmark.settings import from_arguments
from hallmark.telemetry.logs import configure

if __name__ == "__main__":
    configure("log")
    run(main(from_arguments(Settings)))
