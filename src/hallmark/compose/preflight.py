"""What a machine must allow before a network is started on it, looked at before anything is written.

1. The checkout can be written, or everything that is built in it is there already.
2. A process may have as many open files as a service needs.
3. Somebody who is not root may make user name spaces, without which no enclave can be confined.

Each is refused with a reason of its own; what is only weaker is told by `shortcomings`.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.services.node import machine

OPEN_FILES: Final = 1024
PROBE_S: Final = 10.0
NOBODY: Final = ("--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
BUILT: Final = (".build", "node_modules")


def check_machine(checkout: Path) -> None:
    """Refuse a machine on which no network could run; raises this process's limit of open files if it may.

    Raises Unavailable `checkout_unwritable`, `too_few_files`, `no_user_namespaces`, `sandbox_tool_missing`.
    """
    check_checkout(checkout)
    check_files()
    check_sandbox()


def check_checkout(checkout: Path) -> None:
    """Scripts, contracts and packages are built inside the checkout: it must be this user's to write in."""
    for name in BUILT:
        place = checkout / name
        if not os.access(place if place.exists() else checkout, os.W_OK | os.X_OK):
            raise Unavailable(
                "checkout_unwritable",
                f"{place} cannot be written by this user.",
                "Run as the owner of the checkout, or make a clone of your own.",
            )


def check_files() -> None:
    """Raise the limit of open files to what the machine allows, and refuse less than a gateway needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        raise Unavailable(
            "too_few_files",
            f"A process may have {hard} open files here; a service needs {OPEN_FILES}.",
            "Raise the hard limit (ulimit -Hn; LimitNOFILE= of a systemd unit).",
        )
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))


def check_sandbox() -> None:
    """Have bwrap make an empty sandbox, as an enclave's is made."""
    bwrap = machine.tool("bwrap", "bubblewrap")
    argv = [bwrap, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--", _true()]
    if os.geteuid() == 0:
        # An enclave's process has given up root before it makes its name spaces.
        argv = [machine.tool("setpriv", "util-linux"), *NOBODY, "--", *argv]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_S, check=False)
        said = done.stderr.strip().splitlines()[-1:] if done.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        said = [type(error).__name__]
    if said is not None:
        raise Unavailable(
            "no_user_namespaces",
            f"This machine lets no sandbox be made: {' '.join(said)[:200]}",
            "Allow user name spaces: sysctl user.max_user_namespaces and "
            "kernel.apparmor_restrict_unprivileged_userns; in a container, its runtime.",
        )


def shortcomings() -> tuple[str, ...]:
    """Reason codes of what is weaker than the full confinement here; empty where nothing is."""
    return machine.insecure_facts(machine.detect())


def _true() -> str:
    return shutil.which("true") or "/bin/true"
