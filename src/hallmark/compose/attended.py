"""What `hallmark up` becomes once the network is up: a small process that waits for it, or for Ctrl-C.

The command that started everything has imported most of the house, a hundred megabytes that nothing needs
any more. So it becomes this program, which needs the standard library alone and is run by its path, and
keeps its number, its terminal and its child.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn


def attend(supervisor: int) -> NoReturn:
    """Become the waiting program. `supervisor` is a child of this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    # A Ctrl-C between the two programs waits until the second one can act on it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    argv = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(supervisor)]
    os.execv(sys.executable, argv)  # noqa: S606 (no shell is meant)


def main() -> None:
    """`python attended.py SUPERVISOR`: until it has ended, with its exit code. Ctrl-C ends it, and waits."""
    supervisor, status = int(sys.argv[1]), 0
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _, status = os.waitpid(supervisor, 0)
        print("The network has ended.", flush=True)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nStopping.", flush=True)
        os.kill(supervisor, signal.SIGTERM)
        os.waitpid(supervisor, 0)
    sys.exit(0 if status == 0 else 1)


if __name__ == "__main__":
    main()
